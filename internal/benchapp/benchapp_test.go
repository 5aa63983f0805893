package benchapp

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

const (
	at  = freshet.Timestamp(1_772_000_000_123)
	few = 2000 // different events
)

func TestSharesAreExact(t *testing.T) {
	t.Parallel()
	e := newEvents(1, 7, few, Users)
	types := make(map[string]int)
	jobs := 0
	for i := range 1000 {
		var ev struct {
			ID        string             `json:"event_id"`
			Type      string             `json:"type"`
			User      string             `json:"user_id"`
			Time      *freshet.Timestamp `json:"event_time"`
			Completed bool               `json:"completed"`
		}
		if err := json.Unmarshal(e.Append(nil, i, at), &ev); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if ev.User != e.User(i) || *ev.Time != at || ev.Completed != e.MakesJob(i) {
			t.Fatalf("event %d: %+v", i, ev)
		}
		types[ev.Type]++
		if e.MakesJob(i) {
			jobs++
		}
	}
	if types["play"] != 700 || types["biometric"] != 200 || types["search"] != 100 || jobs != 200 {
		t.Errorf("%v, %d jobs", types, jobs)
	}
}

func TestEventsComeAgainWithNewIDs(t *testing.T) {
	t.Parallel()
	e := newEvents(1, 0xabcd, few, Users)
	first, again := e.Append(nil, 3, at), e.Append(nil, 3+few, at)
	if id := string(again[idAt : idAt+idBytes]); id != "0000abcd000007d3" || freshet.EventID(id) != e.ID(3+few) {
		t.Errorf("id %s", id)
	}
	if string(first[idAt+idBytes:]) != string(again[idAt+idBytes:]) || string(first) == string(again) {
		t.Errorf("%s\n%s", first, again)
	}
	if same := newEvents(1, 0xabcd, few, Users).Append(nil, 3, at); string(same) != string(first) {
		t.Errorf("the same seed gave %s and %s", same, first)
	}
	if other := newEvents(2, 0xabcd, few, Users).Append(nil, 3, at); string(other) == string(first) {
		t.Error("another seed gave the same event")
	}
	if e.Size(3) != len(first) {
		t.Errorf("size %d of %d", e.Size(3), len(first))
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	e := newEvents(1, 7, few, Users)
	buf := make([]byte, 0, 1024)
	if n := alloctest.PerRun(100, func() { e.Append(buf, 5, at) }); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

func TestTheProjectIsWhatTheBenchmarkSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Write(dir, 1); err != nil {
		t.Fatal(err)
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	features := 0
	for _, v := range p.Views {
		features += len(v.Features())
	}
	if len(p.Views) != Views || features != Features {
		t.Errorf("%d views with %d features", len(p.Views), features)
	}
	if l, ok := p.Pipeline(Pipeline); !ok || l.Name != Pipeline {
		t.Errorf("no pipeline %s", Pipeline)
	}
	e := newEvents(1, 7, few, Users)
	r := p.Schema.NewRecord()
	for i := range 1000 {
		if err := p.Schema.Decode(e.Append(nil, i, at), at, r); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
}

func TestTheModelOpensAndUsesEveryInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ranker.lgb"), []byte(ranker(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := modelruntime.OpenPath(dir, []modelruntime.Runtime{treemodel.LightGBM{}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Signature().Inputs); n != 17 {
		t.Errorf("%d inputs", n)
	}
	if one, again := ranker(1), ranker(1); one != again || one == ranker(2) {
		t.Error("the seed must decide the model")
	}
}

func TestTheOtherProjectsLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := WriteFeatures(dir, 1); err != nil {
		t.Fatal(err)
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range p.Views {
		for _, f := range v.Features() {
			names = append(names, string(v.Name())+"."+string(f.Name))
		}
	}
	if len(names) != 50 || !slices.Equal(names, AllFeatures()) {
		t.Errorf("%v", names)
	}
	r := p.Schema.NewRecord()
	events := newEvents(1, 7, few, 50)
	for i := range 100 {
		if err := p.Schema.Decode(events.Append(nil, i, at), at, r); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if err := p.Schema.Decode(events.AppendPlay(nil, i, i*i*i*i, at), at, r); err != nil {
			t.Fatalf("play %d: %v", i, err)
		}
	}
	ids := map[freshet.ViewID]bool{}
	for generation := range 2 {
		if err := WriteViews(dir, generation); err != nil {
			t.Fatal(err)
		}
		if p, err = project.Load(dir); err != nil || len(p.Views) != Views || len(p.Pipelines) != 0 {
			t.Fatalf("%d views, %v", len(p.Views), err)
		}
		for _, v := range p.Views {
			ids[v.ID()] = true
		}
	}
	if len(ids) != 2*Views {
		t.Errorf("two generations have %d views", len(ids))
	}
}

func TestAppendUser(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "u000000", 7: "u000007", 99_999: "u099999", 100_000: "u100000", 12_345_678: "u12345678"} {
		if got := string(AppendUser(nil, n)); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
}
