package deployment

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/registry"
)

// Plan says what a deployment would do, in the words of the project file.
type Plan struct {
	Live      freshet.ReleaseID `json:"live,omitempty"` // that it is compared with
	Next      freshet.ReleaseID `json:"next"`           // the name that it would get
	Digest    freshet.Digest    `json:"digest,omitempty"`
	Unchanged bool              `json:"unchanged"` // it is what is live
	Changes   []Difference      `json:"changes"`
	Shared    []string          `json:"shared"`             // what both have: "views.session"
	Backfill  *Backfill         `json:"backfill,omitempty"` // nil if no view has to be filled
	Warnings  []string          `json:"warnings"`
	// Problems are why it cannot be deployed: a file that is wrong, an input that nothing gives, a table without a column.
	Problems []Problem         `json:"problems"`
	Revision registry.Revision `json:"revision"` // of the log of decisions that the plan is good for
}

// Difference is one thing that differs.
type Difference struct {
	What   string   `json:"what"`            // "views.session", "lateness"
	Change string   `json:"change"`          // added, changed, dropped or replaced
	Lines  []string `json:"lines,omitempty"` // what differs in it
	Fill   bool     `json:"fill,omitempty"`  // a view whose rows have to be made from the past
}

// Backfill is the work of filling new views, as estimated.
type Backfill struct {
	Views   []freshet.ViewName `json:"views"`
	Events  uint64             `json:"events"` // of the past, read once for all of them
	Rate    float64            `json:"events_per_second"`
	Seconds float64            `json:"seconds"`
	Guessed bool               `json:"guessed,omitempty"` // no fill was measured on this server yet
}

// Problem is one reason why a deployment is refused.
type Problem struct {
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail"`
}

// ProblemsOf are the single errors that err joins.
func ProblemsOf(err error) []Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []Problem
		for _, e := range joined.Unwrap() {
			all = append(all, ProblemsOf(e)...)
		}
		return all
	}
	field := freshet.FieldOf(err)
	issues, ok := errors.AsType[project.Errors](err)
	if !ok {
		return []Problem{{field, err.Error()}}
	}
	all := make([]Problem, len(issues))
	for i, issue := range issues {
		all[i] = Problem{field, issue.String()}
	}
	return all
}

// Filled tells whether the rows of a view are there already, because an open release has it.
type Filled func(freshet.ViewID) bool

// Compare says what next would change in what is live, which may be nil. events are those of the past, rate how many a
// second a fill applies; 0: nothing was measured yet.
func Compare(live, next *release.Opened, filled Filled, events uint64, rate float64) Plan {
	c := comparison{next: next, filled: filled, before: map[string]string{}, after: map[string]string{}}
	c.plan = Plan{Digest: next.Manifest().Digest, Changes: []Difference{}, Shared: []string{}, Warnings: []string{}, Problems: []Problem{}}
	if live != nil {
		c.plan.Live = live.ID()
		c.plan.Unchanged = live.Manifest().Digest == next.Manifest().Digest
		c.old = live.Manifest()
		c.live = live
		c.beforeLines = live.Project().Outline()
	}
	c.afterLines = next.Project().Outline()
	for _, l := range c.beforeLines {
		c.before[l.Path] = l.Text
	}
	for _, l := range c.afterLines {
		c.after[l.Path] = l.Text
	}
	c.settings()
	c.views()
	c.tables()
	c.models()
	c.pipelines()
	c.backfill(events, rate)
	if !c.plan.Unchanged && len(c.plan.Changes) == 0 {
		c.plan.Changes = append(c.plan.Changes, Difference{What: project.FileName, Change: "changed", Lines: []string{"comments or layout only"}})
	}
	return c.plan
}

type comparison struct {
	live, next              *release.Opened
	old                     freshet.Release // live's manifest; the zero one without live
	filled                  Filled
	before, after           map[string]string
	beforeLines, afterLines []project.Line
	fills                   []freshet.ViewName
	plan                    Plan
}

