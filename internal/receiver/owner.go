package receiver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/release"
)

// owner is the work on one partition under one epoch. One goroutine uses it.
type owner struct {
	r      *Receiver
	p      freshet.Partition
	epoch  freshet.Epoch
	next   freshet.Offset // of the first event that is not applied
	stream *stream

	unsaved  int       // row changes since the last checkpoint
	bytes    int       // of them
	saveAt   time.Time // when a checkpoint is due; zero while nothing is unsaved
	deadline context.Context
	cancel   context.CancelFunc // of deadline

	records []eventlog.Record
	stored  []freshet.Row
	rows    []freshet.Row  // changed by the batch, each once
	index   map[rowKey]int // into rows
	jobs    []freshet.Job
	empty   []byte // row data of an entity whose row was removed
	scratch map[freshet.ViewID]*feature.Scratch
}

type rowKey struct {
	view freshet.ViewID
	key  freshet.Key
}

func newOwner(r *Receiver, p freshet.Partition, own featurestore.Ownership) *owner {
	o := &owner{
		r: r, p: p, epoch: own.Epoch, next: own.Checkpoint + 1, stream: &r.streams[p],
		index: map[rowKey]int{}, scratch: map[freshet.ViewID]*feature.Scratch{},
	}
	o.stream.begin(own, r.o.Now())
	return o
}

// recall finds out how far event time was at the checkpoint. Where that cannot be read the watermark is unknown until the next
// event, which stops nothing.
func (o *owner) recall(ctx context.Context, checkpoint freshet.Offset) {
	if checkpoint == 0 {
		return
	}
	records, err := o.r.log.Read(ctx, o.records[:0], o.p, checkpoint, 1)
	if err != nil && ctx.Err() == nil {
		o.r.o.Logger.Warn("the watermark is unknown until the next event", slog.Int("partition", int(o.p)), slog.Any("error", err))
	}
	if err == nil && len(records) > 0 {
		o.stream.recall(&records[0], o.r.live.Load().Project().Lateness)
	}
}

// batch applies records as one micro-batch. Rows come first, then jobs, then at leisure the checkpoint: a crash after
// the rows repeats the jobs, which the queue recognises by their offset; the other order would run a job on old rows.
func (o *owner) batch(ctx context.Context, records []eventlog.Record) error {
	rel := o.r.live.Load()
	rec := rel.Record()
	defer rel.Return(rec)
	o.rows, o.jobs = o.rows[:0], o.jobs[:0]
	clear(o.index)
	now := freshet.TimestampOf(o.r.o.Now())
	for i := range records {
		if err := o.event(ctx, rel, rec, &records[i], now); err != nil {
			return err
		}
	}
	through := records[len(records)-1].Offset
	if err := o.r.features.Apply(ctx, o.p, o.epoch, through, o.rows); err != nil {
		return err
	}
	if err := o.r.jobs.Enqueue(ctx, o.p, o.epoch, through, o.jobs); err != nil {
		return err
	}
	o.next = through + 1
	o.unsaved += max(1, len(o.rows)) // progress without a row change is worth a checkpoint, too
	for i := range o.rows {
		o.bytes += len(o.rows[i].Data)
	}
	if o.saveAt.IsZero() {
		o.saveAt = o.r.o.Now().Add(o.r.o.CheckpointEvery)
	}
	o.stream.applied(records, rel.Project().Lateness, o.r.o.Now())
	return nil
}

// event brings the rows of one event's entity up to date and makes its jobs.
func (o *owner) event(ctx context.Context, rel *release.Opened, rec *feature.Record, e *eventlog.Record, now freshet.Timestamp) error {
	route := rel.Route(e.Event.Type, e.Entity.Kind)
	if len(route.Views) == 0 && len(route.Pipelines) == 0 {
		return nil
	}
	if err := rel.Project().Schema.DecodeEvent(&e.Event, rec); err != nil {
		// The door has checked the event against the project of its day; today's cannot read it.
		o.stream.unreadable(o.r.o.Logger, o.p, e.Offset, err)
		return nil
	}
	if err := o.views(ctx, route, rec, e); err != nil {
		return err
	}
	for _, p := range route.Pipelines {
		if !p.Triggers(rec) {
			continue
		}
		cause := freshet.Place{Partition: o.p, Offset: e.Offset}
		o.jobs = append(o.jobs, freshet.Job{
			ID: freshet.MakeJobID(p.Name, cause), Pipeline: p.Name, Entity: e.Entity, EventID: e.Event.ID,
			EventTime: e.Event.EventTime, Cause: cause, EnqueuedAt: now,
		})
	}
	return nil
}

