package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
)

// Devices are those of a user, the one registered last is the first.
func (b *Outbox) Devices(ctx context.Context, user freshet.Key) ([]Device, error) {
	var devices []Device
	var broken error
	prefix := userKey(keyDevice, user)
	err := b.d.Scan(ctx, prefix, behind(prefix), func(_, value []byte) bool {
		var d Device
		broken = json.Unmarshal(value, &d)
		devices = append(devices, d)
		return broken == nil
	})
	if err == nil && broken != nil {
		err = freshet.Errorf(freshet.Internal, "outbox: a device cannot be read: %w", broken)
	}
	slices.SortStableFunc(devices, func(a, b Device) int { return cmp.Compare(b.RegisteredAt, a.RegisteredAt) })
	return devices, err
}

// PutDevice registers a device, or replaces it. It is durable when PutDevice returns. ResourceExhausted for one too many.
func (b *Outbox) PutDevice(ctx context.Context, user freshet.Key, d Device) error {
	if n := len(d.ID); n < 1 || n > 128 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "device", "device: expected an id of 1 to 128 bytes, got %d", n)
	}
	defer b.lock(user).Unlock()
	devices, err := b.Devices(ctx, user)
	if err != nil {
		return err
	}
	known := slices.ContainsFunc(devices, func(x Device) bool { return x.ID == d.ID })
	if !known && len(devices) >= MaxDevices {
		return freshet.FieldErrorf(freshet.ResourceExhausted, "device", "device: the user has %d already, which is the bound; delete one", MaxDevices)
	}
	return b.put(ctx, append(userKey(keyDevice, user), d.ID...), d)
}

// DeleteDevice forgets a device; one that is not there is no error.
func (b *Outbox) DeleteDevice(ctx context.Context, user freshet.Key, id string) error {
	defer b.lock(user).Unlock()
	return b.d.Write(ctx, []Change{{Key: append(userKey(keyDevice, user), id...)}}, true)
}

// Preferences are those of a user; the zero ones of a user who has said nothing.
func (b *Outbox) Preferences(ctx context.Context, user freshet.Key) (p Preferences, err error) {
	_, err = b.get(ctx, userKey(keyPreferences, user), &p)
	return p, err
}

// PutPreferences replaces the preferences of a user. They are durable when it returns, and no message is sent against them that was not on its way.
func (b *Outbox) PutPreferences(ctx context.Context, user freshet.Key, p Preferences) error {
	defer b.lock(user).Unlock()
	return b.put(ctx, userKey(keyPreferences, user), p)
}

func (b *Outbox) put(ctx context.Context, key []byte, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.d.Write(ctx, []Change{{key, value}}, true)
}

// InApp are at most limit messages of a user's stream behind after that have not expired at now, in their order. A sequence number that is not yet given is one from before
// the user was erased: the answer begins at the first.
func (b *Outbox) InApp(ctx context.Context, user freshet.Key, after uint64, now freshet.Timestamp, limit int) ([]InApp, error) {
	var recent Recent
	if _, err := b.get(ctx, userKey(keyRecent, user), &recent); err != nil {
		return nil, err
	}
	if after > recent.Seq {
		after = 0
	}
	var list []InApp
	var broken error
	err := b.d.Scan(ctx, inAppKey(user, after+1), behind(userKey(keyInApp, user)), func(_, value []byte) bool {
		var x InApp
		if broken = json.Unmarshal(value, &x); broken == nil && x.ExpiresAt > now {
			list = append(list, x)
		}
		return broken == nil && len(list) < limit
	})
	if err == nil && broken != nil {
		err = freshet.Errorf(freshet.Internal, "outbox: an in-app message cannot be read: %w", broken)
	}
	return list, err
}

// Ack forgets the messages of a user's stream through seq.
func (b *Outbox) Ack(ctx context.Context, user freshet.Key, seq uint64) error {
	defer b.lock(user).Unlock()
	var changes []Change
	end := behind(userKey(keyInApp, user))
	if seq < 1<<63 {
		end = inAppKey(user, seq+1)
	}
	err := b.d.Scan(ctx, userKey(keyInApp, user), end, func(key, _ []byte) bool {
		changes = append(changes, Change{Key: slices.Clone(key)})
		return true
	})
	if err != nil || len(changes) == 0 {
		return err
	}
	return b.d.Write(ctx, changes, false)
}

// erasedFor is how long it is remembered that a user was erased: far longer than a worker has a job at work. It need not survive a restart, nor does what is at work.
const erasedFor = 10 * time.Minute

func (b *Outbox) noteErased(user freshet.Key) {
	now := freshet.TimestampOf(b.o.Now())
	b.mu.Lock()
	defer b.mu.Unlock()
	for old, at := range b.erased {
		if now.Sub(at) > erasedFor {
			delete(b.erased, old)
		}
	}
	b.erased[user] = now
}

func (b *Outbox) erasedSince(user freshet.Key, since freshet.Timestamp) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.erased[user]
	return ok && since <= at
}

// Holds counts what is kept under a user's own keys: devices, preferences, messages, the stream, what was sent lately.
func (b *Outbox) Holds(ctx context.Context, user freshet.Key) (n int, err error) {
	for _, kind := range []byte(userKinds) {
		prefix := userKey(kind, user)
		err = errors.Join(err, b.d.Scan(ctx, prefix, behind(prefix), func([]byte, []byte) bool {
			n++
			return true
		}))
	}
	return n, err
}

// Erase forgets all there is of a user: devices, preferences, messages in whatever state, the stream. It is durable when it returns. A message that is with a provider at this moment
// may still arrive; nothing is recorded of it, and no cause from before makes another.
func (b *Outbox) Erase(ctx context.Context, user freshet.Key) error {
	defer b.lock(user).Unlock()
	b.noteErased(user)
	var changes []Change
	for _, kind := range []byte(userKinds) {
		prefix := userKey(kind, user)
		err := b.d.Scan(ctx, prefix, behind(prefix), func(key, _ []byte) bool {
			changes = append(changes, Change{Key: slices.Clone(key)})
			return true
		})
		if err != nil {
			return err
		}
	}
	open, prefix := int64(0), userKey(keyOfUser, user)
	for _, c := range changes {
		if c.Key[0] != keyOfUser {
			continue
		}
		m, err := b.Message(ctx, freshet.JobID(c.Key[len(prefix):]))
		if freshet.CodeOf(err) == freshet.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		if !m.State.Ended() {
			open++
		}
		changes = append(changes, Change{Key: messageKey(m.ID)}, Change{Key: dueKey(m.DueAt, m.ID)})
	}
	if len(changes) == 0 {
		return nil
	}
	if err := b.d.Write(ctx, changes, true); err != nil {
		return err
	}
	b.waiting.Add(-open)
	return nil
}
