package feature

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

func testSchema(t testing.TB) *Schema {
	s, err := NewSchema(
		[]EntitySpec{{Kind: "user", KeyFields: []string{"user_id"}}, {Kind: "pair", KeyFields: []string{"user_id", "content_id"}}},
		[]EventSpec{
			{Type: "play", Keys: []string{"user_id", "content_id"}, Fields: []FieldSpec{
				{"category", "string"}, {"seconds", "float"}, {"completed", "bool"}, {"level", "int"}, {"at", "time"}, {"tags", "strings"}, {"v", "vector 3"},
			}},
			{Type: "search", Keys: []string{"user_id"}, Fields: []FieldSpec{{"query", "string"}, {"seconds", "float"}}},
		})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// everything uses each aggregate there is, with and without conditions.
var everything = slices.Concat(basics, sketches)

// sketches are the aggregates that keep more than a few numbers.
var sketches = []FeatureSpec{
	{"sd", "stddev(seconds)"},
	{"va", "variance(seconds, completed)"},
	{"sdb", "stddev(completed)"},
	{"d", "distinct(category)"},
	{"dx", "distinct(seconds, completed)"},
	{"dt", "distinct(event_time)"},
	{"c", "counts(category)"},
	{"cx", "counts(seconds)"},
	{"cb", "counts(completed, level > 0)"},
	{"ct", "counts(event_time)"},
	{"t", "top(category, 2)"},
	{"tx", "top(seconds, 3, completed)"},
	{"tt", "top(event_time, 256)"},
	{"q", "quantile(seconds, 0.5)"},
	{"qhi", "quantile(seconds, 1)"},
	{"ql", "quantile(level, 0.25, completed)"},
	{"dec", "decay(seconds, \"10m\")"},
	{"decs", "decay(1, \"1s\", completed)"},
	{"decd", "decay(level, \"7d\")"},
	{"cen", "centroid(v)"},
	{"cenc", "centroid(v, completed)"},
	{"emb", "embed(category)"},
	{"embc", "embed(content_id, completed)"},
	{"kinds", "len(c) + d"},
}

// basics are those that keep a few numbers, or some of the events.
var basics = []FeatureSpec{
	{"n", "count()"},
	{"done", "count(completed)"},
	{"s", "sum(seconds)"},
	{"si", "sum(level, completed)"},
	{"m", "mean(seconds)"},
	{"mb", "mean(seconds < 30, category == \"a\")"},
	{"lo", "min(seconds)"},
	{"hi", "max(seconds, completed)"},
	{"tlo", "min(at)"},
	{"sl", "slope(seconds)"},
	{"slb", "slope(level, completed)"},
	{"f", "first(category)"},
	{"fv", "first(v)"},
	{"l", "last(seconds)"},
	{"lt", "last(tags)"},
	{"lat", "last(at, completed)"},
	{"l3", "last(category, 3)"},
	{"l2", "last(seconds, 2, completed)"},
	{"since", "since_last()"},
	{"sincec", "since_last(category == \"b\")"},
	{"ratio", "s / n"},
	{"kind", "n > 3 ? \"many\" : coalesce(f, \"none\")"},
}

// letters is an embedder for tests: a text's vector is that of its first letter.
type letters struct{ digest freshet.Digest }

func (letters) Dim() int                 { return 4 }
func (l letters) Digest() freshet.Digest { return l.digest }

func (letters) Embed(text string, dst []float32) {
	clear(dst)
	if text != "" {
		angle := float64(text[0])
		dst[0], dst[2] = float32(math.Cos(angle)), float32(math.Sin(angle))
	}
}

func drawWindows(t *rapid.T) []string {
	switch rapid.IntRange(0, 5).Draw(t, "window") {
	case 0:
		return []string{rapid.SampledFrom([]string{"sliding 1s", "sliding 13s", "sliding 10m", "sliding 1h", "sliding 7d", "sliding 30d"}).Draw(t, "sliding")}
	case 1:
		all := []string{"sliding 5s", "sliding 1m", "sliding 10m", "sliding 1h", "sliding 90m", "sliding 24h", "sliding 7d", "sliding 30d"}
		n := rapid.IntRange(2, 6).Draw(t, "windows")
		return rapid.Permutation(all).Draw(t, "list")[:n]
	case 2:
		return []string{rapid.SampledFrom([]string{"tumbling 1m", "tumbling 1h offset 7m", "tumbling 7d offset 4d"}).Draw(t, "tumbling")}
	case 3:
		return []string{rapid.SampledFrom([]string{"session 1s", "session 10s", "session 30m", "session 6h"}).Draw(t, "session")}
	case 4:
		return []string{fmt.Sprintf("last %d", rapid.IntRange(1, 12).Draw(t, "last"))}
	}
	return []string{"lifetime"}
}

// events draws events one after the other. Times lie near each other, or far; often they coincide with edges of tiles, or lie
// just as far apart as a window of the view is long.
type events struct {
	windows []string
	times   []int64
}

func (d *events) draw(t *rapid.T) played {
	const start = 1_741_003_200_000
	step := rapid.SampledFrom([]int64{1, 500, 1000, 30_000, 300_000, 3_600_000, 86_400_000}).Draw(t, "step")
	at := start + step*rapid.Int64Range(-20, 20).Draw(t, "steps")
	if len(d.times) > 0 && rapid.IntRange(0, 2).Draw(t, "at a distance") == 0 {
		length := windowLength(rapid.SampledFrom(d.windows).Draw(t, "window"))
		at = rapid.SampledFrom(d.times).Draw(t, "from") + rapid.SampledFrom([]int64{1, 1, -1}).Draw(t, "direction")*length +
			rapid.SampledFrom([]int64{0, 0, 1, -1}).Draw(t, "off by")
	}
	e := played{
		Type: "play", User: "u", Content: "c", Time: at, ID: fmt.Sprintf("%c%d", 'a'+rapid.IntRange(0, 25).Draw(t, "letter"), len(d.times)),
	}
	d.times = append(d.times, at)
	e.Category = maybe(t, rapid.SampledFrom([]string{"a", "b", "", "é"}), "category")
	e.Seconds = maybe(t, rapid.Map(summand(), func(x float64) float64 { return min(max(x, -maxFloat), maxFloat) }), "seconds")
	e.Completed = maybe(t, rapid.Bool(), "completed")
	e.Level = maybe(t, rapid.IntRange(-5, 5), "level")
	e.At = maybe(t, rapid.Int64Range(0, 1<<41), "at")
	if tags := maybe(t, rapid.SliceOfN(rapid.SampledFrom([]string{"x", "yy"}), 0, 2), "tags"); tags != nil {
		e.Tags = *tags
	}
	if x := maybe(t, rapid.Float64Range(-1, 1), "v"); x != nil {
		e.V = []float64{*x, 0, 1}
	}
	return e
}

// record draws an event and decodes it.
func (d *events) record(t *rapid.T, s *Schema) *Record {
	e := d.draw(t)
	return e.record(t, s)
}

// maybe draws a value that most events have.
func maybe[T any](t *rapid.T, from *rapid.Generator[T], name string) *T {
	if rapid.IntRange(0, 4).Draw(t, name+" is there") == 0 {
		return nil
	}
	x := from.Draw(t, name)
	return &x
}

func requireEqual(t *rapid.T, what string, v *View, got, want []expression.Value) {
	t.Helper()
	for i := range want {
		if !sameValue(got[i], want[i]) {
			t.Fatalf("%s: %s is %+v, computed %+v", what, v.Features()[i].Name, got[i], want[i])
		}
	}
}

// What Apply and Read make of events in the order of the log is what Compute makes of them: promise P2.
func TestRowsAgreeWithCompute(t *testing.T) {
	t.Parallel()
	schema := testSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		where := rapid.SampledFrom([]string{"", "coalesce(level, 0) > -3"}).Draw(t, "where")
		drawn := events{windows: drawWindows(t)}
		v, err := NewView(schema, ViewSpec{
			Name: "v", Entity: "user", From: []freshet.EventType{"play"}, Where: where, Windows: drawn.windows, Features: everything, Embedder: letters{},
			Lateness: rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 400 * 24 * time.Hour}).Draw(t, "lateness"),
		})
		if err != nil {
			t.Fatal(err)
		}
		s := v.NewScratch()
		var log []HistoricEvent
		var data []byte
		var last, largest freshet.Timestamp
		for i := range rapid.IntRange(1, 30).Draw(t, "events") {
			r := drawn.record(t, schema)
			if rapid.IntRange(0, 9).Draw(t, "another key moves on") == 0 {
				largest = max(largest, r.EventTime.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "by"))*time.Second))
			}
			log = append(log, HistoricEvent{Record: r, MaxEventTime: largest})
			before := bytes.Clone(data)
			next, outcome, err := v.Apply(s, data, r, largest)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, data) {
				t.Fatal("Apply changed the row it was given")
			}
			if outcome != Applied && !bytes.Equal(next, data) {
				t.Fatalf("%s, but the row is another", outcome)
			}
			data = next
			largest = max(largest, r.EventTime)
			if outcome == Applied {
				last = max(last, r.EventTime)
			}
			at := last.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 999, 30_000, 600_000, 3_600_000, 86_400_000, 604_800_000}).Draw(t, "later")) * time.Millisecond)
			got, err := v.Read(s, data, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			want, err := v.Compute(s, log, at, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			requireEqual(t, fmt.Sprintf("after event %d (%s) at %s", i, outcome, at), v, got, want)
		}
	})
}

