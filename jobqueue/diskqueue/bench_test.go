package diskqueue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/diskqueue"
)

func benchQueue(b *testing.B) *diskqueue.Queue {
	b.Helper()
	db, err := disk.Open(b.TempDir(), nil)
	must(b, err)
	q, err := diskqueue.New(db)
	must(b, err)
	b.Cleanup(func() {
		must(b, q.Close())
		must(b, db.Close())
	})
	return q
}

// benchJobs fills jobs with those of the events of partition 0 behind from.
func benchJobs(jobs []freshet.Job, from int) {
	for i := range jobs {
		cause := freshet.Place{Offset: freshet.Offset(from + i + 1)}
		jobs[i] = freshet.Job{
			ID: freshet.MakeJobID("today", cause), Pipeline: "today",
			Entity:  freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprintf("user-%d", (from+i)%100_000))},
			EventID: "0123456789abcdef0123456789abcdef", EventTime: 1_741_003_200_000, Cause: cause, EnqueuedAt: 1_741_003_200_000,
		}
	}
}

func BenchmarkEnqueue(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			q := jobqueue.New(benchQueue(b), nil)
			jobs := make([]freshet.Job, n)
			b.ReportAllocs()
			total := 0
			for b.Loop() {
				b.StopTimer()
				benchJobs(jobs, total)
				b.StartTimer()
				total += n
				must(b, q.Enqueue(b.Context(), 0, 1, freshet.Offset(total), jobs))
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// BenchmarkLeaseAck works off a backlog that is far longer than what is in memory.
func BenchmarkLeaseAck(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			q := benchQueue(b)
			jobs := make([]freshet.Job, 1000)
			total, left := 0, 0
			now := time.Now()
			b.ReportAllocs()
			done := 0
			for b.Loop() {
				if left < n {
					b.StopTimer()
					for left < 100_000 {
						benchJobs(jobs, total)
						total, left = total+len(jobs), left+len(jobs)
						must(b, q.Enqueue(b.Context(), 0, 1, freshet.Offset(total), jobs))
					}
					b.StartTimer()
				}
				leases, err := q.Lease(b.Context(), now, time.Minute, n)
				must(b, err)
				for _, l := range leases {
					must(b, q.Ack(b.Context(), l, jobqueue.Attempt{At: 1_741_003_200_000, Release: "r1"}, 10_000))
				}
				left, done = left-len(leases), done+len(leases)
			}
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// BenchmarkSteady is a queue that is nearly empty: each job is leased and acknowledged right after it was enqueued.
func BenchmarkSteady(b *testing.B) {
	q := benchQueue(b)
	jobs := make([]freshet.Job, 1)
	now := time.Now()
	b.ReportAllocs()
	total := 0
	for b.Loop() {
		benchJobs(jobs, total)
		total++
		must(b, q.Enqueue(b.Context(), 0, 1, freshet.Offset(total), jobs))
		leases, err := q.Lease(b.Context(), now, time.Minute, 1)
		must(b, err)
		must(b, q.Ack(b.Context(), leases[0], jobqueue.Attempt{At: 1_741_003_200_000, Release: "r1"}, 10_000))
	}
}

func BenchmarkStateOf(b *testing.B) {
	q := benchQueue(b)
	jobs := make([]freshet.Job, 10_000)
	benchJobs(jobs, 0)
	must(b, q.Enqueue(b.Context(), 0, 1, 10_000, jobs))
	s := jobqueue.Subject{Pipeline: "today", Entity: jobs[0].Entity}
	b.ReportAllocs()
	for b.Loop() {
		_, err := q.StateOf(b.Context(), s, 10_000)
		must(b, err)
	}
}

func BenchmarkOpen(b *testing.B) {
	db, err := disk.Open(b.TempDir(), nil)
	must(b, err)
	defer db.Close()
	q, err := diskqueue.New(db)
	must(b, err)
	jobs := make([]freshet.Job, 1000)
	const total = 200_000
	for i := 0; i < total; i += len(jobs) {
		benchJobs(jobs, i)
		must(b, q.Enqueue(b.Context(), 0, 1, freshet.Offset(i+len(jobs)), jobs))
	}
	must(b, q.Close())
	for b.Loop() {
		q, err := diskqueue.New(db)
		must(b, err)
		must(b, q.Close())
	}
	b.ReportMetric(total*float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
