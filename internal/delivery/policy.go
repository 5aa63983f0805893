package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/quiethours"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// The reasons of suppression are a closed list, in the order in which they are looked at.
const (
	reasonExpired   = "expired"
	reasonWithdrawn = "withdrawn" // the release that made it was taken back
	reasonOptOut    = "opt_out"
	reasonHoldout   = "holdout"
	reasonPresent   = "present" // shown in the app instead
	reasonDuplicate = "duplicate"
	reasonQuiet     = "quiet_hours" // held
	reasonCap       = "cap"
	reasonNoToken   = "no_token"
	// The next two are found when the message is made.
	reasonFallback = "fallback"   // the prediction is none of the model's
	reasonNoText   = "no_content" // a template has nothing to say
)

// Settings are the app's own policy, as the live project file has it.
type Settings struct {
	Quiet    quiethours.Hours
	Zone     *time.Location // nil: UTC
	Presence time.Duration  // an event of the user within it says that the app is open; 0: only an open stream does
}

// facts are what a decision is made of.
type facts struct {
	at        time.Time
	tx        *outbox.Tx
	settings  Settings
	present   bool
	senders   map[push.Channel]push.Sender
	withdrawn bool // the release that made the message
}

type action int

const (
	suppress action = iota
	hold
	show
	send
	fail   // it may have arrived, and nobody will find out any more
	finish // it has arrived on some devices; the others get it no more
)

// verdict is what policy says about a message now.
type verdict struct {
	do      action
	reason  string
	until   time.Time // of hold
	channel push.Channel
	device  outbox.Device   // to be called next
	devices []outbox.Device // all that a message goes to that is on no way yet
}

// decide is the whole policy, one rule after the other; the first refusal wins. A message that is on its way to some devices stays with them: whether the last
// call arrived is not always known, and another way would show it twice. It is pure.
func (f facts) decide() verdict {
	m := f.tx.Message
	onItsWay := m.Reserved != 0
	if m.ExpiresAt <= freshet.TimestampOf(f.at) {
		return f.refused(reasonExpired)
	}
	if f.withdrawn {
		return f.refused(reasonWithdrawn)
	}
	channels := f.wanted()
	if len(channels) == 0 {
		return f.refused(reasonOptOut)
	}
	if m.Policy.Holdout {
		return verdict{do: suppress, reason: reasonHoldout, channel: f.wouldGo(channels)}
	}
	if f.present && !onItsWay {
		if slices.Contains(f.tx.Preferences.OptOut.Channels, push.InApp) {
			return verdict{do: suppress, reason: reasonOptOut, channel: push.InApp}
		}
		return verdict{do: show, reason: reasonPresent, channel: push.InApp}
	}
	if !onItsWay && f.tx.Recent.Seen[contentOf(m)] > freshet.TimestampOf(f.at) {
		return verdict{do: suppress, reason: reasonDuplicate}
	}
	if end, quiet := f.quiet(); quiet {
		if freshet.TimestampOf(end) >= m.ExpiresAt {
			return f.refused(reasonExpired) // nobody could be told in time
		}
		return verdict{do: hold, reason: reasonQuiet, until: end}
	}
	if onItsWay {
		return f.again(channels)
	}
	return f.route(channels)
}

// refused is a refusal of a message that may be on its way.
func (f facts) refused(reason string) verdict {
	switch m := f.tx.Message; {
	case reached(m, outbox.Sent):
		return verdict{do: finish, reason: reason}
	case reached(m, outbox.Sending):
		return verdict{do: fail, reason: "interrupted, then " + reason}
	}
	return verdict{do: suppress, reason: reason}
}

// reached tells whether a target of m is in a state.
func reached(m *outbox.Message, s outbox.State) bool {
	return slices.ContainsFunc(m.Targets, func(t outbox.Target) bool { return t.State == s })
}

func (f facts) can(c push.Channel) bool { return f.senders[c] != nil }

// wanted are the channels of the message that the user has not opted out of.
func (f facts) wanted() []push.Channel {
	m, out := f.tx.Message, f.tx.Preferences.OptOut
	if out.All || slices.Contains(out.Categories, m.Category) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.Policy.Channels), func(c push.Channel) bool { return slices.Contains(out.Channels, c) })
}

// quiet are the user's quiet hours in the user's zone; what the user has not said is the app's.
func (f facts) quiet() (end time.Time, yes bool) {
	hours, zone := f.settings.Quiet, f.settings.Zone
	if text := f.tx.Preferences.QuietHours; text != "" {
		if h, err := quiethours.Parse(text); err == nil { // checked when it was put
			hours = h
		}
	}
	if name := f.tx.Preferences.Timezone; name != "" {
		if z, err := quiethours.Zone(name); err == nil {
			zone = z
		}
	}
	if zone == nil {
		zone = time.UTC
	}
	return hours.Until(f.at, zone)
}

