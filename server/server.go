// Package server wires everything: it opens the disk, the hand-offs and the release, plugs the layers into them, starts
// them in order and stops them backwards. It is the only package that knows every other, and it does no work of its own.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/diskfeatures"
	"github.com/freshet-ml/freshet/internal/api"
	"github.com/freshet-ml/freshet/internal/delivery"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/erase"
	"github.com/freshet-ml/freshet/internal/history"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/orchestration"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/publishing"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/recheck"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
	"github.com/freshet-ml/freshet/internal/sweep"
	"github.com/freshet-ml/freshet/internal/telemetry"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/diskqueue"
	"github.com/freshet-ml/freshet/offlinestore"
	"github.com/freshet-ml/freshet/offlinestore/diroffline"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/diskpredictions"
	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/dirregistry"
	"github.com/freshet-ml/freshet/tablestore"
	"github.com/freshet-ml/freshet/tablestore/disktables"
)

// Server is one Freshet: all roles in one process, on embedded storage.
type Server struct {
	o        Options
	memory   shares
	registry *prometheus.Registry
	closers  []closer // in the order of opening
	listener net.Listener
	profiles net.Listener // nil without Options.Profiles

	db           *disk.DB
	log          *eventlog.Log
	offline      *offlinestore.Store
	features     *featurestore.Store
	hot          *diskfeatures.Store
	jobs         *jobqueue.Queue
	predictions  *predictionstore.Store
	pulled       *diskpredictions.Store
	tables       *tablestore.Store
	decisions    *registry.Registry
	models       *modelregistry.Models
	publisher    *publishing.Publisher
	live         *release.Live
	receiver     *receiver.Receiver
	sweeper      *sweep.Sweeper
	checker      *recheck.Checker
	orchestrator *orchestration.Orchestrator
	shadows      *shadows
	eraser       *erase.Eraser
	outbox       *outbox.Outbox
	hub          *presence.Hub
	deliverer    *delivery.Deliverer
	channels     *channels
	refused      *refused.List
	api          *api.API
}

type closer struct {
	name  string
	close func() error
}

// New opens a server: it holds its data folder and listens, but serves nothing before Run. If it fails, everything
// opened is closed again.
func New(ctx context.Context, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, memory: sharesOf(o.Memory), registry: telemetry.NewRegistry(), live: &release.Live{}}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// Addr is the address that the server listens on, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// open opens from the ground up: project (so that a mistake in it costs nothing), disk, hand-offs, release, layers, door.
func (s *Server) open(ctx context.Context) error {
	p, err := s.loadProject()
	if err != nil {
		return err
	}
	if err := s.openDisk(); err != nil {
		return err
	}
	if err := s.openHandOffs(ctx); err != nil {
		return err
	}
	s.channels = &channels{live: s.live, allowed: push.Addresses{Private: s.o.PushPrivate}, env: os.LookupEnv, now: s.o.Now, made: map[any]push.Sender{}}
	models := serving.New(s.registry)
	past := history.New(s.log, s.offline)
	s.receiver = receiver.New(past, s.features, s.jobs, s.live, s.receiverOptions())
	s.sweeper = sweep.New(s.features, s.receiver, s.live, sweep.Options{Now: s.o.Now, Logger: s.o.Logger})
	// Rows of views that a project file of a former start had: nothing reads them any more.
	s.receiver.DropUnused()
	values := reader.New(s.features, past)
	s.checker = recheck.New(values, s.features, past, recheck.Options{Every: s.o.CheckEvery, Now: s.o.Now, Logger: s.o.Logger})
	s.orchestrator = orchestration.New(orchestration.Deps{
		Live: s.live, Log: past, Features: s.features, Reader: values, Tables: pushtable.New(s.tables), Jobs: s.jobs, Predictions: s.predictions,
		Models: models, Messages: messages{s}, Metrics: orchestration.NewMetrics(s.registry), Observer: observer{s},
	}, orchestration.Options{Workers: s.o.Workers, Now: s.o.Now, Logger: s.o.Logger})
	if err := s.openReleases(ctx, p, past, models); err != nil {
		return err
	}
	s.openDelivery()
	if s.eraser, err = erase.New(erase.Deps{
		Live: s.live, Owner: s.receiver, Past: past, Jobs: s.jobs, Predictions: s.predictions, Tables: s.tables, Records: erasures{s.db.Pebble()},
		Also: []func(context.Context, freshet.Entity) error{s.forgetPerson, s.forgetRefused, s.shadows.Forget}, Now: s.o.Now, Logger: s.o.Logger,
	}); err != nil {
		return err
	}
	if err := s.openDoor(values, models); err != nil {
		return err
	}
	s.registry.MustRegister(s.collectors()...)
	for _, r := range s.o.Runtimes {
		if c, ok := r.(prometheus.Collector); ok {
			s.registry.MustRegister(c)
		}
	}
	return s.listen()
}

// receiverOptions are the server's, with what tests want of them.
func (s *Server) receiverOptions() receiver.Options {
	o := s.o.receiver
	o.Fills = cmp.Or(o.Fills, halfTheCores())
	o.CheckpointBytes, o.IdleTimeout, o.Now, o.Logger = int(s.memory.unsaved), s.o.IdleTimeout, s.o.Now, s.o.Logger
	return o
}

func (s *Server) listen() (err error) {
	if s.listener, err = s.listenOn("listen", s.o.Listen); err != nil {
		return err
	}
	if s.o.Profiles != "" {
		s.profiles, err = s.listenOn("profiles", s.o.Profiles)
	}
	return err
}

