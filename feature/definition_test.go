package feature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
)

func TestHops(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1s": second, "59s": second, "60s": 5 * second, "10m": 30 * second, "359s": 5 * second, "360s": 30 * second, "1h": 5 * minute,
		"12h": hour, "24h": hour, "71h": hour, "72h": 6 * hour, "7d": 6 * hour, "12d": day, "30d": day, "400d": day,
	} {
		d, err := parseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := hopOf(d); got != want {
			t.Errorf("hop of %s is %d ms, want %d", text, got, want)
		}
	}
	for _, text := range []string{"", "s", "1", "1.5h", "+1h", "-1h", "1 h", "0s", "401d", "99999999999999999999s", "1w", "1H"} {
		if _, err := parseDuration(text); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("duration %q: %v", text, err)
		}
	}
	for _, c := range []struct{ t, hop, want int64 }{{0, second, 0}, {-1, second, -second}, {-second, second, -second}, {1999, second, second}, {-1, 7, -7}} {
		if got := floorTo(c.t, c.hop); got != c.want {
			t.Errorf("floor of %d to %d is %d, want %d", c.t, c.hop, got, c.want)
		}
	}
}

func viewSpec(change func(*ViewSpec)) ViewSpec {
	spec := ViewSpec{
		Name: "v", Entity: "user", From: []freshet.EventType{"play", "search"}, Where: "seconds >= 5", Windows: []string{"session 30m"},
		Lateness: time.Minute, Features: []FeatureSpec{{"n", "count()"}, {"s", "sum(seconds, completed)"}},
	}
	if change != nil {
		change(&spec)
	}
	return spec
}

func TestDigest(t *testing.T) {
	t.Parallel()
	digest := func(s *Schema, change func(*ViewSpec)) freshet.Digest {
		t.Helper()
		v, err := NewView(s, viewSpec(change))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("sha256:%016x", uint64(v.ID())); !strings.HasPrefix(string(v.Digest()), want) || len(v.Digest()) != len("sha256:")+64 {
			t.Errorf("digest %s of view %x", v.Digest(), v.ID())
		}
		return v.Digest()
	}
	s := testSchema(t)
	base := digest(s, nil)
	if want := freshet.Digest("sha256:5bf4bb9987120891"); !strings.HasPrefix(string(base), string(want)) {
		t.Errorf("the digest of a definition has changed to %s: its rows are lost to an upgrade", base)
	}

	for name, change := range map[string]func(*ViewSpec){
		"spaces":              func(v *ViewSpec) { v.Where, v.Windows = " seconds>=5 ", []string{"session   30m"} },
		"order of the events": func(v *ViewSpec) { slices.Reverse(v.From) },
	} {
		if digest(s, change) != base {
			t.Errorf("%s changes the digest", name)
		}
	}
	for name, change := range map[string]func(*ViewSpec){
		"name":       func(v *ViewSpec) { v.Name = "w" },
		"from":       func(v *ViewSpec) { v.From = v.From[:1] },
		"where":      func(v *ViewSpec) { v.Where = "" },
		"window":     func(v *ViewSpec) { v.Windows[0] = "session 31m" },
		"lateness":   func(v *ViewSpec) { v.Lateness = time.Hour },
		"expression": func(v *ViewSpec) { v.Features[0].Expression = "count(completed)" },
		"features":   func(v *ViewSpec) { v.Features = v.Features[:1] },
	} {
		if digest(s, change) == base {
			t.Errorf("%s does not change the digest", name)
		}
	}
	tiled := func(v *ViewSpec) { v.Windows = []string{"sliding 1h"} }
	if digest(s, tiled) != digest(s, func(v *ViewSpec) { tiled(v); v.Lateness = time.Hour }) {
		t.Error("lateness changes the digest of a sliding view")
	}

	other := func(fields ...FieldSpec) freshet.Digest {
		s, err := NewSchema([]EntitySpec{{Kind: "user", KeyFields: []string{"user_id"}}}, []EventSpec{
			{Type: "play", Keys: []string{"user_id"}, Fields: fields}, {Type: "search", Keys: []string{"user_id"}}})
		if err != nil {
			t.Fatal(err)
		}
		return digest(s, nil)
	}
	want := other(FieldSpec{"seconds", "float"}, FieldSpec{"completed", "bool"})
	if other(FieldSpec{"colour", "string"}, FieldSpec{"completed", "bool"}, FieldSpec{"seconds", "float"}) != want {
		t.Error("a field that the view does not look at changes the digest")
	}
	if other(FieldSpec{"seconds", "int"}, FieldSpec{"completed", "bool"}) == want {
		t.Error("the type of a field does not change the digest")
	}
}

