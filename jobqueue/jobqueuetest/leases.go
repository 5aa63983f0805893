package jobqueuetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

func testOrder(t *testing.T, s *suite) {
	d := s.open(t)
	a, b := subject(1), subject(2)
	enqueue(t, d, a, 5, 6)
	enqueue(t, d, b, 1)
	enqueue(t, d, a, 7)
	s.leaseOffsets(t, d, 3, 5, 6, 1)
	s.leaseOffsets(t, d, 3, 7)
	s.leaseOffsets(t, d, 3)
}

func testLeaseLimits(t *testing.T, s *suite) {
	d := s.open(t)
	s.leaseOffsets(t, d, 1)
	enqueue(t, d, subject(1), 1, 2, 3)
	l := s.leaseOffsets(t, d, 2, 1, 2)
	for _, l := range l {
		if l.Attempt != 1 || !l.Until.Equal(s.now.Add(visible)) || l.LastError != "" {
			t.Fatalf("lease %+v: want attempt 1 until %v without an error", l, s.now.Add(visible))
		}
	}
	if l[0].Token == l[1].Token {
		t.Fatal("two leases have one token")
	}
}

func testVisibility(t *testing.T, s *suite) {
	d := s.open(t)
	if next := d.NextVisible(); !next.IsZero() {
		t.Fatalf("empty queue: next visible at %v", next)
	}
	enqueue(t, d, subject(1), 1)
	if next := d.NextVisible(); !next.IsZero() {
		t.Fatalf("visible job: next visible at %v", next)
	}
	first := s.leaseOffsets(t, d, 1, 1)[0]
	if next := d.NextVisible(); !next.Equal(first.Until) {
		t.Fatalf("next visible at %v, want the end of the lease %v", next, first.Until)
	}
	s.now = first.Until.Add(-1)
	s.leaseOffsets(t, d, 1)
	s.now = first.Until
	second := s.leaseOffsets(t, d, 1, 1)[0]
	if second.Attempt != 2 || second.Token == first.Token {
		t.Fatalf("second lease is %+v after %+v: want attempt 2 and a new token", second, first)
	}
	wantCode(t, d.Ack(t.Context(), first, made, kept), freshet.PreconditionFailed)
	must(t, d.Ack(t.Context(), second, made, kept))
	s.now = s.now.Add(time.Hour)
	s.leaseOffsets(t, d, 1)
}

func testLateAnswers(t *testing.T, s *suite) {
	answers := map[string]func(d jobqueue.Driver, l jobqueue.Lease) error{
		"Ack":   func(d jobqueue.Driver, l jobqueue.Lease) error { return d.Ack(t.Context(), l, made, kept) },
		"Retry": func(d jobqueue.Driver, l jobqueue.Lease) error { return d.Retry(t.Context(), l, s.now, failed(1, "r")) },
		"Bury":  func(d jobqueue.Driver, l jobqueue.Lease) error { return d.Bury(t.Context(), l, failed(1, "b")) },
	}
	for name, answer := range answers {
		d := s.open(t)
		enqueue(t, d, subject(1), 1, 2)
		old := s.leaseOffsets(t, d, 1, 1)[0]
		s.now = old.Until
		// A call that had no room for it does not end the lease.
		s.leaseOffsets(t, d, 0)
		l := s.leaseOffsets(t, d, 1, 1)[0]
		wantCode(t, answer(d, old), freshet.PreconditionFailed)
		forged := l
		forged.Token++
		wantCode(t, answer(d, forged), freshet.PreconditionFailed)
		forged = l
		forged.Job = makeJob(subject(1), 2)
		wantCode(t, answer(d, forged), freshet.PreconditionFailed)
		wantStats(t, d, 1, 1, 0)
		s.now = l.Until
		// Out of time but nobody has leased it again: the answer still counts.
		if err := answer(d, l); err != nil {
			t.Fatalf("%s after the timeout: %v", name, err)
		}
		wantCode(t, answer(d, l), freshet.PreconditionFailed)
	}
}

