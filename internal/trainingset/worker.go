package trainingset

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature/expression"
)

// worker computes what is asked of one partition.
type worker struct {
	e         *export
	partition freshet.Partition
	requests  []request
	subjects  []subject             // in the order of their keys
	index     []map[freshet.Key]int // by kind: into subjects
	kinds     map[string]int        // the plan's, by name
	answers   [][]byte              // of each request
	replays   []replay              // by kind
	values    []expression.Value    // scratch
	counted   freshet.Offset        // of the events, in the export's progress
}

// subject is an entity that rows ask about.
type subject struct {
	kind     int
	key      freshet.Key
	requests []int // in the order of their moments
	events   []eventlog.Record
}

func newWorker(e *export, p freshet.Partition) *worker {
	w := &worker{e: e, partition: p, kinds: map[string]int{}}
	for i := range e.plan.kinds {
		k := &e.plan.kinds[i]
		w.kinds[string(k.kind)] = i
		w.index = append(w.index, map[freshet.Key]int{})
		w.replays = append(w.replays, newReplay(e.rel, k.views, e.o.Known, e.o.MaxBytes))
	}
	return w
}

// run answers all requests of the partition. The events of all its subjects are gathered in one pass; if they are too
// many, those of the first subjects are, and the others come with the next pass.
func (w *worker) run(ctx context.Context) error {
	var err error
	if w.requests, err = readRequests(w.e.dir, w.partition); err != nil {
		return err
	}
	w.answers = make([][]byte, len(w.requests))
	w.group()
	for begin := 0; begin < len(w.subjects); {
		end, err := w.gather(ctx, begin)
		if err != nil {
			return err
		}
		for i := begin; i < end; i++ {
			if err := w.answer(&w.subjects[i]); err != nil {
				return err
			}
			w.subjects[i].events = nil
		}
		begin = end
	}
	return w.write()
}

// group finds the subjects of the requests.
func (w *worker) group() {
	for i, r := range w.requests {
		at, ok := w.index[r.kind][r.key]
		if !ok {
			at = len(w.subjects)
			w.index[r.kind][r.key] = at
			w.subjects = append(w.subjects, subject{kind: r.kind, key: r.key})
		}
		w.subjects[at].requests = append(w.subjects[at].requests, i)
	}
	for i := range w.subjects {
		slices.SortStableFunc(w.subjects[i].requests, func(a, b int) int { return cmp.Compare(w.requests[a].at, w.requests[b].at) })
	}
}

// recordBytes is about what an event holds besides its payload.
const recordBytes = 200

// gather reads the events of the subjects from begin on, to end at most: as many as there is room for, at least one.
func (w *worker) gather(ctx context.Context, begin int) (end int, err error) {
	end = len(w.subjects)
	size, last := 0, freshet.Offset(0)
	// Who is asked about: a subject that has not had its turn yet.
	find := func(kind, key []byte) (at int, ok bool) {
		k, ok := w.kinds[string(kind)]
		if !ok {
			return 0, false
		}
		at, ok = w.index[k][freshet.Key(key)]
		return at, ok && at >= begin && at < end
	}
	scan := eventlog.Scan{
		Match:     func(kind, key []byte) bool { _, ok := find(kind, key); return ok },
		NotBefore: w.since(begin),
	}
	for record, err := range w.e.log.Scan(ctx, w.partition, scan) {
		if err != nil {
			return 0, err
		}
		if record.Offset-last >= progressRows {
			last = record.Offset
			w.count(last)
		}
		at, ok := find([]byte(record.Entity.Kind), []byte(record.Entity.Key))
		if !ok || !w.replays[w.subjects[at].kind].needs(record, w.first(at), w.last(at)) {
			continue
		}
		w.subjects[at].events = append(w.subjects[at].events, *record)
		size += len(record.Event.Payload) + recordBytes
		for size > w.e.o.MaxBytes && end-begin > 1 {
			middle := begin + (end-begin)/2
			size -= w.forget(middle, end)
			end = middle
		}
	}
	w.count(w.e.log.Head(w.partition))
	return end, nil
}

// forget drops the events of subjects, whose turn comes later, and returns their size.
func (w *worker) forget(begin, end int) int {
	size := 0
	for i := begin; i < end; i++ {
		for _, r := range w.subjects[i].events {
			size += len(r.Event.Payload) + recordBytes
		}
		w.subjects[i].events = nil
	}
	return size
}

// count tells how far the events of the partition have been looked at, the first time.
func (w *worker) count(through freshet.Offset) {
	if through > w.counted {
		w.e.events.Add(int64(through - w.counted))
		w.counted = through
		w.e.progress()
	}
}

func (w *worker) first(subject int) freshet.Timestamp {
	return w.requests[w.subjects[subject].requests[0]].at
}

func (w *worker) last(subject int) freshet.Timestamp {
	requests := w.subjects[subject].requests
	return w.requests[requests[len(requests)-1]].at
}

// since is a moment before which nothing that happened counts for the subjects from begin on.
func (w *worker) since(begin int) freshet.Timestamp {
	since := freshet.Timestamp(math.MaxInt64)
	for i := begin; i < len(w.subjects); i++ {
		since = min(since, w.replays[w.subjects[i].kind].since(w.first(i)))
	}
	return since
}

// answer computes the values of one subject at all its moments.
func (w *worker) answer(s *subject) error {
	r := &w.replays[s.kind]
	if err := r.begin(s.events); err != nil {
		return freshet.Errorf("", "%s %q: %w", w.e.plan.kinds[s.kind].kind, s.key, err)
	}
	for _, i := range s.requests {
		var err error
		if w.values, err = r.values(w.requests[i].at, w.values[:0]); err != nil {
			return freshet.Errorf("", "%s %q at %s: %w", w.e.plan.kinds[s.kind].kind, s.key, w.requests[i].at, err)
		}
		answer := binary.AppendUvarint(nil, uint64(w.requests[i].row))
		w.answers[i] = appendValues(answer, w.values)
	}
	return nil
}

// write writes the answers in the order of the rows.
func (w *worker) write() error {
	f, err := createSpill(resultsFile(w.e.dir, w.partition))
	if err != nil {
		return err
	}
	for _, a := range w.answers {
		if err := f.frame(a); err != nil {
			_ = f.f.Close() // it goes with its folder
			return err
		}
	}
	return f.finish()
}
