package feature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/sharedtest"
)

// names is a string or a list of strings.
type names []string

func (n *names) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		*n = names{""}
		return json.Unmarshal(b, &(*n)[0])
	}
	return json.Unmarshal(b, (*[]string)(n))
}

// entry is one member of an object whose order counts.
type entry[T any] struct {
	name  string
	value T
}

type ordered[T any] []entry[T]

func (o *ordered[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value T
		if err := d.Decode(&value); err != nil {
			return err
		}
		*o = append(*o, entry[T]{name.(string), value})
	}
	return nil
}

type projectCase struct {
	Entities ordered[struct{ Key names }]
	Events   ordered[struct {
		Keys   names
		Fields ordered[string]
	}]
	Lateness string
	Views    ordered[struct {
		Entity   string
		From     names
		Where    string
		Window   names
		Features ordered[string]
	}]
}

func (p *projectCase) schema() (*Schema, error) {
	var entities []EntitySpec
	for _, e := range p.Entities {
		entities = append(entities, EntitySpec{Kind: freshet.EntityKind(e.name), KeyFields: e.value.Key})
	}
	var events []EventSpec
	for _, e := range p.Events {
		spec := EventSpec{Type: freshet.EventType(e.name), Keys: e.value.Keys}
		for _, f := range e.value.Fields {
			spec.Fields = append(spec.Fields, FieldSpec{Name: f.name, Type: f.value})
		}
		events = append(events, spec)
	}
	return NewSchema(entities, events)
}

func (p *projectCase) viewSpecs(t testing.TB) []ViewSpec {
	lateness := int64(0)
	if p.Lateness != "" {
		var err error
		if lateness, err = parseOffset(p.Lateness); err != nil {
			t.Fatal(err)
		}
	}
	var specs []ViewSpec
	for _, v := range p.Views {
		spec := ViewSpec{
			Name: freshet.ViewName(v.name), Entity: freshet.EntityKind(v.value.Entity), Where: v.value.Where,
			Windows: v.value.Window, Lateness: time.Duration(lateness) * time.Millisecond,
		}
		for _, from := range v.value.From {
			spec.From = append(spec.From, freshet.EventType(from))
		}
		for _, f := range v.value.Features {
			spec.Features = append(spec.Features, FeatureSpec{Name: freshet.FeatureName(f.name), Expression: f.value})
		}
		specs = append(specs, spec)
	}
	return specs
}

type featureCase struct {
	Name       string
	OrderFree  bool `json:"order_free"`
	Needs      string
	Project    projectCase
	Events     []json.RawMessage
	Duplicates []int
	Rejected   []int
	Reads      []readCase
}

type readCase struct {
	View   string
	Entity map[string]any
	At     string
	AsOf   string `json:"as_of"`
	Expect map[string]any
	Exact  []string
	Approx map[string]float64
	Within map[string]float64
	Sample map[string]int
}

func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(sharedtest.Path(t, "cases/features"), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		if filepath.Base(file) == "errors.json" {
			continue
		}
		var c featureCase
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			runCase(t, &c, c.Project.viewSpecs(t))
		})
	}
}

// caseRun is a case with its events decoded.
type caseRun struct {
	c        *featureCase
	events   []HistoricEvent
	views    map[string]*View
	entities map[string][]string
}

func runCase(t *testing.T, c *featureCase, specs []ViewSpec) {
	schema, err := c.Project.schema()
	if err != nil {
		t.Fatal(err)
	}
	run := caseRun{c: c, views: map[string]*View{}, entities: map[string][]string{}}
	for _, e := range c.Project.Entities {
		run.entities[e.name] = e.value.Key
	}
	for _, spec := range specs {
		if run.views[string(spec.Name)], err = NewView(schema, spec); err != nil {
			t.Fatal(err)
		}
	}
	for i, raw := range c.Events {
		ingest := freshet.MaxTimestamp
		if c.Needs == "ingest_time" {
			var times struct {
				IngestTime freshet.Timestamp `json:"ingest_time"`
			}
			if err := json.Unmarshal(raw, &times); err != nil {
				t.Fatal(err)
			}
			ingest = times.IngestTime
		}
		r := schema.NewRecord()
		err := schema.Decode(raw, ingest, r)
		if slices.Contains(c.Rejected, i) != (err != nil) {
			t.Fatalf("event %d: %v", i, err)
		}
		if err != nil || slices.Contains(c.Duplicates, i) {
			continue
		}
		if r.ID == "" {
			r.ID = freshet.EventID(fmt.Sprintf("given-%06d", i))
		}
		run.events = append(run.events, HistoricEvent{Record: r})
	}
	setMaxima(run.events)
	run.check(t)
	if c.OrderFree {
		for seed := range uint64(3) {
			rng := rand.New(rand.NewPCG(seed, 0))
			rng.Shuffle(len(run.events), func(i, j int) { run.events[i], run.events[j] = run.events[j], run.events[i] })
			setMaxima(run.events)
			run.check(t)
		}
	}
}