func TestDefinitionErrorsSayWhere(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	for want, change := range map[string]func(*ViewSpec){
		"name 0":       func(v *ViewSpec) { v.Name = "V" },
		"entity 0":     func(v *ViewSpec) { v.Entity = "usr" },
		"from 0":       func(v *ViewSpec) { v.From = []freshet.EventType{"plays"} },
		"from[1] 0":    func(v *ViewSpec) { v.From[1] = "plays" },
		"where 13":     func(v *ViewSpec) { v.Where = "completed or secnds > 5" },
		"window 0":     func(v *ViewSpec) { v.Windows = nil },
		"window[1] 0":  func(v *ViewSpec) { v.Windows = []string{"sliding 1h", "session 1h"} },
		"window[2] 0":  func(v *ViewSpec) { v.Windows = []string{"sliding 1h", "sliding 2h", "sliding 1h"} },
		"features 0":   func(v *ViewSpec) { v.Features = nil },
		"features.n 0": func(v *ViewSpec) { v.Features[1].Name = "n" },
		"features.s 8": func(v *ViewSpec) { v.Features[1].Expression = "n + sum(category)" },
		"features.s 4": func(v *ViewSpec) { v.Features[1].Expression = "n + sum()" },
		"lateness 0":   func(v *ViewSpec) { v.Lateness = -1 },
	} {
		_, err := NewView(s, viewSpec(change))
		d, ok := errors.AsType[*DefinitionError](err)
		if !ok || fmt.Sprintf("%s %d", d.Element, d.Offset) != want {
			t.Errorf("want a problem at %s, got %v", want, err)
			continue
		}
		if freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s: code %s", want, freshet.CodeOf(err))
		}
	}
	// All problems are told at once.
	_, err := NewView(s, ViewSpec{Name: "V", Entity: "x", From: []freshet.EventType{"play"}, Where: "a", Windows: []string{"b"}, Features: []FeatureSpec{{"c", "d"}}})
	if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n != 5 {
		t.Errorf("%d problems, want 5: %v", n, err)
	}

	_, err = NewSchema([]EntitySpec{{Kind: "user", KeyFields: []string{"user_id"}}, {Kind: "user", KeyFields: []string{"y"}}, {Kind: "none"}}, []EventSpec{
		{Type: "play", Keys: []string{"user_id", "x"}, Fields: []FieldSpec{{"a", "strin"}, {"user_id", "int"}, {"event_type", "int"}, {"b", "vector 5000"}}},
		{Type: "play", Keys: []string{"y"}},
	})
	var elements []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		elements = append(elements, e.(*DefinitionError).Element)
	}
	want := []string{"entities.user", "entities.none", "events.play.keys[1]", "events.play.fields.a", "events.play.fields.user_id",
		"events.play.fields.event_type", "events.play.fields.b", "events.play"}
	if !slices.Equal(elements, want) {
		t.Errorf("problems at %q, want %q", elements, want)
	}
}

