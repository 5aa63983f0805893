package feature

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/embed"
	"github.com/freshet-ml/freshet/feature/expression"
)

// FeatureSpec declares one feature.
type FeatureSpec struct {
	Name       freshet.FeatureName
	Expression string
}

// ViewSpec declares a feature view.
type ViewSpec struct {
	Name    freshet.ViewName
	Entity  freshet.EntityKind
	From    []freshet.EventType
	Where   string   // "" for all events
	Windows []string // one, or several sliding ones
	// Lateness is how far the watermark lies behind the newest event of a partition, in whole milliseconds. It decides how
	// long session views keep sessions; other views don't depend on it.
	Lateness time.Duration
	Features []FeatureSpec
	// Embedder makes the vectors of embed(text); nil: the view may not embed. It is asked for each event anew, so that one
	// that takes its time stands behind an embed.Cache.
	Embedder embed.Embedder
}

// Feature is one value of a view. With a list of windows there is one for each window, those of the first window first,
// named {feature}_{D}.
type Feature struct {
	Name freshet.FeatureName
	Type expression.Type
}

// View is a compiled view. It is immutable and safe for concurrent use.
type View struct {
	name     freshet.ViewName
	entity   freshet.EntityKind
	digest   freshet.Digest
	id       freshet.ViewID
	from     []freshet.EventType
	reads    []string            // names in its expressions, sorted
	where    *expression.Program // nil: all events
	lateness int64               // milliseconds

	kind      windowKind
	windows   []window // as declared
	ascending []int    // windows by length
	levels    []level  // of tiles, for sliding windows

	inputs     []input
	components []component
	aggregates []aggregate
	programs   []program // of the features
	frameSlots int
	features   []Feature
}

// program computes a feature and leaves it in the frame for those after it.
type program struct {
	run  *expression.Program // nil: the feature is what stands in the slot, the result of an aggregate
	slot int
}

// NewView checks and compiles a definition. The error joins one *DefinitionError for each thing that is wrong; besides the
// elements named there, there are "name" and "lateness".
func NewView(s *Schema, spec ViewSpec) (*View, error) {
	b := viewBuilder{schema: s, spec: spec, view: &View{name: spec.Name, entity: spec.Entity, lateness: spec.Lateness.Milliseconds()}}
	b.checkName()
	b.checkEntity()
	b.setWindows()
	if b.setSources(); b.events != nil {
		b.setWhere()
		b.setFeatures()
	}
	if len(b.problems) > 0 {
		return nil, errors.Join(b.problems...)
	}
	b.finish()
	return b.view, nil
}

type viewBuilder struct {
	schema   *Schema
	spec     ViewSpec
	view     *View
	events   *eventEnv
	problems []error
	trees    []*expression.Tree // where, if any, and the features, for the digest
	embeds   bool
}

func (b *viewBuilder) report(element string, err error) {
	d := &DefinitionError{Element: element, Err: err}
	if at, ok := errors.AsType[*expression.Error](err); ok {
		d.Offset = at.Offset
	}
	b.problems = append(b.problems, d)
}

func (b *viewBuilder) reportf(element, format string, args ...any) {
	b.report(element, freshet.Errorf(freshet.InvalidArgument, format, args...))
}

func (b *viewBuilder) checkName() {
	if !isName(string(b.spec.Name)) {
		b.reportf("name", "view %s: %s", b.spec.Name, nameRule)
	}
	if b.spec.Lateness < 0 {
		b.reportf("lateness", "lateness: it must not be negative")
	}
}

func (b *viewBuilder) checkEntity() {
	if _, ok := b.schema.entities[b.spec.Entity]; ok {
		return
	}
	var kinds []string
	for kind := range b.schema.entities {
		kinds = append(kinds, string(kind))
	}
	b.reportf("entity", "there is no entity %s%s", b.spec.Entity, expression.Hint(string(b.spec.Entity), kinds))
}

// setSources leaves b.events nil if expressions cannot be checked.
func (b *viewBuilder) setSources() {
	if len(b.spec.From) == 0 {
		b.reportf("from", "from: a view listens to at least one event type")
		return
	}
	events, problems := b.schema.eventEnv(b.spec.From)
	b.problems = append(b.problems, problems...)
	for i, name := range b.spec.From {
		t := b.schema.types[name]
		if t == nil {
			continue
		}
		for _, key := range b.schema.entities[b.spec.Entity] {
			if f := t.fields[key]; f == nil || !f.isKey {
				b.reportf(indexed("from", i, len(b.spec.From)), "events of type %s don't have the key %s of entity %s", name, key, b.spec.Entity)
			}
		}
	}
	b.view.from = slices.Clone(b.spec.From)
	if len(problems) == 0 {
		b.events = events
	}
}

func (b *viewBuilder) setWindows() {
	v := b.view
	if v.windows = windowsOf(b.spec.Windows, b.report); len(v.windows) == 0 {
		return
	}
	v.kind = v.windows[0].kind
	for i := range v.windows {
		v.ascending = append(v.ascending, i)
	}
	slices.SortStableFunc(v.ascending, func(i, j int) int { return cmp.Compare(v.windows[i].length, v.windows[j].length) })
	if v.kind == sliding {
		v.levels = levelsOf(v.windows, v.ascending)
	}
}

