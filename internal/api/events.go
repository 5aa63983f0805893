package api

import (
	"bytes"
	"context"
	"net/http"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/release"
)

// postEvents takes events: it decodes all, appends the good ones with one call, and answers when they are durable. This
// is the hot path: nothing here logs, and per event only what the log keeps is allocated.
func (a *API) postEvents(w *response, r *http.Request) error {
	if err := a.checkBacklog(); err != nil {
		return err
	}
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	if _, err := parseQuery(r); err != nil {
		return err
	}
	f, err := formOf(r.Header, true)
	if err != nil {
		return err
	}
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	b := a.batches.Get().(*batch)
	defer a.returnBatch(b)
	if err := b.split(sent.buf, f, a.o); err != nil {
		return err
	}
	b.decode(rel, a.deps.Live.Set(), a.now(), a.o.MaxDepth)
	if err := a.append(r.Context(), b); err != nil {
		return err
	}
	a.countEvents(b)
	return a.answerEvents(w, b)
}

// checkBacklog refuses before a byte of the body is read: what is accepted must also be worked off.
func (a *API) checkBacklog() error {
	if reason, yes := a.deps.Streams.Backlogged(); yes {
		return freshet.Errorf(freshet.ResourceExhausted, "no event is taken now: %s; try again", reason)
	}
	if a.deps.Jobs.Full() {
		return freshet.Errorf(freshet.ResourceExhausted, "no event is taken now: too many prediction jobs are queued; try again")
	}
	return nil
}

// batch is one request's events on their way to the log.
type batch struct {
	splitter
	single bool // the body was one object

	entries              []eventlog.Entry // not used again: the log keeps them
	entities             []freshet.Entity // of all entries, in one piece
	clamped              int              // of entries
	rejected             []rejection      // in the order of the request
	record               *feature.Record  // of schema
	schema               *feature.Schema  // that record is for
	accepted, duplicates int
	position             freshet.Position
}

// rejection is an event that was refused.
type rejection struct {
	index   int
	eventID string // as far as it could be read
	err     error
}

func newBatch() *batch { return new(batch) }

func (a *API) returnBatch(b *batch) {
	clear(b.rejected)
	*b = batch{splitter: b.splitter.emptied(), rejected: b.rejected[:0], record: b.record, schema: b.schema}
	a.batches.Put(b)
}

// decode makes entries of the good events and rejections of the others. An event is good if the live release takes it, or does not know its type and
// another open one takes it; it is appended for all entities that any open release needs.
func (b *batch) decode(rel *release.Opened, open *release.Set, ingest freshet.Timestamp, maxDepth int) {
	b.use(rel)
	b.entries = make([]eventlog.Entry, 0, len(b.spans))
	b.entities = make([]freshet.Entity, 0, len(b.spans))
	// One copy of the body for all payloads: its buffer goes to the next request, the log keeps what it is given.
	kept := bytes.Clone(b.text)
	for i, s := range b.spans {
		raw := kept[s.from:s.to:s.to]
		if err := b.add(rel, open, raw, ingest, maxDepth); err != nil {
			b.rejected = append(b.rejected, rejection{index: i, eventID: idOf(raw), err: err})
		}
	}
}

// use has add decode events of rel.
func (b *batch) use(rel *release.Opened) {
	if schema := rel.Project().Schema; schema != b.schema {
		b.schema, b.record = schema, schema.NewRecord()
	}
}

// add decodes one event and makes an entry of it.
func (b *batch) add(rel *release.Opened, open *release.Set, raw []byte, ingest freshet.Timestamp, maxDepth int) error {
	if err := checkEvent(raw, maxDepth); err != nil {
		return err
	}
	err := b.schema.Decode(raw, ingest, b.record)
	if err == nil {
		return b.enter(rel, b.record, open, raw, ingest)
	}
	if freshet.FieldOf(err) != "type" {
		return err
	}
	for _, other := range open.Open() {
		if other == rel {
			continue
		}
		record := other.Record()
		defer other.Return(record)
		if other.Project().Schema.Decode(raw, ingest, record) == nil {
			return b.enter(other, record, open, raw, ingest)
		}
	}
	return err
}

