package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/freshet-ml/freshet"
)

// Tx is what is known when something is decided about one message: nobody else decides about its user meanwhile. What is changed in it is written
// when the decision is made, all or nothing.
type Tx struct {
	Message     *Message
	Devices     []Device // of the user, the one registered last is the first
	Preferences Preferences
	Recent      *Recent

	removed bool
	dropped []string
	inApp   []InApp
}

// ErrKeep is returned by the function given to Decide to leave all as it is. Decide returns nil then.
var ErrKeep = errors.New("nothing changes")

// Remove forgets the message.
func (t *Tx) Remove() { t.removed = true }

// DropDevice forgets a device.
func (t *Tx) DropDevice(id string) {
	t.dropped = append(t.dropped, id)
	t.Devices = slices.DeleteFunc(t.Devices, func(d Device) bool { return d.ID == id })
}

// Show puts data into the user's stream, as the next one.
func (t *Tx) Show(data json.RawMessage) {
	t.Recent.Seq++
	t.Message.Seq = t.Recent.Seq
	t.inApp = append(t.inApp, InApp{t.Recent.Seq, t.Message.ID, t.Message.ExpiresAt, data})
}

// Decide reads all that a decision about a message needs, has f make it, and writes what f changed. durable is asked afterwards: what it is true for
// survives a crash of the machine once Decide has returned. NotFound if there is no such message any more. An error of f is returned and nothing is written.
func (b *Outbox) Decide(ctx context.Context, id freshet.JobID, f func(*Tx) (durable bool, err error)) error {
	m, err := b.Message(ctx, id) // for its user, who does not change
	if err != nil {
		return err
	}
	defer b.lock(m.User).Unlock()
	t := &Tx{Recent: &Recent{}}
	if m, err = b.Message(ctx, id); err != nil {
		return err
	}
	was := m
	t.Message = &m
	if t.Devices, err = b.Devices(ctx, m.User); err != nil {
		return err
	}
	if t.Preferences, err = b.Preferences(ctx, m.User); err != nil {
		return err
	}
	if _, err = b.get(ctx, userKey(keyRecent, m.User), t.Recent); err != nil {
		return err
	}
	recentBefore, err := json.Marshal(t.Recent)
	if err != nil {
		return err
	}
	durable, err := f(t)
	if errors.Is(err, ErrKeep) {
		return nil
	}
	if err != nil {
		return err
	}
	changes, err := b.changes(ctx, t, &was, recentBefore)
	if err != nil {
		return err
	}
	if err := b.d.Write(ctx, changes, durable); err != nil {
		return err
	}
	if !was.State.Ended() && (t.removed || m.State.Ended()) {
		b.waiting.Add(-1)
	}
	if m.DueAt < was.DueAt {
		b.tell()
	}
	return nil
}

func (b *Outbox) changes(ctx context.Context, t *Tx, was *Message, recentBefore []byte) (changes []Change, err error) {
	m := t.Message
	if t.removed {
		changes = append(changes, Change{Key: messageKey(m.ID)}, Change{Key: dueKey(was.DueAt, m.ID)}, Change{Key: append(userKey(keyOfUser, m.User), m.ID...)})
		if was.Seq > 0 {
			changes = append(changes, Change{Key: inAppKey(m.User, was.Seq)})
		}
	} else if changes, err = b.saved(changes, was, m); err != nil {
		return nil, err
	}
	recent, err := json.Marshal(t.Recent)
	if err != nil {
		return nil, err
	}
	if string(recent) != string(recentBefore) {
		changes = append(changes, Change{userKey(keyRecent, m.User), recent})
	}
	for _, d := range t.dropped {
		changes = append(changes, Change{Key: append(userKey(keyDevice, m.User), d...)})
	}
	for _, x := range t.inApp {
		value, err := json.Marshal(x)
		if err != nil {
			return nil, err
		}
		changes = append(changes, Change{inAppKey(m.User, x.Seq), value})
		if x.Seq > MaxInApp {
			changes = append(changes, Change{Key: inAppKey(m.User, x.Seq-MaxInApp)})
		}
	}
	return changes, nil
}