// The rule of late events, by hand: sessions of 30 min, the watermark 10 min behind the largest event time.
func TestLateEvents(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	v, err := NewView(s, ViewSpec{Name: "v", Entity: "user", From: []freshet.EventType{"play"}, Windows: []string{"session 30m"},
		Lateness: 10 * time.Minute, Features: []FeatureSpec{{"n", "count()"}}})
	if err != nil {
		t.Fatal(err)
	}
	const ms = minute
	type step struct {
		at, largest int64 // minutes; largest event time of the partition before
		extra       int64 // milliseconds to add to largest
		want        Outcome
	}
	for name, steps := range map[string][]step{
		"in order": {{at: 100, want: Applied}, {at: 200, want: Applied}},
		"behind the watermark, but nothing was dropped": {{at: 100, largest: 500, want: Applied}},
		"the watermark stands at the end + gap: kept":   {{at: 100, want: Applied}, {at: 130, largest: 140, want: Applied}},
		"a millisecond more: dropped":                   {{at: 100, want: Applied}, {at: 130, largest: 140, extra: 1, want: Late}},
		"older than what was dropped":                   {{at: 100, want: Applied}, {at: 10, largest: 141, want: Late}},
		"behind the gap of what was dropped":            {{at: 100, want: Applied}, {at: 131, largest: 200, want: Applied}},
		"the dropped end is remembered": {{at: 100, want: Applied}, {at: 300, want: Applied}, {at: 290, largest: 300, want: Applied},
			{at: 130, largest: 300, want: Late}, {at: 131, largest: 300, want: Applied}},
		"a late event drops nothing":               {{at: 100, want: Applied}, {at: 90, largest: 500, want: Late}, {at: 95, largest: 120, want: Applied}},
		"the event's own time moves the watermark": {{at: 100, want: Applied}, {at: 141, want: Applied}, {at: 125, largest: 141, want: Late}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scratch := v.NewScratch()
			var data []byte
			var log sessionLog
			log.reset()
			for i, st := range steps {
				r := s.NewRecord()
				raw := fmt.Sprintf(`{"event_id":"e%d","type":"play","user_id":"u","content_id":"c","event_time":%d}`, i, st.at*ms)
				if err := s.Decode([]byte(raw), freshet.MaxTimestamp, r); err != nil {
					t.Fatal(err)
				}
				largest := st.largest*ms + st.extra
				next, outcome, err := v.Apply(scratch, data, r, freshet.Timestamp(largest))
				if err != nil || outcome != st.want {
					t.Fatalf("event %d is %s, want %s: %v", i, outcome, st.want, err)
				}
				data = next
				if late := log.add(st.at*ms, 30*ms, v.watermarkAt(st.at*ms, largest)); late != (st.want == Late) {
					t.Fatalf("event %d: Compute says late is %v", i, late)
				}
			}
		})
	}
}

func TestCallErrorsSayWhy(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	for call, want := range map[string]string{
		"stddev()":                         "stddev: it needs an argument: a number or a bool",
		"variance(category)":               "variance: it takes a number or a bool, not string",
		"distinct(tags)":                   "distinct: it takes a number, bool, string or time, not list of string",
		"counts(v)":                        "counts: it takes a number, bool, string or time, not vector 3",
		"counts(category, 3)":              "counts: the condition must be a bool, not int",
		"top(category)":                    "top: it needs the length, a whole number from 1 to 256, as argument 2",
		"top(category, 257)":               "top: the length 257 must be a whole number from 1 to 256, written out",
		"top(category, 1.5)":               "top: the length 1.5 must be a whole number from 1 to 256, written out",
		"top(category, level)":             "top: the length level must be a whole number from 1 to 256, written out",
		"quantile(seconds)":                "quantile: it needs a number or a bool and which quantile, such as 0.95",
		"quantile(seconds, completed)":     "quantile: completed is no quantile; it must be a number from 0 to 1, written out",
		"quantile(category, 0.5)":          "quantile: it takes a number or a bool, not string",
		"quantile(seconds, 0.5, true, 1)":  "quantile: 4 arguments are too many",
		"decay(seconds)":                   "decay: it needs a number or a bool and a half-life, such as \"7d\"",
		"decay(seconds, 7)":                "decay: the half-life 7 must be a text, such as \"7d\"",
		"decay(seconds, \"401d\")":         "decay: half-life: duration 401d: expected 1s to 400d",
		"decay(at, \"1d\")":                "decay: it takes a number or a bool, not time",
		"centroid(tags)":                   "centroid: it takes a vector, not list of string",
		"embed(level)":                     "embed: it takes a string, not int",
		"embed()":                          "embed: it needs an argument: a string",
		"last(category, 0)":                "last: the length 0 must be a whole number from 1 to 1000, written out",
		"counts(category) == counts(tags)": "counts: it takes",
		"top(category, 2) + 1":             "+ needs two numbers, not list of string and int",
		"counts(category) + 1":             "+ needs two numbers, not map and int",
		"distinct(count())":                "count looks at all events of a window",
	} {
		_, err := NewView(s, viewSpec(func(v *ViewSpec) {
			v.From, v.Features, v.Embedder = []freshet.EventType{"play"}, []FeatureSpec{{"f", call}}, letters{}
		}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", call, err, want)
		}
	}
}
