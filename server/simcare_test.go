package server_test

import (
	"context"
	"log/slog"
	"time"

	"github.com/freshet-ml/freshet/internal/archive"
	"github.com/freshet-ml/freshet/internal/sweep"
)

// What a server does with its data in the background, at moments that the simulation chooses.

// archive moves old events to the offline store.
func (s *sim) archive() {
	s.t.Helper()
	retention := []time.Duration{time.Millisecond, time.Minute, time.Hour}[s.pick(3, "retention")]
	a := archive.New(s.log.Log, s.offline, s.receiver.Checkpoint, archive.Options{Retention: retention, Now: s.now, Logger: slog.New(slog.DiscardHandler)})
	if err := a.Once(context.Background()); err != nil {
		s.t.Fatalf("%v", err)
	}
	s.did("old events are archived")
}

// sweep rolls rows up and removes those that no window sees, as of some time ago.
func (s *sim) sweep() {
	s.t.Helper()
	behind := []time.Duration{time.Millisecond, time.Minute, time.Hour}[s.pick(3, "swept behind")]
	w := sweep.New(s.features, s.receiver, s.live, sweep.Options{Behind: behind, Batch: 1 + s.pick(3, "rows at a time"), Now: s.now, Logger: slog.New(slog.DiscardHandler)})
	if err := w.Once(context.Background()); err != nil {
		s.t.Fatalf("%v", err)
	}
	n := w.Stats()
	s.did("a sweep behind %s: %d rows rolled up, %d removed", behind, n.RolledUp, n.Removed)
}
