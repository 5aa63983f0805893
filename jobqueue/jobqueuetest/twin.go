package jobqueuetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

// testTwin does the same random things with the driver and with memqueue, whose structures are the obvious ones, and compares
// all they say.
func testTwin(t *testing.T, s *suite) {
	rapid.Check(t, func(r *rapid.T) {
		scope := &scope{TB: t}
		defer scope.end()
		w := &twins{t: r, real: s.Open(scope), plain: memqueue.New(), now: s.now}
		defer func() { must(r, w.real.Close()) }()
		r.Repeat(map[string]func(*rapid.T){
			"enqueue": w.enqueue,
			"lease":   w.lease,
			"wait": func(r *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 12).Draw(r, "seconds")) * time.Second)
			},
			"ack": func(r *rapid.T) {
				w.answer(r, func(d jobqueue.Driver, l jobqueue.Lease) error { return d.Ack(t.Context(), l, made, kept) })
			},
			"retry": func(r *rapid.T) {
				at := w.now.Add(time.Duration(rapid.IntRange(-1, 5).Draw(r, "seconds")) * time.Second)
				w.answer(r, func(d jobqueue.Driver, l jobqueue.Lease) error {
					return d.Retry(t.Context(), l, at, failed(1, at.String()))
				})
			},
			"bury": func(r *rapid.T) {
				w.answer(r, func(d jobqueue.Driver, l jobqueue.Lease) error { return d.Bury(t.Context(), l, failed(1, "dead")) })
			},
			"redrive": w.redrive,
			"drop":    w.drop,
			"erase":   w.erase,
			"list":    w.list,
			"reopen": func(r *rapid.T) {
				// A plain queue cannot forget its leases, so there must be none.
				if s.Reopen == nil || w.plain.Stats().Leased > 0 || !w.plain.NextVisible().IsZero() {
					r.Skip()
				}
				w.real = s.Reopen(scope, w.real)
				w.sayEmitted()
				for _, d := range []jobqueue.Driver{w.real, w.plain} { // those whose delay is over
					_, err := d.Lease(t.Context(), w.now, visible, 0)
					must(r, err)
				}
			},
			"": w.compare,
		})
	})
}

// scope is a test that ends before its test does: what Open leaves for the end is done after each of rapid's cases.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// twins are two queues that should not be told apart.
type twins struct {
	t           *rapid.T
	real, plain jobqueue.Driver
	now         time.Time
	heads       [freshet.Partitions]freshet.Offset
	leases      [][2]jobqueue.Lease // all that were ever given
}

const twinSubjects = 3

func (w *twins) enqueue(r *rapid.T) {
	sub := subject(rapid.IntRange(0, twinSubjects-1).Draw(r, "subject"))
	p := partitionOf(sub)
	var jobs []freshet.Job
	through := w.heads[p]
	for range rapid.IntRange(0, 5).Draw(r, "jobs") {
		through += freshet.Offset(rapid.IntRange(0, 2).Draw(r, "gap"))
		if o := through; o > 0 {
			jobs = append(jobs, makeJob(sub, o-min(o-1, freshet.Offset(rapid.IntRange(0, 2).Draw(r, "back")))))
		}
	}
	priority := freshet.Priority(rapid.IntRange(-1, 1).Draw(r, "priority"))
	for i := range jobs {
		jobs[i].Priority = priority
		if rapid.Bool().Draw(r, "delayed") {
			jobs[i].NotBefore = freshet.TimestampOf(w.now.Add(time.Duration(rapid.IntRange(0, 8).Draw(r, "delay")) * time.Second))
		}
	}
	w.heads[p] = through
	for _, d := range []jobqueue.Driver{w.real, w.plain} {
		must(r, d.Enqueue(r.Context(), p, 1, through, slices.Clone(jobs)))
	}
}

func (w *twins) lease(r *rapid.T) {
	n := rapid.IntRange(0, 4).Draw(r, "n")
	a, err := w.real.Lease(r.Context(), w.now, visible, n)
	must(r, err)
	b, err := w.plain.Lease(r.Context(), w.now, visible, n)
	must(r, err)
	if len(a) != len(b) {
		r.Fatalf("leased %d, want %d", len(a), len(b))
	}
	for i := range a {
		x, y := a[i], b[i]
		x.Token, y.Token = 0, 0
		if x != y {
			r.Fatalf("leased %+v, want %+v", x, y)
		}
		w.leases = append(w.leases, [2]jobqueue.Lease{a[i], b[i]})
	}
}

