package jobqueue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

var user = jobqueue.Subject{Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: "u1"}}

// inBubble runs f with a queue on the bubble's clock.
func inBubble(t *testing.T, o *jobqueue.Options, f func(t *testing.T, q *jobqueue.Queue)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		q := jobqueue.New(memqueue.New(), o)
		f(t, q)
		must(t, q.Close())
	})
}

func jobAt(offset freshet.Offset) freshet.Job {
	cause := freshet.Place{Partition: freshet.PartitionOf(user.Entity.Key), Offset: offset}
	return freshet.Job{ID: freshet.MakeJobID(user.Pipeline, cause), Pipeline: user.Pipeline, Entity: user.Entity, EventID: "e", Cause: cause}
}

func enqueue(t *testing.T, q *jobqueue.Queue, offset freshet.Offset) {
	t.Helper()
	j := jobAt(offset)
	must(t, q.Enqueue(t.Context(), j.Cause.Partition, 1, offset, []freshet.Job{j}))
}

func leaseOne(t *testing.T, q *jobqueue.Queue) jobqueue.Lease {
	t.Helper()
	l, err := q.Lease(t.Context(), 1)
	must(t, err)
	return l[0]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want freshet.Code) {
	t.Helper()
	if got := freshet.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}

func wantSince(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Fatalf("it took %v, want %v", got, want)
	}
}

func letters(t *testing.T, q *jobqueue.Queue) []jobqueue.DeadLetter {
	t.Helper()
	l, err := q.DeadLetters(t.Context(), "", 0)
	must(t, err)
	return l
}

func TestLeaseWaitsForAJob(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
		start := time.Now()
		go func() {
			time.Sleep(time.Minute)
			enqueue(t, q, 1)
		}()
		l := leaseOne(t, q)
		wantSince(t, start, time.Minute)
		if want := time.Now().Add(15 * time.Second); !l.Until.Equal(want) {
			t.Fatalf("lease until %v, want %v", l.Until, want)
		}
		if got, want := l.Job.EnqueuedAt, freshet.TimestampOf(time.Now()); got != want {
			t.Fatalf("enqueued at %v, want %v", got, want)
		}
	})
}

func TestLeaseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := q.Lease(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error is %v", err)
		}
		wantSince(t, start, time.Second)
		_, err := q.Lease(t.Context(), 0)
		wantCode(t, err, freshet.InvalidArgument)
	})
}

func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
		var group sync.WaitGroup
		group.Go(func() {
			_, err := q.Lease(t.Context(), 1)
			wantCode(t, err, freshet.Unavailable)
		})
		group.Go(func() {
			_, err := q.Wait(t.Context(), user, 1)
			wantCode(t, err, freshet.Unavailable)
		})
		synctest.Wait()
		start := time.Now()
		must(t, q.Close())
		group.Wait()
		wantSince(t, start, 0)
	})
}

func TestDeadWorkerGivesItsJobBack(t *testing.T) {
	t.Parallel()
	inBubble(t, &jobqueue.Options{Visibility: 7 * time.Second, Attempts: 3}, func(t *testing.T, q *jobqueue.Queue) {
		enqueue(t, q, 1)
		start := time.Now()
		for attempt := 1; attempt <= 3; attempt++ {
			if l := leaseOne(t, q); l.Attempt != attempt {
				t.Fatalf("attempt %d, want %d", l.Attempt, attempt)
			}
			wantSince(t, start, time.Duration(attempt-1)*7*time.Second)
		}
		go func() {
			time.Sleep(time.Minute)
			enqueue(t, q, 2)
		}()
		if l := leaseOne(t, q); l.Job.Cause.Offset != 2 {
			t.Fatalf("job %s was leased a fourth time", l.Job.ID)
		}
		wantSince(t, start, 14*time.Second+time.Minute)
		dead := letters(t, q)
		if len(dead) != 1 || !strings.Contains(dead[0].Reason, "lease ended 3 times without an answer") {
			t.Fatalf("dead letters are %+v", dead)
		}
		if want := freshet.TimestampOf(start.Add(21 * time.Second)); dead[0].At != want {
			t.Fatalf("buried at %v, want %v", dead[0].At, want)
		}
	})
}

