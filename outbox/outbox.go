// Package outbox is the hand-off between predictions and people: messages that are to be pushed and what became of each, the devices and
// preferences of users, what they were sent lately, and their in-app messages. It never decides whether a message goes out and never sends: it
// keeps, in a way that many may decide at once about one user and each sees what the others did.
//
// An Outbox validates, encodes and locks; a Driver stores bytes under ordered keys (docs/formats/outbox.md).
package outbox

import (
	"context"
	"encoding/json"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
)

// Driver stores values under keys that are ordered as bytes. It does not validate, retry or log. All methods may be called concurrently.
type Driver interface {
	// Get gives a copy of the value at key; ok is false if there is none.
	Get(ctx context.Context, key []byte) (value []byte, ok bool, err error)
	// Scan calls each for the keys from, inclusive, to to, exclusive, in their order, until each is false. What each gets is valid until it returns.
	// Scan sees each key either before or after a concurrent Write.
	Scan(ctx context.Context, from, to []byte, each func(key, value []byte) bool) error
	// Write makes all changes or none. If durable, they and everything written before them survive a crash of the machine once it has returned;
	// otherwise a crash may take a suffix of what was written.
	Write(ctx context.Context, changes []Change, durable bool) error
	// Close ends all use: later calls answer Unavailable. Closing twice is no error.
	Close() error
}

// Change is a new value for a key; a nil Value deletes it.
type Change struct{ Key, Value []byte }

// State is where a message is.
type State string

// The states are a closed list. The last four are ends.
const (
	Waiting    State = "waiting"    // to be decided at DueAt
	Held       State = "held"       // the user's quiet hours: to be decided anew at DueAt
	Sending    State = "sending"    // a provider may have got it, nobody knows yet: it goes out again under the same id
	Sent       State = "sent"       // a provider has accepted it
	Shown      State = "in_app"     // the app was open, or takes no other way: it lies in the user's stream
	Suppressed State = "suppressed" // policy says no; Reason says which rule
	Failed     State = "failed"     // no provider would take it; Reason says why
)

// Ended says that nothing more happens to a message.
func (s State) Ended() bool { return s == Sent || s == Shown || s == Suppressed || s == Failed }

// Message is one notification for one user, made by one cause.
type Message struct {
	ID        freshet.JobID        `json:"id"` // of its pipeline and cause: there is never a second one
	User      freshet.Key          `json:"user"`
	Pipeline  freshet.PipelineName `json:"pipeline"`
	Category  string               `json:"category"`
	EventID   freshet.EventID      `json:"event_id,omitempty"`
	Release   freshet.ReleaseID    `json:"release,omitempty"`
	Title     string               `json:"title,omitempty"`
	Body      string               `json:"body,omitempty"`
	Data      json.RawMessage      `json:"data,omitempty"` // a JSON object for the app
	CauseAt   freshet.Timestamp    `json:"cause_at"`       // of the causing event
	CreatedAt freshet.Timestamp    `json:"created_at"`
	ExpiresAt freshet.Timestamp    `json:"expires_at"`
	// Policy is what the pipeline says, as it stood when the message was made.
	Policy Policy `json:"policy"`

	State    State             `json:"state"`
	Reason   string            `json:"reason,omitempty"`
	DueAt    freshet.Timestamp `json:"due_at"`
	Attempts int               `json:"attempts,omitempty"` // calls of providers, for all targets
	EndedAt  freshet.Timestamp `json:"ended_at,omitempty"`
	// Channel and Device are those of the last call; ProviderID is the provider's name for the message that it took last.
	Channel    push.Channel `json:"channel,omitempty"`
	Device     string       `json:"device,omitempty"`
	ProviderID string       `json:"provider_id,omitempty"`
	// Targets are the user's devices of Channel when the message was first counted against caps: it goes to each. A webhook is one without a device.
	Targets []Target `json:"targets,omitempty"`
	// Reserved is the moment under which the message is counted against caps; 0: it is not.
	Reserved freshet.Timestamp `json:"reserved,omitempty"`
	// Seq is its place in the user's stream; 0: it is not there.
	Seq uint64 `json:"seq,omitempty"`
	// Outcomes say what the person did: "opened", "dismissed", … at most one of each.
	Outcomes map[string]freshet.Timestamp `json:"outcomes,omitempty"`
}

// Target is one device that a message goes to, and what became of it there.
type Target struct {
	Device     string            `json:"device,omitempty"`
	State      State             `json:"state"` // Waiting, Sending, Sent or Failed
	Reason     string            `json:"reason,omitempty"`
	ProviderID string            `json:"provider_id,omitempty"`
	Attempts   int               `json:"attempts,omitempty"`
	DueAt      freshet.Timestamp `json:"due_at,omitempty"` // of one that waits
}

// Policy is what a pipeline says about its messages.
type Policy struct {
	Channels []push.Channel `json:"channels"` // in the order of preference
	Caps     []Cap          `json:"caps,omitempty"`
	Dedupe   int64          `json:"dedupe_ms,omitempty"` // how long an equal text to the same user is not sent again
	Holdout  bool           `json:"holdout,omitempty"`   // the user gets none, to be compared with those who do
}

// Cap is at most Count messages in any Window, a rolling one, of one user, channel and category.
type Cap struct {
	Count  int   `json:"count"`
	Window int64 `json:"window_ms"`
}

// Device is where a user can be reached by one channel.
type Device struct {
	ID           string            `json:"id"`
	Channel      push.Channel      `json:"channel"`
	Token        string            `json:"token"`
	RegisteredAt freshet.Timestamp `json:"registered_at"`
}

// Preferences are what a user has said. The zero value has said nothing.
type Preferences struct {
	OptOut     OptOut `json:"opt_out"`
	QuietHours string `json:"quiet_hours,omitempty"` // "22:00-07:00", "off"; "": the app's
	Timezone   string `json:"timezone,omitempty"`    // IANA name; "": the app's
}

// OptOut lists what a user does not want.
type OptOut struct {
	All        bool           `json:"all,omitempty"`
	Channels   []push.Channel `json:"channels,omitempty"`
	Categories []string       `json:"categories,omitempty"`
}

// Recent is what a user was sent lately: what caps and dedupe look at.
type Recent struct {
	Sent map[string][]freshet.Timestamp `json:"sent,omitempty"` // by channel and category, the last ones
	Seen map[string]freshet.Timestamp   `json:"seen,omitempty"` // until when a text is not sent again, by its hash
	Seq  uint64                         `json:"seq,omitempty"`  // of the last in-app message
}

// InApp is a message in a user's stream.
type InApp struct {
	Seq       uint64            `json:"seq"`
	Message   freshet.JobID     `json:"message"`
	ExpiresAt freshet.Timestamp `json:"expires_at"`
	Data      json.RawMessage   `json:"data"`
}
