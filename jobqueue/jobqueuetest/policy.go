package jobqueuetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// testPriorities: those of a higher priority are leased first, also when they come back.
func testPriorities(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	var jobs []freshet.Job
	for i, p := range []freshet.Priority{freshet.LowPriority, freshet.NormalPriority, freshet.HighPriority, freshet.NormalPriority, freshet.HighPriority} {
		j := makeJob(sub, freshet.Offset(i+1))
		j.Priority = p
		jobs = append(jobs, j)
	}
	must(t, d.Enqueue(t.Context(), partitionOf(sub), 1, 5, jobs))
	if s.Reopen != nil {
		reopened := s.Reopen(t, d)
		t.Cleanup(func() { must(t, reopened.Close()) })
		d = reopened
	}
	l := s.leaseOffsets(t, d, 3, 3, 5, 2)
	must(t, d.Retry(t.Context(), l[0], s.now, failed(1, "again")))
	must(t, d.Retry(t.Context(), l[2], s.now, failed(1, "again")))
	again := s.leaseOffsets(t, d, 9, 3, 2, 4, 1)
	if again[0].Job != jobs[2] {
		t.Errorf("leased %+v, want %+v", again[0].Job, jobs[2])
	}
}

// delayed is the job of an event at offset that may run after a delay.
func (s *suite) delayed(sub jobqueue.Subject, offset freshet.Offset, after time.Duration) freshet.Job {
	j := makeJob(sub, offset)
	j.NotBefore = freshet.TimestampOf(s.now.Add(after))
	return j
}

// testDebounce: the first event sets the moment, the newest is the cause, and a replay changes nothing.
func testDebounce(t *testing.T, s *suite) {
	d := s.open(t)
	sub, other := subject(1), subject(2)
	p := partitionOf(sub)
	first, second, third := s.delayed(sub, 1, 2*time.Second), s.delayed(sub, 2, 3*time.Second), s.delayed(sub, 4, 4*time.Second)
	must(t, d.Enqueue(t.Context(), p, 1, 2, []freshet.Job{first, second}))
	must(t, d.Enqueue(t.Context(), p, 1, 4, []freshet.Job{third}))
	must(t, d.Enqueue(t.Context(), p, 1, 4, []freshet.Job{first, second, third})) // a replay
	must(t, d.Enqueue(t.Context(), partitionOf(other), 1, 9, []freshet.Job{s.delayed(other, 9, time.Minute)}))
	want := third
	want.First, want.NotBefore, want.EnqueuedAt = 1, first.NotBefore, first.EnqueuedAt
	if st := d.Stats(); st.Queued != 2 {
		t.Fatalf("%d jobs are queued, want one for each entity", st.Queued)
	}
	s.leaseOffsets(t, d, 9)
	if next := d.NextVisible(); !next.Equal(first.NotBefore.Time()) {
		t.Fatalf("visible at %v, want %v", next, first.NotBefore)
	}
	for through := freshet.Offset(1); through <= 4; through++ {
		wantState(t, d, sub, through, jobqueue.Pending)
	}
	s.now = s.now.Add(2 * time.Second)
	l := s.leaseOffsets(t, d, 9, 4)
	if l[0].Job != want {
		t.Fatalf("leased %+v, want %+v", l[0].Job, want)
	}
	// From here on a new job begins.
	must(t, d.Enqueue(t.Context(), p, 1, 5, []freshet.Job{s.delayed(sub, 5, 2*time.Second)}))
	must(t, d.Ack(t.Context(), l[0], made, kept))
	wantState(t, d, sub, 4, jobqueue.Ended)
	wantState(t, d, sub, 5, jobqueue.Pending)
	s.now = s.now.Add(2 * time.Second)
	l = s.leaseOffsets(t, d, 9, 5)
	must(t, d.Bury(t.Context(), l[0], failed(1, "dead")))
	wantState(t, d, sub, 4, jobqueue.Ended)
	wantState(t, d, sub, 5, jobqueue.Dead)
	// What comes back is not delayed once more, and nothing takes its place.
	if _, err := d.Redrive(t.Context(), []freshet.JobID{l[0].Job.ID}, 77); err != nil {
		t.Fatal(err)
	}
	must(t, d.Enqueue(t.Context(), p, 1, 6, []freshet.Job{s.delayed(sub, 6, 2*time.Second)}))
	l = s.leaseOffsets(t, d, 9, 5)
	if l[0].Job.EnqueuedAt != 77 {
		t.Errorf("enqueued at %v", l[0].Job.EnqueuedAt)
	}
}

