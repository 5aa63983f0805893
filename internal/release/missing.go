package release

import (
	"cmp"
	"slices"

	"github.com/freshet-ml/freshet"
)

// Gap is a kind of entity that events of a type have not been appended for so far.
type Gap struct {
	Type  freshet.EventType
	Kind  freshet.EntityKind
	Views []freshet.ViewName // that would miss the events of the past
}

// Missing are the gaps that o would find in the log: what it needs and no open release does. Events of the past lie where the
// releases of their day needed them, and offsets, late events and duplicates are decided there; so a view over another
// entity kind begins with the events that come in after o has got a role. A type of events that no open release knows has no
// past at all and is no gap.
func Missing(open *Set, o *Opened) []Gap {
	var gaps []Gap
	for t, kinds := range o.kinds {
		now := open.Kinds(t)
		if len(now) == 0 {
			continue
		}
		for _, kind := range kinds {
			if slices.ContainsFunc(now, func(k Kinds) bool { return slices.Contains(k.Kinds, kind) }) {
				continue
			}
			gap := Gap{Type: t, Kind: kind}
			for _, v := range o.Route(t, kind).Views {
				gap.Views = append(gap.Views, v.Name())
			}
			gaps = append(gaps, gap)
		}
	}
	slices.SortFunc(gaps, func(a, b Gap) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Kind, b.Kind)) })
	return gaps
}
