package jobqueuetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

func testBury(t *testing.T, s *suite) {
	d := s.open(t)
	enqueue(t, d, subject(1), 1)
	l := s.leaseOffsets(t, d, 1, 1)[0]
	must(t, d.Retry(t.Context(), l, s.now, failed(1, "first")))
	l = s.leaseOffsets(t, d, 1, 1)[0]
	must(t, d.Bury(t.Context(), l, failed(42, "second")))
	wantStats(t, d, 0, 0, 1)
	s.now = s.now.Add(time.Hour)
	s.leaseOffsets(t, d, 1)
	wantCode(t, d.Ack(t.Context(), l, made, kept), freshet.PreconditionFailed)
	letters, err := d.DeadLetters(t.Context(), "", 10)
	must(t, err)
	want := jobqueue.DeadLetter{Job: makeJob(subject(1), 1), Attempts: 2, Reason: "second", At: 42}
	if len(letters) != 1 || letters[0] != want {
		t.Fatalf("dead letters are %+v, want %+v", letters, want)
	}
}

// buryAll makes dead letters of all visible jobs.
func (s *suite) buryAll(t *testing.T, d jobqueue.Driver) {
	t.Helper()
	for _, l := range s.lease(t, d, 1000) {
		must(t, d.Bury(t.Context(), l, failed(1, "dead")))
	}
}

func testDeadLetterPages(t *testing.T, s *suite) {
	d := s.open(t)
	var want []freshet.JobID
	for i := range 12 {
		enqueue(t, d, subject(1), freshet.Offset(i+1))
		want = append(want, makeJob(subject(1), freshet.Offset(i+1)).ID)
	}
	slices.Sort(want)
	s.buryAll(t, d)
	for _, limit := range []int{1, 5, 12, 100} {
		var got []freshet.JobID
		for after := freshet.JobID(""); ; {
			page, err := d.DeadLetters(t.Context(), after, limit)
			must(t, err)
			if len(page) > limit {
				t.Fatalf("a page of %d holds %d", limit, len(page))
			}
			if len(page) == 0 {
				break
			}
			for _, l := range page {
				got = append(got, l.Job.ID)
			}
			after = got[len(got)-1]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d: %v, want %v", limit, got, want)
		}
	}
	page, err := d.DeadLetters(t.Context(), want[3]+"0", 1) // between two
	must(t, err)
	if len(page) != 1 || page[0].Job.ID != want[4] {
		t.Fatalf("after %q comes %+v, want %s", want[3]+"0", page, want[4])
	}
}

func testRedrive(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	enqueue(t, d, sub, 1, 2, 3)
	s.buryAll(t, d)
	enqueue(t, d, sub, 4)
	ids := []freshet.JobID{makeJob(sub, 3).ID, makeJob(sub, 1).ID, "nobody", makeJob(sub, 3).ID, makeJob(sub, 4).ID}
	n, err := d.Redrive(t.Context(), ids, 0)
	must(t, err)
	if n != 2 {
		t.Fatalf("redrove %d, want 2", n)
	}
	wantStats(t, d, 3, 0, 1)
	wantState(t, d, sub, 1, jobqueue.Pending)
	l := s.leaseOffsets(t, d, 9, 4, 3, 1)
	if l[1].Attempt != 1 || l[1].LastError != "" || l[1].Job != makeJob(sub, 3) {
		t.Fatalf("redriven job is leased as %+v, want its first attempt", l[1])
	}
	must(t, d.Ack(t.Context(), l[2], made, kept))
	wantState(t, d, sub, 1, jobqueue.Ended)
	wantState(t, d, sub, 2, jobqueue.Dead)
	must(t, d.Ack(t.Context(), l[1], made, kept))
	wantState(t, d, sub, 3, jobqueue.Ended)
	must(t, d.Bury(t.Context(), l[0], failed(1, "")))
	wantState(t, d, sub, 4, jobqueue.Dead)
	n, err = d.Redrive(t.Context(), nil, 0)
	must(t, err)
	if n != 0 {
		t.Fatalf("redrove %d of none", n)
	}
}

