package feature

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// plain is a value as brute force has it.
func plain(v expression.Value) any {
	switch v.Kind {
	case expression.Number:
		return v.Num
	case expression.String:
		return v.Str
	case expression.List:
		list := []any{}
		for _, e := range v.List {
			list = append(list, plain(e))
		}
		return list
	case expression.Vector:
		list := []any{}
		for _, x := range v.Vec {
			list = append(list, x)
		}
		return list
	case expression.Map:
		m := map[string]float64{}
		for _, e := range v.List {
			m[e.Str] = e.Num
		}
		return m
	}
	return nil
}

// agrees says whether got is want, or a number that is off by that part of it at most.
func agrees(got, want any, off float64) bool {
	x, ok := got.(float64)
	if y, too := want.(float64); ok && too && off > 0 {
		return math.Abs(x-y) <= off*math.Abs(y)+1e-12
	}
	return reflect.DeepEqual(got, want)
}

// Compute says what the contract says, at any moment, as it happened and as it was known: promise P2. That rows say what Compute says is
// TestRowsAgreeWithCompute.
func TestComputeAgreesWithTheContract(t *testing.T) {
	t.Parallel()
	schema := testSchema(t)
	var features []FeatureSpec
	for _, c := range bruteCases {
		features = append(features, FeatureSpec{freshet.FeatureName(c.name), c.expression})
	}
	rapid.Check(t, func(t *rapid.T) {
		drawn := events{windows: drawWindows(t)}
		lateness := rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 400 * 24 * time.Hour}).Draw(t, "lateness")
		v, err := NewView(schema, ViewSpec{Name: "v", Entity: "user", From: []freshet.EventType{"play"}, Windows: drawn.windows, Features: features, Lateness: lateness})
		if err != nil {
			t.Fatal(err)
		}
		var log []played
		var history []HistoricEvent
		largest := int64(0)
		for range rapid.IntRange(1, 25).Draw(t, "events") {
			e := drawn.draw(t)
			e.largest, e.ingest = largest, e.Time+rapid.SampledFrom([]int64{0, 1, 30_000, 7_200_000}).Draw(t, "delay")
			largest = max(largest, e.Time)
			r := e.record(t, schema)
			r.IngestTime = freshet.Timestamp(e.ingest)
			log, history = append(log, e), append(history, HistoricEvent{Record: r, MaxEventTime: freshet.Timestamp(e.largest)})
		}
		s := v.NewScratch()
		for range 4 {
			at, known := drawMoment(t, log, drawn.windows), rapid.Bool().Draw(t, "known")
			got, err := v.Compute(s, history, freshet.Timestamp(at), known, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, window := range drawn.windows {
				for i, want := range bruteValues(log, window, lateness.Milliseconds(), at, known) {
					if c := &bruteCases[i]; !agrees(plain(got[i]), want, c.off) {
						t.Fatalf("%s, %s at %s (known %t) is %v, want %v, of %v", window, c.expression, freshet.Timestamp(at), known, plain(got[i]), want, log)
					}
				}
				got = got[len(bruteCases):]
			}
		}
	})
}

// drawMoment draws a moment at or near which an event enters or leaves a window, or another one.
func drawMoment(t *rapid.T, log []played, windows []string) int64 {
	near := log[rapid.IntRange(0, len(log)-1).Draw(t, "near")].Time
	if length := windowLength(windows[rapid.IntRange(0, len(windows)-1).Draw(t, "window's end")]); rapid.Bool().Draw(t, "leaves") {
		near += length + rapid.SampledFrom([]int64{0, 1000, 5000, 30_000, 300_000, 3_600_000, 21_600_000, 86_400_000}).Draw(t, "a hop later")
	}
	return near + rapid.SampledFrom([]int64{0, -1, 1, 0, 17, 999, 40_000, -3_600_000}).Draw(t, "off by")
}

func windowLength(window string) int64 {
	var kind, length string
	if n, _ := fmt.Sscan(window, &kind, &length); n < 2 || kind == "last" {
		return 0
	}
	return bruteLength(length)
}

// record decodes an event as it is sent.
func (e *played) record(t *rapid.T, s *Schema) *Record {
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	r := s.NewRecord()
	if err := s.Decode(raw, freshet.MaxTimestamp, r); err != nil {
		t.Fatal(err)
	}
	return r
}
