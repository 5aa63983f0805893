package server

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/freshet-ml/freshet/internal/api"
	"github.com/freshet-ml/freshet/internal/ondemand"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/serving"
	"github.com/freshet-ml/freshet/jobqueue"
)

// scratchFolder is in the data folder: artifacts are unpacked in it, and what a crash has left of them is cleared away.
const scratchFolder = "scratch"

func (s *Server) openDoor(values *reader.Reader, models *serving.Server) error {
	if s.o.API.Scratch == "" && s.o.fs == nil {
		s.o.API.Scratch = filepath.Join(s.o.Data, scratchFolder)
		if err := os.RemoveAll(s.o.API.Scratch); err != nil {
			return err
		}
	}
	loaded := ondemand.New(s.models, s.o.Runtimes, ondemand.Options{Max: s.o.LoadedModels, Warm: models.WarmModel, Metrics: s.registry})
	s.onClose("models loaded by number", loaded.Close)
	s.api = api.New(api.Deps{
		Live: s.live, Log: heard{s.log, s}, Past: s.log, Eraser: s.eraser, Rows: s.features, Values: values, Tables: pushtable.New(s.tables), Jobs: s.jobs, Predictions: s.predictions,
		Predictor: s.orchestrator, Models: models, Versions: s.models, Loaded: loaded, Releases: s.publisher, Blobs: s.decisions,
		Streams: &streams{receiver: s.receiver, jobs: s.jobs, backlog: uint64(s.o.Backlog), now: s.o.Now},
		Sizes:   s.sweeper,
		Ready:   readiness{s.receiver, s.channels},
		People:  s.outbox, Deliveries: s.deliverer, Hub: s.hub, Refused: s.refused,
		Metrics: s.registry, Logger: s.o.Logger, Now: s.o.Now,
		Version: Version(), Roles: []string{"api", "receiver", "orchestration", "delivery"},
	}, s.o.API)
	return nil
}

// streams shows the receiver to the door.
type streams struct {
	receiver *receiver.Receiver
	jobs     *jobqueue.Queue
	backlog  uint64
	now      func() time.Time

	mu     sync.Mutex // guards the last look, from which rates are made
	at     time.Time
	events []uint64
	rates  []float64
}

func (s *streams) Streams() []api.StreamStatus {
	all := s.receiver.Streams()
	rates := s.ratesOf(all)
	status := make([]api.StreamStatus, len(all))
	for i, x := range all {
		status[i] = api.StreamStatus{
			Partition: x.Partition, Head: x.Head, Applied: x.Applied, Checkpoint: x.Checkpoint,
			Lag: uint64(max(x.Head, x.Applied) - x.Applied), Watermark: x.Watermark, Idle: x.Idle, MaxEventTime: x.MaxEventTime,
			Events: x.Events, Behind: x.Behind, Unseen: x.Unseen, Late: x.Late, Unreadable: x.Unreadable, LastError: x.LastError,
			EventsPerSecond: rates[i], CheckpointAge: s.now().Sub(x.CheckpointAt),
		}
	}
	return status
}

// ratesOf gives the events per second of each partition since the last look that is at least a second old.
func (s *streams) ratesOf(all []receiver.Stream) []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.rates == nil {
		s.rates, s.events = make([]float64, len(all)), make([]uint64, len(all))
		s.at = now
	}
	passed := now.Sub(s.at).Seconds()
	if passed < 1 {
		return s.rates
	}
	rates := make([]float64, len(all)) // a new one: the last may still be read
	for i, x := range all {
		rates[i] = float64(x.Events-s.events[i]) / passed
		s.events[i] = x.Events
	}
	s.rates, s.at = rates, now
	return rates
}

// Backlogged refuses events before memory or disk suffers: while too many wait to be applied, or too many jobs to be run.
func (s *streams) Backlogged() (reason string, yes bool) {
	if s.jobs.Full() {
		return fmt.Sprintf("%d jobs wait, the bound is %d", s.jobs.Stats().Queued, s.backlog), true
	}
	if lag := s.receiver.Lag(); lag > s.backlog {
		return fmt.Sprintf("%d events wait to be applied, the bound is %d", lag, s.backlog), true
	}
	return "", false
}

type readiness struct {
	receiver *receiver.Receiver
	*channels
}

// Ready is when the rows have caught up with what was in the log at the start.
func (r readiness) Ready() []string {
	if n := r.receiver.Recovering(); n > 0 {
		return []string{fmt.Sprintf("recovering: %d partitions are not yet replayed to the head (%d events to go)", n, r.receiver.Lag())}
	}
	return nil
}