// testDebounceReopen: a job waits on over a restart, and is replaced after it.
func testDebounceReopen(t *testing.T, s *suite) {
	if s.Reopen == nil {
		return
	}
	d := s.Open(t)
	sub := subject(1)
	p := partitionOf(sub)
	must(t, d.Enqueue(t.Context(), p, 1, 3, []freshet.Job{s.delayed(sub, 1, 2*time.Second), makeJob(subject(1), 2), s.delayed(sub, 3, 2*time.Second)}))
	d = s.Reopen(t, d)
	defer func() { must(t, d.Close()) }()
	must(t, d.Enqueue(t.Context(), p, 2, 5, []freshet.Job{s.delayed(sub, 3, 2*time.Second), makeJob(sub, 4), s.delayed(sub, 5, 2*time.Second)}))
	if n := d.Stats().Queued; n != 3 {
		t.Fatalf("%d queued, want 3", n)
	}
	for offset, there := range map[freshet.Offset]bool{1: false, 2: true, 3: false, 4: true, 5: true} { // by the ids that they have now
		x, err := d.Find(t.Context(), makeJob(sub, offset).ID)
		if delayed := offset == 5; (err == nil) != there || there && (x.Job.Cause.Offset != offset || x.Until.IsZero() == delayed) {
			t.Errorf("the job of %d: %+v, %v", offset, x, err)
		}
	}
	l := s.leaseOffsets(t, d, 9, 2, 4)
	s.now = s.now.Add(2 * time.Second)
	l = append(l, s.leaseOffsets(t, d, 9, 5)...)
	if l[2].Job.First != 1 {
		t.Errorf("it stands for the events from %d on, want 1", l[2].Job.First)
	}
	for _, x := range l {
		must(t, d.Ack(t.Context(), x, made, kept))
	}
	d = s.Reopen(t, d)
	s.leaseOffsets(t, d, 9)
	wantState(t, d, sub, 5, jobqueue.Ended)
}

// testHistory: each attempt is kept with its error and release, through the dead letter and what it is redriven to, to the job that is done.
func testHistory(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	enqueue(t, d, sub, 1)
	id := makeJob(sub, 1).ID
	var want []jobqueue.Attempt
	for i := range 3 {
		want = append(want, failed(freshet.Timestamp(i+1), fmt.Sprintf("error %d", i+1)))
		must(t, d.Retry(t.Context(), s.leaseOffsets(t, d, 1, 1)[0], s.now, want[i]))
	}
	find := func(status jobqueue.Status, attempts int) jobqueue.Info {
		t.Helper()
		x, err := d.Find(t.Context(), id)
		must(t, err)
		if x.Status != status || x.Attempts != attempts || !slices.Equal(x.History, want) {
			t.Fatalf("%+v; want %s after %d attempts and %+v", x, status, attempts, want)
		}
		return x
	}
	find(jobqueue.Queued, 3)
	l := s.leaseOffsets(t, d, 1, 1)
	find(jobqueue.Leased, 4)
	want = append(want, failed(4, "the end"))
	must(t, d.Bury(t.Context(), l[0], want[3]))
	if x := find(jobqueue.Buried, 4); x.Reason != "the end" || x.EndedAt != 4 {
		t.Fatalf("%+v", x)
	}
	if n, err := d.Redrive(t.Context(), []freshet.JobID{id}, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	find(jobqueue.Queued, 0)
	if s.Reopen != nil {
		reopened := s.Reopen(t, d)
		t.Cleanup(func() { must(t, reopened.Close()) })
		d = reopened
	}
	l = s.leaseOffsets(t, d, 1, 1)
	want = append(want, jobqueue.Attempt{At: 9, Release: "r2"})
	must(t, d.Ack(t.Context(), l[0], want[4], kept))
	if x := find(jobqueue.Done, 1); x.EndedAt != 9 || !x.Until.IsZero() {
		t.Fatalf("%+v", x)
	}
	if _, err := d.Find(t.Context(), "nothing-1-1"); freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("no such job: %v", err)
	}
}

// testHistoryBounds: of many attempts the latest are kept, of long errors the beginning.
func testHistoryBounds(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	enqueue(t, d, sub, 1)
	for i := range jobqueue.MaxHistory + 3 {
		must(t, d.Retry(t.Context(), s.leaseOffsets(t, d, 1, 1)[0], s.now, failed(freshet.Timestamp(i), strings.Repeat("é", 2000))))
	}
	x, err := d.Find(t.Context(), makeJob(sub, 1).ID)
	must(t, err)
	if len(x.History) != jobqueue.MaxHistory || x.History[0].At != 3 || x.History[0].Error != strings.Repeat("é", 256) {
		t.Errorf("%d attempts from %+v", len(x.History), x.History[0])
	}
}