func testRetry(t *testing.T, s *suite) {
	d := s.open(t)
	enqueue(t, d, subject(1), 1)
	l := s.leaseOffsets(t, d, 1, 1)[0]
	back := s.now.Add(3 * time.Second)
	must(t, d.Retry(t.Context(), l, back, failed(1, "no model")))
	wantStats(t, d, 1, 0, 0)
	wantCode(t, d.Ack(t.Context(), l, made, kept), freshet.PreconditionFailed)
	if next := d.NextVisible(); !next.Equal(back) {
		t.Fatalf("next visible at %v, want %v", next, back)
	}
	s.now = back.Add(-1)
	s.leaseOffsets(t, d, 1)
	s.now = back
	l = s.leaseOffsets(t, d, 1, 1)[0]
	if l.Attempt != 2 || l.LastError != "no model" {
		t.Fatalf("lease %+v: want attempt 2 after %q", l, "no model")
	}
	s.now = l.Until
	l = s.leaseOffsets(t, d, 1, 1)[0]
	if l.Attempt != 3 || l.LastError != "no model" {
		t.Fatalf("lease %+v: want attempt 3, the last error still %q", l, "no model")
	}
	must(t, d.Retry(t.Context(), l, s.now, failed(1, "now")))
	if l = s.leaseOffsets(t, d, 1, 1)[0]; l.LastError != "now" {
		t.Fatalf("last error is %q, want %q", l.LastError, "now")
	}
}

func testOrderOfRedelivery(t *testing.T, s *suite) {
	d := s.open(t)
	enqueue(t, d, subject(1), 1, 2, 3, 4)
	l := s.leaseOffsets(t, d, 3, 1, 2, 3)
	must(t, d.Retry(t.Context(), l[2], s.now.Add(time.Second), failed(1, "")))
	must(t, d.Retry(t.Context(), l[0], s.now.Add(2*time.Second), failed(1, "")))
	s.now = s.now.Add(2 * time.Second)
	s.leaseOffsets(t, d, 9, 1, 3, 4)
	s.now = l[1].Until
	s.leaseOffsets(t, d, 9, 2)
}

func testFields(t *testing.T, s *suite) {
	d := s.open(t)
	var want []freshet.Job
	for i, key := range []freshet.Key{"a\x00b", "a", "a\x00", "\x00\xff", "a/b/../c", "a,b%2C", "ü\xff\xfe", freshet.Key(make([]byte, 4096))} {
		sub := jobqueue.Subject{Pipeline: "p_1", Entity: freshet.Entity{Kind: "user", Key: key}}
		j := makeJob(sub, freshet.Offset(1000+i))
		j.EventID = freshet.EventID("id\x00/" + key[:1])
		j.EventTime = freshet.MaxTimestamp
		must(t, d.Enqueue(t.Context(), j.Cause.Partition, 1, j.Cause.Offset, []freshet.Job{j}))
		wantState(t, d, sub, 2000, jobqueue.Pending)
		want = append(want, j)
	}
	leases := s.lease(t, d, 100)
	if len(leases) != len(want) {
		t.Fatalf("leased %d jobs, want %d", len(leases), len(want))
	}
	for i, l := range leases {
		if l.Job != want[i] {
			t.Fatalf("leased %+v, want %+v", l.Job, want[i])
		}
		if i%2 == 0 {
			must(t, d.Ack(t.Context(), l, made, kept))
			wantState(t, d, jobqueue.Subject{Pipeline: l.Job.Pipeline, Entity: l.Job.Entity}, 2000, jobqueue.Ended)
			continue
		}
		must(t, d.Bury(t.Context(), l, failed(7, "r\x00/")))
		wantState(t, d, jobqueue.Subject{Pipeline: l.Job.Pipeline, Entity: l.Job.Entity}, 2000, jobqueue.Dead)
	}
	letters, err := d.DeadLetters(t.Context(), "", 100)
	must(t, err)
	for _, l := range letters {
		if i := int(l.Job.Cause.Offset) - 1000; l.Job != want[i] || l.Reason != "r\x00/" || l.At != 7 || l.Attempts != 1 {
			t.Fatalf("dead letter %+v, want job %+v", l, want[i])
		}
	}
}