// In whatever order events come, within lateness: the same row, to the byte.
func TestOrderLeavesNoTrace(t *testing.T) {
	t.Parallel()
	schema := testSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		drawn := events{windows: drawWindows(t)}
		v, err := NewView(schema, ViewSpec{
			Name: "v", Entity: "user", From: []freshet.EventType{"play"}, Windows: drawn.windows, Features: everything, Embedder: letters{},
			Lateness: 400 * 24 * time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		var records []*Record
		for range rapid.IntRange(1, 25).Draw(t, "events") {
			records = append(records, drawn.record(t, schema))
		}
		s := v.NewScratch()
		rowOf := func(records []*Record) (data []byte) {
			largest := freshet.Timestamp(0)
			for _, r := range records {
				if data, _, err = v.Apply(s, data, r, largest); err != nil {
					t.Fatal(err)
				}
				largest = max(largest, r.EventTime)
			}
			return data
		}
		want := rowOf(records)
		if got := rowOf(rapid.Permutation(records).Draw(t, "order")); !bytes.Equal(got, want) {
			t.Fatalf("rows differ:\n%x\n%x", got, want)
		}
	})
}

// The same with more values than are kept one by one, over tiles that are rolled up many times.
func TestManyValues(t *testing.T) {
	t.Parallel()
	schema := testSchema(t)
	features := []FeatureSpec{
		{"sd", "stddev(seconds)"}, {"d", "distinct(level)"}, {"dc", "distinct(level, completed)"}, {"c", "counts(level)"}, {"cc", "counts(level, completed)"},
		{"t", "top(level, 5)"}, {"q", "quantile(seconds, 0.9)"}, {"dec", "decay(seconds, \"6h\")"}, {"decs", "decay(seconds, \"1m\")"},
	}
	for i, windows := range [][]string{
		{"sliding 10m", "sliding 1h", "sliding 24h", "sliding 7d", "sliding 30d"}, {"sliding 24h"}, {"tumbling 7d"}, {"session 6h"}, {"last 700"}, {"lifetime"},
	} {
		t.Run(windows[0], func(t *testing.T) {
			t.Parallel()
			v, err := NewView(schema, ViewSpec{
				Name: "v", Entity: "user", From: []freshet.EventType{"play"}, Windows: windows, Features: features, Lateness: 400 * 24 * time.Hour,
			})
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			var log []HistoricEvent
			for n := range 1500 {
				r := schema.NewRecord()
				raw := fmt.Sprintf(`{"event_id":"e%d","type":"play","user_id":"u","content_id":"c","event_time":%d,"level":%d,"seconds":%v,"completed":%v}`,
					n, 1_741_003_200_000-int64(rng.ExpFloat64()*float64(2*day)), int(rng.ExpFloat64()*300), rng.NormFloat64()*100, n%2 == 0)
				if err := schema.Decode([]byte(raw), freshet.MaxTimestamp, r); err != nil {
					t.Fatal(err)
				}
				log = append(log, HistoricEvent{Record: r})
			}
			// Nearly in order: some are up to a fifth of the log too early or too late.
			slices.SortFunc(log, func(a, b HistoricEvent) int { return cmp.Compare(a.Record.EventTime, b.Record.EventTime) })
			for range 200 {
				a := rng.IntN(len(log))
				b := min(a+rng.IntN(300), len(log)-1)
				log[a], log[b] = log[b], log[a]
			}
			setMaxima(log)
			s := v.NewScratch()
			var data []byte
			last := freshet.Timestamp(0)
			for n, e := range log {
				if data, _, err = v.Apply(s, data, e.Record, e.MaxEventTime); err != nil {
					t.Fatal(err)
				}
				last = max(last, e.Record.EventTime)
				if n%250 != 249 {
					continue
				}
				for _, later := range []time.Duration{0, 7 * time.Minute, 30 * time.Hour} {
					got, err := v.Read(s, data, last.Add(later), nil)
					if err != nil {
						t.Fatal(err)
					}
					want, err := v.Compute(s, log[:n+1], last.Add(later), false, nil)
					if err != nil {
						t.Fatal(err)
					}
					requireSame(t, fmt.Sprintf("after event %d, %s later", n, later), v, got, want)
				}
			}
		})
	}
}
