package outbox

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
)

// Bounds of what is kept.
const (
	MaxTextBytes = 4 << 10  // of title and body together
	MaxDataBytes = 16 << 10 // of the JSON for the app
	MaxDevices   = 20       // of a user
	MaxInApp     = 100      // messages in a user's stream; the oldest goes
)

// Options tune an Outbox. The zero value is ready for use.
type Options struct {
	Backlog int              // messages that are not ended; more are refused. Defaults to 1,000,000
	Now     func() time.Time // Defaults to time.Now
}

// stripes is how many users can be decided about at a time.
const stripes = 256

// Outbox is the portable type in front of a Driver. All methods may be called concurrently.
type Outbox struct {
	d       Driver
	o       Options
	seed    maphash.Seed
	users   [stripes]sync.Mutex
	waiting atomic.Int64

	mu      sync.Mutex // guards what follows
	waiters []func()
	erased  map[freshet.Key]freshet.Timestamp // when users were erased, for erasedFor
}

// New makes an Outbox of a driver, which it closes at its own Close. A nil o means defaults. It counts what waits.
func New(ctx context.Context, d Driver, o *Options) (*Outbox, error) {
	b := &Outbox{d: d, seed: maphash.MakeSeed(), erased: map[freshet.Key]freshet.Timestamp{}}
	if o != nil {
		b.o = *o
	}
	if b.o.Backlog == 0 {
		b.o.Backlog = 1_000_000
	}
	if b.o.Now == nil {
		b.o.Now = time.Now
	}
	waiting := int64(0)
	err := d.Scan(ctx, []byte{keyDue}, []byte{keyDue + 1}, func(_, value []byte) bool {
		if len(value) == 0 { // an ended message waits for its removal only
			waiting++
		}
		return true
	})
	b.waiting.Store(waiting)
	return b, err
}

// Waiting is how many messages have not ended.
func (b *Outbox) Waiting() int { return int(b.waiting.Load()) }

// OnAdded has f called after a message was added, or is due earlier. f must not wait.
func (b *Outbox) OnAdded(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiters = append(b.waiters, f)
}

func (b *Outbox) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.waiters {
		f()
	}
}

func (b *Outbox) lock(user freshet.Key) *sync.Mutex {
	m := &b.users[maphash.String(b.seed, string(user))%stripes]
	m.Lock()
	return m
}

// Add keeps m as Waiting, whose cause was known since the moment given. added is false, and nothing changes, if a message of its id is there, in whatever
// state, or if the user was erased after that moment. It is not durable yet: whoever tells the cause that it is done writes behind it in the same
// store. ResourceExhausted while too many wait.
func (b *Outbox) Add(ctx context.Context, m Message, since freshet.Timestamp) (added bool, err error) {
	if err := b.check(&m); err != nil {
		return false, err
	}
	defer b.lock(m.User).Unlock()
	if b.erasedSince(m.User, since) {
		return false, nil
	}
	if _, ok, err := b.d.Get(ctx, messageKey(m.ID)); ok || err != nil {
		return false, err
	}
	if m.State == "" {
		m.State = Waiting
	}
	changes, err := b.saved(nil, nil, &m)
	if err != nil {
		return false, err
	}
	changes = append(changes, Change{append(userKey(keyOfUser, m.User), m.ID...), []byte{}})
	if err := b.d.Write(ctx, changes, false); err != nil {
		return false, err
	}
	if !m.State.Ended() {
		b.waiting.Add(1)
	}
	b.tell()
	return true, nil
}

func (b *Outbox) check(m *Message) error {
	switch {
	case m.ID == "" || len(m.ID) > 200:
		return freshet.FieldErrorf(freshet.InvalidArgument, "id", "id: expected 1 to 200 bytes, got %d", len(m.ID))
	case m.User == "" || len(m.User) > 16*freshet.MaxKeyBytes:
		return freshet.FieldErrorf(freshet.InvalidArgument, "user", "user: expected a key of 1 to %d bytes", 16*freshet.MaxKeyBytes)
	case len(m.Title)+len(m.Body) > MaxTextBytes:
		return freshet.FieldErrorf(freshet.TooLarge, "body", "title and body have %d bytes; at most %d are sent", len(m.Title)+len(m.Body), MaxTextBytes)
	case len(m.Data) > MaxDataBytes:
		return freshet.FieldErrorf(freshet.TooLarge, "data", "data has %d bytes; at most %d are sent; lower the pipeline's top", len(m.Data), MaxDataBytes)
	case !m.State.Ended() && b.waiting.Load() >= int64(b.o.Backlog):
		return freshet.Errorf(freshet.ResourceExhausted, "%d push messages wait, which is the bound", b.o.Backlog)
	}
	return nil
}

