package predictionstore_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/mempredictions"
)

var user = freshet.Entity{Kind: "user", Key: "u1"}

func prediction(pipeline freshet.PipelineName, offset freshet.Offset) freshet.Prediction {
	return freshet.Prediction{Pipeline: pipeline, Entity: user, Items: []freshet.Item{{ID: "a"}}, Cause: freshet.Place{Partition: 3, Offset: offset}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want freshet.Code) {
	t.Helper()
	if got := freshet.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}

// TestExpiry: a prediction is there until the very millisecond at which it expires.
func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := predictionstore.New(mempredictions.New(), nil)
		soon := prediction("soon", 1)
		soon.ExpiresAt = freshet.TimestampOf(time.Now()).Add(time.Minute)
		for _, p := range []freshet.Prediction{soon, prediction("never", 1)} {
			_, err := s.Put(t.Context(), p)
			must(t, err)
		}
		time.Sleep(time.Minute - time.Millisecond)
		_, err := s.Get(t.Context(), user, "soon")
		must(t, err)
		list, err := s.List(t.Context(), user)
		must(t, err)
		if len(list) != 2 {
			t.Fatalf("a millisecond before there are %+v", list)
		}
		time.Sleep(time.Millisecond)
		_, err = s.Get(t.Context(), user, "soon")
		wantCode(t, err, freshet.NotFound)
		_, err = s.GetExplained(t.Context(), user, "soon")
		wantCode(t, err, freshet.NotFound)
		_, err = s.Get(t.Context(), user, "never")
		must(t, err)
		_, err = s.Get(t.Context(), user, "nobody")
		wantCode(t, err, freshet.NotFound)
		list, err = s.List(t.Context(), user)
		must(t, err)
		if len(list) != 1 || list[0].Pipeline != "never" {
			t.Fatalf("at the moment there are %+v", list)
		}
		for _, put := range []struct {
			offset freshet.Offset
			stored bool
		}{{2, true}, {1, false}} {
			stored, err := s.Put(t.Context(), prediction("never", put.offset))
			must(t, err)
			if stored != put.stored {
				t.Fatalf("offset %d: stored is %t", put.offset, stored)
			}
		}
		must(t, s.Delete(t.Context(), user))
		want := predictionstore.Stats{Stored: 3, Older: 1, Found: 5, Expired: 3, Missing: 3}
		if got := s.Stats(); got != want {
			t.Fatalf("stats are %+v, want %+v", got, want)
		}
		must(t, s.Close())
		must(t, s.Close())
	})
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*freshet.Prediction)
		code   freshet.Code
		field  string
	}{
		"no pipeline":   {func(p *freshet.Prediction) { p.Pipeline = "" }, freshet.InvalidArgument, "pipeline"},
		"long pipeline": {func(p *freshet.Prediction) { p.Pipeline = freshet.PipelineName(strings.Repeat("p", 64)) }, freshet.InvalidArgument, "pipeline"},
		"no kind":       {func(p *freshet.Prediction) { p.Entity.Kind = "" }, freshet.InvalidArgument, "entity"},
		"no key":        {func(p *freshet.Prediction) { p.Entity.Key = "" }, freshet.InvalidArgument, "entity"},
		"long key":      {func(p *freshet.Prediction) { p.Entity.Key = freshet.Key(strings.Repeat("k", 5000)) }, freshet.InvalidArgument, "entity"},
		"partition":     {func(p *freshet.Prediction) { p.Cause.Partition = 64 }, freshet.InvalidArgument, "cause"},
		"no offset":     {func(p *freshet.Prediction) { p.Cause.Offset = 0 }, freshet.InvalidArgument, "cause"},
		"items":         {func(p *freshet.Prediction) { p.Items = make([]freshet.Item, 10_001) }, freshet.TooLarge, "items"},
		"rows": {func(p *freshet.Prediction) {
			p.Explanation = &freshet.Explanation{}
		}, freshet.InvalidArgument, "explanation"},
		"columns": {func(p *freshet.Prediction) {
			p.Explanation = &freshet.Explanation{Names: []string{"a"}, Inputs: [][]float64{{1, 2}}}
		}, freshet.InvalidArgument, "explanation"},
		"many columns": {func(p *freshet.Prediction) {
			p.Explanation = &freshet.Explanation{Names: make([]string, 10_001), Inputs: [][]float64{make([]float64, 10_001)}}
		}, freshet.TooLarge, "explanation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := predictionstore.New(mempredictions.New(), nil)
			p := prediction("today", 1)
			c.change(&p)
			_, err := s.Put(t.Context(), p)
			wantCode(t, err, c.code)
			if got := freshet.FieldOf(err); got != c.field || !strings.Contains(err.Error(), c.field) {
				t.Fatalf("error %q names field %q, want %q", err, got, c.field)
			}
			if got := s.Stats(); got != (predictionstore.Stats{}) {
				t.Fatalf("stats %+v after a refusal", got)
			}
		})
	}
	s := predictionstore.New(mempredictions.New(), nil)
	_, err := s.Get(t.Context(), user, "")
	wantCode(t, err, freshet.InvalidArgument)
	_, err = s.List(t.Context(), freshet.Entity{Kind: "user"})
	wantCode(t, err, freshet.InvalidArgument)
	wantCode(t, s.Delete(t.Context(), freshet.Entity{}), freshet.InvalidArgument)
}

// TestVersions: whatever is asked for in between, the causes of what is stored never go back.
func TestVersions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var kept predictionstore.Version
		newest := freshet.Offset(0)
		for i := range rapid.IntRange(1, 20).Draw(r, "puts") {
			v := predictionstore.Version{
				CreatedAt: freshet.Timestamp(rapid.IntRange(1, 5).Draw(r, "created")),
				Asked:     rapid.Bool().Draw(r, "asked"),
			}
			if !v.Asked {
				v.Cause = freshet.Offset(rapid.IntRange(1, 5).Draw(r, "cause"))
			}
			if i > 0 && !v.Replaces(kept) {
				continue
			}
			if !v.Asked && v.Cause < newest {
				r.Fatalf("the prediction of offset %d replaced that of %d", v.Cause, newest)
			}
			newest = max(newest, v.Cause)
			kept = v.After(kept)
		}
	})
}
