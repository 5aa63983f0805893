package registry_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

func version(model freshet.ModelName, number int) registry.ModelVersion {
	return registry.ModelVersion{Model: model, Number: number, Digest: registry.DigestOf([]byte{byte(number)}), Bytes: 1}
}

// entry is one of the log without going through it.
func entry(t *testing.T, at freshet.Timestamp, kind string, body any) registry.Entry {
	t.Helper()
	d, err := registry.NewDraft(kind, "ada", "because", body)
	must(t, err)
	return registry.Entry{Revision: registry.Revision(at), At: at, Draft: d}
}

func TestModels(t *testing.T) {
	t.Parallel()
	var states []registry.Models
	m := registry.Models{}
	apply := func(kind string, body any) {
		t.Helper()
		next, err := registry.ApplyModels(m, entry(t, freshet.Timestamp(len(states)+1), kind, body))
		must(t, err)
		states = append(states, m)
		m = next
	}
	apply(registry.KindVersion, version("ranker", 1))
	apply(registry.KindAlias, registry.AliasChange{Model: "ranker", Alias: "champion", Version: 1})
	apply(registry.KindVersion, version("ranker", 2))
	apply("release.plan", map[string]any{"model": "ranker", "version": 9})
	apply(registry.KindVersion, version("churn", 1))
	apply(registry.KindAlias, registry.AliasChange{Model: "ranker", Alias: "champion", Version: 2})
	apply(registry.KindAlias, registry.AliasChange{Model: "ranker", Alias: "old", Version: 1})
	apply(registry.KindAlias, registry.AliasChange{Model: "ranker", Alias: "old"})

	ranker := m.Model("ranker")
	if len(m.All()) != 2 || m.All()[0].Name != "churn" || len(ranker.Versions) != 2 {
		t.Fatalf("models are %+v", m.All())
	}
	if !reflect.DeepEqual(ranker.Aliases, map[string]int{"champion": 2}) || !reflect.DeepEqual(ranker.AliasesOf(2), []string{"champion"}) {
		t.Errorf("aliases are %v", ranker.Aliases)
	}
	var history []int
	for _, move := range ranker.History {
		history = append(history, move.Version)
	}
	if !reflect.DeepEqual(history, []int{1, 2, 1, 0}) || ranker.History[0].Actor != "ada" || ranker.History[0].At != 2 {
		t.Errorf("history is %+v", ranker.History)
	}
	v, ok := ranker.Version(2)
	if !ok || v.Label() != "ranker@2" || v.PublishedAt != 3 || v.PublishedBy != "ada" || v.Reason != "because" {
		t.Errorf("version 2 is %+v", v)
	}
	if found, ok := ranker.ByDigest(v.Digest); !ok || found.Number != 2 {
		t.Errorf("by digest: %+v", found)
	}
	// States that were handed out have not changed.
	if states[0].Model("ranker") != nil || len(states[2].Model("ranker").Versions) != 1 || states[5].Model("ranker").Aliases["champion"] != 1 {
		t.Error("an older state has changed")
	}
}

func TestModelsRefuse(t *testing.T) {
	t.Parallel()
	m, err := registry.ApplyModels(registry.Models{}, entry(t, 1, registry.KindVersion, version("ranker", 1)))
	must(t, err)
	with := func(change func(*registry.ModelVersion)) registry.ModelVersion {
		v := version("ranker", 2)
		change(&v)
		return v
	}
	for _, tt := range []struct {
		name string
		kind string
		body any
		want string
	}{
		{"gap", registry.KindVersion, version("ranker", 3), "version 3 cannot follow 1"},
		{"again", registry.KindVersion, version("ranker", 1), "version 1 cannot follow 1"},
		{"name", registry.KindVersion, version("Ranker", 1), "is no name"},
		{"digest", registry.KindVersion, with(func(v *registry.ModelVersion) { v.Digest = "sha256:1" }), "digest"},
		{"metric's name", registry.KindVersion, with(func(v *registry.ModelVersion) { v.Metrics = map[string]float64{"": 1} }), "metrics"},
		{"source", registry.KindVersion, with(func(v *registry.ModelVersion) { v.Lineage.Source = strings.Repeat("x", 3000) }), "lineage"},
		{"alias of no version", registry.KindAlias, registry.AliasChange{Model: "ranker", Alias: "a", Version: 2}, "has no version 2"},
		{"alias of no model", registry.KindAlias, registry.AliasChange{Model: "none", Alias: "a", Version: 1}, "has no version 1"},
		{"removed alias of no model", registry.KindAlias, registry.AliasChange{Model: "none", Alias: "a"}, "has no version 0"},
		{"latest", registry.KindAlias, registry.AliasChange{Model: "ranker", Alias: "latest", Version: 1}, "not latest"},
		{"body of another type", registry.KindAlias, map[string]any{"version": "1"}, "cannot be read"},
	} {
		if _, err := registry.ApplyModels(m, entry(t, 2, tt.kind, tt.body)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
	if err := with(func(v *registry.ModelVersion) { v.Metrics = map[string]float64{"auc": math.NaN()} }).Check(); freshet.FieldOf(err) != "metrics" {
		t.Errorf("a metric that is NaN: %v", err)
	}
}