// sections are what has names of its own in the project file and is compared by its digest.
var sections = []string{"views.", "tables.", "models.", "pipelines."}

// settings compares what has no digest: entities, events, lateness.
func (c *comparison) settings() {
	for _, name := range c.names("") {
		if slices.ContainsFunc(sections, func(s string) bool { return strings.HasPrefix(name+".", s) }) {
			continue
		}
		for _, what := range c.settingsIn(name) {
			if lines := c.lines(what); len(lines) > 0 {
				c.plan.Changes = append(c.plan.Changes, Difference{What: what, Change: c.change(what), Lines: lines})
			}
		}
	}
	for path, was := range c.before {
		if is, both := c.after[path]; both && was != is && strings.HasPrefix(path, "events.") && strings.Contains(path, ".fields.") {
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf(
				"%s: events of the past have a %s there; those that cannot be read as %s are skipped by the views that are filled", path, was, is))
		}
	}
	slices.Sort(c.plan.Warnings)
}

// settingsIn are the things below a name: each event type and entity, or the name itself.
func (c *comparison) settingsIn(name string) []string {
	if name != "events" && name != "entities" {
		return []string{name}
	}
	var all []string
	for _, n := range c.names(name + ".") {
		all = append(all, name+"."+n)
	}
	return all
}

// names are the elements that follow prefix in either file, in the order of the files.
func (c *comparison) names(prefix string) []string {
	var names []string
	for _, lines := range [][]project.Line{c.afterLines, c.beforeLines} {
		for _, l := range lines {
			rest, ok := strings.CutPrefix(l.Path, prefix)
			if !ok {
				continue
			}
			name, _, _ := strings.Cut(rest, ".")
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// change is what happened to a thing: added, dropped or changed.
func (c *comparison) change(what string) string {
	in := func(lines []project.Line) bool {
		return slices.ContainsFunc(lines, func(l project.Line) bool { return l.Path == what || strings.HasPrefix(l.Path, what+".") })
	}
	switch was, is := in(c.beforeLines), in(c.afterLines); {
	case !was:
		return "added"
	case !is:
		return "dropped"
	}
	return "changed"
}

// lines are the values below what that differ: "features.plays: count() → count(seconds > 5)".
func (c *comparison) lines(what string) []string {
	var lines []string
	short := func(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, what), ".") }
	label := func(path, text string) string {
		if s := short(path); s != "" {
			return s + ": " + text
		}
		return text
	}
	of := func(path string) bool { return path == what || strings.HasPrefix(path, what+".") }
	for _, l := range c.beforeLines {
		is, both := c.after[l.Path]
		switch {
		case !of(l.Path) || both && is == l.Text:
		case both:
			lines = append(lines, label(l.Path, l.Text+" → "+is))
		default:
			lines = append(lines, "- "+label(l.Path, l.Text))
		}
	}
	for _, l := range c.afterLines {
		if _, both := c.before[l.Path]; of(l.Path) && !both {
			lines = append(lines, "+ "+label(l.Path, l.Text))
		}
	}
	return lines
}

func (c *comparison) views() {
	manifest := c.next.Manifest()
	for _, v := range c.next.Project().Views {
		what := "views." + string(v.Name())
		was, both := c.old.Views[v.Name()]
		if both && was == v.Digest() {
			c.plan.Shared = append(c.plan.Shared, what)
			continue
		}
		d := Difference{What: what, Change: "added", Lines: c.lines(what), Fill: !c.filled(v.ID())}
		if both {
			d.Change = "changed"
			if len(d.Lines) == 0 {
				d.Lines = []string{"by what it is made of: its events, entity, lateness or embedder"}
			}
		}
		if d.Fill {
			c.fills = append(c.fills, v.Name())
		}
		c.plan.Changes = append(c.plan.Changes, d)
	}
	c.dropped("views.", c.old.Views, manifest.Views)
}

func (c *comparison) dropped(section string, old, next any) {
	gone := func(was, is []string) {
		for _, name := range was {
			if !slices.Contains(is, name) {
				c.plan.Changes = append(c.plan.Changes, Difference{What: section + name, Change: "dropped"})
			}
		}
	}
	switch old := old.(type) {
	case map[freshet.ViewName]freshet.Digest:
		gone(sortedNames(old), sortedNames(next.(map[freshet.ViewName]freshet.Digest)))
	case map[freshet.TableName]freshet.Digest:
		gone(sortedNames(old), sortedNames(next.(map[freshet.TableName]freshet.Digest)))
	case map[freshet.ModelName]freshet.Digest:
		gone(sortedNames(old), sortedNames(next.(map[freshet.ModelName]freshet.Digest)))
	}
}

func sortedNames[K ~string](m map[K]freshet.Digest) []string {
	names := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		names = append(names, string(k))
	}
	return names
}

