package diskqueue_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/diskqueue"
)

var seed = flag.Uint64("seed", 0, "of the crash test; 0 for some fixed ones")

// TestCrash does random things on a file system that forgets what was not synced, and looks at what a crash would leave
// behind: always what the queue was at an earlier moment, no earlier than the last sync of the shared write-ahead log.
func TestCrash(t *testing.T) {
	t.Parallel()
	seeds := []uint64{*seed}
	if *seed == 0 {
		seeds = []uint64{1, 2, 3}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewCrashableMem()
			db, err := disk.Open("data", &disk.Options{FS: fs})
			must(t, err)
			q, err := diskqueue.New(db)
			must(t, err)
			c := &crasher{t: t, rng: rand.New(rand.NewPCG(seed, 0)), fs: fs, db: db, q: q, now: time.Unix(1_741_003_200, 0), state: newState()}
			c.remember()
			for range 300 {
				c.step()
			}
			must(t, q.Close())
			must(t, db.Close())
			if c.torn == 0 {
				t.Error("no crash lost anything: the test shows nothing")
			}
		})
	}
}

const crashPartitions = 3

type crasher struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *vfs.MemFS
	db      *disk.DB
	q       *diskqueue.Queue
	now     time.Time
	heads   [crashPartitions]freshet.Offset
	leases  []jobqueue.Lease
	state   queueState
	history []string // the state after each write, as text
	synced  int      // history[synced] is on disk for sure
	torn    int      // crashes that lost something
}

// queueState is what should survive.
type queueState struct {
	attempts map[freshet.JobID]int // begun, of each outstanding job
	dead     map[freshet.JobID]bool
	emitted  [crashPartitions]freshet.Offset // as written
}

func newState() queueState {
	return queueState{attempts: map[freshet.JobID]int{}, dead: map[freshet.JobID]bool{}}
}

func (s queueState) String() string { return fmt.Sprint(s.attempts, s.dead, s.emitted) } // fmt sorts maps

func (c *crasher) remember() { c.history = append(c.history, c.state.String()) }

func (c *crasher) step() {
	switch ctx := c.t.Context(); c.rng.IntN(10) {
	case 0, 1, 2:
		c.enqueue()
	case 3, 4:
		c.now = c.now.Add(time.Duration(c.rng.IntN(5)) * time.Second)
		leases, err := c.q.Lease(ctx, c.now, 10*time.Second, 1+c.rng.IntN(8))
		must(c.t, err)
		for _, l := range leases {
			c.state.attempts[l.Job.ID]++
		}
		if len(leases) > 0 {
			c.remember()
		}
		c.leases = append(c.leases, leases...)
	case 5, 6:
		c.answer(func(l jobqueue.Lease) error { return c.q.Ack(ctx, l, jobqueue.Attempt{At: 1}, 100) }, func(id freshet.JobID) { delete(c.state.attempts, id) })
	case 7:
		c.answer(func(l jobqueue.Lease) error { return c.q.Bury(ctx, l, jobqueue.Attempt{At: 1, Error: "dead"}) }, func(id freshet.JobID) {
			delete(c.state.attempts, id)
			c.state.dead[id] = true
		})
	case 8:
		if c.rng.IntN(3) == 0 {
			must(c.t, c.db.Pebble().LogData(nil, pebble.Sync)) // as an append to the event log does
			c.synced = len(c.history) - 1
		} else if len(c.state.dead) > 3 {
			c.redrive()
		}
	case 9:
		if c.rng.IntN(2) == 0 {
			c.crash()
		}
	}
}

// enqueue adds the jobs of some events of a partition; some events make none.
func (c *crasher) enqueue() {
	p := freshet.Partition(c.rng.IntN(crashPartitions))
	var jobs []freshet.Job
	for range c.rng.IntN(30) {
		c.heads[p]++
		if c.rng.IntN(3) > 0 {
			jobs = append(jobs, crashJob(p, c.heads[p]))
		}
	}
	c.heads[p] += freshet.Offset(c.rng.IntN(3))
	must(c.t, c.q.Enqueue(c.t.Context(), p, 1, c.heads[p], jobs))
	if len(jobs) == 0 {
		return
	}
	for _, j := range jobs {
		c.state.attempts[j.ID] = 0
	}
	c.state.emitted[p] = c.heads[p]
	c.remember()
}

func crashJob(p freshet.Partition, o freshet.Offset) freshet.Job {
	cause := freshet.Place{Partition: p, Offset: o}
	return freshet.Job{ID: freshet.MakeJobID("today", cause), Pipeline: "today", Cause: cause,
		Entity: freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprintf("u%d", o%7))}}
}

func (c *crasher) answer(do func(jobqueue.Lease) error, done func(freshet.JobID)) {
	if len(c.leases) == 0 {
		return
	}
	i := c.rng.IntN(len(c.leases))
	l := c.leases[i]
	c.leases = slices.Delete(c.leases, i, i+1)
	err := do(l)
	if freshet.CodeOf(err) == freshet.PreconditionFailed {
		return // leased again since
	}
	must(c.t, err)
	done(l.Job.ID)
	c.remember()
}

func (c *crasher) redrive() {
	ids := slices.Sorted(maps.Keys(c.state.dead))[:2]
	_, err := c.q.Redrive(c.t.Context(), ids, 0)
	must(c.t, err)
	for _, id := range ids {
		delete(c.state.dead, id)
		c.state.attempts[id] = 0
	}
	c.remember()
}

// crash opens what would be left if the machine stopped now.
func (c *crasher) crash() {
	left := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: c.rng})
	db, err := disk.Open("data", &disk.Options{FS: left})
	must(c.t, err)
	defer func() { must(c.t, db.Close()) }()
	q, err := diskqueue.New(db)
	must(c.t, err)
	defer func() { must(c.t, q.Close()) }()
	found := c.read(q)
	at := len(c.history) - 1
	for at >= 0 && c.history[at] != found.String() {
		at--
	}
	if at < c.synced {
		c.t.Fatalf("after a crash the queue is\n%v\nwhich it never was since the last sync; it was\n%v", found, c.state)
	}
	if at < len(c.history)-1 {
		c.torn++
	}
	c.replay(q, found)
}

// read asks a reopened queue for all it has.
func (c *crasher) read(q *diskqueue.Queue) queueState {
	s := newState()
	leases, err := q.Lease(c.t.Context(), c.now, time.Second, 1<<20)
	must(c.t, err)
	for _, l := range leases {
		s.attempts[l.Job.ID] = l.Attempt - 1
	}
	letters, err := q.DeadLetters(c.t.Context(), "", 1<<20)
	must(c.t, err)
	for _, l := range letters {
		s.dead[l.Job.ID] = true
	}
	for p := range s.emitted {
		s.emitted[p] = q.Emitted(freshet.Partition(p))
	}
	return s
}

// replay makes all jobs of the log again, as if every event made one: those through the emitted offset are not added.
func (c *crasher) replay(q *diskqueue.Queue, found queueState) {
	want := len(found.attempts)
	for p, head := range c.heads {
		var jobs []freshet.Job
		for o := freshet.Offset(1); o <= head; o++ {
			jobs = append(jobs, crashJob(freshet.Partition(p), o))
			if o > found.emitted[p] {
				want++
			}
		}
		must(c.t, q.Enqueue(c.t.Context(), freshet.Partition(p), 1, head, jobs))
	}
	if got := q.Stats(); got.Queued+got.Leased != want || got.Dead != len(found.dead) {
		c.t.Fatalf("after the replay there are %+v, want %d outstanding and %d dead", got, want, len(found.dead))
	}
}