// again is the way of a message that is on it.
func (f facts) again(channels []push.Channel) verdict {
	m := f.tx.Message
	if !slices.Contains(channels, m.Channel) {
		return f.refused(reasonOptOut)
	}
	v := verdict{do: send, channel: m.Channel}
	due, found := freshet.Timestamp(0), false
	for _, t := range m.Targets {
		if t.State.Ended() || found && t.DueAt >= due {
			continue
		}
		if d, ok := f.deviceOf(t); ok {
			v.device, due, found = d, t.DueAt, true
		}
	}
	if !found || !f.can(m.Channel) {
		return f.refused(reasonNoToken)
	}
	return v
}

// deviceOf is the device of a target, if it is still registered.
func (f facts) deviceOf(t outbox.Target) (outbox.Device, bool) {
	c := f.tx.Message.Channel
	if c == push.Webhook {
		return outbox.Device{}, true
	}
	for _, d := range f.tx.Devices {
		if d.ID == t.Device && d.Channel == c {
			return d, true
		}
	}
	return outbox.Device{}, false
}

// route finds the first channel with somebody at its end. A cap that is reached ends the search: the next channel is no way around it.
func (f facts) route(channels []push.Channel) verdict {
	for _, c := range channels {
		if f.capped(c) {
			return verdict{do: suppress, reason: reasonCap, channel: c}
		}
		switch {
		case c == push.InApp:
			return verdict{do: show, channel: c}
		case !f.can(c):
		case c == push.Webhook:
			return verdict{do: send, channel: c, devices: []outbox.Device{{}}}
		default:
			if all := f.devicesOf(c); len(all) > 0 {
				return verdict{do: send, channel: c, device: all[0], devices: all}
			}
		}
	}
	return verdict{do: suppress, reason: reasonNoToken}
}

// devicesOf are the devices of a channel, the one registered last first. Two with one token are one device that an app has named anew.
func (f facts) devicesOf(c push.Channel) (devices []outbox.Device) {
	for _, d := range f.tx.Devices {
		if d.Channel == c && !slices.ContainsFunc(devices, func(x outbox.Device) bool { return x.Token == d.Token }) {
			devices = append(devices, d)
		}
	}
	return devices
}

// wouldGo is the channel by which a message that is held out would have gone, were there no caps: with cause, release and category it is what a held-out user is
// compared by.
func (f facts) wouldGo(channels []push.Channel) push.Channel {
	m := *f.tx.Message
	m.Policy.Caps = nil
	tx := *f.tx
	tx.Message, f.tx = &m, &tx
	return f.route(channels).channel
}

func (f facts) capped(c push.Channel) bool {
	m := f.tx.Message
	sent := f.tx.Recent.Sent[counterOf(c, m.Category)]
	for _, limit := range m.Policy.Caps {
		since, n := freshet.TimestampOf(f.at)-freshet.Timestamp(limit.Window), 0
		for _, at := range sent {
			if at > since {
				n++
			}
		}
		if n >= limit.Count {
			return true
		}
	}
	return false
}

// Bounds of what is remembered of a user: caps look no farther.
const (
	maxCounted = 200
	countedFor = 32 * 24 * time.Hour
	maxSeen    = 200
)

// reserve counts the message against caps and dedupe, before anybody is called.
func (f facts) reserve(c push.Channel) {
	m, r, now := f.tx.Message, f.tx.Recent, freshet.TimestampOf(f.at)
	if r.Sent == nil {
		r.Sent = map[string][]freshet.Timestamp{}
	}
	for counter, sent := range r.Sent {
		sent = slices.DeleteFunc(sent, func(at freshet.Timestamp) bool { return at <= now.Add(-countedFor) })
		if r.Sent[counter] = sent; len(sent) == 0 {
			delete(r.Sent, counter)
		}
	}
	counter := counterOf(c, m.Category)
	sent := append(r.Sent[counter], now)
	r.Sent[counter] = sent[max(0, len(sent)-maxCounted):]
	m.Reserved = now
	if m.Policy.Dedupe <= 0 {
		return
	}
	if r.Seen == nil {
		r.Seen = map[string]freshet.Timestamp{}
	}
	for content, until := range r.Seen {
		if until <= now || len(r.Seen) >= maxSeen {
			delete(r.Seen, content)
		}
	}
	r.Seen[contentOf(m)] = now + freshet.Timestamp(m.Policy.Dedupe)
}

// giveBack takes back what reserve counted, of a message that has reached nobody: it is on no way any more.
func giveBack(tx *outbox.Tx) {
	m := tx.Message
	if m.Reserved == 0 {
		return
	}
	counter := counterOf(m.Channel, m.Category)
	if i := slices.Index(tx.Recent.Sent[counter], m.Reserved); i >= 0 {
		tx.Recent.Sent[counter] = slices.Delete(tx.Recent.Sent[counter], i, i+1)
	}
	delete(tx.Recent.Seen, contentOf(m))
	m.Reserved, m.Targets = 0, nil
}

func counterOf(c push.Channel, category string) string { return string(c) + " " + category }

// contentOf names what a message says to its user.
func contentOf(m *outbox.Message) string {
	sum := sha256.Sum256([]byte(string(m.Pipeline) + "\x00" + m.Title + "\x00" + m.Body))
	return hex.EncodeToString(sum[:12])
}
