// Package reader is a kit: the values of feature views for one entity at a moment T. It takes them from the stored rows
// where those know the moment, else from the event log, through the same code of package feature. It keeps nothing.
package reader

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/release"
)

// The events of one key that a read of the past holds in memory are bounded, and the bytes of what they say.
const (
	maxHistory      = 100_000
	maxHistoryBytes = 128 << 20
)

// past gives all events of a partition (eventlog.Log, or history.Log where old ones are elsewhere).
type past interface {
	Scan(context.Context, freshet.Partition, eventlog.Scan) iter.Seq2[*eventlog.Record, error]
}

// Reader reads values. It may be used concurrently.
type Reader struct {
	rows    *featurestore.Store
	log     past
	buffers sync.Pool // of *buffer
	sampler sampler

	maxEvents, maxBytes int // of one key, in a read of the past
}

// buffer holds what one read needs beside its answer.
type buffer struct {
	ids  []freshet.ViewID
	rows []freshet.Row
}

// New returns a Reader over the rows and the log that they were made of.
func New(rows *featurestore.Store, log past) *Reader {
	return &Reader{
		rows: rows, log: log, buffers: sync.Pool{New: func() any { return &buffer{} }}, sampler: newSampler(),
		maxEvents: maxHistory, maxBytes: maxHistoryBytes,
	}
}

// Values appends to dst all features of views, in order, for the entity with key at the moment at; the views are of one
// entity kind. With known, only events that had arrived by then count.
//
// A moment before an entity's last event is answered from the log, from the events that the windows see then: it takes a look
// at the keys of all events of the partition since.
func (r *Reader) Values(ctx context.Context, rel *release.Opened, views []*feature.View, key freshet.Key, at freshet.Timestamp, known bool, dst []expression.Value) ([]expression.Value, error) {
	if known {
		return r.history(ctx, rel, views, key, at, known, dst)
	}
	b := r.buffers.Get().(*buffer)
	defer r.buffers.Put(b)
	var err error
	if b.rows, err = r.Rows(ctx, b.rows[:0], views, key); err != nil {
		return dst, err
	}
	return r.Read(ctx, rel, views, b.rows, key, at, dst)
}

// Rows appends to dst the stored rows of views for the entity with key, for Read. A caller that fixes its moment after it
// has taken all rows never needs the log: no row is newer than the clock.
func (r *Reader) Rows(ctx context.Context, dst []freshet.Row, views []*feature.View, key freshet.Key) ([]freshet.Row, error) {
	if len(views) == 0 {
		return dst, nil
	}
	b := r.buffers.Get().(*buffer)
	defer r.buffers.Put(b)
	b.ids = b.ids[:0]
	for _, v := range views {
		b.ids = append(b.ids, v.ID())
	}
	return r.rows.Get(ctx, dst, key, b.ids...)
}

// Read is Values over rows that Rows has taken.
func (r *Reader) Read(ctx context.Context, rel *release.Opened, views []*feature.View, rows []freshet.Row, key freshet.Key, at freshet.Timestamp, dst []expression.Value) ([]expression.Value, error) {
	start := len(dst)
	for i, v := range views {
		var err error
		if rows[i].Data != nil || !v.Removable() {
			dst, err = read(rel, v, rows[i].Data, at, dst)
		} else {
			dst, err = r.none(rel, v, key, at, dst)
		}
		if errors.Is(err, feature.ErrHistory) {
			return r.history(ctx, rel, views, key, at, false, dst[:start])
		}
		if err != nil {
			return dst[:start], freshet.Errorf("", "view %s of %q: %w", v.Name(), key, err)
		}
	}
	r.sampler.offer(rel, views, rows, at, dst[start:])
	return dst, nil
}

// none reads a row that is not there: never was, or has been removed by a sweep.
func (r *Reader) none(rel *release.Opened, v *feature.View, key freshet.Key, at freshet.Timestamp, dst []expression.Value) ([]expression.Value, error) {
	removed, err := r.rows.Removed(key, v.ID())
	if err != nil {
		return dst, err
	}
	if at < removed {
		return dst, feature.ErrHistory
	}
	return read(rel, v, nil, at, dst)
}

func read(rel *release.Opened, v *feature.View, data []byte, at freshet.Timestamp, dst []expression.Value) ([]expression.Value, error) {
	s := rel.Scratch(v)
	defer rel.ReturnScratch(v, s)
	return v.Read(s, data, at, dst)
}

// history computes the values from the events of key, which it picks out of its partition.
func (r *Reader) history(ctx context.Context, rel *release.Opened, views []*feature.View, key freshet.Key, at freshet.Timestamp, known bool, dst []expression.Value) ([]expression.Value, error) {
	if len(views) == 0 {
		return dst, nil
	}
	since := at
	for _, v := range views {
		since = min(since, v.Since(at))
	}
	events, err := r.events(ctx, rel, freshet.Entity{Kind: views[0].Entity(), Key: key}, since)
	if err != nil {
		return dst, err
	}
	for _, v := range views {
		s := rel.Scratch(v)
		dst, err = v.Compute(s, events, at, known, dst)
		rel.ReturnScratch(v, s)
		if err != nil {
			return dst, freshet.Errorf("", "view %s of %q at %s: %w", v.Name(), key, at, err)
		}
	}
	return dst, nil
}

// events are those about e that happened at since or after, in the order of the log.
func (r *Reader) events(ctx context.Context, rel *release.Opened, e freshet.Entity, since freshet.Timestamp) ([]feature.HistoricEvent, error) {
	schema := rel.Project().Schema
	var held struct { // together: the loop moves to the heap what it changes
		events []feature.HistoricEvent
		bytes  int
	}
	scan := eventlog.Scan{
		Match:     func(kind, key []byte) bool { return string(key) == string(e.Key) && string(kind) == string(e.Kind) },
		NotBefore: since, // no event is taken before it happens
	}
	for record, err := range r.log.Scan(ctx, freshet.PartitionOf(e.Key), scan) {
		if err != nil {
			return nil, err
		}
		if record.Event.EventTime < since {
			continue
		}
		rec := schema.NewRecord()
		if err := schema.DecodeEvent(&record.Event, rec); err != nil {
			continue // of a type that the project no longer has; the receiver has counted it
		}
		held.bytes += len(record.Event.Payload)
		if len(held.events) == r.maxEvents || held.bytes > r.maxBytes {
			return nil, freshet.Errorf(freshet.Unprocessable, "%s has more than %d events, or %d bytes of them; a read of its past is not possible", e, r.maxEvents, r.maxBytes)
		}
		held.events = append(held.events, feature.HistoricEvent{Record: rec, MaxEventTime: record.MaxEventTime})
	}
	return held.events, nil
}

// RowInfo tells about the stored row of key in v: the event time of its last event and its offset. ok is false without a
// row.
func (r *Reader) RowInfo(ctx context.Context, v *feature.View, key freshet.Key) (last freshet.Timestamp, offset freshet.Offset, ok bool, err error) {
	rows, err := r.rows.Get(ctx, nil, key, v.ID())
	if err != nil || rows[0].Data == nil {
		return 0, 0, false, err
	}
	last, err = v.LastEventTime(rows[0].Data)
	return last, rows[0].Offset, err == nil, err
}