func (c *comparison) tables() {
	manifest := c.next.Manifest()
	for _, name := range sortedNames(manifest.Tables) {
		what := "tables." + name
		was, both := c.old.Tables[freshet.TableName(name)]
		if both && was == manifest.Tables[freshet.TableName(name)] {
			c.plan.Shared = append(c.plan.Shared, what)
			continue
		}
		d := Difference{What: what, Change: "added", Lines: c.lines(what)}
		t, file := c.next.Table(freshet.TableName(name))
		switch {
		case both && file:
			d.Change = "replaced"
			if old, ok := c.live.Table(freshet.TableName(name)); ok {
				d.Lines = append(d.Lines, fmt.Sprintf("%d rows → %d rows", old.Len(), t.Len()))
			}
		case both:
			d.Change = "changed"
		case file:
			d.Lines = []string{fmt.Sprintf("%d rows", t.Len())}
		}
		c.plan.Changes = append(c.plan.Changes, d)
	}
	c.dropped("tables.", c.old.Tables, manifest.Tables)
}

func (c *comparison) models() {
	manifest := c.next.Manifest()
	for _, m := range c.next.Models() {
		what := "models." + string(m.Name)
		was, both := c.old.Models[m.Name]
		if both && was == m.Digest {
			c.plan.Shared = append(c.plan.Shared, what)
			continue
		}
		d := Difference{What: what, Change: "added", Lines: []string{m.Label()}}
		if both {
			old, _ := c.live.Model(m.Name)
			d.Change, d.Lines = "replaced", []string{old.Label() + " → " + m.Label()}
		}
		c.plan.Changes = append(c.plan.Changes, d)
	}
	c.dropped("models.", c.old.Models, manifest.Models)
}

func (c *comparison) pipelines() {
	for _, name := range c.names("pipelines.") {
		what := "pipelines." + name
		lines := c.lines(what)
		_, was := c.old.Pipelines[freshet.PipelineName(name)]
		if len(lines) == 0 && was {
			c.plan.Shared = append(c.plan.Shared, what)
			continue
		}
		d := Difference{What: what, Change: c.change(what), Lines: lines}
		if d.Change == "dropped" {
			d.Lines = nil
		}
		c.plan.Changes = append(c.plan.Changes, d)
	}
}

// guessedRate is what a fill is taken to apply a second before one was measured.
const guessedRate = 150_000

func (c *comparison) backfill(events uint64, rate float64) {
	if len(c.fills) == 0 || c.live == nil {
		return
	}
	b := &Backfill{Views: c.fills, Events: events, Rate: rate}
	if rate <= 0 {
		b.Rate, b.Guessed = guessedRate, true
	}
	b.Seconds = float64(events) / b.Rate
	c.plan.Backfill = b
}

// Took is the time that the backfill is estimated to take.
func (b *Backfill) Took() time.Duration { return time.Duration(b.Seconds * float64(time.Second)) }
