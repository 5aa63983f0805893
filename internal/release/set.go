package release

import (
	"math"
	"reflect"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
)

// Set is all that is open at one moment. It is immutable.
//
// A release in it may be closed while the Set is looked at, unless it is pinned. What does not need models or tables does not
// need a pin: views, schemas and triggers are good for ever, so the receiver works with the Set alone.
type Set struct {
	roles    Roles
	draining []*Opened // without a role, still pinned
	open     []*Opened // both
	share    uint64    // of the candidate, as a bound for hashes
	salt     uint64
	views    []*feature.View // of all, each once
	serving  []freshet.ViewID
	kinds    map[freshet.EventType][]Kinds
	feeds    map[route][]Feed
	decoders map[*Opened]*Opened
}

type route struct {
	t    freshet.EventType
	kind freshet.EntityKind
}

// Kinds are entity kinds for which an event is appended, with a release that can find their keys in it.
type Kinds struct {
	Release *Opened
	Kinds   []freshet.EntityKind
}

// Feed is what an event changes: views that read records of Release's schema.
type Feed struct {
	Release *Opened
	Views   []*feature.View
	ViewIDs []freshet.ViewID // of Views
}

var nothing = Set{}

func newSet(roles Roles, draining []*Opened) *Set {
	s := &Set{
		roles: roles, draining: draining, open: append(roles.list(), draining...),
		kinds: map[freshet.EventType][]Kinds{}, feeds: map[route][]Feed{}, decoders: map[*Opened]*Opened{},
	}
	s.setShare()
	lender := map[freshet.ViewID]*Opened{}
	for _, o := range s.open {
		s.decoders[o] = s.open[slices.IndexFunc(s.open, func(other *Opened) bool { return sameRecords(other, o) })]
		serves := o != roles.Preparing && !slices.Contains(draining, o)
		for _, v := range o.project.Views {
			if serves && !slices.Contains(s.serving, v.ID()) {
				s.serving = append(s.serving, v.ID())
			}
			if lender[v.ID()] == nil {
				lender[v.ID()] = o
				s.views = append(s.views, v)
				s.addFeeds(o, v)
			}
		}
		s.addKinds(o)
	}
	return s
}

// setShare chooses whom the candidate serves: a hash of the key below a bound. The salt is the candidate's content, so that it is not
// always the same people who try what is new, while one release has the same ones for as long as it is a candidate.
func (s *Set) setShare() {
	if s.roles.Candidate == nil {
		return
	}
	switch share := s.roles.Share; {
	case share >= 1:
		s.share = math.MaxUint64
	case share > 0:
		s.share = uint64(share * (1 << 63) * 2)
	}
	s.salt = hash(0, string(s.roles.Candidate.manifest.Digest))
}

// hash is FNV-1a with a finalizer that makes all its bits depend on all of text.
func hash(salt uint64, text string) uint64 {
	h := uint64(14695981039346656037) ^ salt
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// addFeeds has v, a view of o, fed: an event is decoded once for all releases that declare it alike.
func (s *Set) addFeeds(o *Opened, v *feature.View) {
	o = s.decoders[o]
	for _, e := range o.project.Events {
		if !v.Listens(e.Type) {
			continue
		}
		at := route{e.Type, v.Entity()}
		feeds := s.feeds[at]
		i := slices.IndexFunc(feeds, func(f Feed) bool { return f.Release == o })
		if i < 0 {
			i = len(feeds)
			feeds = append(feeds, Feed{Release: o})
		}
		feeds[i].Views = append(feeds[i].Views, v)
		feeds[i].ViewIDs = append(feeds[i].ViewIDs, v.ID())
		s.feeds[at] = feeds
	}
}

// Decoder is the release whose schema is used to decode events for o: the first open one with the same declarations.
func (s *Set) Decoder(o *Opened) *Opened { return s.decoders[o] }

// sameRecords tells whether events decode to the same slots in both: the same declarations, in the same order.
func sameRecords(a, b *Opened) bool {
	return a == b || reflect.DeepEqual(a.project.Entities, b.project.Entities) && reflect.DeepEqual(a.project.Events, b.project.Events)
}

func (s *Set) addKinds(o *Opened) {
	for t, kinds := range o.kinds {
		var more []freshet.EntityKind
		for _, kind := range kinds {
			if !slices.ContainsFunc(s.kinds[t], func(k Kinds) bool { return slices.Contains(k.Kinds, kind) }) {
				more = append(more, kind)
			}
		}
		if len(more) > 0 {
			s.kinds[t] = append(s.kinds[t], Kinds{o, more})
		}
	}
}

// Roles are what each release is for.
func (s *Set) Roles() Roles { return s.roles }

// Open are all releases that are open, each once: those with a role, and those that have lost it and are still pinned.
func (s *Set) Open() []*Opened { return s.open }

// SameOpen tells whether the same releases are open in both and serve the same views: then they differ in who serves whom alone.
func (s *Set) SameOpen(other *Set) bool {
	return sameOnes(s.open, other.open) && sameOnes(s.serving, other.serving)
}

// sameOnes compares lists without doubles, in whatever order.
func sameOnes[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}

// For is the release that serves the entity with key; nil before the first. It depends on the key, the candidate and its share
// alone, and a larger share serves all whom a smaller one did.
func (s *Set) For(key freshet.Key) *Opened {
	if s.share > 0 && hash(s.salt, string(key)) <= s.share {
		return s.roles.Candidate
	}
	return s.roles.Live
}

func (s *Set) forJob(key freshet.Key, pipeline freshet.PipelineName) *Opened {
	o := s.For(key)
	if o == nil {
		return nil
	}
	if _, ok := o.Pipeline(pipeline); ok {
		return o
	}
	for _, other := range s.open {
		if other == s.roles.Preparing || other == s.roles.Shadow {
			continue
		}
		if _, ok := other.Pipeline(pipeline); ok {
			return other
		}
	}
	return o
}

// Kinds are the entity kinds that an event of type t is appended for: all that an open release needs, each once. The first
// are those of the live release, as far as it knows the type.
func (s *Set) Kinds(t freshet.EventType) []Kinds { return s.kinds[t] }

// Views are the views of all open releases, each once.
func (s *Set) Views() []*feature.View { return s.views }

// Serving are the ids of the views that must be filled before a release can serve: those of all roles but Preparing.
func (s *Set) Serving() []freshet.ViewID { return s.serving }

// Feeds are the views that an event of type t about an entity of kind changes, whichever open releases they are of, each once.
func (s *Set) Feeds(t freshet.EventType, kind freshet.EntityKind) []Feed {
	return s.feeds[route{t, kind}]
}

// Share is where a text lies between 0 and 1, by a hash: a part of all jobs or users is those below a bound.
func Share(text string) float64 { return float64(hash(0, text)>>11) / (1 << 53) }