func (s *Server) listenOn(option, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, freshet.FieldErrorf(freshet.Unavailable, option, "listen on %s: %w; is another server running? --%s takes another address", address, err, option)
	}
	s.onClose(option, func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil // whoever served it has closed it
	})
	return l, nil
}

func (s *Server) openDisk() error {
	db, err := disk.Open(s.o.Data, &disk.Options{
		FS: s.o.fs, OnFatal: s.o.OnFatal, CacheBytes: s.memory.blocks, MemTableBytes: s.memory.memTable,
	})
	if err != nil {
		return err
	}
	s.db = db
	s.onClose("disk", db.Close)
	return nil
}

func (s *Server) openHandOffs(ctx context.Context) error {
	events, err := disklog.New(s.db, &disklog.Options{Horizon: s.o.DedupeHorizon, TailBytes: int(s.memory.tail), FilterBytes: int(s.memory.ids)})
	if err != nil {
		return err
	}
	s.log = eventlog.New(events)
	s.onClose("event log", s.log.Close)

	old, err := diroffline.Open(s.o.Offline, nil)
	if err != nil {
		return err
	}
	s.offline = offlinestore.New(old)
	s.onClose("offline store", s.offline.Close)

	s.hot = diskfeatures.New(s.db.Pebble(), &diskfeatures.Options{HotBytes: cmp.Or(s.o.hotBytes, s.memory.rows)})
	s.features = featurestore.New(s.hot)
	s.onClose("feature store", s.features.Close)

	jobs, err := diskqueue.New(s.db)
	if err != nil {
		return err
	}
	s.jobs = jobqueue.New(jobs, &jobqueue.Options{Visibility: s.o.Visibility, Attempts: s.o.Attempts, Backlog: s.o.Backlog, Now: s.o.Now})
	s.onClose("job queue", s.jobs.Close)

	s.pulled = diskpredictions.New(s.db, &diskpredictions.Options{HotBytes: s.memory.predictions})
	s.predictions = predictionstore.New(s.pulled, &predictionstore.Options{Now: s.o.Now})
	s.onClose("prediction store", s.predictions.Close)

	s.tables = tablestore.New(disktables.New(s.db), &tablestore.Options{Now: s.o.Now})
	s.onClose("table store", s.tables.Close)
	if err := s.openOutbox(ctx); err != nil {
		return err
	}
	if err := s.openRefused(); err != nil {
		return err
	}
	return s.openRegistry()
}

func (s *Server) openRegistry() error {
	d, err := dirregistry.Open(filepath.Join(s.o.Data, registryFolder), &dirregistry.Options{FS: s.o.fs, Now: s.o.Now})
	if err != nil {
		return err
	}
	s.decisions = registry.New(d, &registry.Options{Now: s.o.Now, MaxBlobBytes: max(s.o.API.MaxArtifact, 1<<30)})
	s.models = modelregistry.New(s.decisions, s.o.Runtimes)
	s.onClose("registry", s.decisions.Close)
	return nil
}

func (s *Server) onClose(name string, f func() error) {
	s.closers = append(s.closers, closer{name, f})
}

// close closes what was opened, the last first.
func (s *Server) close() error {
	var errs []error
	for len(s.closers) > 0 {
		c := s.closers[len(s.closers)-1]
		s.closers = s.closers[:len(s.closers)-1]
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// stopTimeout bounds each step of a stop: what is not done by then is recovered at the next start.
const stopTimeout = 20 * time.Second

// Run serves until ctx ends or a part fails, then stops everything in order and closes the server. It may be called
// once.
func (s *Server) Run(ctx context.Context) error {
	s.o.Logger.Info("freshet serves", slog.String("project", s.live.Load().Project().Name), slog.String("release", string(s.live.Load().ID())),
		slog.String("address", "http://"+s.Addr()), slog.String("models", serving.Describe(s.live.Load())))
	receiver := &part{name: "receiver", run: s.receiver.Run}
	orchestration := &part{name: "orchestration", run: s.orchestrator.Run}
	door := &part{name: "door", run: func(ctx context.Context) error { return s.api.Serve(ctx, s.listener) }}
	parts := []*part{receiver, orchestration, door, {name: "delivery", run: s.deliverer.Run}, {name: "sweep", run: s.sweeper.Run}}
	parts = append(parts, &part{name: "dead letters", run: s.jobs.Run}, &part{name: "expired predictions", run: s.predictions.Run},
		&part{name: "erase", run: s.eraser.Run})
	parts = append(parts, &part{name: "publishing", run: s.publisher.Run})
	if s.o.CheckEvery >= 0 {
		parts = append(parts, &part{name: "continuous check", run: s.checker.Run})
	}
	if s.o.LogRetention > 0 {
		parts = append(parts, &part{name: "archive", run: s.archiver().Run})
	}
	if s.profiles != nil {
		parts = append(parts, &part{name: "profiles", run: func(ctx context.Context) error { return profiles(ctx, s.profiles) }})
	}
	failed := make(chan error, len(parts))
	for _, p := range parts {
		p.start(context.WithoutCancel(ctx), failed)
	}
	var errs []error
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
	}
	// Stopping runs with the data's way: no more requests first, then no more events into rows and jobs, then the jobs
	// that were begun into predictions, then the disk.
	for _, p := range append([]*part{door, receiver, orchestration}, parts[3:]...) {
		errs = append(errs, p.stop(stopTimeout))
	}
	return errors.Join(append(errs, s.close())...)
}
