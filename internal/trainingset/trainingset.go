// Package trainingset is a kit: the values of features at many past moments, for training. It reads rows of (key, time)
// from a file and writes them again with the values that an online read of that key at that time gives, through the same
// code of package feature. docs/guide/training-sets.md shows its use.
//
// It streams: the rows are divided by partition into temporary files, each partition's events are read once, and the
// results are put together in the order of the rows. It never changes what it reads.
package trainingset

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/release"
)

// Options say what to write.
type Options struct {
	Entities   string   // the file of rows: .csv or .parquet; required
	TimeColumn string   // of the moments. Defaults to "event_time"
	Features   []string // "view.feature", "view", "table.column" or "table", in the order of the output; required
	Output     string   // the file to write: .csv or .parquet; required. It appears when it is whole
	// Known counts only events that had arrived by the moment: what serving could know then. Otherwise all that had
	// happened by then.
	Known bool
	// FullNames calls the columns view__feature instead of feature.
	FullNames bool
	// Workers is how many partitions are worked on at once. Defaults to the number of cores.
	Workers int
	// MaxBytes bounds the events that a worker holds, about; a partition with more is read several times. Defaults to
	// 256 MiB.
	MaxBytes int
	// Progress hears how far it is, from several goroutines. It may be nil.
	Progress func(Progress)
}

// Progress is how far the work is.
type Progress struct {
	Rows    int64 // read from the file of entities
	Events  int64 // of Total looked at
	Total   int64 // 0 while rows are read
	Written int64 // rows
}

// Summary is what was done.
type Summary struct {
	Rows    int64    `json:"rows"`
	Events  int64    `json:"events"` // looked at
	Columns []string `json:"columns"`
}

// past gives all events of a partition: history.Log.
type past interface {
	Scan(context.Context, freshet.Partition, eventlog.Scan) iter.Seq2[*eventlog.Record, error]
	Head(freshet.Partition) freshet.Offset
}

// Write writes the training set that o asks for, from the events of log and the tables of rel. InvalidArgument and
// NotFound say what is wrong with o or with the file of entities, naming lines; then nothing is written.
func Write(ctx context.Context, log past, rel *release.Opened, o Options) (Summary, error) {
	o = o.withDefaults()
	source, err := openSource(o.Entities)
	if err != nil {
		return Summary{}, err
	}
	defer source.Close()
	plan, err := newPlan(rel, source.Columns(), o)
	if err != nil {
		return Summary{}, err
	}
	if err := checkOutput(o.Output); err != nil {
		return Summary{}, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(o.Output), ".freshet-export-")
	if err != nil {
		return Summary{}, freshet.Errorf(freshet.InvalidArgument, "output %s: %w", o.Output, err)
	}
	defer os.RemoveAll(dir)
	e := &export{log: log, rel: rel, o: o, plan: plan, dir: dir}
	if err := e.divide(ctx, source); err != nil {
		return Summary{}, err
	}
	if err := e.compute(ctx); err != nil {
		return Summary{}, err
	}
	if err := e.collect(ctx); err != nil {
		return Summary{}, err
	}
	return Summary{Rows: e.rows.Load(), Events: e.events.Load(), Columns: plan.names()}, nil
}

func (o Options) withDefaults() Options {
	if o.TimeColumn == "" {
		o.TimeColumn = "event_time"
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	return o
}

// export is one training set under way.
type export struct {
	log   past
	rel   *release.Opened
	o     Options
	plan  *plan
	dir   string
	types []cellKind // of the input columns in the output

	rows, events, total, written atomic.Int64
}

func (e *export) progress() {
	if e.o.Progress != nil {
		e.o.Progress(Progress{Rows: e.rows.Load(), Events: e.events.Load(), Total: e.total.Load(), Written: e.written.Load()})
	}
}

// progressRows is after how many rows progress is told.
const progressRows = 1000

// divide reads the rows and puts each where the events of its entities are. It finds all bad rows, up to a few, before
// anything expensive begins.
func (e *export) divide(ctx context.Context, source source) error {
	spill := newSpill(e.dir)
	defer spill.abandon()
	bad := badRows{file: e.o.Entities}
	for {
		cells, err := source.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = e.request(cells, spill, &bad, source.Line())
		}
		if err != nil {
			return err
		}
		if n := e.rows.Add(1); n%progressRows == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			e.progress()
		}
	}
	if err := bad.err(); err != nil {
		return err
	}
	e.types = source.Kinds()
	return spill.finish()
}

// request puts one row into the files of its partitions.
func (e *export) request(cells []cell, spill *spill, bad *badRows, line int) error {
	at, err := e.plan.moment(cells)
	if err != nil {
		return bad.add(line, err)
	}
	for i := range e.plan.kinds {
		key, err := e.plan.kinds[i].key(cells)
		if err != nil {
			return bad.add(line, err)
		}
		if len(e.plan.kinds[i].views) == 0 {
			continue // tables only: looked up when the row is written
		}
		if err := spill.add(freshet.PartitionOf(key), request{row: e.rows.Load(), kind: i, key: key, at: at}); err != nil {
			return err
		}
	}
	return nil
}

// compute works on all partitions that rows ask for.
func (e *export) compute(ctx context.Context) error {
	partitions := []freshet.Partition{}
	for p := range freshet.Partition(freshet.Partitions) {
		if _, err := os.Stat(requestsFile(e.dir, p)); err == nil {
			partitions = append(partitions, p)
			e.total.Add(int64(e.log.Head(p)))
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(e.o.Workers)
	for _, p := range partitions {
		group.Go(func() error {
			w := newWorker(e, p)
			if err := w.run(ctx); err != nil {
				return freshet.Errorf("", "partition %d: %w", p, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// collect reads the rows again, and behind each writes its values.
func (e *export) collect(ctx context.Context) error {
	source, err := openSource(e.o.Entities)
	if err != nil {
		return err
	}
	defer source.Close()
	results := newResults(e.dir)
	defer results.close()
	out, err := e.create(source)
	if err != nil {
		return err
	}
	defer out.abandon()
	values := e.plan.row()
	for row := int64(0); row < e.rows.Load(); row++ {
		cells, err := source.Next()
		if err != nil {
			return freshet.Errorf(freshet.Unprocessable, "%s changed while it was read: %w", e.o.Entities, err)
		}
		if err := e.plan.fill(values, cells, row, results); err != nil {
			return err
		}
		if err := out.write(cells, values); err != nil {
			return outputError(e.o.Output, err)
		}
		if n := e.written.Add(1); n%progressRows == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			e.progress()
		}
	}
	return out.finish()
}

func outputError(path string, err error) error {
	return freshet.Errorf(freshet.Internal, "output %s: %w", path, err)
}