// testDone: the jobs that are done are kept, the last one first, over a reopening.
func testDone(t *testing.T, s *suite) {
	d := s.open(t)
	one, other := subject(1), subject(2)
	enqueue(t, d, one, 1, 2, 3, 4)
	enqueue(t, d, other, 5)
	for _, l := range s.leaseOffsets(t, d, 9, 1, 2, 3, 4, 5) {
		keep := kept
		if l.Job.Cause.Offset == 4 {
			keep = 0
		}
		must(t, d.Ack(t.Context(), l, jobqueue.Attempt{At: freshet.Timestamp(l.Job.Cause.Offset), Release: "r1"}, keep))
	}
	pages := func(want ...freshet.Offset) {
		t.Helper()
		var got []freshet.Offset
		for after, n := "", 0; n < 9; n++ {
			some, next, err := d.Done(t.Context(), after, 2)
			must(t, err)
			for _, x := range some {
				at := freshet.Timestamp(x.Job.Cause.Offset)
				if x.Status != jobqueue.Done || x.Attempts != 1 || x.EndedAt != at || !slices.Equal(x.History, []jobqueue.Attempt{{At: at, Release: "r1"}}) {
					t.Errorf("%+v", x)
				}
				got = append(got, x.Job.Cause.Offset)
			}
			if after = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("done %v, want %v", got, want)
		}
	}
	pages(5, 3, 2, 1)
	if s.Reopen != nil {
		reopened := s.Reopen(t, d)
		t.Cleanup(func() { must(t, reopened.Close()) })
		d = reopened
		pages(5, 3, 2, 1)
	}
	enqueue(t, d, other, 6)
	must(t, d.Ack(t.Context(), s.leaseOffsets(t, d, 9, 6)[0], jobqueue.Attempt{At: 6, Release: "r1"}, kept))
	pages(6, 5, 3, 2, 1)
	if n, err := d.Erase(t.Context(), one.Entity); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	pages(6, 5)
	if _, _, err := d.Done(t.Context(), "no place!", 2); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("a place that is none: %v", err)
	}
}

// testList pages through what is outstanding.
func testList(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	enqueue(t, d, sub, 1, 2, 3, 4, 5)
	s.lease(t, d, 2)
	pages := func(leased bool) (offsets []freshet.Offset) {
		for after, n := "", 0; n < 10; n++ {
			some, next, err := d.List(t.Context(), leased, after, 2)
			must(t, err)
			for _, x := range some {
				if (x.Status == jobqueue.Leased) != leased || leased != (x.Attempts == 1) || leased == x.Until.IsZero() {
					t.Errorf("%+v", x)
				}
				offsets = append(offsets, x.Job.Cause.Offset)
			}
			if after = next; next == "" {
				break
			}
		}
		return offsets
	}
	if got := pages(true); !slices.Equal(got, []freshet.Offset{1, 2}) {
		t.Errorf("leased %v", got)
	}
	if got := pages(false); !slices.Equal(got, []freshet.Offset{3, 4, 5}) {
		t.Errorf("queued %v", got)
	}
	if _, _, err := d.List(t.Context(), false, "no place!", 2); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("a place that is none: %v", err)
	}
}

func testDrop(t *testing.T, s *suite) {
	d := s.open(t)
	sub := subject(1)
	enqueue(t, d, sub, 1, 2)
	for _, l := range s.lease(t, d, 2) {
		must(t, d.Bury(t.Context(), l, failed(1, "dead")))
	}
	wantState(t, d, sub, 2, jobqueue.Dead)
	id := makeJob(sub, 2).ID
	if n, err := d.Drop(t.Context(), []freshet.JobID{id, id, "none"}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	wantState(t, d, sub, 2, jobqueue.Dead) // the other one
	if n, err := d.Drop(t.Context(), []freshet.JobID{makeJob(sub, 1).ID}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	wantState(t, d, sub, 2, jobqueue.Ended)
	if st := d.Stats(); st != (jobqueue.Stats{}) {
		t.Errorf("stats %+v", st)
	}
}

// testErase takes an entity's jobs from everywhere and leaves the others'.
func testErase(t *testing.T, s *suite) {
	d := s.open(t)
	gone, stays := subject(1), subject(2)
	enqueue(t, d, gone, 1, 2, 3, 4)
	must(t, d.Enqueue(t.Context(), partitionOf(gone), 1, 5, []freshet.Job{s.delayed(gone, 5, time.Minute)}))
	enqueue(t, d, stays, 1, 2)
	l := s.leaseOffsets(t, d, 3, 1, 2, 3)
	must(t, d.Bury(t.Context(), l[0], failed(1, "dead")))
	must(t, d.Retry(t.Context(), l[1], s.now.Add(time.Second), failed(1, "again")))
	if n, err := d.Erase(t.Context(), gone.Entity); n != 5 || err != nil {
		t.Fatalf("erased %d, %v; want 5", n, err)
	}
	if err := d.Ack(t.Context(), l[2], made, kept); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Errorf("acknowledged after that: %v", err)
	}
	if s.Reopen != nil {
		reopened := s.Reopen(t, d)
		t.Cleanup(func() { must(t, reopened.Close()) })
		d = reopened
	}
	wantState(t, d, gone, 9, jobqueue.Ended)
	wantState(t, d, stays, 9, jobqueue.Pending)
	s.now = s.now.Add(time.Hour)
	s.leaseOffsets(t, d, 9, 1, 2)
	if st := d.Stats(); st.Queued != 0 || st.Leased != 2 || st.Dead != 0 {
		t.Errorf("stats %+v", st)
	}
}
