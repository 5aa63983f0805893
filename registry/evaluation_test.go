package registry_test

import (
	"math"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

func TestEvaluations(t *testing.T) {
	t.Parallel()
	apply := func(m registry.Models, kind string, body any) (registry.Models, error) {
		d, err := registry.NewDraft(kind, "ada", "why", body)
		if err != nil {
			t.Fatal(err)
		}
		return registry.ApplyModels(m, registry.Entry{At: 5, Draft: d})
	}
	before, err := apply(registry.Models{}, registry.KindVersion, registry.ModelVersion{Model: "ranker", Number: 1, Digest: registry.DigestOf(nil)})
	if err != nil {
		t.Fatal(err)
	}
	e := registry.Evaluation{Model: "ranker", Version: 1, Metrics: map[string]float64{"auc": 0.5}, Source: "march"}
	after, err := apply(before, registry.KindMetrics, e)
	if err != nil {
		t.Fatal(err)
	}
	got := after.Model("ranker").EvaluationsOf(1)
	if len(got) != 1 || got[0].Metrics["auc"] != 0.5 || got[0].Actor != "ada" || got[0].Reason != "why" || got[0].At != 5 || got[0].Source != "march" {
		t.Errorf("evaluations are %+v", got)
	}
	if len(before.Model("ranker").Evaluations) > 0 || after.Model("ranker").Versions[0].Metrics != nil {
		t.Error("the state before, or the version, was changed")
	}
	for range 1000 {
		e.Metrics = map[string]float64{"auc": 0.6}
		if after, err = apply(after, registry.KindMetrics, e); err != nil {
			t.Fatal(err)
		}
	}
	if all := after.Model("ranker").Evaluations; len(all) != 1000 || all[0].Metrics["auc"] != 0.6 {
		t.Errorf("%d are kept, the first is %v", len(all), all[0].Metrics)
	}
	for what, tt := range map[string]struct {
		change func(*registry.Evaluation)
		code   freshet.Code
	}{
		"no such version": {func(e *registry.Evaluation) { e.Version = 2 }, freshet.NotFound},
		"no such model":   {func(e *registry.Evaluation) { e.Model = "none" }, freshet.NotFound},
		"no name":         {func(e *registry.Evaluation) { e.Model = "A" }, freshet.InvalidArgument},
		"no metrics":      {func(e *registry.Evaluation) { e.Metrics = nil }, freshet.InvalidArgument},
	} {
		other := e
		tt.change(&other)
		if _, err := apply(before, registry.KindMetrics, other); freshet.CodeOf(err) != tt.code {
			t.Errorf("%s: %v; want %s", what, err, tt.code)
		}
	}
	e.Metrics = map[string]float64{"auc": math.NaN()}
	if freshet.CodeOf(e.Check()) != freshet.InvalidArgument {
		t.Error("NaN is a metric")
	}
}