// setMaxima gives each event the largest event time before it, as the log of one partition does.
func setMaxima(events []HistoricEvent) {
	largest := freshet.Timestamp(0)
	for i := range events {
		events[i].MaxEventTime = largest
		largest = max(largest, events[i].Record.EventTime)
	}
}

func (run *caseRun) check(t *testing.T) {
	t.Helper()
	for i := range run.c.Reads {
		read := &run.c.Reads[i]
		v := run.views[read.View]
		at, err := freshet.ParseTimestamp(read.At)
		if err != nil {
			t.Fatal(err)
		}
		known := read.AsOf == "known"
		var values []string
		for _, field := range run.entities[string(v.Entity())] {
			values = append(values, fmt.Sprint(read.Entity[field]))
		}
		key := freshet.JoinKey(values...)
		var history []HistoricEvent
		for _, e := range run.events {
			if k, ok := e.Record.Key(v.Entity()); ok && k == key {
				history = append(history, e)
			}
		}

		s := v.NewScratch()
		computed, err := v.Compute(s, history, at, known, nil)
		if err != nil {
			t.Fatal(err)
		}
		compareRead(t, fmt.Sprintf("read %d: %s at %s computed", i, read.View, read.At), v, read, computed)

		// What is later than the moment is not there yet.
		var data []byte
		for _, e := range history {
			if e.Record.EventTime > at || known && e.Record.IngestTime > at {
				continue
			}
			if data, _, err = v.Apply(s, data, e.Record, e.MaxEventTime); err != nil {
				t.Fatal(err)
			}
		}
		got, err := v.Read(s, data, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		requireSame(t, fmt.Sprintf("read %d: %s at %s from the row", i, read.View, read.At), v, got, computed)

		var all []byte
		for _, e := range history {
			if all, _, err = v.Apply(s, all, e.Record, e.MaxEventTime); err != nil {
				t.Fatal(err)
			}
		}
		if got, err = v.Read(s, all, at, nil); err == nil && !known {
			requireSame(t, fmt.Sprintf("read %d: %s at %s from the row of all events", i, read.View, read.At), v, got, computed)
		} else if err != nil && err != ErrHistory {
			t.Fatal(err)
		}
	}
}

func requireSame(t *testing.T, what string, v *View, got, want []expression.Value) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !sameValue(got[i], want[i]) {
			t.Fatalf("%s: %s is %+v, computed %+v", what, v.Features()[i].Name, got[i], want[i])
		}
	}
}

// sameValue compares bit for bit.
func sameValue(a, b expression.Value) bool {
	sameFloat := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	return a.Kind == b.Kind && sameFloat(a.Num, b.Num) && a.Str == b.Str &&
		slices.EqualFunc(a.List, b.List, sameValue) && slices.EqualFunc(a.Vec, b.Vec, sameFloat)
}

func compareRead(t *testing.T, what string, v *View, read *readCase, values []expression.Value) {
	t.Helper()
	for i, f := range v.Features() {
		name := string(f.Name)
		want, ok := read.Expect[name]
		if !ok {
			continue
		}
		var got any
		d := json.NewDecoder(bytes.NewReader(values[i].AppendJSON(nil)))
		d.UseNumber()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%s: %s: %v", what, name, err)
		}
		tolerance, within := 1e-9, 0.0
		if a, ok := read.Approx[name]; ok {
			tolerance = a
		}
		if slices.Contains(read.Exact, name) {
			tolerance = 0
		}
		if w, ok := read.Within[name]; ok {
			within = w
		}
		if size, ok := read.Sample[name]; ok {
			if !isSample(got, want, size) {
				t.Errorf("%s: %s = %v is no sample of %d of %v", what, name, got, size, want)
			}
			continue
		}
		if !matches(got, want, tolerance, within) {
			t.Errorf("%s: %s = %v, want %v", what, name, got, want)
		}
	}
}

func matches(got, want any, tolerance, within float64) bool {
	switch want := want.(type) {
	case json.Number:
		g, ok := got.(json.Number)
		if !ok {
			return false
		}
		x, _ := g.Float64()
		y, _ := want.Float64()
		d := math.Abs(x - y)
		return d <= tolerance*math.Abs(y) || d <= within
	case string:
		g, ok := got.(string)
		if !ok {
			return false
		}
		a, errA := freshet.ParseTimestamp(g)
		b, errB := freshet.ParseTimestamp(want)
		return g == want || errA == nil && errB == nil && a == b
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(g, want, func(a, b any) bool { return matches(a, b, tolerance, within) })
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(want) {
			return false
		}
		for k, w := range want {
			if !matches(g[k], w, tolerance, within) {
				return false
			}
		}
		return true
	}
	return got == want
}

// isSample says whether got holds that many of the entries of want.
func isSample(got, want any, size int) bool {
	g, ok := got.(map[string]any)
	w := want.(map[string]any)
	if !ok || len(g) != size {
		return false
	}
	for k, v := range g {
		if other, ok := w[k]; !ok || !matches(v, other, 0, 0) {
			return false
		}
	}
	return true
}
