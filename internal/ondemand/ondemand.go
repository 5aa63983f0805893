// Package ondemand is a kit: it opens versions of models that no live release has, because somebody has asked for them by
// number. It keeps a bounded number of them, the ones asked for last, and never decides what a release serves.
package ondemand

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/registry"
)

// Source knows the versions and opens their artifacts, verified by their digests (modelregistry.Models).
type Source interface {
	Now(ctx context.Context) (registry.Models, registry.Revision, error)
	Open(ctx context.Context, v registry.ModelVersion) (*release.Artifact, error)
}

// Options of New.
type Options struct {
	// Max is how many versions are kept open. Defaults to 8. One that is in use when another takes its place is freed
	// when its last user has given it back.
	Max int
	// Warm tries a version before anybody gets it; what fails it is not kept. nil: nothing is tried.
	Warm func(ctx context.Context, m *release.Model) error
	// Metrics takes the counters. nil: nobody reads them.
	Metrics prometheus.Registerer
}

// Pool is the versions that are open. It may be used concurrently.
type Pool struct {
	source   Source
	runtimes []modelruntime.Runtime
	o        Options
	loading  chan struct{} // held by the one load that is under way: two at once would be twice the memory, and both cores
	seconds  prometheus.Histogram
	loads    *prometheus.CounterVec
	dropped  prometheus.Counter

	mu       sync.Mutex
	versions map[id]*version
	clock    uint64 // counts uses, to tell which was the last
}

type id struct {
	model  freshet.ModelName
	number int
}

// version is one that is open, or is being opened. Its fields below done are guarded by the pool's mutex.
type version struct {
	done  chan struct{} // closed when it is open or has failed
	model *release.Model
	err   error

	users int // who has it pinned, and the pool itself
	used  uint64
}

// New returns a pool without any version. runtimes open them.
func New(source Source, runtimes []modelruntime.Runtime, o Options) *Pool {
	o.Max = cmp.Or(o.Max, 8)
	p := &Pool{
		source: source, runtimes: runtimes, o: o, loading: make(chan struct{}, 1), versions: map[id]*version{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "freshet_model_load_seconds", Help: "Time to open and try a version of a model that was asked for by number.",
			Buckets: prometheus.ExponentialBuckets(1e-3, 4, 8),
		}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_model_loads_total", Help: "Versions of models loaded because they were asked for by number.",
		}, []string{"outcome"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_model_evictions_total", Help: "Versions loaded by number that made room for others.",
		}),
	}
	p.loads.WithLabelValues("loaded")
	p.loads.WithLabelValues("failed")
	if o.Metrics != nil {
		o.Metrics.MustRegister(p.seconds, p.loads, p.dropped, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "freshet_models_loaded", Help: "Versions of models that are open because they were asked for by number.",
		}, func() float64 { return float64(len(p.List())) }))
	}
	return p
}

// Pinned is a version that stays open until Unpin.
type Pinned struct {
	*release.Model
	pool    *Pool
	version *version
}

// Unpin gives the version back. It must not be used afterwards.
func (p Pinned) Unpin() { p.pool.leave(p.version) }

// Pin gives a version, and opens it first if it is not; whoever asks for it meanwhile waits for the same opening, at most until
// ctx ends. Returns NotFound if there is no such version, and the errors of opening, which are not kept: the next one tries again.
func (p *Pool) Pin(ctx context.Context, name freshet.ModelName, number int) (Pinned, error) {
	p.mu.Lock()
	v, ok := p.versions[id{name, number}]
	if !ok {
		v = &version{done: make(chan struct{}), users: 1}
		p.versions[id{name, number}] = v
	}
	v.users++
	p.clock++
	v.used = p.clock
	p.mu.Unlock()
	if !ok {
		// Whoever waits for it does not want it to end with the one who happened to come first.
		p.open(context.WithoutCancel(ctx), id{name, number}, v)
	}
	select {
	case <-v.done:
	case <-ctx.Done():
		p.leave(v)
		return Pinned{}, freshet.Errorf(freshet.DeadlineExceeded, "%s@%d is still being loaded: %w", name, number, ctx.Err())
	}
	if v.err != nil {
		p.leave(v)
		return Pinned{}, v.err
	}
	return Pinned{v.model, p, v}, nil
}