func testEmitted(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	p := partitionOf(sub)
	wantEmitted := func(want freshet.Offset) {
		t.Helper()
		if got := d.Emitted(p); got != want {
			t.Fatalf("emitted is %d, want %d", got, want)
		}
	}
	wantEmitted(0)
	must(t, d.Enqueue(t.Context(), p, 1, 5, []freshet.Job{makeJob(sub, 2), makeJob(sub, 4)}))
	wantEmitted(5)
	for _, l := range s.leaseOffsets(t, d, 9, 2, 4) {
		must(t, d.Ack(t.Context(), l, made, kept))
	}
	// A replay in other batches: all of it is known.
	must(t, d.Enqueue(t.Context(), p, 1, 3, []freshet.Job{makeJob(sub, 2)}))
	wantEmitted(5)
	must(t, d.Enqueue(t.Context(), p, 1, 7, []freshet.Job{makeJob(sub, 4), makeJob(sub, 5), makeJob(sub, 7), makeJob(sub, 6)}))
	wantEmitted(7)
	s.leaseOffsets(t, d, 9, 7, 6)
	must(t, d.Enqueue(t.Context(), p, 1, 20, nil))
	wantEmitted(20)
	must(t, d.Enqueue(t.Context(), p, 1, 21, []freshet.Job{makeJob(sub, 20)}))
	s.leaseOffsets(t, d, 9)
	if got := d.Emitted((p + 1) % freshet.Partitions); got != 0 {
		t.Fatalf("another partition's emitted is %d", got)
	}
}

func testSameID(t *testing.T, s *suite) {
	d := s.open(t)
	j := makeJob(subject(1), 1)
	other := makeJob(subject(1), 1)
	other.EventID = "later"
	k := makeJob(subject(1), 2)
	must(t, d.Enqueue(t.Context(), j.Cause.Partition, 1, 2, []freshet.Job{j, other, k, j}))
	wantStats(t, d, 2, 0, 0)
	if l := s.leaseOffsets(t, d, 9, 1, 2); l[0].Job != j {
		t.Fatalf("leased %+v, want the first %+v", l[0].Job, j)
	}
}

func testEpochs(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	p := partitionOf(sub)
	must(t, d.Enqueue(t.Context(), p, 3, 1, []freshet.Job{makeJob(sub, 1)}))
	wantCode(t, d.Enqueue(t.Context(), p, 2, 2, []freshet.Job{makeJob(sub, 2)}), freshet.PreconditionFailed)
	wantCode(t, d.Enqueue(t.Context(), p, 2, 2, nil), freshet.PreconditionFailed)
	if got := d.Emitted(p); got != 1 {
		t.Fatalf("emitted is %d after a refusal, want 1", got)
	}
	must(t, d.Enqueue(t.Context(), p, 4, 1, nil))
	wantCode(t, d.Enqueue(t.Context(), p, 3, 2, []freshet.Job{makeJob(sub, 2)}), freshet.PreconditionFailed)
	must(t, d.Enqueue(t.Context(), p, 4, 2, []freshet.Job{makeJob(sub, 2)}))
	must(t, d.Enqueue(t.Context(), (p+1)%freshet.Partitions, 1, 2, nil))
	s.leaseOffsets(t, d, 9, 1, 2)
}

func testStateOf(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	wantState(t, d, sub, 100, jobqueue.Ended)
	enqueue(t, d, sub, 10, 20, 30)
	wantState(t, d, sub, 0, jobqueue.Ended)
	wantState(t, d, sub, 9, jobqueue.Ended)
	wantState(t, d, sub, 10, jobqueue.Pending)
	wantState(t, d, sub, 100, jobqueue.Pending)
	l := s.leaseOffsets(t, d, 3, 10, 20, 30)
	wantState(t, d, sub, 10, jobqueue.Pending)
	must(t, d.Ack(t.Context(), l[1], made, kept))
	wantState(t, d, sub, 20, jobqueue.Pending)
	must(t, d.Ack(t.Context(), l[0], made, kept))
	wantState(t, d, sub, 29, jobqueue.Ended)
	wantState(t, d, sub, 30, jobqueue.Pending)
	must(t, d.Retry(t.Context(), l[2], s.now, failed(1, "")))
	wantState(t, d, sub, 30, jobqueue.Pending)
	must(t, d.Bury(t.Context(), s.leaseOffsets(t, d, 1, 30)[0], failed(1, "")))
	wantState(t, d, sub, 29, jobqueue.Ended)
	wantState(t, d, sub, 30, jobqueue.Dead)
	wantState(t, d, sub, 100, jobqueue.Dead)
}

// testStateOfSuperseded: a newer job that was acknowledged makes up for a dead letter, whichever ended first.
func testStateOfSuperseded(t *testing.T, s *suite) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 3, 0, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			d := s.open(t)
			sub := subject(1)
			enqueue(t, d, sub, 10, 20, 30, 40) // 10 and 30 die, 20 and 40 do not
			l := s.leaseOffsets(t, d, 9, 10, 20, 30, 40)
			for _, i := range order {
				if i%2 == 0 {
					must(t, d.Bury(t.Context(), l[i], failed(1, "")))
					continue
				}
				must(t, d.Ack(t.Context(), l[i], made, kept))
			}
			for through, want := range map[freshet.Offset]jobqueue.State{
				9: jobqueue.Ended, 10: jobqueue.Dead, 19: jobqueue.Dead, 20: jobqueue.Ended, 29: jobqueue.Ended,
				30: jobqueue.Dead, 39: jobqueue.Dead, 40: jobqueue.Ended, 99: jobqueue.Ended,
			} {
				wantState(t, d, sub, through, want)
			}
		})
	}
}