func TestFailTriesAgainLaterAndLater(t *testing.T) {
	t.Parallel()
	inBubble(t, &jobqueue.Options{Attempts: 10}, func(t *testing.T, q *jobqueue.Queue) {
		enqueue(t, q, 1)
		l := leaseOne(t, q)
		for attempt, longest := 1, 200*time.Millisecond; attempt < 10; attempt, longest = attempt+1, min(2*longest, 30*time.Second) {
			start := time.Now()
			must(t, q.Fail(t.Context(), l, "r1", fmt.Errorf("failure %d", attempt)))
			l = leaseOne(t, q)
			if pause := time.Since(start); pause > longest || pause < longest*3/4 {
				t.Fatalf("pause after attempt %d is %v, want %v less at most a quarter", attempt, pause, longest)
			}
			if l.Attempt != attempt+1 || l.LastError != fmt.Sprintf("failure %d", attempt) {
				t.Fatalf("lease %+v after attempt %d", l, attempt)
			}
		}
	})
}

func TestPauseSpreadsJobs(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
		var jobs []freshet.Job
		for o := freshet.Offset(1); o <= 50; o++ {
			jobs = append(jobs, jobAt(o))
		}
		must(t, q.Enqueue(t.Context(), jobs[0].Cause.Partition, 1, 50, jobs))
		leases, err := q.Lease(t.Context(), 50)
		must(t, err)
		for _, l := range leases {
			must(t, q.Fail(t.Context(), l, "r1", errors.New("all at once")))
		}
		start, moments := time.Now(), map[time.Duration]bool{}
		for range leases {
			leaseOne(t, q)
			moments[time.Since(start)] = true
		}
		if len(moments) < 45 {
			t.Fatalf("50 jobs that failed together come back at %d moments", len(moments))
		}
	})
}

func TestOwnBackoff(t *testing.T) {
	t.Parallel()
	pause := func(attempt int) time.Duration { return time.Duration(attempt) * time.Hour }
	inBubble(t, &jobqueue.Options{Backoff: pause}, func(t *testing.T, q *jobqueue.Queue) {
		enqueue(t, q, 1)
		must(t, q.Fail(t.Context(), leaseOne(t, q), "r1", errors.New("x")))
		start := time.Now()
		must(t, q.Fail(t.Context(), leaseOne(t, q), "r1", errors.New("x")))
		leaseOne(t, q)
		wantSince(t, start, 3*time.Hour)
	})
}

func TestFailBuries(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 2000)
	for name, c := range map[string]struct {
		attempts int // that fail
		cause    error
		reason   string
	}{
		"after the last attempt": {5, errors.New("no luck"), "no luck"},
		"unavailable may pass":   {5, freshet.Errorf(freshet.Unavailable, "busy"), "busy"},
		"invalid argument":       {1, freshet.Errorf(freshet.InvalidArgument, "bad"), "bad"},
		"unprocessable":          {1, fmt.Errorf("model: %w", freshet.Errorf(freshet.Unprocessable, "bad")), "model: bad"},
		"not found":              {1, freshet.Errorf(freshet.NotFound, "gone"), "gone"},
		"unsupported":            {1, freshet.Errorf(freshet.Unsupported, "what"), "what"},
		"long reason":            {1, freshet.Errorf(freshet.NotFound, "%s", long), long[:2048]},
		"cut between characters": {1, freshet.Errorf(freshet.NotFound, "x%s", long), "x" + long[:2046]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
				enqueue(t, q, 1)
				for range c.attempts {
					must(t, q.Fail(t.Context(), leaseOne(t, q), "r1", c.cause))
				}
				dead := letters(t, q)
				if len(dead) != 1 || dead[0].Reason != c.reason || dead[0].Attempts != c.attempts || dead[0].At != freshet.TimestampOf(time.Now()) {
					t.Fatalf("dead letters are %+v, want one of %d attempts because %q", dead, c.attempts, c.reason)
				}
				n, err := q.Redrive(t.Context(), []freshet.JobID{dead[0].Job.ID})
				must(t, err)
				if l := leaseOne(t, q); n != 1 || l.Attempt != 1 {
					t.Fatalf("redrove %d; leased %+v", n, l)
				}
			})
		})
	}
}

