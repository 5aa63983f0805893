package evaluation

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/release"
)

// Past is the feature store as it was at one moment: its rows hold the events so far, and its clock stands there. Whoever
// predicts reads the rows from Rows and the time from Now.
type Past struct {
	Rows    *featurestore.Store
	now     atomic.Int64 // a freshet.Timestamp
	owned   [freshet.Partitions]featurestore.Ownership
	offsets [freshet.Partitions]freshet.Offset
	stored  []freshet.Row
	changed []freshet.Row
	scratch map[freshet.ViewID]*feature.Scratch
	maxTime freshet.Timestamp
}

// NewPast returns a Past before the first event; rows is empty.
func NewPast(ctx context.Context, rows *featurestore.Store, rel *release.Opened) (*Past, error) {
	p := &Past{Rows: rows, scratch: map[freshet.ViewID]*feature.Scratch{}}
	for i := range p.owned {
		var err error
		if p.owned[i], err = rows.Acquire(ctx, freshet.Partition(i), rel.ViewIDs()); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Now is the moment that Past shows.
func (p *Past) Now() time.Time { return freshet.Timestamp(p.now.Load()).Time() }

func (p *Past) set(t freshet.Timestamp) { p.now.Store(int64(t)) }

// apply brings the rows of all entities of one event up to date.
func (p *Past) apply(ctx context.Context, rel *release.Opened, rec *feature.Record) error {
	for _, kind := range rel.Kinds(rec.Type) {
		key, ok := rec.Key(kind)
		route := rel.Route(rec.Type, kind)
		if !ok || len(route.Views) == 0 {
			continue
		}
		if err := p.applyTo(ctx, route, rec, key); err != nil {
			return err
		}
	}
	p.maxTime = max(p.maxTime, rec.EventTime)
	return nil
}

func (p *Past) applyTo(ctx context.Context, route release.Route, rec *feature.Record, key freshet.Key) error {
	var err error
	if p.stored, err = p.Rows.Get(ctx, p.stored[:0], key, route.ViewIDs...); err != nil {
		return err
	}
	partition := freshet.PartitionOf(key)
	p.offsets[partition]++
	p.changed = p.changed[:0]
	for i, v := range route.Views {
		s, ok := p.scratch[v.ID()]
		if !ok {
			s = v.NewScratch()
			p.scratch[v.ID()] = s
		}
		next, outcome, err := v.Apply(s, p.stored[i].Data, rec, p.maxTime)
		if err != nil {
			return freshet.Errorf("", "view %s of %q: %w", v.Name(), key, err)
		}
		if outcome == feature.Applied {
			p.changed = append(p.changed, freshet.Row{View: v.ID(), Key: p.stored[i].Key, Offset: p.offsets[partition], Data: next})
		}
	}
	return p.Rows.Apply(ctx, partition, p.owned[partition].Epoch, p.offsets[partition], p.changed)
}
