// Package predictionstoretest is the contract of predictionstore.Driver as tests: every driver runs it. It is imported by
// tests only.
package predictionstoretest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/predictionstore"
)

// Harness makes drivers for the suite.
type Harness struct {
	// Open makes an empty store, which the suite closes.
	Open func(t testing.TB) predictionstore.Driver
	// Reopen closes d and opens what it has kept. Nil for a driver that keeps nothing.
	Reopen func(t testing.TB, d predictionstore.Driver) predictionstore.Driver
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"RoundTrip", testRoundTrip},
		{"Explanation", testExplanation},
		{"Fallback", testFallback},
		{"NotKept", testNotKept},
		{"Replaces", testReplaces},
		{"Race", testRace},
		{"List", testList},
		{"Keys", testKeys},
		{"Delete", testDelete},
		{"Expired", testExpired},
		{"Sweep", testSweep},
		{"Reopen", testReopen},
		{"Context", testContext},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, h)
		})
	}
}

var user = freshet.Entity{Kind: "user", Key: "u1"}

// prediction is one that the event at offset caused.
func prediction(offset freshet.Offset) freshet.Prediction {
	return freshet.Prediction{
		Pipeline:  "today",
		Entity:    user,
		Items:     []freshet.Item{{ID: "c17", Score: 0.83}, {ID: "c\x00/,", Score: -1e300}, {ID: "", Score: math.Inf(1)}},
		Release:   "r12",
		Model:     "ranker@7",
		EventID:   freshet.EventID(fmt.Sprintf("e%d", offset)),
		Cause:     freshet.Place{Partition: freshet.PartitionOf(user.Key), Offset: offset},
		EventTime: 1_741_003_200_000,
		CreatedAt: 1_741_003_200_000 + freshet.Timestamp(offset),
		ExpiresAt: 1_741_089_600_000,
	}
}