func testStats(t *testing.T, s *suite) {
	d := s.open(t)
	if got := d.Stats(); got != (jobqueue.Stats{}) {
		t.Fatalf("empty queue: %+v", got)
	}
	wantOldest := func(o freshet.Offset) {
		t.Helper()
		if got, want := d.Stats().Oldest, makeJob(subject(1), o).EnqueuedAt.Time(); !got.Equal(want) {
			t.Fatalf("oldest is of %v, want %v", got, want)
		}
	}
	enqueue(t, d, subject(1), 1, 2, 3, 4)
	wantStats(t, d, 4, 0, 0)
	wantOldest(1)
	l := s.lease(t, d, 3)
	wantStats(t, d, 1, 3, 0)
	wantOldest(1)
	must(t, d.Ack(t.Context(), l[1], made, kept))
	wantOldest(1)
	must(t, d.Ack(t.Context(), l[0], made, kept))
	wantStats(t, d, 1, 1, 0)
	wantOldest(3)
	must(t, d.Retry(t.Context(), l[2], s.now.Add(time.Second), failed(1, "")))
	wantStats(t, d, 2, 0, 0)
	wantOldest(3)
	s.now = s.now.Add(time.Second)
	l = s.leaseOffsets(t, d, 2, 3, 4)
	must(t, d.Bury(t.Context(), l[0], failed(1, "")))
	wantStats(t, d, 0, 1, 1)
	wantOldest(4)
	must(t, d.Ack(t.Context(), l[1], made, kept))
	if got := d.Stats(); got != (jobqueue.Stats{Dead: 1}) {
		t.Fatalf("all ended: %+v", got)
	}
}

func testChanged(t *testing.T, s *suite) {
	d := s.open(t)
	changes := func(what string, want bool, f func()) {
		t.Helper()
		c := d.Changed()
		if isClosed(c) {
			t.Fatalf("before %s: changed already", what)
		}
		f()
		if got := isClosed(c); got != want {
			t.Fatalf("%s: changed is %t, want %t", what, got, want)
		}
	}
	changes("Enqueue", true, func() { enqueue(t, d, subject(1), 1, 2, 3) })
	changes("Enqueue of nothing", true, func() { must(t, d.Enqueue(t.Context(), 3, 1, 9, nil)) })
	var l []jobqueue.Lease
	changes("Lease", false, func() { l = s.lease(t, d, 3) })
	changes("Ack", true, func() { must(t, d.Ack(t.Context(), l[0], made, kept)) })
	changes("a second Ack", false, func() { wantCode(t, d.Ack(t.Context(), l[0], made, kept), freshet.PreconditionFailed) })
	changes("Retry", true, func() { must(t, d.Retry(t.Context(), l[1], s.now, failed(1, ""))) })
	changes("Bury", true, func() { must(t, d.Bury(t.Context(), l[2], failed(1, ""))) })
	changes("Redrive", true, func() {
		_, err := d.Redrive(t.Context(), []freshet.JobID{l[2].Job.ID}, 0)
		must(t, err)
	})
	changes("Close", true, func() { must(t, d.Close()) })
	if !isClosed(d.Changed()) {
		t.Fatal("a closed queue has nothing to wait for, but Changed is open")
	}
}

func testBatches(t *testing.T, s *suite) {
	const many = 10_000
	d := s.open(t)
	must(t, d.Enqueue(t.Context(), 0, 1, 0, nil))
	s.leaseOffsets(t, d, 0)
	var jobs []freshet.Job
	for o := freshet.Offset(1); o <= many; o++ {
		jobs = append(jobs, makeJob(subject(1), o))
	}
	must(t, d.Enqueue(t.Context(), partitionOf(subject(1)), 1, many, jobs))
	enqueue(t, d, subject(2), 1)
	wantStats(t, d, many+1, 0, 0)
	seen := freshet.Offset(0)
	for seen < many {
		n := 1 + int(seen)%1500
		leases := s.lease(t, d, min(n, int(many-seen)))
		for _, l := range leases {
			if seen++; l.Job != jobs[seen-1] {
				t.Fatalf("leased %+v, want %+v", l.Job, jobs[seen-1])
			}
			must(t, d.Ack(t.Context(), l, made, kept))
		}
	}
	if l := s.lease(t, d, 1<<20); len(l) != 1 || l[0].Job != makeJob(subject(2), 1) {
		t.Fatalf("the last lease is %+v", l)
	}
}