func testStateOfOtherSubjects(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	enqueue(t, d, sub, 1, 2)
	s.buryAll(t, d)
	enqueue(t, d, sub, 3)
	pipeline, kind, key := sub, sub, sub
	pipeline.Pipeline = "toda"
	kind.Entity.Kind = "use"
	key.Entity.Key += "\x00"
	for _, other := range []jobqueue.Subject{pipeline, kind, key, {}} {
		wantState(t, d, other, 9, jobqueue.Ended)
	}
	// A job that an event of another partition made is none of sub's.
	stray := makeJob(subject(2), 1)
	stray.Cause.Partition = (partitionOf(subject(2)) + 1) % freshet.Partitions
	stray.ID = freshet.MakeJobID(stray.Pipeline, stray.Cause)
	must(t, d.Enqueue(t.Context(), stray.Cause.Partition, 1, 9, []freshet.Job{stray}))
	wantState(t, d, subject(2), 9, jobqueue.Ended)
}

func testReopen(t *testing.T, s *suite) {
	if s.Reopen == nil {
		t.Skip("the driver keeps nothing")
	}
	d := s.Open(t)
	sub := subject(1)
	enqueue(t, d, sub, 1, 2, 3, 4, 5, 6)
	l := s.leaseOffsets(t, d, 5, 1, 2, 3, 4, 5)
	must(t, d.Ack(t.Context(), l[0], made, kept))
	must(t, d.Bury(t.Context(), l[1], failed(7, "dead")))
	must(t, d.Retry(t.Context(), l[2], s.now, failed(1, "again")))
	must(t, d.Ack(t.Context(), l[4], made, kept))
	d = s.Reopen(t, d)
	t.Cleanup(func() { must(t, d.Close()) })
	if s.Features.LeasesEndAtReopen {
		wantStats(t, d, 3, 0, 1)
		wantCode(t, d.Ack(t.Context(), l[3], made, kept), freshet.PreconditionFailed)
	}
	s.now = l[3].Until
	again := s.leaseOffsets(t, d, 9, 3, 4, 6)
	for i, want := range []jobqueue.Lease{{Attempt: 2, LastError: "again"}, {Attempt: 2}, {Attempt: 1}} {
		if again[i].Attempt != want.Attempt || again[i].LastError != want.LastError {
			t.Fatalf("lease %+v, want attempt %d after %q", again[i], want.Attempt, want.LastError)
		}
	}
	if want := makeJob(sub, 3); again[0].Job != want {
		t.Fatalf("leased %+v, want %+v", again[0].Job, want)
	}
	wantCode(t, d.Ack(t.Context(), l[3], made, kept), freshet.PreconditionFailed)
	wantState(t, d, sub, 1, jobqueue.Ended)
	wantState(t, d, sub, 2, jobqueue.Dead)
	wantState(t, d, sub, 3, jobqueue.Pending)
	letters, err := d.DeadLetters(t.Context(), "", 9)
	must(t, err)
	if want := (jobqueue.DeadLetter{Job: makeJob(sub, 2), Attempts: 1, Reason: "dead", At: 7}); len(letters) != 1 || letters[0] != want {
		t.Fatalf("dead letters %+v, want %+v", letters, want)
	}
	for _, l := range again {
		must(t, d.Ack(t.Context(), l, made, kept))
	}
	wantState(t, d, sub, 6, jobqueue.Ended)
	enqueue(t, d, sub, 6, 7)
	s.leaseOffsets(t, d, 9, 7)
}

func testReopenEmitted(t *testing.T, s *suite) {
	if s.Reopen == nil {
		t.Skip("the driver keeps nothing")
	}
	d := s.Open(t)
	sub := subject(1)
	p := partitionOf(sub)
	must(t, d.Enqueue(t.Context(), p, 4, 8, []freshet.Job{makeJob(sub, 5)}))
	must(t, d.Enqueue(t.Context(), p, 4, 12, nil))
	d = s.Reopen(t, d)
	t.Cleanup(func() { must(t, d.Close()) })
	if got := d.Emitted(p); got < 8 || got > 12 {
		t.Fatalf("emitted is %d, want at least the 8 that was written with a job", got)
	}
	wantCode(t, d.Enqueue(t.Context(), p, 3, 20, nil), freshet.PreconditionFailed)
	must(t, d.Enqueue(t.Context(), p, 4, 13, []freshet.Job{makeJob(sub, 5), makeJob(sub, 13)}))
	s.leaseOffsets(t, d, 9, 5, 13)
}