// open opens v and makes it known to those who wait for it.
func (p *Pool) open(ctx context.Context, at id, v *version) {
	p.loading <- struct{}{}
	begin := time.Now()
	model, err := p.load(ctx, at)
	<-p.loading
	outcome := "loaded"
	if err != nil {
		outcome = "failed"
	} else {
		p.seconds.Observe(time.Since(begin).Seconds())
	}
	p.loads.WithLabelValues(outcome).Inc()
	p.mu.Lock()
	v.model, v.err = model, err
	close(v.done)
	var free []*version
	if err != nil {
		free = append(free, p.forget(at))
	}
	free = append(free, p.shrink()...)
	p.mu.Unlock()
	for _, v := range free {
		p.leave(v)
	}
}

func (p *Pool) load(ctx context.Context, at id) (m *release.Model, err error) {
	defer func() { // those who wait must hear of it
		if fault := recover(); fault != nil {
			m, err = nil, freshet.Errorf(freshet.Internal, "%s@%d: panic: %v", at.model, at.number, fault)
		}
	}()
	state, _, err := p.source.Now(ctx)
	if err != nil {
		return nil, err
	}
	model := state.Model(at.model)
	if model == nil {
		return nil, freshet.FieldErrorf(freshet.NotFound, "model", "there is no model %.64q in the registry, and no version %d of it", string(at.model), at.number)
	}
	v, ok := model.Version(at.number)
	if !ok {
		return nil, freshet.FieldErrorf(freshet.NotFound, "version", "model %s has no version %d; it has %d", at.model, at.number, len(model.Versions))
	}
	artifact, err := p.source.Open(ctx, v)
	if err != nil {
		return nil, err
	}
	defer artifact.Close() // a model holds what it needs in memory
	opened, err := modelruntime.Open(artifact, p.runtimes)
	if err != nil {
		return nil, freshet.Errorf("", "%s: %w", v.Label(), err)
	}
	m = &release.Model{Name: at.model, Digest: v.Digest, Version: v.Number, Model: opened}
	if p.o.Warm != nil {
		if err := p.o.Warm(ctx, m); err != nil {
			_ = opened.Close() // err says more
			return nil, err
		}
	}
	return m, nil
}

// forget takes a version out of the pool. The pool's hold of it is left to the caller. p.mu is held.
func (p *Pool) forget(at id) *version {
	v := p.versions[at]
	delete(p.versions, at)
	return v
}

// shrink takes the versions out that were asked for the longest ago, as long as there are too many. p.mu is held.
func (p *Pool) shrink() (out []*version) {
	for {
		open, oldest := 0, id{}
		for at, v := range p.versions {
			if v.model == nil {
				continue // it is being opened, and counts when it is
			}
			if open++; open == 1 || v.used < p.versions[oldest].used {
				oldest = at
			}
		}
		if open <= p.o.Max {
			return out
		}
		p.dropped.Inc()
		out = append(out, p.forget(oldest))
	}
}

// leave gives back one hold of v; the last one frees it.
func (p *Pool) leave(v *version) {
	p.mu.Lock()
	v.users--
	last := v.users == 0
	p.mu.Unlock()
	if last && v.model != nil {
		_ = v.model.Close() // it only frees memory, and nobody is left to tell
	}
}

// Unload takes a version out of the pool; number 0 takes all of a model. It reports how many there were: those that are
// being opened stay.
func (p *Pool) Unload(name freshet.ModelName, number int) int {
	p.mu.Lock()
	var out []*version
	for at, v := range p.versions {
		if at.model == name && (number == 0 || at.number == number) && v.model != nil {
			out = append(out, p.forget(at))
		}
	}
	p.mu.Unlock()
	for _, v := range out {
		p.leave(v)
	}
	return len(out)
}

// Status is a version in the pool.
type Status struct {
	Model   freshet.ModelName
	Version int
	Ready   bool // false: it is being opened
}

// List are the versions in the pool, by name and number.
func (p *Pool) List() []Status {
	p.mu.Lock()
	list := make([]Status, 0, len(p.versions))
	for at, v := range p.versions {
		list = append(list, Status{at.model, at.number, v.model != nil})
	}
	p.mu.Unlock()
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Version, b.Version))
	})
	return list
}

// Close frees all versions that nobody has pinned; the others when they are given back.
func (p *Pool) Close() error {
	p.mu.Lock()
	var out []*version
	for at, v := range p.versions {
		if v.model != nil {
			out = append(out, p.forget(at))
		}
	}
	p.mu.Unlock()
	for _, v := range out {
		p.leave(v)
	}
	return nil
}
