package modelregistry

import (
	"context"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/registry"
)

// Source gives a release its models from the registry: each of the chosen version, and those without one from another
// source, as it gives the tables.
func (m *Models) Source(chosen map[freshet.ModelName]registry.ModelVersion, rest release.Source) release.Source {
	return source{m, chosen, rest}
}

type source struct {
	models *Models
	chosen map[freshet.ModelName]registry.ModelVersion
	rest   release.Source
}

func (s source) Table(ctx context.Context, t project.Table) (*release.File, error) {
	return s.rest.Table(ctx, t)
}

func (s source) Model(ctx context.Context, m project.Model) (*release.Artifact, error) {
	v, ok := s.chosen[m.Name]
	if !ok {
		return s.rest.Model(ctx, m)
	}
	return s.models.Open(ctx, v)
}
