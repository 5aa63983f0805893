package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
)

// factors is an .npy file of float32.
func factors(width int, values ...float32) string {
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }\n", len(values)/width, width)
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	for _, part := range []any{uint16(len(header)), []byte(header), values} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.String()
}

const player = `
project: test
entities: { user: { key: user_id }, item: { key: item_id } }
events:
  view: { keys: [user_id, item_id], fields: { price: float } }
  ping: { keys: [user_id] }
views:
  seen:  { entity: user, from: view, window: session 30m, features: { n: count(), items: "last(item_id, 3)" } }
  trend: { entity: item, from: view, window: sliding 1h, features: { starts: count() } }
tables:
  items: { entity: item, file: items.csv, columns: { weight: float, sequence: int } }
  who:   { entity: user, file: who.csv, columns: { age: int } }
  index: { entity: user, file: index.csv, columns: { sequence: int } }
models:
  als:  { path: als }
  raw:  { path: raw }
  next: { path: next.csv }
pipelines:
  known:
    from: view
    entity: user
    candidates: items
    model: als
    top: 2
    fallback: items by weight
  folded:
    from: view
    entity: user
    candidates: items
    keep: candidate.item_id not in seen.items
    model: als
    inputs: { recent: seen.items }
  indexed:
    from: view
    entity: user
    candidates: items
    model: raw
    inputs: { user_sequence: index.sequence, item_sequence: candidate.sequence }
    fallback: known
  after:
    from: view
    entity: user
    candidates: items
    keep: candidate.item_id not in seen.items
    model: next
    inputs: { recent: seen.items }
    fallback: items by trend.starts
`

// playerFiles: the vectors of the users u1 and u2 are the two axes; those of the items a, b and c are (1, 0), (0, 1) and (2, 3).
// The model does not know item d.
func playerFiles() map[string]string {
	users, items := factors(2, 1, 0, 0, 1), factors(2, 1, 0, 0, 1, 2, 3)
	return map[string]string{
		"freshet.yaml": player,
		"items.csv":    "item_id,weight,sequence\na,1,0\nb,2,1\nc,,2\nd,4,\n",
		"who.csv":      "user_id,age\nu1,30\n",
		"index.csv":    "user_id,sequence\nu1,0\nu2,1\n",
		"next.csv":     "item,other,weight\na,b,0.5\na,c,1\nb,c,2\nb,a,1\n",

		"als/user_factors.npy": users, "als/item_factors.npy": items, "als/users.csv": "id,seq\nu2,1\nu1,0\n", "als/items.csv": "id,seq\na,0\nb,1\nc,2\n",
		"raw/user_factors.npy": users, "raw/item_factors.npy": items,
	}
}

func TestFactors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, playerFiles())
		defer w.stop()
		w.send("view", "u1", "d", "")
		w.send("view", "u2", "a", "")
		w.send("view", "u3", "a", "")
		w.send("view", "u3", "b", "")
		w.send("view", "u4", "d", "")
		for _, tt := range []struct {
			user           freshet.Key
			pipeline       freshet.PipelineName
			items          string
			fallback       freshet.FallbackCause
			inputs         string // of the first item
			texts, without string
		}{
			// d is not known: it is left out.
			{"u1", "known", "c 2, a 1", "", "[0 2 0]", "map[recent:[] user:[u1]]", ""},
			{"u2", "known", "c 3, b 1", "", "[1 2 0]", "map[recent:[] user:[u2]]", ""},
			{"u3", "known", "d 4, b 2", freshet.NothingKnown, "[4]", "map[]", ""},
			// Of the two items that u3 has seen the mean is (0.5, 0.5).
			{"u3", "folded", "c 2.5", "", "[NaN 2 2]", "map[recent:[b a] user:[u3]]", ""},
			{"u1", "folded", "c 2, a 1, b 0", "", "[0 2 0]", "map[recent:[d] user:[u1]]", ""},
			{"u4", "folded", "", "", "", "map[recent:[d] user:[u4]]", ""}, // nothing is known, and there is no fallback
			{"u2", "indexed", "c 3, b 1, a 0", "", "[1 2]", "map[]", ""},
			{"u3", "indexed", "d 4, b 2", freshet.NothingKnown, "[4]", "map[]", ""}, // of known, and of its fallback
			{"u2", "after", "c 1, b 0.5", "", "[2 1]", "map[recent:[a]]", ""},
			{"u3", "after", "c 3", "", "[2 2]", "map[recent:[b a]]", ""},
			{"u4", "after", "a 2, b 1, c 0", freshet.NothingKnown, "[2]", "map[]", ""}, // the most viewed, without d that was seen
		} {
			p := w.get(tt.user, tt.pipeline)
			if items(p) != tt.items || p.FallbackCause != tt.fallback || p.Fallback != (tt.fallback != "") || fmt.Sprint(p.Explanation.Texts) != tt.texts {
				t.Errorf("%s of %s: %s, fallback %q, texts %v: expected %+v", tt.pipeline, tt.user, items(p), p.FallbackCause, p.Explanation.Texts, tt)
			}
			if tt.inputs != "" && fmt.Sprint(p.Explanation.Inputs[0]) != tt.inputs {
				t.Errorf("%s of %s: the model saw %v, expected %s", tt.pipeline, tt.user, p.Explanation.Inputs[0], tt.inputs)
			}
		}
		if p := w.get("u1", "known"); !strings.HasPrefix(p.Model, "als@") || p.Explanation.Names[0] != "user" {
			t.Errorf("%+v", p)
		}
	})
}

