// Package modelregistry is a kit: models in the registry. It opens an artifact, tries it on its golden rows, and makes it the
// next version; it gives the artifacts of versions back to releases. It never decides what is served.
package modelregistry

import (
	"context"
	"io/fs"
	"maps"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/registry"
)

// Models are the models of a registry. It may be used concurrently.
type Models struct {
	registry *registry.Registry
	follower *registry.Follower[registry.Models]
	runtimes []modelruntime.Runtime
}

// New returns the models of r, which runtimes open.
func New(r *registry.Registry, runtimes []modelruntime.Runtime) *Models {
	return &Models{registry: r, follower: registry.Follow(r, registry.ApplyModels), runtimes: runtimes}
}

// Now is the state of all models, and the revision of the log that it is of.
func (m *Models) Now(ctx context.Context) (registry.Models, registry.Revision, error) {
	return m.follower.Now(ctx)
}

// Publication is what is said about an artifact that is published.
type Publication struct {
	Model   freshet.ModelName
	Metrics map[string]float64
	Lineage registry.Lineage
	Actor   string // who publishes
	Reason  string
}

// Publish makes the artifact in dir the next version of a model. If the same bytes are a version already, that one is
// returned and fresh is false; metrics that it does not have are added to what was measured of it. Nothing that serves changes. Returns what Check returns, and Conflict if the artifact says
// that it is one of an MLflow registry which is known with other bytes.
func (m *Models) Publish(ctx context.Context, dir fs.FS, p Publication) (v registry.ModelVersion, fresh bool, err error) {
	if err := registry.CheckModelName(p.Model); err != nil {
		return v, false, err
	}
	checked, err := m.Check(ctx, dir)
	if err != nil {
		return v, false, err
	}
	return m.PublishChecked(ctx, dir, checked, p)
}

// Check is Check with the runtimes of m.
func (m *Models) Check(ctx context.Context, dir fs.FS) (Checked, error) {
	return Check(ctx, dir, m.runtimes)
}

// PublishChecked is Publish for an artifact that Check has found good.
func (m *Models) PublishChecked(ctx context.Context, dir fs.FS, checked Checked, p Publication) (v registry.ModelVersion, fresh bool, err error) {
	v = registry.ModelVersion{
		Model: p.Model, Number: 1, Digest: checked.Digest, Bytes: checked.Bytes, Signature: described(checked.Signature), Metrics: p.Metrics, Lineage: p.Lineage,
	}
	if err := v.Check(); err != nil {
		return v, false, err
	}
	state, _, err := m.Now(ctx)
	if err != nil {
		return v, false, err
	}
	known, err := knownVersion(state, v)
	if err != nil {
		return v, false, err
	}
	if known.Number > 0 {
		blob, err := m.registry.Open(ctx, v.Digest)
		if err == nil {
			err = blob.Close()
		} else { // it was removed as garbage, or its file is damaged: here it is again
			err = m.put(ctx, dir, checked.Digest)
		}
		if err != nil {
			return v, false, err
		}
		return known, false, m.measured(ctx, state.Model(p.Model), known, p)
	}
	if err := m.put(ctx, dir, checked.Digest); err != nil { // first: an entry never names what is not there
		return v, false, err
	}
	state, _, err = m.follower.Decide(ctx, func(state registry.Models, _ registry.Revision) (registry.Draft, error) {
		known, err := knownVersion(state, v)
		if fresh = err == nil && known.Number == 0; !fresh {
			return registry.Draft{}, err
		}
		v.Number = 1
		if model := state.Model(p.Model); model != nil {
			v.Number = len(model.Versions) + 1
		}
		return registry.NewDraft(registry.KindVersion, p.Actor, p.Reason, v)
	})
	if err != nil {
		return v, false, err
	}
	v, _ = state.Model(p.Model).ByDigest(v.Digest)
	if fresh {
		return v, true, nil
	}
	return v, false, m.measured(ctx, state.Model(p.Model), v, p)
}

// measured keeps the metrics of who publishes a known version again. The version never changes: they stand beside it, unless they are
// what it has.
func (m *Models) measured(ctx context.Context, model *registry.Model, known registry.ModelVersion, p Publication) error {
	has := maps.Clone(known.Metrics)
	if has == nil {
		has = make(map[string]float64)
	}
	for _, e := range model.EvaluationsOf(known.Number) {
		maps.Copy(has, e.Metrics)
	}
	before := maps.Clone(has)
	if maps.Copy(has, p.Metrics); maps.Equal(has, before) {
		return nil
	}
	_, err := m.AddMetrics(ctx, registry.Evaluation{Model: p.Model, Version: known.Number, Metrics: p.Metrics, Source: p.Lineage.Source}, p.Actor, p.Reason)
	return err
}