func (w *twins) answer(r *rapid.T, do func(jobqueue.Driver, jobqueue.Lease) error) {
	if len(w.leases) == 0 {
		r.Skip()
	}
	l := w.leases[rapid.IntRange(max(0, len(w.leases)-6), len(w.leases)-1).Draw(r, "lease")]
	a, b := do(w.real, l[0]), do(w.plain, l[1])
	if freshet.CodeOf(a) != freshet.CodeOf(b) {
		r.Fatalf("answer to %+v: %v, want %v", l[0], a, b)
	}
}

func (w *twins) redrive(r *rapid.T) {
	letters, err := w.plain.DeadLetters(r.Context(), "", 100)
	must(r, err)
	var ids []freshet.JobID
	for _, l := range letters {
		if rapid.Bool().Draw(r, "this") {
			ids = append(ids, l.Job.ID)
		}
	}
	a, err := w.real.Redrive(r.Context(), ids, 0)
	must(r, err)
	b, err := w.plain.Redrive(r.Context(), ids, 0)
	must(r, err)
	if a != b {
		r.Fatalf("redrove %d, want %d", a, b)
	}
}

func (w *twins) drop(r *rapid.T) {
	letters, err := w.plain.DeadLetters(r.Context(), "", 2)
	must(r, err)
	var ids []freshet.JobID
	for _, l := range letters {
		ids = append(ids, l.Job.ID)
	}
	w.same(r, "dropped", func(d jobqueue.Driver) (int, error) { return d.Drop(r.Context(), ids) })
}

func (w *twins) erase(r *rapid.T) {
	if !rapid.SampledFrom([]bool{true, false, false, false}).Draw(r, "really") {
		r.Skip()
	}
	e := subject(rapid.IntRange(0, twinSubjects-1).Draw(r, "subject")).Entity
	w.same(r, "erased", func(d jobqueue.Driver) (int, error) { return d.Erase(r.Context(), e) })
}

func (w *twins) same(r *rapid.T, what string, do func(jobqueue.Driver) (int, error)) {
	a, err := do(w.real)
	must(r, err)
	b, err := do(w.plain)
	must(r, err)
	if a != b {
		r.Fatalf("%s %d, want %d", what, a, b)
	}
}

// list compares what both list: more than can be done after every step.
func (w *twins) list(r *rapid.T) {
	if a, b := w.jobs(r, w.real), w.jobs(r, w.plain); a != b {
		r.Fatalf("jobs\n%swant\n%s", a, b)
	}
}

// jobs are all that a queue lists.
func (w *twins) jobs(r *rapid.T, d jobqueue.Driver) string {
	var text string
	for _, leased := range []bool{false, true} {
		var all []jobqueue.Info
		for after := ""; ; {
			some, next, err := d.List(r.Context(), leased, after, 2)
			must(r, err)
			all = append(all, some...)
			if after = next; next == "" {
				break
			}
		}
		done, _, err := d.Done(r.Context(), "", kept)
		must(r, err)
		text += fmt.Sprintf("%+v\n", done)
		slices.SortFunc(all, func(a, b jobqueue.Info) int { return strings.Compare(string(a.Job.ID), string(b.Job.ID)) })
		for _, x := range all {
			text += fmt.Sprintf("%+v\n", x)
		}
	}
	return text
}

// sayEmitted tells a reopened queue how far the events had made their jobs, as a partition's owner does.
func (w *twins) sayEmitted() {
	for p, through := range w.heads {
		must(w.t, w.real.Enqueue(w.t.Context(), freshet.Partition(p), 1, through, nil))
	}
}

func (w *twins) compare(r *rapid.T) {
	if a, b := w.real.Stats(), w.plain.Stats(); a != b {
		r.Fatalf("stats %+v, want %+v", a, b)
	}
	if a, b := w.real.NextVisible(), w.plain.NextVisible(); !a.Equal(b) {
		r.Fatalf("next visible %v, want %v", a, b)
	}
	a, err := w.real.DeadLetters(r.Context(), "", 100)
	must(r, err)
	b, err := w.plain.DeadLetters(r.Context(), "", 100)
	must(r, err)
	if !slices.Equal(a, b) {
		r.Fatalf("dead letters %+v, want %+v", a, b)
	}
	for i := range twinSubjects {
		sub := subject(i)
		if a, b := w.real.Emitted(partitionOf(sub)), w.plain.Emitted(partitionOf(sub)); a != b {
			r.Fatalf("emitted %d, want %d", a, b)
		}
		for through := range w.heads[partitionOf(sub)] + 2 {
			a, err := w.real.StateOf(r.Context(), sub, through)
			must(r, err)
			b, err := w.plain.StateOf(r.Context(), sub, through)
			must(r, err)
			if a != b {
				r.Fatalf("state of %v through %d is %d, want %d", sub, through, a, b)
			}
		}
	}
}