// TestPairing: with the id map of another training the same factors predict for somebody else, and it can be seen.
func TestPairing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := playerFiles()
		files["index.csv"] = "user_id,sequence\nu1,1\nu2,0\n"
		w := newWorld(t, files)
		defer w.stop()
		w.send("view", "u2", "a", "")
		if p := w.get("u2", "indexed"); items(p) != "c 2, a 1, b 0" || p.Explanation.Inputs[0][0] != 0 {
			t.Errorf("%s from %v: expected what u1 would get", items(p), p.Explanation.Inputs)
		}
	})
}

// TestRowsOfARequest: candidates that stand in no table are looked up by their own ids.
func TestRowsOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, playerFiles())
		defer w.stop()
		ask := func(pipeline freshet.PipelineName, user freshet.Key, candidates ...release.Candidate) (freshet.Prediction, error) {
			return w.Predict(t.Context(), w.Live.Load(), release.Request{
				Pipeline: pipeline, Entity: freshet.Entity{Kind: "user", Key: user}, Candidates: candidates, Explain: true,
			})
		}
		p, err := ask("known", "u1", release.Candidate{Row: []byte(`{"item_id":"b","weight":7}`)}, release.Candidate{Key: "a"}, release.Candidate{Row: []byte(`{"item_id":"new"}`)})
		if err != nil || items(p) != "a 1, b 0" {
			t.Errorf("%s, %v", items(p), err)
		}
		p, err = ask("indexed", "u1", release.Candidate{Row: []byte(`{"item_id":"x","sequence":2}`)}, release.Candidate{Row: []byte(`{"item_id":"y","sequence":9}`)})
		if err != nil || items(p) != "x 2" {
			t.Errorf("%s, %v", items(p), err)
		}
		// The fallback keeps to what was asked for.
		p, err = ask("known", "nobody", release.Candidate{Row: []byte(`{"item_id":"x","weight":3}`)}, release.Candidate{Key: "b"}, release.Candidate{Key: "a"})
		if err != nil || items(p) != "x 3, b 2" || p.FallbackCause != freshet.NothingKnown || !strings.Contains(p.Explanation.Reason, "als@") {
			t.Errorf("%s, %+v, %v", items(p), p, err)
		}
		if _, err = ask("known", "nobody", release.Candidate{Key: "zz"}); freshet.FieldOf(err) != "candidates" {
			t.Errorf("a mistake of who asks: %v", err)
		}
	})
}

func TestFallbackOfNothingStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, playerFiles())
		defer w.stop()
		w.send("view", "u1", "c", "")
		for pipeline, want := range map[freshet.PipelineName]string{"known": "d 4, b 2", "after": "c 1, a 0, b 0, d 0", "indexed": "d 4, b 2"} {
			p, err := w.Fallback(t.Context(), w.Live.Load(), release.Request{Pipeline: pipeline, Entity: freshet.Entity{Kind: "user", Key: "nobody"}})
			if err != nil || items(p) != want || !p.Fallback || p.FallbackCause != freshet.NoPrediction || p.Pipeline != pipeline || p.Explanation != nil {
				t.Errorf("%s: %s, %+v, %v", pipeline, items(p), p, err)
			}
		}
		if _, err := w.Fallback(t.Context(), w.Live.Load(), release.Request{Pipeline: "folded", Entity: freshet.Entity{Kind: "user", Key: "nobody"}}); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("without a fallback: %v", err)
		}
	})
}

// scoring replaces what a model answers.
type scoring struct {
	scorer
	answer func(ctx context.Context, out []float64) error
}

func (s *scoring) Score(ctx context.Context, m *release.Model, in, out []float64) error {
	if m.Name != "rank" {
		return s.scorer.Score(ctx, m, in, out)
	}
	return s.answer(ctx, out)
}

// TestFallbackIsNotSortedForEach: an order that is the same for everybody is made once a second, and not later than that.
func TestFallbackIsNotSortedForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := playerFiles()
		files["freshet.yaml"] = strings.Replace(player, "fallback: items by weight", "fallback: items by trend.starts", 1)
		w := newWorld(t, files)
		defer w.stop()
		ask := func(user freshet.Key, top int) freshet.Prediction {
			t.Helper()
			p, err := w.Fallback(t.Context(), w.Live.Load(), release.Request{Pipeline: "known", Entity: freshet.Entity{Kind: "user", Key: user}, Top: top})
			if err != nil || p.Entity.Key != user || p.FallbackCause != freshet.NoPrediction {
				t.Fatalf("%+v, %v", p, err)
			}
			return p
		}
		first := ask("u1", 0)
		w.send("view", "u9", "c", "")
		synctest.Wait()
		time.Sleep(900 * time.Millisecond)
		if p := ask("u2", 1); p.CreatedAt != first.CreatedAt || items(p) != "a 0" {
			t.Errorf("made anew within a second: %+v", p)
		}
		if p := ask("u2", 3); items(p) != "c 1, a 0, b 0" || p.CreatedAt == first.CreatedAt {
			t.Errorf("more than there is of it: %s", items(p))
		}
		time.Sleep(200 * time.Millisecond)
		p := ask("u3", 0)
		if items(p) != "c 1, a 0" {
			t.Errorf("a second later: %s", items(p))
		}
		p.Items[0].ID = "x"
		if p := ask("u4", 0); items(p) != "c 1, a 0" {
			t.Errorf("somebody's answer is another's: %s", items(p))
		}
	})
}