// knownVersion is the version with the bytes of v; the zero one if there is none yet.
func knownVersion(state registry.Models, v registry.ModelVersion) (registry.ModelVersion, error) {
	model := state.Model(v.Model)
	if known, ok := model.ByDigest(v.Digest); ok || model == nil {
		return known, nil
	}
	for _, other := range model.Versions {
		if v.Lineage.Pinned() && other.Lineage.Tracking == v.Lineage.Tracking && other.Lineage.Source == v.Lineage.Source {
			return registry.ModelVersion{}, freshet.Errorf(freshet.Conflict,
				"%s of %s is %s with digest %s, and its bytes are others now (%s): a version never changes; register the new artifact as a new version in MLflow",
				v.Lineage.Source, v.Lineage.Tracking, other.Label(), other.Digest, v.Digest)
		}
	}
	return registry.ModelVersion{}, nil
}

// put stores an artifact as one blob. The registry finds out if the files have changed since their digest was made.
func (m *Models) put(ctx context.Context, dir fs.FS, digest freshet.Digest) error {
	packed := modelruntime.NewPackReader(dir)
	defer packed.Close()
	_, err := m.registry.Put(ctx, digest, packed)
	return err
}

// SetAlias moves an alias to a version; version 0 removes it. Returns NotFound if there is no such version. expected is the
// revision that the decision was made at, 0 for whatever is the newest; if another was decided since, PreconditionFailed.
func (m *Models) SetAlias(ctx context.Context, expected registry.Revision, c registry.AliasChange, actor, reason string) (*registry.Model, error) {
	if err := registry.CheckAlias(c.Alias); err != nil {
		return nil, err
	}
	state, _, err := m.follower.Decide(ctx, func(state registry.Models, at registry.Revision) (registry.Draft, error) {
		if expected != 0 && at != expected {
			return registry.Draft{}, freshet.Errorf(freshet.PreconditionFailed, "the log of decisions is at revision %d, not at %d: look at what was decided meanwhile and try again", at, expected)
		}
		model := state.Model(c.Model)
		if model == nil {
			return registry.Draft{}, freshet.FieldErrorf(freshet.NotFound, "model", "there is no model %s", c.Model)
		}
		now, set := model.Aliases[c.Alias]
		if c.Version == 0 && !set {
			return registry.Draft{}, freshet.FieldErrorf(freshet.NotFound, "alias", "model %s has no alias %s", c.Model, c.Alias)
		}
		if _, ok := model.Version(c.Version); !ok && c.Version != 0 {
			return registry.Draft{}, freshet.FieldErrorf(freshet.NotFound, "version", "model %s has no version %d; it has %d", c.Model, c.Version, len(model.Versions))
		}
		if set && now == c.Version {
			return registry.Draft{}, nil // it points there
		}
		return registry.NewDraft(registry.KindAlias, actor, reason, c)
	})
	if err != nil {
		return nil, err
	}
	return state.Model(c.Model), nil
}

// AddMetrics keeps what was measured of a version beside it. Returns NotFound if there is no such version.
func (m *Models) AddMetrics(ctx context.Context, e registry.Evaluation, actor, reason string) (*registry.Model, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	state, _, err := m.follower.Decide(ctx, func(state registry.Models, _ registry.Revision) (registry.Draft, error) {
		if _, ok := state.Model(e.Model).Version(e.Version); !ok {
			return registry.Draft{}, freshet.FieldErrorf(freshet.NotFound, "version", "there is no version %d of model %s", e.Version, e.Model)
		}
		return registry.NewDraft(registry.KindMetrics, actor, reason, e)
	})
	if err != nil {
		return nil, err
	}
	return state.Model(e.Model), nil
}

// Open gives the artifact of a version, verified; the caller closes it.
func (m *Models) Open(ctx context.Context, v registry.ModelVersion) (*release.Artifact, error) {
	blob, err := m.registry.Open(ctx, v.Digest)
	if freshet.CodeOf(err) == freshet.NotFound {
		return nil, freshet.Errorf(freshet.NotFound, "%s: its artifact was removed as garbage: publish it again, and it is %s again", v.Label(), v.Label())
	}
	if err != nil {
		return nil, freshet.Errorf("", "%s: %w", v.Label(), err)
	}
	files, err := modelruntime.Unpack(blob, blob.Size())
	if err != nil {
		_ = blob.Close() // err says more
		return nil, freshet.Errorf("", "%s: %s: %w", v.Label(), blob.Name(), err)
	}
	return &release.Artifact{FS: files, Closer: blob, Digest: v.Digest, Version: v.Number}, nil
}

func described(s modelruntime.Signature) registry.Signature {
	d := registry.Signature{Inputs: make([]registry.Column, len(s.Inputs)), Outputs: s.Outputs, Positional: s.Positional}
	for i, c := range s.Inputs {
		d.Inputs[i] = registry.Column{Name: c.Name, Type: c.Type, Required: c.Required}
	}
	return d
}