func TestFailWantsACause(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
		enqueue(t, q, 1)
		wantCode(t, q.Fail(t.Context(), leaseOne(t, q), "r1", nil), freshet.InvalidArgument)
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		through freshet.Offset
		happens func(t *testing.T, q *jobqueue.Queue)
		want    jobqueue.State
		takes   time.Duration
	}{
		"nothing asked": {0, func(*testing.T, *jobqueue.Queue) {}, jobqueue.Ended, 0},
		"no job is due": {3, func(t *testing.T, q *jobqueue.Queue) {
			time.Sleep(time.Second)
			must(t, q.Enqueue(t.Context(), freshet.PartitionOf("u1"), 1, 3, nil))
		}, jobqueue.Ended, time.Second},
		"acknowledged": {1, func(t *testing.T, q *jobqueue.Queue) {
			enqueue(t, q, 1)
			l := leaseOne(t, q)
			time.Sleep(2 * time.Second)
			must(t, q.Ack(t.Context(), l, "r1"))
		}, jobqueue.Ended, 2 * time.Second},
		"buried": {1, func(t *testing.T, q *jobqueue.Queue) {
			enqueue(t, q, 1)
			l := leaseOne(t, q)
			time.Sleep(3 * time.Second)
			must(t, q.Fail(t.Context(), l, "r1", freshet.Errorf(freshet.NotFound, "no model")))
		}, jobqueue.Dead, 3 * time.Second},
		"only as far as asked": {1, func(t *testing.T, q *jobqueue.Queue) {
			enqueue(t, q, 2)
		}, jobqueue.Ended, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
				start := time.Now()
				go c.happens(t, q)
				got, err := q.Wait(t.Context(), user, c.through)
				must(t, err)
				if got != c.want {
					t.Fatalf("state is %d, want %d", got, c.want)
				}
				wantSince(t, start, c.takes)
				synctest.Wait()
			})
		})
	}
}

// TestWaitSeesOtherProcesses: a job that ends behind the queue's back, as with a shared driver, is noticed soon.
func TestWaitSeesOtherProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memqueue.New()
		q := jobqueue.New(d, nil)
		defer q.Close()
		go func() {
			time.Sleep(time.Second + time.Millisecond)
			must(t, d.Enqueue(t.Context(), freshet.PartitionOf("u1"), 1, 3, nil))
		}()
		start := time.Now()
		_, err := q.Wait(t.Context(), user, 3)
		must(t, err)
		wantSince(t, start, time.Second+50*time.Millisecond)
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		got, err := q.Wait(ctx, user, 1)
		if got != jobqueue.Pending || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("state %d, error %v", got, err)
		}
		wantSince(t, start, time.Second)
	})
}

func TestWorkersShareTheWork(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, q *jobqueue.Queue) {
		const jobs = 100
		var done atomic.Int64
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for range 8 {
			group.Go(func() {
				for {
					leases, err := q.Lease(ctx, 3)
					if err != nil {
						return
					}
					for _, l := range leases {
						time.Sleep(time.Duration(l.Job.Cause.Offset) * time.Millisecond)
						must(t, q.Ack(t.Context(), l, "r1"))
						done.Add(1)
					}
				}
			})
		}
		for o := freshet.Offset(1); o <= jobs; o++ {
			enqueue(t, q, o)
		}
		st, err := q.Wait(t.Context(), user, jobs)
		must(t, err)
		if n := done.Load(); st != jobqueue.Ended || n < jobs-1 { // the last one counts right after its Ack
			t.Fatalf("state %d after %d jobs", st, n)
		}
		cancel()
		group.Wait()
		if got := q.Stats(); got != (jobqueue.Stats{}) {
			t.Fatalf("stats %+v", got)
		}
	})
}

