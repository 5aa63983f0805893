package api

import (
	"context"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/registry"
)

// modelVersion is a version as the API shows it.
type modelVersion struct {
	Model       freshet.ModelName  `json:"model"`
	Version     int                `json:"version"`
	Digest      freshet.Digest     `json:"digest"`
	Bytes       int64              `json:"bytes"`
	Signature   registry.Signature `json:"signature"`
	Metrics     map[string]float64 `json:"metrics"`
	Lineage     registry.Lineage   `json:"lineage"`
	Aliases     []string           `json:"aliases"`
	Evaluations []evaluation       `json:"evaluations"`
	Release     freshet.ReleaseID  `json:"release,omitempty"` // that serves it now
	Removed     bool               `json:"removed,omitempty"` // its artifact, as garbage
	PublishedAt freshet.Timestamp  `json:"published_at"`
	PublishedBy string             `json:"published_by"`
	Reason      string             `json:"reason,omitempty"`
}

// evaluation is what was measured of a version after it was published.
type evaluation struct {
	Metrics map[string]float64 `json:"metrics"`
	Source  string             `json:"source,omitempty"`
	At      freshet.Timestamp  `json:"at"`
	Actor   string             `json:"actor"`
	Reason  string             `json:"reason,omitempty"`
}

func shownVersion(m *registry.Model, v registry.ModelVersion, rel *release.Opened) modelVersion {
	shown := modelVersion{
		Model: v.Model, Version: v.Number, Digest: v.Digest, Bytes: v.Bytes, Signature: v.Signature, Metrics: v.Metrics, Lineage: v.Lineage,
		Aliases: m.AliasesOf(v.Number), Evaluations: []evaluation{}, PublishedAt: v.PublishedAt, PublishedBy: v.PublishedBy, Reason: v.Reason,
	}
	if shown.Metrics == nil {
		shown.Metrics = map[string]float64{}
	}
	if shown.Aliases == nil {
		shown.Aliases = []string{}
	}
	for _, e := range m.EvaluationsOf(v.Number) {
		shown.Evaluations = append(shown.Evaluations, evaluation{e.Metrics, e.Source, e.At, e.Actor, e.Reason})
	}
	if served, ok := servedModel(rel, v.Model); ok && served.Version == v.Number {
		shown.Release = rel.ID()
	}
	return shown
}

// versionOf is shownVersion that also tells whether the artifact is still there.
func (a *API) versionOf(ctx context.Context, m *registry.Model, v registry.ModelVersion, rel *release.Opened) (modelVersion, error) {
	shown := shownVersion(m, v, rel)
	_, err := a.deps.Blobs.Stat(ctx, v.Digest)
	if shown.Removed = freshet.CodeOf(err) == freshet.NotFound; shown.Removed {
		err = nil
	}
	return shown, err
}

// servedModel is the model of that name in the live release.
func servedModel(rel *release.Opened, name freshet.ModelName) (*release.Model, bool) {
	if rel == nil {
		return nil, false
	}
	return rel.Model(name)
}

// modelSummary is a model in a list.
type modelSummary struct {
	Name     freshet.ModelName `json:"name"`
	Versions int               `json:"versions"` // how many
	Aliases  map[string]int    `json:"aliases"`
	Serving  int               `json:"serving,omitempty"` // the version of the live release
	Release  freshet.ReleaseID `json:"release,omitempty"` // that serves it
	Latest   modelVersion      `json:"latest"`
}

func summaryOf(m *registry.Model, rel *release.Opened) modelSummary {
	s := modelSummary{Name: m.Name, Versions: len(m.Versions), Aliases: m.Aliases, Latest: shownVersion(m, m.Versions[len(m.Versions)-1], rel)}
	if s.Aliases == nil {
		s.Aliases = map[string]int{}
	}
	if served, ok := servedModel(rel, m.Name); ok {
		s.Serving, s.Release = served.Version, rel.ID()
	}
	return s
}

// modelDetail is a model with everything about it.
type modelDetail struct {
	Name     freshet.ModelName `json:"name"`
	Versions []modelVersion    `json:"versions"`
	Aliases  map[string]int    `json:"aliases"`
	History  []aliasMove       `json:"alias_history"`
	Revision registry.Revision `json:"revision"`
}

// aliasMove is a change of an alias; version 0 removed it.
type aliasMove struct {
	Alias   string            `json:"alias"`
	Version int               `json:"version"`
	At      freshet.Timestamp `json:"at"`
	Actor   string            `json:"actor"`
	Reason  string            `json:"reason,omitempty"`
}

func (a *API) detailOf(ctx context.Context, m *registry.Model, revision registry.Revision) (modelDetail, error) {
	rel := a.deps.Live.Load()
	d := modelDetail{Name: m.Name, Versions: []modelVersion{}, Aliases: m.Aliases, History: []aliasMove{}, Revision: revision}
	if d.Aliases == nil {
		d.Aliases = map[string]int{}
	}
	for _, v := range m.Versions {
		shown, err := a.versionOf(ctx, m, v, rel)
		if err != nil {
			return d, err
		}
		d.Versions = append(d.Versions, shown)
	}
	for _, h := range m.History {
		d.History = append(d.History, aliasMove{h.Alias, h.Version, h.At, h.Actor, h.Reason})
	}
	return d, nil
}
