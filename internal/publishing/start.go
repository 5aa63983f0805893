package publishing

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/registry"
)

// Start opens what the log of decisions says, so that the live release serves when it returns. If nothing was ever live, first
// becomes the first release, with its tables, and with its models as their first versions; it may be nil otherwise.
func (p *Publisher) Start(ctx context.Context, first func() (*project.Project, error)) error {
	state, _, err := p.Now(ctx)
	if err != nil {
		return err
	}
	if err := p.openAll(ctx, state); err != nil {
		return err
	}
	if state, _, err = p.Now(ctx); err != nil || state.Live != "" {
		return err
	}
	if state.Candidate == "" {
		f, err := first()
		if err != nil {
			return err
		}
		if state, err = p.first(ctx, f); err != nil {
			return err
		}
	}
	// There are no events that anybody would miss: it need not wait for its views.
	return p.goOn(ctx, state, state.Release(state.Candidate), "")
}

// first deploys a project from its folder.
func (p *Publisher) first(ctx context.Context, f *project.Project) (deployment.Releases, error) {
	models, _, err := p.Versions.Now(ctx)
	if err != nil {
		return deployment.Releases{}, err
	}
	chosen := map[freshet.ModelName]registry.ModelVersion{}
	for _, m := range models.All() {
		chosen[m.Name] = m.Versions[len(m.Versions)-1]
	}
	rel, err := p.opener.Open(ctx, f, p.Versions.Source(chosen, release.Folder(f)))
	if err != nil {
		return deployment.Releases{}, err
	}
	order, err := p.keep(ctx, f, rel)
	if err != nil {
		_ = rel.Close() // err says more
		return deployment.Releases{}, err
	}
	if _, err := p.begin(ctx, rel, order, "", by("the first release, from the project file")); err != nil {
		return deployment.Releases{}, err
	}
	state, _, err := p.Now(ctx)
	return state, err
}

// keep puts into the registry what a release has from a folder. It comes after the release was opened and warmed: what cannot serve
// leaves nothing behind.
func (p *Publisher) keep(ctx context.Context, f *project.Project, rel *release.Opened) (o deployment.Order, err error) {
	if err := p.Models.Warm(ctx, rel); err != nil {
		return o, err
	}
	for _, m := range f.Models {
		if err := p.keepModel(ctx, f, rel, m); err != nil {
			return o, freshet.FieldErrorf("", "models."+string(m.Name), "model %s: %w", m.Name, err)
		}
	}
	if e := f.Embedder; e != nil {
		if o.Embedder, err = p.keepFile(ctx, f, e.File); err == nil && o.Embedder != e.Digest {
			err = changed
		}
		if err != nil {
			return o, freshet.FieldErrorf("", "embedder", "embedder: %w", err)
		}
	}
	o.Tables = map[freshet.TableName]freshet.Digest{}
	for _, t := range f.Tables {
		if t.Push {
			continue
		}
		if o.Tables[t.Name], err = p.keepFile(ctx, f, t.File); err != nil {
			return o, freshet.FieldErrorf("", "tables."+string(t.Name), "table %s: %w", t.Name, err)
		}
	}
	return o, nil
}

// changed says that a file is not any more what was opened.
var changed = freshet.Errorf(freshet.Conflict, "its files have changed while the server started; start again")

func (p *Publisher) keepFile(ctx context.Context, f *project.Project, name string) (freshet.Digest, error) {
	file, err := release.FolderFile(f, name)
	if err != nil {
		return "", err
	}
	_, err = p.Registry.Put(ctx, file.Digest, io.NewSectionReader(file, 0, file.Size()))
	return file.Digest, errors.Join(err, file.Close())
}

func (p *Publisher) keepModel(ctx context.Context, f *project.Project, rel *release.Opened, m project.Model) error {
	opened, _ := rel.Model(m.Name)
	if opened.Version > 0 {
		return nil
	}
	artifact, err := release.Folder(f).Model(ctx, m)
	if err != nil {
		return err
	}
	v, _, err := p.Versions.Publish(ctx, artifact, modelregistry.Publication{
		Model: m.Name, Lineage: registry.Lineage{Source: m.Path}, Actor: server, Reason: "the first version, from the project file",
	})
	if closed := artifact.Close(); err == nil {
		err = closed
	}
	if err == nil && v.Digest != opened.Digest {
		err = changed
	}
	opened.Version = v.Number
	return err
}

// validText is s as UTF-8: a reason may hold what a file said.
func validText(s string) string { return strings.ToValidUTF8(s, "?") }
