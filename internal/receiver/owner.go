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

// owner is the work on one partition under one epoch. One goroutine uses it, so that filling a view and feeding the
// others never meet: a view joins those that are fed between two micro-batches, when it has what they have.
type owner struct {
	r      *Receiver
	p      freshet.Partition
	epoch  freshet.Epoch
	next   freshet.Offset // of the first event that is not applied
	stream *stream
	turns  *turns
	set    *release.Set // what is open, as of the last refresh
	drops  uint64       // of Receiver.drops, done

	fed    map[freshet.ViewID]bool           // have all events before next
	behind map[freshet.ViewID]freshet.Offset // have all events through the offset: being filled, or not open any more
	feeds  map[feedKey][]feed                // what a live event changes
	fill   fill

	jobless  bool            // rows have a batch whose jobs the queue may not have
	unsaved  int             // row changes since the last checkpoint
	bytes    int             // of them
	saveAt   time.Time       // when a checkpoint is due; zero while nothing is unsaved
	turn     context.Context // that deadline is a part of
	deadline context.Context
	cancel   context.CancelFunc // of deadline

	records []eventlog.Record
	decoded map[*release.Opened]*decoded
	stored  []freshet.Row
	rows    []freshet.Row  // changed by the batch, each once
	held    int            // bytes of their data
	index   map[rowKey]int // into rows
	jobs    []freshet.Job
	empty   []byte // row data of an entity whose row was removed
	scratch map[freshet.ViewID]*feature.Scratch
}

type rowKey struct {
	view freshet.ViewID
	key  freshet.Key
}

type feedKey struct {
	t    freshet.EventType
	kind freshet.EntityKind
}

// feed is a release.Feed with what the owner needs to follow it.
type feed struct {
	release.Feed
	decoded   *decoded
	scratches []*feature.Scratch // of the views
}

// decoded is the last event that was decoded by the schema of a release.
type decoded struct {
	rel    *release.Opened
	record *feature.Record
	offset freshet.Offset
	good   bool
}

func newOwner(r *Receiver, p freshet.Partition, set *release.Set, own featurestore.Ownership, turns *turns) *owner {
	o := &owner{
		r: r, p: p, epoch: own.Epoch, next: own.Checkpoint + 1, stream: &r.streams[p], turns: turns,
		fed: map[freshet.ViewID]bool{}, behind: own.Views, index: map[rowKey]int{},
	}
	for _, v := range set.Serving() {
		o.fed[v] = true // replay began where the rows of all of them are good
	}
	for v, through := range o.behind {
		if o.fed[v] {
			delete(o.behind, v)
			continue
		}
		// Kept ahead of where replay begins: it is taken back with the others, its rows skip what they have.
		o.behind[v] = min(through, own.Checkpoint)
	}
	o.stream.begin(own, r.o.Now())
	o.refresh()
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
		o.stream.recall(&records[0], o.lateness())
	}
}

// batch applies records as one micro-batch. Rows come first, then jobs, then at leisure the checkpoint: a crash after
// the rows repeats the jobs, which the queue recognises by their offset; the other order would run a job on old rows.
func (o *owner) batch(ctx context.Context, records []eventlog.Record) error {
	o.begin()
	now := freshet.TimestampOf(o.r.o.Now())
	for i := range records {
		if o.full(o.feedsOf(&records[i]), &records[i]) {
			records = records[:i] // the rest is a batch of its own
			break
		}
		if err := o.event(ctx, &records[i], now); err != nil {
			return err
		}
	}
	through := records[len(records)-1].Offset
	if err := o.r.features.Apply(ctx, o.p, o.epoch, through, o.rows); err != nil {
		return err
	}
	o.jobless = true
	if err := o.r.jobs.Enqueue(ctx, o.p, o.epoch, through, o.jobs); err != nil {
		return err
	}
	o.jobless = false
	o.next = through + 1
	o.changed(max(1, len(o.rows)), 1) // progress without a row change is worth a checkpoint, too
	o.stream.applied(records, o.lateness(), o.r.o.Now())
	return nil
}

// lateness is that of the live release.
func (o *owner) lateness() time.Duration {
	if live := o.set.Roles().Live; live != nil {
		return live.Project().Lateness
	}
	return 0
}

// begin empties what a batch collects.
func (o *owner) begin() {
	o.rows, o.jobs, o.held = o.rows[:0], o.jobs[:0], 0
	clear(o.index)
}

// rowOverhead is about what a row that waits for its checkpoint costs beside its key and data.
const rowOverhead = 128

// changed counts row changes towards the next checkpoint, and the bytes of the batch's rows: one in weight of both.
func (o *owner) changed(rows, weight int) {
	o.unsaved += max(1, rows/weight)
	bytes := 0
	for i := range o.rows {
		bytes += len(o.rows[i].Key) + len(o.rows[i].Data) + rowOverhead
	}
	o.bytes += bytes / weight
	if o.saveAt.IsZero() {
		o.saveAt = o.r.o.Now().Add(o.r.o.CheckpointEvery)
	}
}

// event brings the rows of one event's entity up to date and makes its jobs: those of the release that serves it.
func (o *owner) event(ctx context.Context, e *eventlog.Record, now freshet.Timestamp) error {
	if err := o.follow(ctx, o.feedsOf(e), e); err != nil {
		return err
	}
	o.makeJobs(e, now)
	return nil
}

// follow applies an event to the rows of the views of feeds.
func (o *owner) follow(ctx context.Context, feeds []feed, e *eventlog.Record) error {
	for i := range feeds {
		f := &feeds[i]
		rec, ok := o.decode(f.decoded, e)
		if !ok {
			continue
		}
		if err := o.views(ctx, f, rec, e); err != nil {
			return err
		}
	}
	return nil
}