func (o *owner) views(ctx context.Context, route release.Route, rec *feature.Record, e *eventlog.Record) error {
	if len(route.Views) == 0 {
		return nil
	}
	var err error
	if o.stored, err = o.r.features.Get(ctx, o.stored[:0], e.Entity.Key, route.ViewIDs...); err != nil {
		return err
	}
	for i, v := range route.Views {
		row := o.current(o.stored[i])
		if row.Offset >= e.Offset {
			continue // a replayed event: the row has it
		}
		data := row.Data
		if data == nil {
			if data, err = o.removed(v, row.Key); err != nil {
				return err
			}
		}
		next, outcome, err := v.Apply(o.scratchOf(v), data, rec, e.MaxEventTime)
		if err != nil {
			return freshet.Errorf("", "view %s of %s at offset %d: %w", v.Name(), e.Entity, e.Offset, err)
		}
		o.stream.count(outcome)
		if outcome != feature.Applied {
			continue
		}
		o.change(freshet.Row{View: row.View, Key: row.Key, Offset: e.Offset, Data: next})
	}
	return nil
}

// removed is what an entity without a row begins with: a sweep may have removed its row.
func (o *owner) removed(v *feature.View, key freshet.Key) ([]byte, error) {
	if !v.Removable() {
		return nil, nil
	}
	at, err := o.r.features.Removed(key, v.ID())
	if err != nil {
		return nil, err
	}
	o.empty = v.AppendRemoved(o.empty[:0], at)
	return o.empty, nil
}

// current is the row as the batch has changed it so far.
func (o *owner) current(stored freshet.Row) freshet.Row {
	if i, ok := o.index[rowKey{stored.View, stored.Key}]; ok {
		return o.rows[i]
	}
	return stored
}

func (o *owner) change(row freshet.Row) {
	k := rowKey{row.View, row.Key}
	if i, ok := o.index[k]; ok {
		o.rows[i] = row
		return
	}
	o.index[k] = len(o.rows)
	o.rows = append(o.rows, row)
}

func (o *owner) scratchOf(v *feature.View) *feature.Scratch {
	s, ok := o.scratch[v.ID()]
	if !ok {
		s = v.NewScratch()
		o.scratch[v.ID()] = s
	}
	return s
}

// due tells whether a checkpoint should be taken now.
func (o *owner) due() bool {
	return o.unsaved >= o.r.o.CheckpointRows || o.bytes >= o.r.o.CheckpointBytes || o.unsaved > 0 && !o.r.o.Now().Before(o.saveAt)
}

func (o *owner) checkpoint(ctx context.Context) error {
	if err := o.r.features.Checkpoint(ctx, o.p, o.epoch, o.r.live.Load().ViewIDs()); err != nil {
		return err
	}
	o.unsaved, o.bytes, o.saveAt = 0, 0, time.Time{}
	o.forgetDeadline()
	o.stream.saved(o.next-1, o.r.o.Now())
	return nil
}

// await returns when there is an event to apply or a checkpoint to take.
func (o *owner) await(ctx context.Context) error {
	if o.unsaved == 0 {
		return o.r.log.Wait(ctx, o.p, o.next)
	}
	if o.deadline == nil { // one timer for each checkpoint, not for each event
		o.deadline, o.cancel = context.WithTimeout(ctx, o.saveAt.Sub(o.r.o.Now()))
	}
	err := o.r.log.Wait(o.deadline, o.p, o.next)
	if err != nil && ctx.Err() == nil && errors.Is(o.deadline.Err(), context.DeadlineExceeded) {
		// With a clock that does not run with the timer's (a replay in event time) it is due now all the same.
		o.saveAt = o.r.o.Now()
		return nil
	}
	return err
}

func (o *owner) forgetDeadline() {
	if o.deadline != nil {
		o.cancel()
		o.deadline, o.cancel = nil, nil
	}
}

// leave gives the partition up because of err. If only ctx has ended, a last checkpoint spares the next start a replay.
func (o *owner) leave(ctx context.Context, err error) error {
	o.forgetDeadline()
	if ctx.Err() == nil {
		o.r.o.Logger.Error("partition stopped", slog.Int("partition", int(o.p)), slog.Any("error", err))
		return err
	}
	if o.unsaved == 0 {
		return nil
	}
	return o.checkpoint(context.WithoutCancel(ctx))
}
