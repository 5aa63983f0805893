// Package push is the extension point for senders: each brings one message to one device or address through one provider. A
// Sender makes one attempt and says how it went; it never decides whether a person may be notified, never waits to try again and keeps no
// message.
package push

import (
	"context"
	"encoding/json"
	"time"
)

// Channel names a way to people: "apns", "fcm", "webpush", "webhook", "inapp".
type Channel string

// The channels that come with Freshet.
const (
	APNs    Channel = "apns"
	FCM     Channel = "fcm"
	WebPush Channel = "webpush"
	Webhook Channel = "webhook"
	InApp   Channel = "inapp"
)

// Message is one message to one device.
type Message struct {
	// ID is a UUID in small letters, the same on every attempt: what a provider knows already it does not show again.
	ID string
	// Token says where to: the provider's device token, for Web Push the subscription as JSON. A webhook has none.
	Token string
	// Collapse is the same for all messages of one user and pipeline: the newer takes the place of one that waits. 1 to 32
	// characters of base64url, which every provider takes.
	Collapse string
	Expires  time.Time // nobody shows it from then on; zero: one attempt, not kept by the provider
	Title    string
	Body     string
	// Prediction is a JSON object for the app: at least its "delivery", which outcomes name.
	Prediction json.RawMessage
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes are a closed list.
const (
	Sent         Outcome = "sent"         // the provider has taken it
	Gone         Outcome = "gone"         // the token is not valid any more
	Retry        Outcome = "retry"        // not now: the same message may be taken later
	Rejected     Outcome = "rejected"     // never: the message, or what it asks for, is wrong
	Unauthorized Outcome = "unauthorized" // the provider does not take our credentials: nothing goes out until somebody mends them
)

// Result is what one attempt came to.
type Result struct {
	Outcome Outcome
	// Reason is the provider's word for it, or what failed on the way there; "" for Sent. It holds no secret and no token.
	Reason string
	// ProviderID is the provider's name of a message that was Sent, if it gives one.
	ProviderID string
	// GoneSince is the moment from which the provider knows that the token is Gone; a token that was registered later is good. Zero: at all times.
	GoneSince time.Time
	// After is how long the provider wants us to wait before we Retry; 0 if it does not say.
	After time.Duration
	// Wide says that Retry is about the provider, not about this one device: a breaker counts it.
	Wide bool
}

// Sender brings messages to one provider. It may be used concurrently.
type Sender interface {
	Channel() Channel
	// Send makes one attempt. What goes wrong is a Result too: a provider that cannot be reached, or a context that ends, is Retry.
	Send(ctx context.Context, m Message) Result
	// CheckToken says what is wrong with a token that an app registers: InvalidArgument. It asks nobody.
	CheckToken(token string) error
}

// Failed is the result of an attempt that did not reach the provider.
func Failed(reason string) Result { return Result{Outcome: Retry, Reason: reason, Wide: true} }