// testConcurrency lets many workers race: each job is acknowledged exactly once, although some workers never answer and
// some fail, and producers are still at work.
func testConcurrency(t *testing.T, s *suite) {
	const producers, perProducer, workers = 4, 200, 8
	d := s.open(t)
	var group sync.WaitGroup
	for p := range producers {
		group.Go(func() {
			for o := freshet.Offset(1); o <= perProducer; o++ {
				j := makeJob(subject(p), o)
				if err := d.Enqueue(t.Context(), j.Cause.Partition, 1, o, []freshet.Job{j, j}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	now, acked := s.now, map[freshet.JobID]int{}
	for w := range workers {
		group.Go(func() {
			for i := 0; ; i++ {
				mu.Lock()
				now = now.Add(time.Second)
				at, done := now, len(acked) == producers*perProducer
				mu.Unlock()
				if done {
					return
				}
				leases, err := d.Lease(t.Context(), at, visible, 1+w%3)
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range leases {
					if l.Attempt < 3 && (i+w)%3 == 0 {
						continue // the worker dies
					}
					if l.Attempt < 3 && (i+w)%5 == 0 {
						_ = d.Retry(t.Context(), l, at.Add(visible), failed(1, "again")) // late is well possible
						continue
					}
					if d.Ack(t.Context(), l, made, kept) == nil {
						mu.Lock()
						acked[l.Job.ID]++
						mu.Unlock()
					}
				}
			}
		})
	}
	group.Wait()
	for id, n := range acked {
		if n != 1 {
			t.Errorf("job %s was acknowledged %d times", id, n)
		}
	}
	wantStats(t, d, 0, 0, 0)
}

func testContext(t *testing.T, s *suite) {
	d := s.open(t)
	enqueue(t, d, subject(1), 1, 2)
	l := s.leaseOffsets(t, d, 1, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(d, l) {
		if err := call(ctx); err == nil {
			t.Errorf("%s with an ended context: no error", name)
		} else {
			wantError(t, err, context.Canceled)
		}
	}
	wantStats(t, d, 1, 1, 0)
}

func testClose(t *testing.T, s *suite) {
	d := s.open(t)
	enqueue(t, d, subject(1), 1, 2)
	l := s.leaseOffsets(t, d, 1, 1)[0]
	must(t, d.Close())
	for _, call := range calls(d, l) {
		wantCode(t, call(t.Context()), freshet.Unavailable)
	}
	d.Emitted(1)
	d.NextVisible()
	d.Stats()
	must(t, d.Close())
}

// calls are all that may fail.
func calls(d jobqueue.Driver, l jobqueue.Lease) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Enqueue": func(ctx context.Context) error { return d.Enqueue(ctx, 0, 1, 1, nil) },
		"Lease": func(ctx context.Context) error {
			_, err := d.Lease(ctx, time.Unix(0, 0), visible, 1)
			return err
		},
		"Ack":   func(ctx context.Context) error { return d.Ack(ctx, l, made, kept) },
		"Retry": func(ctx context.Context) error { return d.Retry(ctx, l, time.Unix(0, 0), failed(1, "")) },
		"Bury":  func(ctx context.Context) error { return d.Bury(ctx, l, failed(0, "")) },
		"StateOf": func(ctx context.Context) error {
			_, err := d.StateOf(ctx, subject(1), 1)
			return err
		},
		"DeadLetters": func(ctx context.Context) error {
			_, err := d.DeadLetters(ctx, "", 1)
			return err
		},
		"Redrive": func(ctx context.Context) error {
			_, err := d.Redrive(ctx, []freshet.JobID{"x"}, 0)
			return err
		},
	}
}
