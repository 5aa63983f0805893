package feature

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"pgregory.net/rapid"
)

// sweptStore is what a feature store keeps of one row: its data, and when a sweep last removed it.
type sweptStore struct {
	v       *View
	s       *Scratch
	data    []byte
	removed freshet.Timestamp
}

func (st *sweptStore) apply(r *Record, largest freshet.Timestamp) (Outcome, error) {
	data := st.data
	if data == nil {
		data = st.v.AppendRemoved(nil, st.removed)
	}
	next, outcome, err := st.v.Apply(st.s, data, r, largest)
	if outcome == Applied {
		st.data = next
	}
	return outcome, err
}

func (st *sweptStore) sweep(at, largest freshet.Timestamp) (Swept, error) {
	next, swept, err := st.v.Sweep(st.s, st.data, at, largest)
	if st.data = next; swept == Removed {
		st.removed = max(st.removed, at)
	}
	return swept, err
}

func (st *sweptStore) read(at freshet.Timestamp) ([]expression.Value, error) {
	if st.data == nil && at < st.removed && st.v.Removable() {
		return nil, ErrHistory
	}
	return st.v.Read(st.s, st.data, at, nil)
}

// Whenever rows are swept, at whatever moments, rows say what Compute says, or that they don't know: promise P2.
func TestSweptRowsAgreeWithCompute(t *testing.T) {
	t.Parallel()
	schema := testSchema(t)
	var seen [Removed + 1]int
	fromRow := 0
	rapid.Check(t, func(t *rapid.T) {
		drawn := events{windows: drawWindows(t)}
		v, err := NewView(schema, ViewSpec{
			Name: "v", Entity: "user", From: []freshet.EventType{"play"}, Windows: drawn.windows, Features: basics,
			Lateness: rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 400 * 24 * time.Hour}).Draw(t, "lateness"),
		})
		if err != nil {
			t.Fatal(err)
		}
		st := &sweptStore{v: v, s: v.NewScratch()}
		other := v.NewScratch()
		var log []HistoricEvent
		var largest, now freshet.Timestamp
		wait := func(what string) time.Duration {
			return time.Duration(rapid.SampledFrom([]int64{0, 1, 999, 30_000, 600_000, 3_600_000, 86_400_000, 604_800_000}).Draw(t, what)) * time.Millisecond
		}
		for i := range rapid.IntRange(1, 30).Draw(t, "events") {
			r := drawn.record(t, schema)
			if now = max(now, r.EventTime); rapid.IntRange(0, 9).Draw(t, "another key moves on") == 0 {
				now = now.Add(wait("by"))
				largest = max(largest, now)
			}
			log = append(log, HistoricEvent{Record: r, MaxEventTime: largest})
			if _, err := st.apply(r, largest); err != nil {
				t.Fatal(err)
			}
			largest = max(largest, r.EventTime)
			if rapid.IntRange(0, 2).Draw(t, "sweep") == 0 {
				now = now.Add(wait("sweep after"))
				before := bytes.Clone(st.data)
				given := st.data
				swept, err := st.sweep(now.Add(-wait("behind")), largest)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(before, given) {
					t.Fatal("Sweep changed the row it was given")
				}
				if swept == RolledUp && len(st.data) >= len(before) {
					t.Fatalf("rolled up from %d to %d bytes", len(before), len(st.data))
				}
				seen[swept]++
			}
			for range 2 {
				at := now.Add(wait("later") - wait("earlier"))
				got, err := st.read(at)
				if err == ErrHistory {
					if at >= now && v.kind != session {
						t.Fatalf("the row does not know the present")
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				want, err := v.Compute(other, log, at, false, nil)
				if err != nil {
					t.Fatal(err)
				}
				requireEqual(t, fmt.Sprintf("after event %d at %s, removed at %s", i, at, st.removed), v, got, want)
				fromRow++
			}
		}
	})
	if seen[Kept] == 0 || seen[RolledUp] == 0 || seen[Removed] == 0 || fromRow == 0 {
		t.Errorf("kept, rolled up, removed %v times, %d reads from rows: the test does not look at all of it", seen, fromRow)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	const event = `{"event_id":"e%d","type":"play","user_id":"u","content_id":"c","event_time":%q,"seconds":1}`
	at := func(text string) freshet.Timestamp {
		m, err := freshet.ParseTimestamp("2025-03-03T" + text + "Z")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, c := range map[string]struct {
		windows []string
		times   []string
		at      string
		newest  string // event of the partition
		want    Swept
	}{
		"one window sees it": {[]string{"sliding 1h"}, []string{"10:00:00"}, "11:04:59", "", Kept},
		"no window sees it":  {[]string{"sliding 1h"}, []string{"10:00:00"}, "11:05:00", "", Removed},
		"the longest window sees it": {[]string{"sliding 10m", "sliding 24h"},
			[]string{"10:00:00", "10:00:30", "10:01:00", "10:30:00"}, "23:00:00", "", RolledUp},
		"nothing to roll up":       {[]string{"sliding 10m", "sliding 24h"}, []string{"10:00:00"}, "23:00:00", "", Kept},
		"the bucket of now":        {[]string{"tumbling 1h"}, []string{"10:00:00"}, "10:59:59.999", "", Kept},
		"the bucket before":        {[]string{"tumbling 1h"}, []string{"10:00:00"}, "11:00:00", "", Removed},
		"an open session":          {[]string{"session 30m"}, []string{"10:00:00"}, "10:30:00", "23:00:00", Kept},
		"a session past":           {[]string{"session 30m"}, []string{"10:00:00"}, "23:00:00", "10:40:00.001", Removed},
		"a session that may grow":  {[]string{"session 30m"}, []string{"10:00:00"}, "23:00:00", "10:40:00", Kept},
		"the session before it":    {[]string{"session 30m"}, []string{"10:00:00", "10:40:00"}, "10:41:00", "10:40:00.001", RolledUp},
		"the last events are kept": {[]string{"last 2"}, []string{"10:00:00"}, "23:00:00", "23:00:00", Kept},
		"a life is kept":           {[]string{"lifetime"}, []string{"10:00:00"}, "23:00:00", "23:00:00", Kept},
	} {
		s, v := benchView(t, c.windows, FeatureSpec{"n", "count()"}, FeatureSpec{"s", "sum(seconds)"})
		var events []string
		for i, text := range c.times {
			events = append(events, fmt.Sprintf(event, i, at(text).String()))
		}
		newest := at(c.times[len(c.times)-1])
		if c.newest != "" {
			newest = at(c.newest)
		}
		_, got, err := v.Sweep(v.NewScratch(), rowOf(t, s, v, events), at(c.at), newest)
		if got != c.want || err != nil {
			t.Errorf("%s: swept %d (%v), want %d", name, got, err, c.want)
		}
	}
}