func open(t *testing.T, h Harness) predictionstore.Driver {
	t.Helper()
	d := h.Open(t)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func put(t *testing.T, d predictionstore.Driver, p freshet.Prediction, want bool) {
	t.Helper()
	stored, err := d.Put(t.Context(), p)
	must(t, err)
	if stored != want {
		t.Fatalf("put of %+v: stored is %t, want %t", p, stored, want)
	}
}

func wantGet(t *testing.T, d predictionstore.Driver, want freshet.Prediction) {
	t.Helper()
	got, err := d.Get(t.Context(), want.Entity, want.Pipeline)
	must(t, err)
	want.Explanation = nil
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func wantCode(t *testing.T, err error, want freshet.Code) {
	t.Helper()
	if got := freshet.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testRoundTrip(t *testing.T, h Harness) {
	d := open(t, h)
	put(t, d, prediction(1), true)
	wantGet(t, d, prediction(1))
	other := freshet.Prediction{
		Pipeline: "churn", Entity: user,
		Outputs:  map[string]float64{"p": 0.25, "": math.MaxFloat64, "ü\x00": math.Copysign(0, -1)},
		Fallback: true, CreatedAt: freshet.MaxTimestamp,
	}
	put(t, d, other, true)
	wantGet(t, d, other)
	wantGet(t, d, prediction(1))
	// What is put may be changed afterwards, and what was got too.
	p := prediction(2)
	put(t, d, p, true)
	p.Items[0].ID = "changed"
	got, err := d.Get(t.Context(), user, "today")
	must(t, err)
	got.Items[1].Score = 0
	wantGet(t, d, prediction(2))
}

func testFallback(t *testing.T, h Harness) {
	d := open(t, h)
	p := prediction(1)
	p.Fallback, p.FallbackCause = true, freshet.ModelFailed
	p.Explanation = &freshet.Explanation{
		Inputs: [][]float64{nil, nil, nil}, Texts: map[string][]string{"recent": {"c1", "", "c\x00"}, "user": nil}, Reason: "the model is away",
	}
	put(t, d, p, true)
	got, err := d.GetExplained(t.Context(), user, "today")
	must(t, err)
	if !reflect.DeepEqual(got, p) {
		t.Fatalf("got %+v, want %+v", got, p)
	}
	p.Explanation.Texts["recent"][0], got.Explanation.Texts["recent"][1] = "changed", "too"
	got, err = d.GetExplained(t.Context(), user, "today")
	must(t, err)
	if texts := got.Explanation.Texts["recent"]; texts[0] != "c1" || texts[1] != "" {
		t.Fatalf("the texts are %q: what was put and what was got shares memory with what is kept", texts)
	}
	p.Explanation = nil
	wantGet(t, d, p)
	q := prediction(2)
	q.Explanation = &freshet.Explanation{Inputs: [][]float64{nil, nil, nil}, Reason: "away"} // a reason alone
	put(t, d, q, true)
	got, err = d.GetExplained(t.Context(), user, "today")
	must(t, err)
	if !reflect.DeepEqual(got, q) {
		t.Fatalf("got %+v, want %+v", got, q)
	}
}

func testExplanation(t *testing.T, h Harness) {
	d := open(t, h)
	p := prediction(1)
	p.Explanation = &freshet.Explanation{
		Names:  []string{"heart_rate", "", "x\x00"},
		Inputs: [][]float64{{1, math.NaN(), math.Inf(-1)}, {0, 2, math.Float64frombits(0x7ff8000000000abc)}, {4, 5, 6}},
	}
	put(t, d, p, true)
	wantGet(t, d, p)
	got, err := d.GetExplained(t.Context(), p.Entity, p.Pipeline)
	must(t, err)
	x := got.Explanation
	if x == nil || !slices.Equal(x.Names, p.Explanation.Names) || len(x.Inputs) != 3 {
		t.Fatalf("explanation is %+v, want %+v", x, p.Explanation)
	}
	for i, in := range p.Explanation.Inputs {
		for j := range in {
			if math.Float64bits(x.Inputs[i][j]) != math.Float64bits(in[j]) {
				t.Fatalf("input %d of item %d is %v, want %v", j, i, x.Inputs[i][j], in[j])
			}
		}
	}
	list, err := d.List(t.Context(), user)
	must(t, err)
	if len(list) != 1 || list[0].Explanation != nil {
		t.Fatalf("list is %+v, want one without an explanation", list)
	}
	// The next one has none: it does not keep the former's.
	put(t, d, prediction(2), true)
	got, err = d.GetExplained(t.Context(), user, "today")
	must(t, err)
	if !reflect.DeepEqual(got, prediction(2)) {
		t.Fatalf("got %+v, want %+v", got, prediction(2))
	}
}

func testNotKept(t *testing.T, h Harness) {
	d := open(t, h)
	put(t, d, prediction(1), true)
	for _, c := range []struct {
		entity   freshet.Entity
		pipeline freshet.PipelineName
	}{{user, "toda"}, {user, "today2"}, {freshet.Entity{Kind: "user", Key: "u"}, "today"}, {freshet.Entity{Kind: "use", Key: "u1"}, "today"}} {
		_, err := d.Get(t.Context(), c.entity, c.pipeline)
		wantCode(t, err, freshet.NotFound)
		_, err = d.GetExplained(t.Context(), c.entity, c.pipeline)
		wantCode(t, err, freshet.NotFound)
	}
	list, err := d.List(t.Context(), freshet.Entity{Kind: "user", Key: "u"})
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("list is %+v", list)
	}
}

// asked is a prediction that no event caused.
func asked(at freshet.Offset) freshet.Prediction {
	p := prediction(at) // for its CreatedAt
	p.Cause, p.EventID = freshet.Place{}, ""
	return p
}

func testReplaces(t *testing.T, h Harness) {
	created := func(p freshet.Prediction, at freshet.Offset) freshet.Prediction {
		p.CreatedAt = prediction(at).CreatedAt
		return p
	}
	for name, puts := range map[string][]struct {
		p      freshet.Prediction
		stored bool
	}{
		"newer offsets":                  {{prediction(1), true}, {prediction(2), true}},
		"older offset":                   {{prediction(2), true}, {prediction(1), false}},
		"older offset, made later":       {{prediction(2), true}, {created(prediction(1), 9), false}},
		"newer offset, made earlier":     {{prediction(2), true}, {created(prediction(3), 1), true}},
		"repeated job":                   {{prediction(2), true}, {created(prediction(2), 9), true}},
		"asked for, in order":            {{asked(1), true}, {asked(2), true}},
		"asked for, late":                {{asked(2), true}, {asked(1), false}},
		"asked for, same moment":         {{asked(2), true}, {asked(2), true}},
		"asked for after a job":          {{prediction(1), true}, {asked(2), true}},
		"asked for before the job":       {{prediction(2), true}, {asked(1), false}},
		"job after what was asked for":   {{asked(1), true}, {prediction(2), true}},
		"job before what was asked for":  {{asked(2), true}, {prediction(1), false}},
		"older job behind an asked-for":  {{prediction(5), true}, {asked(6), true}, {created(prediction(4), 9), false}},
		"same job behind an asked-for":   {{prediction(5), true}, {asked(6), true}, {created(prediction(5), 9), true}},
		"older job behind two asked-for": {{prediction(5), true}, {asked(6), true}, {asked(7), true}, {created(prediction(4), 9), false}},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, h)
			var newest freshet.Prediction
			for _, c := range puts {
				put(t, d, c.p, c.stored)
				if c.stored {
					newest = c.p
				}
			}
			wantGet(t, d, newest)
		})
	}
}

