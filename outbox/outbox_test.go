package outbox_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/memoutbox"
)

func newOutbox(t *testing.T, backlog int) *outbox.Outbox {
	t.Helper()
	b, err := outbox.New(t.Context(), memoutbox.New(), &outbox.Options{Backlog: backlog})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func message(id string, due freshet.Timestamp) outbox.Message {
	return outbox.Message{ID: freshet.JobID(id), User: "u1", Pipeline: "p", Category: "c", ExpiresAt: 9000, DueAt: due}
}

func add(t *testing.T, b *outbox.Outbox, m outbox.Message) bool {
	t.Helper()
	added, err := b.Add(t.Context(), m, m.CreatedAt)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func due(t *testing.T, b *outbox.Outbox, now freshet.Timestamp) (string, freshet.Timestamp) {
	t.Helper()
	ids, next, err := b.Due(t.Context(), now, 10, func(id freshet.JobID) bool { return id == "claimed" })
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(ids), next
}

// A cause makes one message, whatever has become of it.
func TestOncePerCause(t *testing.T) {
	t.Parallel()
	b := newOutbox(t, 0)
	if !add(t, b, message("p-1-1", 10)) || add(t, b, message("p-1-1", 10)) {
		t.Error("added twice")
	}
	end := func(tx *outbox.Tx) (bool, error) { tx.Message.State = outbox.Sent; return true, nil }
	if err := b.Decide(t.Context(), "p-1-1", end); err != nil {
		t.Fatal(err)
	}
	if add(t, b, message("p-1-1", 10)) || b.Waiting() != 0 {
		t.Errorf("added after its end; %d wait", b.Waiting())
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	b := newOutbox(t, 0)
	told := 0
	b.OnAdded(func() { told++ })
	for id, at := range map[string]freshet.Timestamp{"b": 20, "a": 10, "claimed": 5, "c": 30} {
		add(t, b, message(id, at))
	}
	if ids, next := due(t, b, 20); ids != "[a b]" || next != 30 || told != 4 {
		t.Errorf("%s, next %d, told %d times", ids, next, told)
	}
	later := func(tx *outbox.Tx) (bool, error) { tx.Message.DueAt = 40; return false, nil }
	if err := b.Decide(t.Context(), "a", later); err != nil {
		t.Fatal(err)
	}
	if ids, _ := due(t, b, 39); ids != "[b c]" {
		t.Errorf("after a was put off: %s", ids)
	}
	if ids, next := due(t, b, 40); ids != "[b c a]" || next != 0 {
		t.Errorf("at 40: %s, next %d", ids, next)
	}
	gone := func(tx *outbox.Tx) (bool, error) { tx.Remove(); return false, nil }
	if err := b.Decide(t.Context(), "b", gone); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Message(t.Context(), "b"); freshet.CodeOf(err) != freshet.NotFound || b.Waiting() != 3 {
		t.Errorf("a removed one: %v, %d wait", err, b.Waiting())
	}
}

// What a decision that fails has changed is not written.
func TestDecideIsAllOrNothing(t *testing.T) {
	t.Parallel()
	b := newOutbox(t, 0)
	add(t, b, message("a", 10))
	bad := errors.New("no")
	for _, end := range []error{bad, outbox.ErrKeep} {
		err := b.Decide(t.Context(), "a", func(tx *outbox.Tx) (bool, error) {
			tx.Message.Title, tx.Recent.Seq = "x", 7
			tx.Show([]byte("{}"))
			return true, end
		})
		if end == bad && err != bad || end == outbox.ErrKeep && err != nil {
			t.Errorf("%v gives %v", end, err)
		}
	}
	m, err := b.Message(t.Context(), "a")
	list, _ := b.InApp(t.Context(), "u1", 0, 0, 10)
	if err != nil || m.Title != "" || len(list) != 0 {
		t.Errorf("%+v, %v, %v", m, list, err)
	}
	if err := b.Decide(t.Context(), "none", func(*outbox.Tx) (bool, error) { return true, nil }); freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("none: %v", err)
	}
}

// Sixteen decide about one user at once, and each sees what the others did.
func TestDecisionsAboutAUserAreInARow(t *testing.T) {
	t.Parallel()
	b := newOutbox(t, 0)
	const n = 160
	for i := range n {
		add(t, b, message(fmt.Sprint("m", i), 10))
	}
	var group sync.WaitGroup
	for w := range 16 {
		group.Go(func() {
			for i := w; i < n; i += 16 {
				err := b.Decide(t.Context(), freshet.JobID(fmt.Sprint("m", i)), func(tx *outbox.Tx) (bool, error) {
					tx.Show([]byte(`{}`))
					return false, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	list, err := b.InApp(t.Context(), "u1", 0, 0, 1000)
	if err != nil || len(list) != outbox.MaxInApp || list[len(list)-1].Seq != n {
		t.Errorf("%d in the stream, %v", len(list), err)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	b := newOutbox(t, 2)
	for name, m := range map[string]outbox.Message{
		"id": {User: "u"}, "user": {ID: "a"}, "body": {ID: "a", User: "u", Body: strings.Repeat("x", outbox.MaxTextBytes+1)},
		"data": {ID: "a", User: "u", Data: make([]byte, outbox.MaxDataBytes+1)},
	} {
		if _, err := b.Add(t.Context(), m, m.CreatedAt); freshet.FieldOf(err) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	add(t, b, message("a", 1))
	add(t, b, message("b", 1))
	if _, err := b.Add(t.Context(), message("c", 1), 1); freshet.CodeOf(err) != freshet.ResourceExhausted {
		t.Errorf("over the backlog: %v", err)
	}
	ended := message("d", 1)
	ended.State = outbox.Suppressed
	if !add(t, b, ended) {
		t.Error("one that has ended does not wait")
	}
	for i := range outbox.MaxDevices + 1 {
		err := b.PutDevice(t.Context(), "u1", outbox.Device{ID: fmt.Sprint(i)})
		if (err != nil) != (i == outbox.MaxDevices) {
			t.Errorf("device %d: %v", i, err)
		}
	}
	if err := b.PutDevice(t.Context(), "u1", outbox.Device{ID: "3"}); err != nil {
		t.Errorf("a known device: %v", err)
	}
}

// Erase leaves nothing of a user, and all of others.
func TestErase(t *testing.T) {
	t.Parallel()
	d := memoutbox.New()
	b, err := outbox.New(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []freshet.Key{"u1", "u1\x00", "u2"} {
		m := message("m"+string(user), 10)
		m.User = user
		add(t, b, m)
		if err := errors.Join(b.PutDevice(t.Context(), user, outbox.Device{ID: "d"}), b.PutPreferences(t.Context(), user, outbox.Preferences{}),
			b.Decide(t.Context(), m.ID, func(tx *outbox.Tx) (bool, error) { tx.Show([]byte(`{}`)); return false, nil })); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		if err := d.Scan(t.Context(), []byte{0}, []byte{0xff}, func(_, _ []byte) bool { n++; return true }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	if err := b.Erase(t.Context(), "u1"); err != nil {
		t.Fatal(err)
	}
	if after := count(); after*3 != before*2 || b.Waiting() != 2 {
		t.Errorf("%d keys of %d are left, %d wait", after, before, b.Waiting())
	}
	if devices, err := b.Devices(t.Context(), "u1\x00"); err != nil || len(devices) != 1 {
		t.Errorf("another user's devices: %v, %v", devices, err)
	}
	for user, want := range map[freshet.Key]int{"u1": 0, "u2": 5} {
		if n, err := b.Holds(t.Context(), user); n != want || err != nil {
			t.Errorf("%d keys of %s, %v; want %d", n, user, err, want)
		}
	}
}

// TestErasedMeanwhile: whatever is decided or added about a user while the user is erased, nothing from before is there afterwards; what is caused later is.
func TestErasedMeanwhile(t *testing.T) {
	t.Parallel()
	d := memoutbox.New()
	var clock atomic.Int64
	clock.Store(1000)
	b, err := outbox.New(t.Context(), d, &outbox.Options{Now: func() time.Time { return time.UnixMilli(clock.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 200 {
		id := fmt.Sprint("m-1-", round)
		first := message(id, 10)
		first.CreatedAt = freshet.Timestamp(clock.Load())
		if !add(t, b, first) {
			t.Fatal("not added")
		}
		var working sync.WaitGroup
		working.Go(func() {
			_ = b.Decide(t.Context(), freshet.JobID(id), func(tx *outbox.Tx) (bool, error) {
				tx.Message.State = outbox.Sending
				tx.Recent.Sent = map[string][]freshet.Timestamp{"c": {1}}
				return true, nil
			})
			_ = b.Decide(t.Context(), freshet.JobID(id), func(tx *outbox.Tx) (bool, error) {
				tx.Message.State = outbox.Sent
				tx.Show([]byte(`{}`))
				return true, nil
			})
		})
		working.Go(func() { // a worker that had a job of the user
			m := message(id+"9", 10)
			_, _ = b.Add(t.Context(), m, freshet.Timestamp(clock.Load()))
		})
		working.Go(func() {
			if err := b.Erase(t.Context(), "u1"); err != nil {
				t.Error(err)
			}
		})
		working.Wait()
		n := 0
		if err := d.Scan(t.Context(), []byte{0}, []byte{0xff}, func(_, _ []byte) bool { n++; return true }); err != nil || n != 0 || b.Waiting() != 0 {
			t.Fatalf("round %d: %d keys are left, %d wait; %v", round, n, b.Waiting(), err)
		}
		clock.Add(1)
	}
	if ok, err := b.Add(t.Context(), message("back", 10), freshet.Timestamp(clock.Load())); !ok || err != nil {
		t.Errorf("somebody who has come back gets no message: %v", err)
	}
}
