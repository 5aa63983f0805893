package server

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/history"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/publishing"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
)

// loadProject reads the project file, which a server needs only before its first release: a mistake in it then costs nothing,
// not even a data folder.
func (s *Server) loadProject() (*project.Project, error) {
	p, err := project.Load(s.o.Project)
	if err == nil || s.o.fs != nil {
		return p, err
	}
	if _, e := os.Stat(filepath.Join(s.o.Data, registryFolder)); e != nil {
		return nil, err
	}
	s.o.Logger.Warn("the project file cannot be read; what is live does not need it", slog.Any("error", err))
	return nil, nil
}

// openReleases opens what the log of decisions says, or deploys the project as the first release.
func (s *Server) openReleases(ctx context.Context, p *project.Project, past *history.Log, models *serving.Server) error {
	s.shadows = &shadows{folder: filepath.Join(s.o.Data, shadowFolder), erased: s.jobs.Erased, logger: s.o.Logger}
	s.onClose("shadow", s.shadows.Close)
	s.publisher = publishing.New(publishing.Deps{
		Registry: s.decisions, Versions: s.models, Live: s.live, Views: views{s.receiver, s.log}, Models: models, Predictor: s.orchestrator,
		Users: users{s.log, past}, Shadows: s.shadows, Runtimes: s.o.Runtimes, Channels: s.channels,
	}, publishing.Options{Keep: s.o.KeepFormer, Now: s.o.Now, Logger: s.o.Logger})
	s.onClose("releases", s.publisher.Close)
	err := s.publisher.Start(ctx, func() (*project.Project, error) {
		if p == nil {
			return project.Load(s.o.Project) // its error says what is wrong with it
		}
		return p, nil
	})
	if err != nil {
		return err
	}
	if live := s.live.Load(); p != nil && live != nil {
		s.compareProject(ctx, p, live)
	}
	return nil
}

// compareProject tells who has changed the project's folder that this does not change what serves.
func (s *Server) compareProject(ctx context.Context, p *project.Project, live *release.Opened) {
	if p.Digest != live.Project().Digest {
		s.o.Logger.Warn("the project file is not the one that is live: freshet plan shows what differs, freshet deploy makes it live",
			slog.String("project", s.o.Project), slog.String("release", string(live.ID())))
	}
	for _, m := range p.Models {
		opened, ok := live.Model(m.Name)
		if !ok {
			continue
		}
		artifact, err := release.Folder(p).Model(ctx, m)
		if err != nil {
			continue // the registry has what serves; the folder may be gone
		}
		if artifact.Digest != opened.Digest {
			s.o.Logger.Warn("the model in the project's folder is not the version that serves: freshet publish makes it a version, freshet deploy makes that live",
				slog.String("model", opened.Label()), slog.String("path", m.Path))
		}
		_ = artifact.Close() // it was only read
	}
}

// observer shows the publisher, which is opened later, to the orchestrator.
type observer struct{ s *Server }

func (o observer) Observe(x deployment.Outcome) { o.s.publisher.Observe(x) }

func (o observer) Shadowed(job freshet.JobID) bool { return o.s.publisher.Shadowed(job) }

func (o observer) Compare(rel freshet.ReleaseID, job *freshet.Job, served, made freshet.Prediction, err error, took time.Duration) {
	o.s.publisher.Compare(rel, job, served, made, err, took)
}

// views shows the receiver to the publisher.
type views struct {
	*receiver.Receiver
	log *eventlog.Log
}

func (v views) Fill(ids []freshet.ViewID) (publishing.Fill, error) {
	f, err := v.Receiver.Fill(ids)
	return publishing.Fill{Done: f.Events, Total: f.Total, Rate: f.Rate, Left: f.Left, Filled: f.Done()}, err
}

// Past is how many events there are: all offsets that were given.
func (v views) Past() uint64 {
	var n uint64
	for p := range freshet.Partition(freshet.Partitions) {
		n += uint64(v.log.Head(p))
	}
	return n
}

// users finds entities at the end of the log.
type users struct {
	log  *eventlog.Log
	past *history.Log
}

// Recent gives up to n entities of a kind, those of the newest events of each partition.
func (u users) Recent(ctx context.Context, kind freshet.EntityKind, n int) ([]freshet.Entity, error) {
	each := freshet.Offset(max(8, 4*n/freshet.Partitions))
	var found []freshet.Entity
	known := map[freshet.Key]bool{}
	for p := range freshet.Partition(freshet.Partitions) {
		head := u.log.Head(p)
		if head == 0 {
			continue
		}
		records, err := u.past.Read(ctx, nil, p, max(1, head-min(head-1, each)), int(each))
		if err != nil {
			return nil, err
		}
		for i := range slices.Backward(records) {
			if e := records[i].Entity; e.Kind == kind && !known[e.Key] && len(found) < n {
				known[e.Key] = true
				found = append(found, e)
			}
		}
	}
	return found, nil
}
