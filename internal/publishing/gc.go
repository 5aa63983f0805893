package publishing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/registry"
)

// grace is how long an artifact that nothing names is left alone: somebody may be about to name it.
const grace = 24 * time.Hour

// Collect says which artifacts of the registry nothing needs, and removes them if it is told to. Needed are those of the live,
// the former and the candidate release and of the last keep releases, model versions that an alias points at or that are the newest of their
// model, and whatever came in within the last day. Decisions are never removed: they are the audit.
func (p *Publisher) Collect(ctx context.Context, keep int, remove bool) (deployment.Garbage, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // no deployment is decided meanwhile
	g := deployment.Garbage{Remove: []deployment.Waste{}, Removed: remove}
	state, _, err := p.follower.Now(ctx)
	if err != nil {
		return g, err
	}
	models, _, err := p.Versions.Now(ctx)
	if err != nil {
		return g, err
	}
	needed, names := uses(state, models, keep)
	all, err := p.Registry.List(ctx)
	if err != nil {
		return g, err
	}
	young := freshet.TimestampOf(p.o.Now().Add(-grace))
	for _, b := range all {
		if needed[b.Digest] || b.PutAt > young {
			g.Kept++
			g.KeptBytes += b.Size
			continue
		}
		g.Remove = append(g.Remove, deployment.Waste{Digest: b.Digest, What: cmp.Or(names[b.Digest], "nothing names it"), Bytes: b.Size, PutAt: b.PutAt})
		g.Bytes += b.Size
		if remove {
			if err := p.Registry.Delete(ctx, b.Digest); err != nil {
				return g, err
			}
		}
	}
	return g, nil
}

// uses are the artifacts that are needed, and what each that is known is.
func uses(state deployment.Releases, models registry.Models, keep int) (needed map[freshet.Digest]bool, names map[freshet.Digest]string) {
	needed, names = map[freshet.Digest]bool{}, map[freshet.Digest]string{}
	for _, m := range models.All() {
		for _, v := range m.Versions {
			names[v.Digest] = "model " + v.Label()
			if v.Number == len(m.Versions) || len(m.AliasesOf(v.Number)) > 0 {
				needed[v.Digest] = true
			}
		}
	}
	roles := rolesOf(state)
	for i, r := range state.All {
		kept := roles[r.ID()] || i >= len(state.All)-keep
		note := func(d freshet.Digest, what string) {
			names[d] = cmp.Or(names[d], what)
			needed[d] = needed[d] || kept
		}
		note(r.Order.Release.Project, fmt.Sprintf("project file of %s", r.ID()))
		for _, name := range slices.Sorted(maps.Keys(r.Tables)) {
			note(r.Tables[name], fmt.Sprintf("table %s of %s", name, r.ID()))
		}
		if r.Embedder != "" {
			note(r.Embedder, fmt.Sprintf("word table of %s", r.ID()))
		}
		for _, d := range r.Order.Release.Models {
			needed[d] = needed[d] || kept
		}
	}
	return needed, names
}

// there returns Unavailable if a file that an order names has been removed since it was read.
func (p *Publisher) there(ctx context.Context, o deployment.Order) error {
	digests := slices.Collect(maps.Values(o.Tables))
	digests = append(digests, o.Release.Project)
	if o.Embedder != "" {
		digests = append(digests, o.Embedder)
	}
	for _, d := range slices.AppendSeq(digests, maps.Values(o.Release.Models)) {
		if _, err := p.Registry.Stat(ctx, d); err != nil {
			return freshet.Errorf(freshet.Unavailable, "an artifact was removed meanwhile; deploy again: %w", err)
		}
	}
	return nil
}
