// Package jobqueuetest is the contract of jobqueue.Driver as tests: every driver runs it. It is imported by tests only.
package jobqueuetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Harness makes drivers for the suite.
type Harness struct {
	// Open makes an empty queue, which the suite closes.
	Open func(t testing.TB) jobqueue.Driver
	// Reopen closes d and opens what it has kept. Nil for a driver that keeps nothing.
	Reopen func(t testing.TB, d jobqueue.Driver) jobqueue.Driver
	// Features say what the driver promises beyond the contract.
	Features Features
}

// Features of a driver that others need not have.
type Features struct {
	// LeasesEndAtReopen: no job is leased after Reopen, because the queue has one user. Otherwise leases go on.
	LeasesEndAtReopen bool
}

// kept is how many done jobs a driver keeps, made how an attempt ends that made its prediction, failed one that did not.
const kept = 1000

var made = jobqueue.Attempt{At: 1, Release: "r1"}

func failed(at freshet.Timestamp, cause string) jobqueue.Attempt {
	return jobqueue.Attempt{At: at, Release: "r1", Error: cause}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s *suite)
	}{
		{"Order", testOrder},
		{"LeaseLimits", testLeaseLimits},
		{"Visibility", testVisibility},
		{"LateAnswers", testLateAnswers},
		{"Retry", testRetry},
		{"OrderOfRedelivery", testOrderOfRedelivery},
		{"Bury", testBury},
		{"DeadLetterPages", testDeadLetterPages},
		{"Redrive", testRedrive},
		{"Emitted", testEmitted},
		{"SameID", testSameID},
		{"Epochs", testEpochs},
		{"StateOf", testStateOf},
		{"StateOfSuperseded", testStateOfSuperseded},
		{"StateOfOtherSubjects", testStateOfOtherSubjects},
		{"Fields", testFields},
		{"Stats", testStats},
		{"Changed", testChanged},
		{"Batches", testBatches},
		{"Concurrency", testConcurrency},
		{"Context", testContext},
		{"Close", testClose},
		{"Twin", testTwin},
		{"Reopen", testReopen},
		{"ReopenEmitted", testReopenEmitted},
		{"Priorities", testPriorities},
		{"Debounce", testDebounce},
		{"DebounceReopen", testDebounceReopen},
		{"History", testHistory},
		{"HistoryBounds", testHistoryBounds},
		{"Done", testDone},
		{"List", testList},
		{"Drop", testDrop},
		{"Erase", testErase},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, &suite{Harness: h, now: time.Date(2025, 3, 3, 12, 0, 0, 0, time.UTC)})
		})
	}
}

// suite is the bundle of one test: a queue and its clock.
type suite struct {
	Harness
	now time.Time
}

const visible = 10 * time.Second

func (s *suite) open(t testing.TB) jobqueue.Driver {
	t.Helper()
	d := s.Open(t)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// subject is the s-th of some subjects; all in the partition of their key.
func subject(i int) jobqueue.Subject {
	return jobqueue.Subject{Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprintf("u%d", i))}}
}

func partitionOf(s jobqueue.Subject) freshet.Partition { return freshet.PartitionOf(s.Entity.Key) }

// makeJob is the job that the event at offset of s's partition makes.
func makeJob(s jobqueue.Subject, offset freshet.Offset) freshet.Job {
	cause := freshet.Place{Partition: partitionOf(s), Offset: offset}
	return freshet.Job{
		ID:         freshet.MakeJobID(s.Pipeline, cause),
		Pipeline:   s.Pipeline,
		Entity:     s.Entity,
		EventID:    freshet.EventID(fmt.Sprintf("e%d", offset)),
		EventTime:  1_741_003_200_000 + freshet.Timestamp(offset),
		Cause:      cause,
		EnqueuedAt: 1_741_003_300_000 + freshet.Timestamp(offset),
	}
}

// enqueue adds one job for each offset, of s.
func enqueue(t testing.TB, d jobqueue.Driver, s jobqueue.Subject, offsets ...freshet.Offset) {
	t.Helper()
	var jobs []freshet.Job
	for _, o := range offsets {
		jobs = append(jobs, makeJob(s, o))
	}
	must(t, d.Enqueue(t.Context(), partitionOf(s), 1, slices.Max(offsets), jobs))
}

func (s *suite) lease(t testing.TB, d jobqueue.Driver, n int) []jobqueue.Lease {
	t.Helper()
	leases, err := d.Lease(t.Context(), s.now, visible, n)
	must(t, err)
	return leases
}

// leaseOffsets leases up to n jobs and fails unless they are those of the given offsets, in this order.
func (s *suite) leaseOffsets(t testing.TB, d jobqueue.Driver, n int, want ...freshet.Offset) []jobqueue.Lease {
	t.Helper()
	leases := s.lease(t, d, n)
	var got []freshet.Offset
	for _, l := range leases {
		got = append(got, l.Job.Cause.Offset)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("leased the jobs of offsets %v, want %v", got, want)
	}
	return leases
}

func wantState(t testing.TB, d jobqueue.Driver, s jobqueue.Subject, through freshet.Offset, want jobqueue.State) {
	t.Helper()
	got, err := d.StateOf(t.Context(), s, through)
	must(t, err)
	if got != want {
		t.Fatalf("state of %v through %d is %d, want %d", s, through, got, want)
	}
}

func wantCode(t testing.TB, err error, want freshet.Code) {
	t.Helper()
	if got := freshet.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}

func wantStats(t testing.TB, d jobqueue.Driver, queued, leased, dead int) {
	t.Helper()
	got := d.Stats()
	if got.Queued != queued || got.Leased != leased || got.Dead != dead {
		t.Fatalf("stats are %d queued, %d leased, %d dead, want %d, %d, %d", got.Queued, got.Leased, got.Dead, queued, leased, dead)
	}
}

// failer is what a testing.TB and a *rapid.T have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}