// TestModelsThatFail: jobs of a pipeline with a fallback end as its prediction, and say why.
func TestModelsThatFail(t *testing.T) {
	files := maps.Clone(shopFiles)
	files["freshet.yaml"] = strings.Replace(shop, "    top: 2\n", "    top: 2\n    deadline: 50ms\n    fallback: items\n", 1)
	files["freshet.yaml"] = strings.Replace(files["freshet.yaml"], "weight: candidate.weight", "weight: { value: candidate.weight, required: true }", 1)
	for _, tt := range []struct {
		name          string
		answer        func(ctx context.Context, out []float64) error
		cause         freshet.FallbackCause
		items, reason string
	}{
		{"well", func(_ context.Context, out []float64) error { out[0] = 1; return nil }, "", "c 1, d 0", ""},
		{"away", func(context.Context, []float64) error {
			return freshet.Errorf(freshet.Unavailable, "the model is away")
		},
			freshet.ModelFailed, "b 0, c 0", "the model is away"},
		{"broken", func(context.Context, []float64) error { return freshet.Errorf(freshet.Internal, "secret") },
			freshet.ModelFailed, "b 0, c 0", "internal error; the server's log has the detail"},
		{"no number", func(context.Context, []float64) error {
			return freshet.Errorf(freshet.Internal, "row 0: %w", release.ErrNotANumber)
		},
			freshet.NotANumber, "b 0, c 0", "row 0: the answer is not a number"},
		{"slow", func(ctx context.Context, _ []float64) error { <-ctx.Done(); return ctx.Err() },
			freshet.DeadlineMissed, "b 0, c 0", "pipeline next: nothing within its deadline of 50ms"},
		{"slow and deaf", func(context.Context, []float64) error { time.Sleep(time.Second); return nil },
			freshet.DeadlineMissed, "b 0, c 0", "pipeline next: nothing within its deadline of 50ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				files["items.csv"] = "item_id,weight\na,1\nb,\nc,2\nd,0.5\n" // b has no weight and is left out
				w := newWorld(t, files)
				defer w.stop()
				w.Models = &scoring{scorer: w.Models, answer: tt.answer}
				w.send("view", "u1", "a", "")
				time.Sleep(2 * time.Second)
				synctest.Wait()
				p := w.get("u1", "next")
				reason := ""
				if p.Explanation != nil {
					reason = p.Explanation.Reason
				}
				if items(p) != tt.items || p.FallbackCause != tt.cause || reason != tt.reason || p.EventID != "e1" {
					t.Errorf("%s, %q because %q", items(p), p.FallbackCause, reason)
				}
				if s := w.Jobs.Stats(); s.Queued+s.Leased+s.Dead != 0 {
					t.Errorf("jobs %+v", s)
				}
			})
		})
	}
}

// TestRequiredInputs: without a fallback the job fails, with one it answers.
func TestRequiredInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := maps.Clone(shopFiles)
		files["freshet.yaml"] = strings.Replace(shop, "starts: trend.starts", "starts: { value: who.age, required: true }", 1)
		w := newWorld(t, files)
		defer w.stop()
		user := func(key freshet.Key) release.Request {
			return release.Request{Pipeline: "next", Entity: freshet.Entity{Kind: "user", Key: key}}
		}
		if _, err := w.Predict(t.Context(), w.Live.Load(), user("u2")); freshet.FieldOf(err) != "starts" || freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%v", err)
		}
		if p, err := w.Predict(t.Context(), w.Live.Load(), user("u1")); err != nil || items(p) != "b 302, c 302" {
			t.Errorf("%s, %v", items(p), err)
		}
		files["freshet.yaml"] = strings.Replace(files["freshet.yaml"], "    top: 2\n", "    top: 2\n    fallback: items by weight\n", 1)
		v := newWorld(t, files)
		defer v.stop()
		p, err := v.Predict(t.Context(), v.Live.Load(), user("u2"))
		if err != nil || items(p) != "b 2, c 2" || p.FallbackCause != freshet.InputMissing || math.IsNaN(p.Items[0].Score) {
			t.Errorf("%s, %+v, %v", items(p), p, err)
		}
		if q, err := v.Predict(t.Context(), v.Live.Load(), user("u2")); err != nil || !reflect.DeepEqual(p.Items, q.Items) {
			t.Errorf("again: %+v, %v", q, err)
		}
	})
}
