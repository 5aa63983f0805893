package publishing

import (
	"context"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/registry"
)

// blobs are the files of tables that the registry keeps.
type blobs struct {
	registry *registry.Registry
	tables   map[freshet.TableName]freshet.Digest
}

// Table opens the file of a table.
func (b blobs) Table(ctx context.Context, t project.Table) (*release.File, error) {
	digest, ok := b.tables[t.Name]
	if !ok {
		return nil, freshet.Errorf(freshet.NotFound, "its file was not sent: PUT it to /v1/blobs/sha256:… and name the digest under tables, or use freshet deploy")
	}
	blob, err := b.registry.Open(ctx, digest)
	if err != nil {
		return nil, err
	}
	return &release.File{Content: blob, Digest: digest}, nil
}

// words opens the word table that a project file names, a file that the registry keeps.
func (p *Publisher) words(ctx context.Context, digest freshet.Digest) project.Words {
	return p.wordTables.Stored(digest, func() (project.WordFile, error) {
		if digest == "" {
			return nil, freshet.Errorf(freshet.NotFound, "it was not sent: PUT it to /v1/blobs/sha256:… and name the digest under embedder, or use freshet deploy")
		}
		return p.Registry.Open(ctx, digest)
	})
}

// Model is asked for models without a version.
func (b blobs) Model(_ context.Context, m project.Model) (*release.Artifact, error) {
	return nil, freshet.Errorf(freshet.NotFound, "no version of it was published: freshet publish %s --name %s", m.Path, m.Name)
}
