package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
	"github.com/freshet-ml/freshet/registry"
)

// openRelease makes the project the live release. A release is the same as the last one if its content is.
func (s *Server) openRelease(ctx context.Context, p *project.Project, models *serving.Server) error {
	chosen, err := s.chooseVersions(ctx, p)
	if err != nil {
		return err
	}
	folder := release.Folder(p)
	rel, err := release.OpenFrom(ctx, p, s.models.Source(chosen, folder), s.o.Runtimes)
	if err != nil {
		return err
	}
	s.onClose("release", rel.Close)
	if err := models.Warm(ctx, rel); err != nil {
		return err
	}
	if err := s.publishFirst(ctx, p, rel); err != nil {
		return err
	}
	if err := s.name(rel); err != nil {
		return err
	}
	s.live.Store(rel)
	s.onClose("live release", func() error { s.live.Store(nil); return nil })
	return nil
}

// chooseVersions says which version of each model serves: that of the release that was live last, whatever was published or
// changed in the project's folder since; for a model that is new in the project the newest one. A model without any version is left
// out: its files in the folder become the first.
func (s *Server) chooseVersions(ctx context.Context, p *project.Project) (map[freshet.ModelName]registry.ModelVersion, error) {
	state, _, err := s.models.Now(ctx)
	if err != nil {
		return nil, err
	}
	last, err := s.lastRelease()
	if err != nil {
		return nil, err
	}
	chosen := map[freshet.ModelName]registry.ModelVersion{}
	for _, m := range p.Models {
		model := state.Model(m.Name)
		if model == nil {
			continue
		}
		v, ok := model.ByDigest(last.Models[m.Name])
		if !ok {
			v = model.Versions[len(model.Versions)-1]
		}
		chosen[m.Name] = v
		s.compareFolder(ctx, p, m, v)
	}
	return chosen, nil
}

// compareFolder tells who has changed a model's files in the project's folder that this does not change what serves.
func (s *Server) compareFolder(ctx context.Context, p *project.Project, m project.Model, v registry.ModelVersion) {
	artifact, err := release.Folder(p).Model(ctx, m)
	if err != nil {
		return // the registry has what serves; the folder may be gone
	}
	defer artifact.Close()
	if artifact.Digest != v.Digest {
		s.o.Logger.Warn("the model in the project's folder is not the version that serves: freshet publish makes it a version",
			slog.String("model", v.Label()), slog.String("path", m.Path))
	}
}

// publishFirst makes each model that rel has from the project's folder its first version. It comes after the release was opened
// and warmed: what cannot serve leaves no version behind.
func (s *Server) publishFirst(ctx context.Context, p *project.Project, rel *release.Opened) error {
	for _, m := range p.Models {
		opened, _ := rel.Model(m.Name)
		if opened.Version > 0 {
			continue
		}
		artifact, err := release.Folder(p).Model(ctx, m)
		if err != nil {
			return err
		}
		v, _, err := s.models.Publish(ctx, artifact, modelregistry.Publication{
			Model: m.Name, Lineage: registry.Lineage{Source: m.Path}, Actor: "freshet serve", Reason: "the first version, from the project file",
		})
		if closed := artifact.Close(); err == nil {
			err = closed
		}
		if err == nil && v.Digest != opened.Digest {
			err = freshet.Errorf(freshet.Conflict, "its files have changed while the server started; start again")
		}
		if err != nil {
			return freshet.FieldErrorf("", "models."+string(m.Name), "model %s: %w", m.Name, err)
		}
		opened.Version = v.Number
	}
	return nil
}

// name gives rel the name of the release that was live last, if its content is the same, else the next one. What is live
// is on disk before anything is served under its name.
func (s *Server) name(rel *release.Opened) error {
	last, err := s.lastRelease()
	if err != nil {
		return err
	}
	if last.Digest == rel.Manifest().Digest {
		rel.Name(last.ID, last.CreatedAt)
		return nil
	}
	n := 0
	if last.ID != "" {
		if n, err = strconv.Atoi(string(last.ID[1:])); err != nil {
			return freshet.Errorf(freshet.Internal, "release %q on disk has no number", last.ID)
		}
	}
	rel.Name(freshet.ReleaseID(fmt.Sprintf("r%d", n+1)), freshet.TimestampOf(s.o.Now()))
	b, err := json.Marshal(rel.Manifest())
	if err != nil {
		return err
	}
	return s.db.Pebble().Set(releaseKey(), b, pebble.Sync)
}

// lastRelease is the manifest of the release that was live last, the zero one on a new data folder.
func (s *Server) lastRelease() (freshet.Release, error) {
	var last freshet.Release
	b, closer, err := s.db.Pebble().Get(releaseKey())
	if err == pebble.ErrNotFound {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	defer closer.Close()
	if err := json.Unmarshal(b, &last); err != nil {
		return last, freshet.Errorf(freshet.Internal, "the release on disk cannot be read: %w", err)
	}
	return last, nil
}

func releaseKey() []byte { return []byte{disk.PrefixRelease} }