// testRace: whatever the order in which many workers put, the newest is what stays.
func testRace(t *testing.T, h Harness) {
	const workers, each, keys = 8, 60, 3
	d := open(t, h)
	entity := func(i int) freshet.Entity { return freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprint(i))} }
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				p := prediction(freshet.Offset(1 + (i*7+w*13)%97))
				p.Entity = entity(i % keys)
				if _, err := d.Put(t.Context(), p); err != nil {
					t.Error(err)
				}
				got, err := d.Get(t.Context(), p.Entity, p.Pipeline)
				if err != nil || got.Cause.Offset < p.Cause.Offset {
					t.Errorf("after offset %d was put there is %d (%v)", p.Cause.Offset, got.Cause.Offset, err)
				}
			}
		})
	}
	group.Wait()
	for k := range keys {
		var newest freshet.Offset
		for w := range workers {
			for i := k; i < each; i += keys {
				newest = max(newest, freshet.Offset(1+(i*7+w*13)%97))
			}
		}
		want := prediction(newest)
		want.Entity = entity(k)
		wantGet(t, d, want)
	}
}

func testList(t *testing.T, h Harness) {
	d := open(t, h)
	list, err := d.List(t.Context(), user)
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("empty store lists %+v", list)
	}
	var want []freshet.Prediction
	for _, name := range []freshet.PipelineName{"b", "a_2", "today", "a", "ab", "a2"} {
		p := prediction(1)
		p.Pipeline = name
		put(t, d, p, true)
		want = append(want, p)
		p.Entity = freshet.Entity{Kind: "content", Key: user.Key}
		put(t, d, p, true)
		p.Entity = freshet.Entity{Kind: "user", Key: user.Key + "0"}
		put(t, d, p, true)
	}
	slices.SortFunc(want, func(a, b freshet.Prediction) int {
		if a.Pipeline < b.Pipeline {
			return -1
		}
		return 1
	})
	list, err = d.List(t.Context(), user)
	must(t, err)
	if !reflect.DeepEqual(list, want) {
		t.Fatalf("list is %+v, want %+v", list, want)
	}
}

// testKeys: no key, however odd, is taken for another or for the beginning of another.
func testKeys(t *testing.T, h Harness) {
	d := open(t, h)
	keys := []freshet.Key{
		"a", "a\x00", "a\x00b", "a\x00\x01", "a\x00\x01today", "a\x00\xff", "\x00", "\x00\xff", "\xff", "a/b", "a,b", "a%2Cb", "../a", " ",
		freshet.JoinKey("a,b", "c"), freshet.JoinKey("a", "b,c"), freshet.Key(make([]byte, 4096)),
	}
	kinds := []freshet.EntityKind{"user", "user2", "u"}
	number := func(k, i int) freshet.Offset { return freshet.Offset(1 + k*len(keys) + i) }
	for k, kind := range kinds {
		for i, key := range keys {
			p := prediction(number(k, i))
			p.Entity = freshet.Entity{Kind: kind, Key: key}
			put(t, d, p, true)
		}
	}
	for k, kind := range kinds {
		for i, key := range keys {
			want := prediction(number(k, i))
			want.Entity = freshet.Entity{Kind: kind, Key: key}
			wantGet(t, d, want)
			list, err := d.List(t.Context(), want.Entity)
			must(t, err)
			if len(list) != 1 || !reflect.DeepEqual(list[0], want) {
				t.Fatalf("list of %v is %+v, want only %+v", want.Entity, list, want)
			}
		}
	}
}

