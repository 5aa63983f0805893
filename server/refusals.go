package server

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/internal/telemetry"
)

// refusals keep events that were refused: docs/formats/refused.md.
type refusals struct{ db *pebble.DB }

func refusalKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{disk.PrefixRefused}, number)
}

// Write implements refused.Records.
func (r refusals) Write(put map[uint64]refused.Event, remove []uint64, durable bool) error {
	b := r.db.NewBatch()
	defer b.Close()
	for number, e := range put {
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if err := b.Set(refusalKey(number), value, nil); err != nil {
			return err
		}
	}
	for _, number := range remove {
		if err := b.Delete(refusalKey(number), nil); err != nil {
			return err
		}
	}
	if durable {
		return b.Commit(pebble.Sync)
	}
	return b.Commit(pebble.NoSync)
}

// All implements refused.Records.
func (r refusals) All(each func(number uint64, e refused.Event)) (err error) {
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: []byte{disk.PrefixRefused}, UpperBound: []byte{disk.PrefixRefused + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		var e refused.Event
		if err := json.Unmarshal(it.Value(), &e); err != nil || len(it.Key()) != 9 {
			return freshet.Errorf(freshet.Internal, "the refused event at %x on disk cannot be read: %w", it.Key(), err)
		}
		each(binary.BigEndian.Uint64(it.Key()[1:]), e)
	}
	return it.Error()
}

func (s *Server) openRefused() (err error) {
	if s.refused, err = refused.New(refusals{s.db.Pebble()}); err != nil {
		return err
	}
	s.registry.MustRegister(prometheus.Collector(telemetry.Func("freshet_refused_events", "Events that were refused and are kept to be looked at.",
		func() float64 { return float64(s.refused.Len()) })))
	return nil
}

// forgetRefused erases the refused events that mention an entity.
func (s *Server) forgetRefused(_ context.Context, e freshet.Entity) error {
	rel := s.live.Pin()
	if rel == nil {
		return freshet.Errorf(freshet.Unavailable, "no release is live")
	}
	defer rel.Unpin()
	spec, ok := rel.Project().Entity(e.Kind)
	if !ok {
		return nil
	}
	values, err := e.Key.Split(len(spec.KeyFields))
	if err != nil {
		return err
	}
	_, err = s.refused.Erase(values)
	return err
}