// enter makes an entry of an event, as rel reads it.
func (b *batch) enter(rel *release.Opened, record *feature.Record, open *release.Set, raw []byte, ingest freshet.Timestamp) error {
	first := len(b.entities)
	for _, needed := range open.Kinds(record.Type) {
		if err := b.addEntities(rel, record, needed, raw, ingest); err != nil {
			b.entities = b.entities[:first]
			return err
		}
	}
	if len(b.entities) == first {
		return freshet.FieldErrorf(freshet.InvalidArgument, "type", "type: %q is about no entity of the project", record.Type)
	}
	id := record.ID
	if id == "" {
		id = newEventID(ingest)
	}
	if record.Clamped {
		b.clamped++
	}
	b.entries = append(b.entries, eventlog.Entry{
		Event: freshet.Event{
			ID: id, Type: record.Type, EventTime: record.EventTime, IngestTime: record.IngestTime, Payload: raw,
		},
		Entities: b.entities[first:len(b.entities):len(b.entities)],
	})
	return nil
}

// addEntities adds the entities that needed names. What another release than rel, which has read the event, cannot read is good all the
// same: the receiver counts it for that release.
func (b *batch) addEntities(rel *release.Opened, record *feature.Record, needed release.Kinds, raw []byte, ingest freshet.Timestamp) error {
	if needed.Release != rel {
		record = needed.Release.Record()
		defer needed.Release.Return(record)
		if needed.Release.Project().Schema.Decode(raw, ingest, record) != nil {
			return nil
		}
	}
	for _, kind := range needed.Kinds {
		key, ok := record.Key(kind)
		if !ok {
			continue
		}
		if err := checkKey(kind, key); err != nil {
			return err
		}
		b.entities = append(b.entities, freshet.Entity{Kind: kind, Key: key})
	}
	return nil
}

// checkEvent refuses what decoding should not have to look at, and what the log would refuse together with all the others.
func checkEvent(raw []byte, maxDepth int) error {
	if len(raw) > eventlog.MaxPayloadBytes {
		return freshet.Errorf(freshet.TooLarge, "the event has %d bytes; expected at most %d", len(raw), eventlog.MaxPayloadBytes)
	}
	if raw[0] != '{' {
		return freshet.Errorf(freshet.InvalidArgument, "the event is no JSON object: it begins with %.20q", raw)
	}
	return checkDepth(raw, 0, maxDepth)
}

// checkKey refuses a key that the log cannot hold.
func checkKey(kind freshet.EntityKind, key freshet.Key) error {
	if len(key) > eventlog.MaxJoinedKeyBytes {
		return freshet.FieldErrorf(freshet.InvalidArgument, string(kind), "the key of %s has %d bytes when its values are joined; expected at most %d",
			kind, len(key), eventlog.MaxJoinedKeyBytes)
	}
	return nil
}

// append makes the entries durable.
func (a *API) append(ctx context.Context, b *batch) error {
	if len(b.entries) == 0 {
		return nil
	}
	appended, err := a.deps.Log.Append(ctx, b.entries)
	if err != nil {
		return err
	}
	for i := range appended {
		if appended[i].Duplicate {
			b.duplicates++
		} else {
			b.accepted++
		}
		for _, place := range appended[i].Places {
			b.position.Cover(place)
		}
	}
	return nil
}

func (a *API) countEvents(b *batch) {
	a.metrics.accepted.Add(float64(b.accepted))
	a.metrics.duplicates.Add(float64(b.duplicates))
	a.metrics.clamped.Add(float64(b.clamped))
	for i := range b.rejected {
		a.metrics.rejected.Of(freshet.CodeOf(b.rejected[i].err)).Inc()
	}
}