func (b *viewBuilder) setWhere() {
	if b.spec.Where == "" {
		return
	}
	tree, err := expression.Parse(b.spec.Where)
	if err != nil {
		b.report("where", err)
		return
	}
	b.trees = append(b.trees, tree)
	where, err := tree.Compile(b.events)
	if err != nil {
		b.report("where", err)
		return
	}
	if t := where.Type(); t.Kind != expression.Bool {
		b.reportf("where", "where must be a bool, not %s", t)
		return
	}
	b.view.where = where
}

func (b *viewBuilder) setFeatures() {
	if len(b.spec.Features) == 0 {
		b.reportf("features", "features: a view has at least one")
	}
	v, f := b.view, newFrame(b.events, b.spec.Embedder)
	var features []Feature
	for i, spec := range b.spec.Features {
		element := "features." + string(spec.Name)
		if !isName(string(spec.Name)) {
			b.reportf(element, "feature %s: %s", spec.Name, nameRule)
			continue
		}
		if slices.ContainsFunc(b.spec.Features[:i], func(o FeatureSpec) bool { return o.Name == spec.Name }) {
			b.reportf(element, "feature %s is declared twice", spec.Name)
			continue
		}
		tree, err := expression.Parse(spec.Expression)
		if err != nil {
			b.report(element, fmt.Errorf("feature %s: %w", spec.Name, err))
			continue
		}
		b.trees = append(b.trees, tree)
		run, err := tree.Compile(f)
		if err != nil {
			b.report(element, fmt.Errorf("feature %s: %w", spec.Name, err))
			continue
		}
		slot, isCall := f.resultOf(tree)
		if isCall {
			run = nil
		} else {
			slot = f.slot(run.Type())
		}
		f.names[string(spec.Name)] = slot
		v.programs = append(v.programs, program{run: run, slot: slot.Index})
		features = append(features, Feature{Name: spec.Name, Type: slot.Type})
	}
	v.inputs, v.components, v.aggregates, v.frameSlots = f.inputs, f.components, f.aggregates, f.slots
	v.features, b.embeds = features, f.embeds
	if len(v.windows) > 1 {
		v.features = nil
		for _, w := range v.windows {
			for _, f := range features {
				v.features = append(v.features, Feature{Name: f.Name + freshet.FeatureName("_"+w.suffix), Type: f.Type})
			}
		}
	}
}

// finish computes the digest: of all that decides the values, in canonical text. Two definitions that differ in spaces or
// in the order of event types have one digest; so have two that differ in fields that the view does not look at.
func (b *viewBuilder) finish() {
	v := b.view
	var t strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&t, format+"\n", args...) }
	line("freshet view 1") // the number changes with the layout of rows
	line("name %s", v.name)
	line("entity %s %q", v.entity, b.schema.entities[v.entity])
	var names []string
	for _, tree := range b.trees {
		names = append(names, tree.Names()...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	v.reads = names
	from := slices.Sorted(slices.Values(v.from))
	for _, name := range from {
		line("from %s", name)
		for _, n := range names {
			if f := b.schema.types[name].fields[n]; f != nil {
				line("field %s %s", n, f.typ)
			}
		}
	}
	for _, w := range v.windows {
		line("window %s", w.text)
	}
	if v.kind == session {
		line("lateness %d ms", v.lateness)
	}
	trees := b.trees
	if v.where != nil {
		line("where %s", trees[0])
		trees = trees[1:]
	}
	for i, tree := range trees {
		line("feature %s %s", b.spec.Features[i].Name, tree)
	}
	if b.embeds {
		line("embedder %s", b.spec.Embedder.Digest())
	}
	sum := sha256.Sum256([]byte(t.String()))
	v.digest = freshet.Digest("sha256:" + hex.EncodeToString(sum[:]))
	v.id = freshet.ViewID(binary.BigEndian.Uint64(sum[:]))
}

// Name is the name of the view in the project file.
func (v *View) Name() freshet.ViewName { return v.name }

// Entity is the kind of entity that the view is about.
func (v *View) Entity() freshet.EntityKind { return v.entity }

// Digest names the definition: every change that can change a value or a row changes it.
func (v *View) Digest() freshet.Digest { return v.digest }

// ID is the first eight bytes of the digest: it names the view's rows.
func (v *View) ID() freshet.ViewID { return v.id }

// From lists the event types that can reach the view.
func (v *View) From() []freshet.EventType { return slices.Clone(v.from) }

// Listens says whether events of that type can reach the view.
func (v *View) Listens(t freshet.EventType) bool { return slices.Contains(v.from, t) }

// Reads says whether an expression of the view may use a field of events.
func (v *View) Reads(field string) bool { return slices.Contains(v.reads, field) }

// Features lists the values that Read and Compute append, in their order.
func (v *View) Features() []Feature { return slices.Clone(v.features) }