func testDelete(t *testing.T, h Harness) {
	d := open(t, h)
	must(t, d.Delete(t.Context(), user))
	neighbour := prediction(1)
	neighbour.Entity.Key += "0"
	second := prediction(5)
	second.Pipeline = "next_step"
	for _, p := range []freshet.Prediction{neighbour, prediction(5), second} {
		put(t, d, p, true)
	}
	must(t, d.Delete(t.Context(), user))
	list, err := d.List(t.Context(), user)
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("after Delete there is %+v", list)
	}
	wantGet(t, d, neighbour)
	put(t, d, prediction(1), true) // nothing is remembered of what was deleted
}

func testExpired(t *testing.T, h Harness) {
	d := open(t, h)
	p := prediction(1)
	p.ExpiresAt = 1
	put(t, d, p, true)
	wantGet(t, d, p) // a driver has no clock
	p = prediction(2)
	p.ExpiresAt = 0
	put(t, d, p, true)
	wantGet(t, d, p)
}

func testReopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("the driver keeps nothing")
	}
	d := h.Open(t)
	kept := asked(6)
	kept.Explanation = &freshet.Explanation{Names: []string{"a"}, Inputs: [][]float64{{1}, {2}, {3}}}
	put(t, d, prediction(5), true)
	put(t, d, kept, true)
	d = h.Reopen(t, d)
	t.Cleanup(func() { must(t, d.Close()) })
	got, err := d.GetExplained(t.Context(), user, "today")
	must(t, err)
	if !reflect.DeepEqual(got, kept) {
		t.Fatalf("got %+v, want %+v", got, kept)
	}
	old := prediction(4)
	old.CreatedAt = kept.CreatedAt + 1
	put(t, d, old, false)
	put(t, d, prediction(7), true)
}

func testContext(t *testing.T, h Harness) {
	d := open(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(d) {
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v", name, err)
		}
	}
	_, err := d.Get(t.Context(), user, "today")
	wantCode(t, err, freshet.NotFound)
}

func testClose(t *testing.T, h Harness) {
	d := open(t, h)
	put(t, d, prediction(1), true)
	must(t, d.Close())
	for _, call := range calls(d) {
		wantCode(t, call(t.Context()), freshet.Unavailable)
	}
	must(t, d.Close())
}

// calls are all that may fail.
func calls(d predictionstore.Driver) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Put": func(ctx context.Context) error {
			_, err := d.Put(ctx, prediction(1))
			return err
		},
		"Get": func(ctx context.Context) error {
			_, err := d.Get(ctx, user, "today")
			return err
		},
		"GetExplained": func(ctx context.Context) error {
			_, err := d.GetExplained(ctx, user, "today")
			return err
		},
		"List": func(ctx context.Context) error {
			_, err := d.List(ctx, user)
			return err
		},
		"Delete": func(ctx context.Context) error { return d.Delete(ctx, user) },
	}
}

// testSweep removes what expired before a moment, step by step, and nothing else.
func testSweep(t *testing.T, h Harness) {
	d := open(t, h)
	const moment = 1_000_000
	for i, expires := range []freshet.Timestamp{0, moment - 1, moment, moment + 1, 1} {
		for _, key := range []freshet.Key{"u1", "u\x001", "u\x00\x01"} {
			p := prediction(1)
			p.Entity.Key, p.Pipeline, p.ExpiresAt = key, freshet.PipelineName(fmt.Sprint("p", i)), expires
			put(t, d, p, true)
		}
	}
	removed := 0
	for from, steps := []byte(nil), 0; ; steps++ {
		next, n, err := d.Sweep(t.Context(), moment, from, 2)
		must(t, err)
		removed += n
		if from = next; next == nil || steps > 100 {
			break
		}
	}
	if removed != 6 {
		t.Errorf("%d removed, want 6", removed)
	}
	for _, key := range []freshet.Key{"u1", "u\x001", "u\x00\x01"} {
		list, err := d.List(t.Context(), freshet.Entity{Kind: user.Kind, Key: key})
		must(t, err)
		var left []freshet.PipelineName
		for _, p := range list {
			left = append(left, p.Pipeline)
		}
		if !slices.Equal(left, []freshet.PipelineName{"p0", "p2", "p3"}) {
			t.Errorf("%q: %v are left", key, left)
		}
	}
}