// saved are the changes that replace was, the kept one, by m. Each message stands once in the order of due moments.
func (b *Outbox) saved(changes []Change, was, m *Message) ([]Change, error) {
	if was != nil && (was.DueAt != m.DueAt) {
		changes = append(changes, Change{Key: dueKey(was.DueAt, was.ID)})
	}
	value, err := json.Marshal(m)
	if err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "message %s cannot be written: %w", m.ID, err)
	}
	mark := []byte{}
	if m.State.Ended() {
		mark = []byte{1}
	}
	return append(changes, Change{messageKey(m.ID), value}, Change{dueKey(m.DueAt, m.ID), mark}), nil
}

// Due are the ids of at most limit messages that are due at now, the oldest first, passing over those for which skip is true. next is when the first of the others is due, 0
// if there is none.
func (b *Outbox) Due(ctx context.Context, now freshet.Timestamp, limit int, skip func(freshet.JobID) bool) (ids []freshet.JobID, next freshet.Timestamp, err error) {
	err = b.d.Scan(ctx, []byte{keyDue}, []byte{keyDue + 1}, func(key, _ []byte) bool {
		at, id := idOfDue(key)
		if at > now {
			next = at
			return false
		}
		if !skip(id) {
			ids = append(ids, id)
		}
		return len(ids) < limit
	})
	return ids, next, err
}

// Message finds a message. NotFound if there is none, or none any more.
func (b *Outbox) Message(ctx context.Context, id freshet.JobID) (Message, error) {
	var m Message
	ok, err := b.get(ctx, messageKey(id), &m)
	if err == nil && !ok {
		err = freshet.Errorf(freshet.NotFound, "there is no delivery %.200q", id)
	}
	return m, err
}

func (b *Outbox) get(ctx context.Context, key []byte, v any) (ok bool, err error) {
	value, ok, err := b.d.Get(ctx, key)
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal(value, v); err != nil {
		return false, freshet.Errorf(freshet.Internal, "outbox: a record cannot be read: %w", err)
	}
	return true, nil
}

// Messages lists at most limit messages in the order of their ids, from the first behind after; those of one user if user is not "".
func (b *Outbox) Messages(ctx context.Context, user freshet.Key, after freshet.JobID, limit int) ([]Message, error) {
	list := []Message{}
	if user == "" {
		from := append(messageKey(after), 0)
		if after == "" {
			from = []byte{keyMessage}
		}
		var broken error
		err := b.d.Scan(ctx, from, []byte{keyMessage + 1}, func(_, value []byte) bool {
			var m Message
			broken = json.Unmarshal(value, &m)
			list = append(list, m)
			return broken == nil && len(list) < limit
		})
		if err == nil && broken != nil {
			err = freshet.Errorf(freshet.Internal, "outbox: a record cannot be read: %w", broken)
		}
		return list, err
	}
	prefix := userKey(keyOfUser, user)
	var ids []freshet.JobID
	err := b.d.Scan(ctx, append(append([]byte(nil), prefix...), after...), behind(prefix), func(key, _ []byte) bool {
		if id := freshet.JobID(key[len(prefix):]); id != after {
			ids = append(ids, id)
		}
		return len(ids) < limit
	})
	for _, id := range ids {
		if m, err := b.Message(ctx, id); err == nil {
			list = append(list, m)
		} else if freshet.CodeOf(err) != freshet.NotFound {
			return nil, err
		}
	}
	return list, err
}

// Close closes the driver. Closing twice is no error.
func (b *Outbox) Close() error { return b.d.Close() }