func TestEnqueueRefuses(t *testing.T) {
	t.Parallel()
	good := jobAt(5)
	for name, c := range map[string]struct {
		partition freshet.Partition
		change    func(*freshet.Job)
		field     string
	}{
		"partition":       {64, func(*freshet.Job) {}, "partition"},
		"other partition": {good.Cause.Partition + 1, func(*freshet.Job) {}, "cause"},
		"later offset": {good.Cause.Partition, func(j *freshet.Job) {
			j.Cause.Offset = 6
			j.ID = freshet.MakeJobID(j.Pipeline, j.Cause)
		}, "cause"},
		"no offset": {good.Cause.Partition, func(j *freshet.Job) {
			j.Cause.Offset = 0
			j.ID = freshet.MakeJobID(j.Pipeline, j.Cause)
		}, "cause"},
		"no id":       {good.Cause.Partition, func(j *freshet.Job) { j.ID = "" }, "id"},
		"other id":    {good.Cause.Partition, func(j *freshet.Job) { j.ID += "0" }, "id"},
		"no pipeline": {good.Cause.Partition, func(j *freshet.Job) { j.Pipeline, j.ID = "", freshet.MakeJobID("", j.Cause) }, "pipeline"},
		"no kind":     {good.Cause.Partition, func(j *freshet.Job) { j.Entity.Kind = "" }, "entity"},
		"no key":      {good.Cause.Partition, func(j *freshet.Job) { j.Entity.Key = "" }, "entity"},
		"long key":    {good.Cause.Partition, func(j *freshet.Job) { j.Entity.Key = freshet.Key(strings.Repeat("k", 5000)) }, "entity"},
		"long event":  {good.Cause.Partition, func(j *freshet.Job) { j.EventID = freshet.EventID(strings.Repeat("e", 129)) }, "event_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := jobqueue.New(memqueue.New(), nil)
			j := good
			c.change(&j)
			err := q.Enqueue(t.Context(), c.partition, 1, 5, []freshet.Job{good, j})
			wantCode(t, err, freshet.InvalidArgument)
			if got := freshet.FieldOf(err); got != c.field || !strings.Contains(err.Error(), c.field) {
				t.Fatalf("error %q names field %q, want %q", err, got, c.field)
			}
			if got := q.Stats(); got != (jobqueue.Stats{}) {
				t.Fatalf("stats %+v after a refusal", got)
			}
		})
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	q := jobqueue.New(memqueue.New(), &jobqueue.Options{Backlog: 2})
	enqueue(t, q, 1)
	if q.Full() {
		t.Fatal("full with one job of two")
	}
	enqueue(t, q, 2)
	if !q.Full() {
		t.Fatal("not full with two jobs of two")
	}
	leaseOne(t, q)
	if q.Full() {
		t.Fatal("leased jobs count for the backlog")
	}
	if got := q.Emitted(jobAt(1).Cause.Partition); got != 2 {
		t.Fatalf("emitted is %d, want 2", got)
	}
	if got := q.Emitted(200); got != 0 {
		t.Fatalf("emitted of no partition is %d", got)
	}
}

func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]jobqueue.Options{
		"visibility": {Visibility: -1}, "attempts": {Attempts: -1}, "backlog": {Backlog: -1},
	} {
		err := o.Validate()
		wantCode(t, err, freshet.InvalidArgument)
		if got := freshet.FieldOf(err); got != field {
			t.Errorf("error %q names field %q, want %q", err, got, field)
		}
	}
	must(t, jobqueue.Options{}.Validate())
}
