package feature

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

const benchStart = freshet.Timestamp(1_741_003_200_000)

const playEvent = `{"event_id":"0195-6d2b-7f4e-8a31-22c1d09e77aa","type":"play","user_id":"user-0048213","content_id":"content-0071","event_time":"2025-03-03T12:00:00.123Z","category":"Sleep","seconds":312.75,"completed":true,"level":3,"device":"iPhone15,2","app_version":"8.41.0","session":"s-99d1"}`

func benchView(t testing.TB, windows []string, features ...FeatureSpec) (*Schema, *View) {
	s := testSchema(t)
	v, err := NewView(s, ViewSpec{Name: "v", Entity: "user", From: []freshet.EventType{"play"}, Windows: windows, Features: features, Lateness: 10 * time.Minute, Embedder: letters{}})
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

var threeMeasures = []FeatureSpec{{"plays", "count()"}, {"seconds", "sum(seconds)"}, {"mean_seconds", "mean(seconds)"}}

var fiveWindows = []string{"sliding 10m", "sliding 1h", "sliding 24h", "sliding 7d", "sliding 30d"}

// fillRow applies n events that lie ever farther apart towards the past, so that a row of five windows has about twenty tiles.
func fillRow(t testing.TB, s *Schema, v *View, n int) (data []byte, r *Record, last freshet.Timestamp) {
	scratch := v.NewScratch()
	r = s.NewRecord()
	withVector := strings.TrimSuffix(playEvent, "}") + `,"v":[0.25,-0.5,0.125]}`
	if err := s.Decode([]byte(withVector), freshet.MaxTimestamp, r); err != nil {
		t.Fatal(err)
	}
	gap := 25 * 24 * time.Hour
	at := benchStart
	for i := range n {
		r.ID = freshet.EventID(fmt.Sprintf("event-%06d", i))
		moveTo(r, at)
		var err error
		if data, _, err = v.Apply(scratch, data, r, at); err != nil {
			t.Fatal(err)
		}
		last = at
		at = at.Add(gap)
		gap = gap * 3 / 5
		gap = max(gap, time.Second)
	}
	return data, r, last
}

// moveTo makes the event one of another time.
func moveTo(r *Record, at freshet.Timestamp) {
	r.EventTime = at
	r.slots[timeSlot].Num = float64(at)
}

func BenchmarkApply(b *testing.B) {
	for name, c := range map[string]struct {
		windows  []string
		features []FeatureSpec
		step     time.Duration
	}{
		"sliding 10m, same tile":  {[]string{"sliding 10m"}, threeMeasures, 0},
		"sliding 10m, each 5s":    {[]string{"sliding 10m"}, threeMeasures, 5 * time.Second},
		"five windows, same tile": {fiveWindows, threeMeasures, 0},
		"five windows, each 7m":   {fiveWindows, threeMeasures, 7 * time.Minute},
		"session 30m":             {[]string{"session 30m"}, []FeatureSpec{{"plays", "count()"}, {"bounce", `mean(seconds < 30, category == "Sleep")`}, {"recent", "last(content_id, 5)"}}, time.Minute},
		"last 5":                  {[]string{"last 5"}, []FeatureSpec{{"recent", "last(content_id, 5)"}}, time.Minute},
		"last 1000":               {[]string{"last 1000"}, []FeatureSpec{{"recent", "last(content_id, 5)"}, {"s", "sum(seconds)"}}, time.Minute},
		"lifetime, last 1000":     {[]string{"lifetime"}, []FeatureSpec{{"recent", "last(content_id, 1000)"}}, time.Minute},
		"sliding 10m, slope":      {[]string{"sliding 10m"}, []FeatureSpec{{"sl", "slope(seconds)"}, {"s", "sum(level)"}}, 5 * time.Second},
		"sliding 24h, stddev":     {[]string{"sliding 24h"}, []FeatureSpec{{"f", "stddev(seconds)"}}, time.Minute},
		"sliding 24h, distinct":   {[]string{"sliding 24h"}, []FeatureSpec{{"f", "distinct(category)"}}, time.Minute},
		"lifetime, distinct many": {[]string{"lifetime"}, []FeatureSpec{{"f", "distinct(event_time)"}}, time.Minute},
		"sliding 24h, counts":     {[]string{"sliding 24h"}, []FeatureSpec{{"f", "counts(category)"}}, time.Minute},
		"lifetime, counts of 256": {[]string{"lifetime"}, []FeatureSpec{{"f", "counts(event_time)"}}, time.Minute},
		"sliding 24h, quantile":   {[]string{"sliding 24h"}, []FeatureSpec{{"f", "quantile(seconds, 0.9)"}}, time.Minute},
		"lifetime, decay 7d":      {[]string{"lifetime"}, []FeatureSpec{{"f", `decay(seconds, "7d")`}}, time.Minute},
		"last 5, embed":           {[]string{"last 5"}, []FeatureSpec{{"f", "embed(category)"}}, time.Minute},
	} {
		b.Run(name, func(b *testing.B) {
			s, v := benchView(b, c.windows, c.features...)
			data, r, last := fillRow(b, s, v, 30)
			scratch := v.NewScratch()
			b.ReportAllocs()
			for b.Loop() {
				last = last.Add(c.step)
				moveTo(r, last)
				next, _, err := v.Apply(scratch, data, r, last)
				if err != nil {
					b.Fatal(err)
				}
				if c.step > 0 {
					data = next
				}
			}
			b.ReportMetric(float64(len(data)), "row-bytes")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for name, c := range map[string]struct {
		windows  []string
		features []FeatureSpec
	}{
		"five windows, three measures": {fiveWindows, threeMeasures},
		"sliding 24h, one":             {[]string{"sliding 24h"}, threeMeasures[:1]},
		"sliding 10m, slope":           {[]string{"sliding 10m"}, []FeatureSpec{{"sl", "slope(seconds)"}}},
		"session, list of texts":       {[]string{"session 30m"}, []FeatureSpec{{"recent", "last(content_id, 5)"}}},
		"five windows, stddev":         {fiveWindows, []FeatureSpec{{"f", "stddev(seconds)"}}},
		"five windows, distinct":       {fiveWindows, []FeatureSpec{{"f", "distinct(category)"}}},
		"lifetime, distinct of 1000":   {[]string{"lifetime"}, []FeatureSpec{{"f", "distinct(event_time)"}}},
		"five windows, counts":         {fiveWindows, []FeatureSpec{{"f", "counts(category)"}}},
		"lifetime, counts of 256":      {[]string{"lifetime"}, []FeatureSpec{{"f", "counts(event_time)"}}},
		"lifetime, top 3 of 256":       {[]string{"lifetime"}, []FeatureSpec{{"f", "top(event_time, 3)"}}},
		"five windows, quantile":       {fiveWindows, []FeatureSpec{{"f", "quantile(seconds, 0.9)"}}},
		"lifetime, decay 7d":           {[]string{"lifetime"}, []FeatureSpec{{"f", `decay(seconds, "7d")`}}},
		"five windows, decay 1h":       {fiveWindows, []FeatureSpec{{"f", `decay(seconds, "1h")`}}},
		"five windows, centroid":       {fiveWindows, []FeatureSpec{{"f", "centroid(v)"}}},
	} {
		b.Run(name, func(b *testing.B) {
			s, v := benchView(b, c.windows, c.features...)
			events := 30
			if c.windows[0] == "lifetime" {
				events = 1000
			}
			data, _, last := fillRow(b, s, v, events)
			scratch := v.NewScratch()
			var dst []expression.Value
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = v.Read(scratch, data, last, dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data)), "row-bytes")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	s := testSchema(b)
	r := s.NewRecord()
	raw := []byte(playEvent)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Decode(raw, freshet.MaxTimestamp, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	s := testSchema(b)
	r := s.NewRecord()
	ev := freshet.Event{ID: "e1", Type: "play", EventTime: benchStart, IngestTime: benchStart, Payload: []byte(playEvent)}
	b.SetBytes(int64(len(ev.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.DecodeEvent(&ev, r); err != nil {
			b.Fatal(err)
		}
	}
}