func (o *owner) makeJobs(e *eventlog.Record, now freshet.Timestamp) {
	rel := o.set.For(e.Entity.Key)
	if rel == nil {
		return
	}
	for _, p := range rel.Route(e.Event.Type, e.Entity.Kind).Pipelines {
		rec, ok := o.decode(o.decodedBy(o.set.Decoder(rel)), e)
		if !ok || !p.Triggers(rec) {
			continue
		}
		cause := freshet.Place{Partition: o.p, Offset: e.Offset}
		j := freshet.Job{
			ID: freshet.MakeJobID(p.Name, cause), Pipeline: p.Name, Entity: e.Entity, EventID: e.Event.ID,
			EventTime: e.Event.EventTime, Cause: cause, EnqueuedAt: now, Priority: p.Priority,
		}
		if p.Debounce > 0 {
			j.NotBefore = e.Event.IngestTime.Add(p.Debounce) // in the log, so that a replay finds the same moment
		}
		o.jobs = append(o.jobs, j)
	}
}

// decodedBy holds what was decoded by the schema of rel.
func (o *owner) decodedBy(rel *release.Opened) *decoded {
	d := o.decoded[rel]
	if d == nil {
		d = &decoded{rel: rel, record: rel.Project().Schema.NewRecord()}
		o.decoded[rel] = d
	}
	return d
}

// decode reads an event into d, once for each event and release; ok is false if the release cannot read it.
func (o *owner) decode(d *decoded, e *eventlog.Record) (rec *feature.Record, ok bool) {
	if d.offset != e.Offset {
		err := d.rel.Project().Schema.DecodeEvent(&e.Event, d.record)
		d.offset, d.good = e.Offset, err == nil
		if err != nil && e.Offset >= o.next { // not once more while a view is filled
			// The door has checked the event against the project of its day; today's cannot read it.
			o.stream.unreadable(o.r.o.Logger, o.p, d.rel.ID(), e.Offset, err)
		}
	}
	return d.record, d.good
}

// views applies an event that was decoded to the rows of the views of feed.
func (o *owner) views(ctx context.Context, feed *feed, rec *feature.Record, e *eventlog.Record) error {
	past := e.Offset < o.next
	var err error
	if o.stored, err = o.r.features.Get(ctx, o.stored[:0], e.Entity.Key, feed.ViewIDs...); err != nil {
		return err
	}
	for i, v := range feed.Views {
		row := o.current(o.stored[i])
		if row.Offset >= e.Offset || past && o.behind[row.View] >= e.Offset {
			continue // a replayed event: the row has it
		}
		data := row.Data
		if data == nil {
			if data, err = o.removed(v, row.Key); err != nil {
				return err
			}
		}
		next, outcome, err := v.Apply(feed.scratches[i], data, rec, e.MaxEventTime)
		if err != nil {
			return freshet.Errorf("", "view %s of %s at offset %d: %w", v.Name(), e.Entity, e.Offset, err)
		}
		if !past {
			o.stream.count(outcome)
		}
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
	o.held += len(row.Data)
	k := rowKey{row.View, row.Key}
	if i, ok := o.index[k]; ok {
		o.held -= len(o.rows[i].Data)
		o.rows[i] = row
		return
	}
	o.index[k] = len(o.rows)
	o.rows = append(o.rows, row)
}

// full tells whether an event would add rows to a batch that has as many bytes of them as may be: long rows are no reason to hold more in
// memory. One that changes rows of the batch costs nothing.
func (o *owner) full(feeds []feed, e *eventlog.Record) bool {
	if o.held < o.r.o.CheckpointBytes {
		return false
	}
	for i := range feeds {
		for _, v := range feeds[i].ViewIDs {
			if _, ok := o.index[rowKey{v, e.Entity.Key}]; ok {
				return false
			}
		}
	}
	return true
}

func (o *owner) scratchOf(v *feature.View) *feature.Scratch {
	s, ok := o.scratch[v.ID()]
	if !ok {
		if o.scratch == nil {
			o.scratch = map[freshet.ViewID]*feature.Scratch{}
		}
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
	views, filled := o.saving()
	if err := o.r.features.Checkpoint(ctx, o.p, o.epoch, views, filled); err != nil {
		return err
	}
	o.unsaved, o.bytes, o.saveAt = 0, 0, time.Time{}
	o.forgetDeadline()
	o.stream.saved(o.next-1, o.r.o.Now())
	return nil
}

// await returns when there is an event to apply, a checkpoint to take, or when turn ends: something else has changed.
func (o *owner) await(ctx, turn context.Context) error {
	wait := turn
	if o.turn != turn {
		o.forgetDeadline()
		o.turn = turn
	}
	if o.unsaved > 0 {
		if o.deadline == nil { // one timer for each checkpoint, not for each event
			o.deadline, o.cancel = context.WithTimeout(turn, o.saveAt.Sub(o.r.o.Now()))
		}
		wait = o.deadline
	}
	err := o.r.log.Wait(wait, o.p, o.next)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if turn.Err() != nil {
		return nil
	}
	if o.unsaved > 0 && errors.Is(wait.Err(), context.DeadlineExceeded) {
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

// leave gives the partition up because of err. If only ctx has ended, a last checkpoint spares the next start a replay; but not
// if it ended between the rows of a batch and its jobs: a checkpoint says that the jobs through it were made.
func (o *owner) leave(ctx context.Context, err error) error {
	o.forgetDeadline()
	o.endFill()
	if ctx.Err() == nil {
		o.r.o.Logger.Error("partition stopped", slog.Int("partition", int(o.p)), slog.Any("error", err))
		return err
	}
	if o.unsaved == 0 || o.jobless {
		return nil
	}
	return o.checkpoint(context.WithoutCancel(ctx))
}
