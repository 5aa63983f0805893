package feature

import (
	"math"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

func TestCentroidAndEmbed(t *testing.T) {
	t.Parallel()
	s, v := benchView(t, []string{"last 3"}, FeatureSpec{"c", "centroid(v)"}, FeatureSpec{"e", "embed(category)"})
	data := rowOf(t, s, v, []string{
		`{"event_id":"e1","type":"play","user_id":"u","content_id":"c","event_time":1,"category":"z","v":[5,5,5]}`,
		`{"event_id":"e2","type":"play","user_id":"u","content_id":"c","event_time":2,"category":"a","v":[0.1,1e15,-1]}`,
		`{"event_id":"e3","type":"play","user_id":"u","content_id":"c","event_time":3,"category":"d","v":[0.2,-1e15,-2]}`,
		`{"event_id":"e4","type":"play","user_id":"u","content_id":"c","event_time":4,"category":"","v":[0.3,0.5,3]}`,
	})
	values, err := v.Read(v.NewScratch(), data, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.2, 0.5 / 3, 0} {
		if got := values[0].Vec[i]; math.Abs(got-want) > 1e-15 {
			t.Errorf("component %d of the centroid is %v, want %v", i, got, want)
		}
	}
	// A text that says nothing turns no direction.
	x, y := math.Cos('a')+math.Cos('d'), math.Sin('a')+math.Sin('d')
	length := math.Hypot(x, y)
	for i, want := range []float64{x / length, 0, y / length, 0} {
		if got := values[1].Vec[i]; math.Abs(got-want) > 1e-7 {
			t.Errorf("component %d of the embedding is %v, want %v", i, got, want)
		}
	}
	if got, want := v.Features()[1].Type, (expression.Type{Kind: expression.Vector, Dim: 4}); got != want {
		t.Errorf("the embedding is a %s, want %s", got, want)
	}
}

func TestEmbedderIsPartOfTheDefinition(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	digest := func(call string, digest freshet.Digest) freshet.Digest {
		v, err := NewView(s, viewSpec(func(v *ViewSpec) {
			v.Embedder, v.Features = letters{digest}, []FeatureSpec{{"e", call}}
		}))
		if err != nil {
			t.Fatal(err)
		}
		return v.Digest()
	}
	if digest("embed(query)", "sha256:1") == digest("embed(query)", "sha256:2") {
		t.Error("another embedder does not change the digest of a view that embeds")
	}
	if digest("last(query)", "sha256:1") != digest("last(query)", "sha256:2") {
		t.Error("another embedder changes the digest of a view that does not embed")
	}
	_, err := NewView(s, viewSpec(func(v *ViewSpec) { v.Features = []FeatureSpec{{"e", "embed(query)"}} }))
	if err == nil || !strings.Contains(err.Error(), "no embedder") {
		t.Errorf("a view without an embedder embeds: %v", err)
	}
}
