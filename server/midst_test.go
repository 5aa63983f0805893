package server_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/release"
)

// turning has another release live at each read of rows and at each call of a model: what a prediction takes by another way than the release that
// it has pinned is then of another one.
type turning struct {
	featurestore.Driver
	scorer
	live  *release.Live
	turns atomic.Int64
}

func (x *turning) turn() {
	if x.live == nil {
		return
	}
	x.turns.Add(1)
	err := x.live.Update(func(r release.Roles) (release.Roles, error) {
		r.Live, r.Former = r.Former, r.Live
		return r, nil
	})
	if err != nil {
		panic(err)
	}
}

func (x *turning) Get(ctx context.Context, dst []freshet.Row, p freshet.Partition, key freshet.Key, views []freshet.ViewID) ([]freshet.Row, error) {
	x.turn()
	return x.Driver.Get(ctx, dst, p, key, views)
}

func (x *turning) Score(ctx context.Context, m *release.Model, in, out []float64) error {
	x.turn()
	return x.scorer.Score(ctx, m, in, out)
}

// pairs are the files of a release of generation 1 or 2, whose tables and models fit only among themselves.
func pairs(generation int) map[string]string {
	files := maps.Clone(shopFiles)
	var who strings.Builder
	who.WriteString("user_id,age\n")
	for i := range 40 {
		fmt.Fprintf(&who, "u%d,%d\n", i, 20+10*generation)
	}
	files["who.csv"] = who.String()
	files["items.csv"] = fmt.Sprintf("item_id,weight\na,%d\nb,%d\n", generation, 2*generation)
	files["one.json"] = strings.Replace(files["one.json"], "[1,100,", fmt.Sprintf("[1,%d,", 1000*generation), 1)
	files["rank.json"] = strings.Replace(files["rank.json"], "[1,10]", fmt.Sprintf("[%d,0]", 1000*generation), 1)
	return files
}

// unmixed tells whether table and model of a prediction were of one generation, that of its release: both factors are 1, or both are 2.
func unmixed(p freshet.Prediction) bool {
	generation := map[freshet.ReleaseID]float64{"r1": 1, "r2": 2}[p.Release]
	if p.Pipeline == "risk" {
		events := p.Outputs["risk"] - 1000*generation*(20+10*generation)
		return generation > 0 && events >= 0 && events < 100
	}
	for _, item := range p.Items {
		weight := map[freshet.Key]float64{"a": 1, "b": 2}[item.ID]
		if item.Score != 1000*generation*weight*generation {
			return false
		}
	}
	return generation > 0 && len(p.Items) > 0
}

// TestASwitchInTheMidstOfAPredictionMixesNothing (promise P3): wherever between its steps another release goes live, a prediction goes on with its own; jobs alone
// and together, and requests.
func TestASwitchInTheMidstOfAPredictionMixesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &turning{Driver: memfeatures.New()}
		w := newWorldOver(t, pairs(1), x)
		defer w.stop()
		synctest.Wait()
		x.scorer, w.Models = w.Models, x
		if err := w.Live.Update(func(r release.Roles) (release.Roles, error) { r.Former = openFiles(t, pairs(2), "r2"); return r, nil }); err != nil {
			t.Fatal(err)
		}
		x.live = w.Live
		by := map[freshet.ReleaseID]int{}
		check := func(p freshet.Prediction) {
			t.Helper()
			by[p.Release]++
			if !unmixed(p) {
				t.Fatalf("a prediction is mixed: %+v", p)
			}
		}
		for i := range 40 {
			user := fmt.Sprint("u", i)
			w.send("view", user, "c", "")
			check(w.get(freshet.Key(user), "risk"))
			check(w.get(freshet.Key(user), "next"))
			for _, pipeline := range []freshet.PipelineName{"risk", "next"} {
				rel := w.Live.Pin()
				p, err := w.Predict(t.Context(), rel, release.Request{Pipeline: pipeline, Entity: freshet.Entity{Kind: "user", Key: freshet.Key(user)}})
				rel.Unpin()
				if err != nil {
					t.Fatal(err)
				}
				check(p)
			}
		}
		now := freshet.TimestampOf(time.Now())
		var burst []eventlog.Entry // so many that workers take several at once
		for i := range 400 {
			user := fmt.Sprint("u", i%40)
			burst = append(burst, eventlog.Entry{
				Event:    freshet.Event{ID: freshet.EventID(fmt.Sprint("b", i)), Type: "ping", EventTime: now, IngestTime: now, Payload: fmt.Appendf(nil, `{"type":"ping","user_id":%q}`, user)},
				Entities: []freshet.Entity{{Kind: "user", Key: freshet.Key(user)}},
			})
		}
		if _, err := w.log.Append(t.Context(), burst); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 40 {
			check(w.get(freshet.Key(fmt.Sprint("u", i)), "risk"))
		}
		if by["r1"] < 20 || by["r2"] < 20 || x.turns.Load() < 200 {
			t.Errorf("predictions are by %v after %d turns: too little was tried", by, x.turns.Load())
		}
	})
}
