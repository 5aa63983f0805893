package calm_test

import (
	"compress/gzip"
	"encoding/csv"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// reference is one line of testdata/features.csv.gz: what a plain Python program computed from the definitions for the
// moment before an impression.
type reference struct {
	user, content freshet.Key
	at            freshet.Timestamp // one millisecond before the impression
	features      map[string]float64
}

func readReference(t *testing.T) []reference {
	t.Helper()
	f, err := os.Open("testdata/features.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(unzipped).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	const firstFeature = 5 // after event_id, user_id, content_id, as_of and completed
	var refs []reference
	for _, row := range rows[1:] {
		asOf, err := freshet.ParseTimestamp(row[3])
		if err != nil {
			t.Fatal(err)
		}
		ref := reference{user: freshet.Key(row[1]), content: freshet.Key(row[2]), at: asOf - 1, features: map[string]float64{}}
		for i, name := range rows[0][firstFeature:] {
			x := math.NaN()
			if text := row[firstFeature+i]; text != "" {
				if x, err = strconv.ParseFloat(text, 64); err != nil {
					t.Fatal(err)
				}
			}
			ref.features[name] = x
		}
		refs = append(refs, ref)
	}
	return refs
}

// TestFeaturesEqualTheReference: P2, pure features. Events come as they came to the app's server, late and twice.
func TestFeaturesEqualTheReference(t *testing.T) {
	t.Parallel()
	rel, today := openApp(t)
	read := computed(t, readHistories(t, rel.Project().Schema, readLines(t)))
	refs := readReference(t)
	for _, ref := range refs {
		inputs := newFrame(rel, today, read, ref.user, ref.at).inputs(t, ref.content)
		if len(inputs) != len(ref.features) {
			t.Fatalf("%d inputs, the reference has %d features", len(inputs), len(ref.features))
		}
		for i, in := range today.Plan.Inputs {
			if want := ref.features[in.Column]; !sameNumber(inputs[i], want, 1e-9) {
				t.Errorf("%s of %s and %s at %s is %v, the reference says %v", in.Column, ref.user, ref.content, ref.at, inputs[i], want)
			}
		}
	}
	t.Logf("%d moments with %d inputs each", len(refs), len(today.Plan.Inputs))
}

// TestRowsEqualTheEvents: P2, the same bit for bit from stored rows, in another order of arrival.
func TestRowsEqualTheEvents(t *testing.T) {
	t.Parallel()
	rel, _ := openApp(t)
	lines := readLines(t)
	read := computed(t, readHistories(t, rel.Project().Schema, lines))
	rows := newRows(rel)
	happened := byEventTime(once(lines))
	refs := readReference(t)
	slices.SortFunc(refs, func(a, b reference) int { return int(a.at - b.at) })
	for _, ref := range refs {
		for len(happened) > 0 && happened[0].eventTime <= ref.at {
			rows.apply(t, happened[0])
			happened = happened[1:]
		}
		for _, v := range rel.Project().Views {
			e := freshet.Entity{Kind: "user", Key: ref.user}
			if v.Entity() == "content" {
				e = freshet.Entity{Kind: "content", Key: ref.content}
			}
			got, want := rows.read(t, v, e, ref.at), read(v, e, ref.at)
			for i, f := range v.Features() {
				if !sameValue(got[i], want[i]) {
					t.Errorf("%s.%s of %s at %s is %+v from the row, %+v from the events", v.Name(), f.Name, e, ref.at, got[i], want[i])
				}
			}
		}
	}
}

// rows are the stored rows of all views.
type rows struct {
	rel       *release.Opened
	data      map[freshet.ViewID]map[freshet.Key][]byte
	scratches map[freshet.ViewID]*feature.Scratch
	record    *feature.Record
	newest    [freshet.Partitions]freshet.Timestamp
}

func newRows(rel *release.Opened) *rows {
	r := &rows{rel: rel, data: map[freshet.ViewID]map[freshet.Key][]byte{}, scratches: map[freshet.ViewID]*feature.Scratch{}, record: rel.Project().Schema.NewRecord()}
	for _, v := range rel.Project().Views {
		r.data[v.ID()], r.scratches[v.ID()] = map[freshet.Key][]byte{}, v.NewScratch()
	}
	return r
}

// apply brings all rows that an event is about up to date.
func (r *rows) apply(t *testing.T, l line) {
	t.Helper()
	if err := r.rel.Project().Schema.Decode(l.text, l.eventTime, r.record); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []freshet.EntityKind{"user", "content"} {
		key, ok := r.record.Key(kind)
		if !ok {
			continue
		}
		newest := &r.newest[freshet.PartitionOf(key)]
		for _, v := range r.rel.Route(l.kind, kind).Views {
			next, outcome, err := v.Apply(r.scratches[v.ID()], r.data[v.ID()][key], r.record, *newest)
			if err != nil || outcome != feature.Applied {
				t.Fatalf("view %s, event %s: %v, %v", v.Name(), l.text, outcome, err)
			}
			r.data[v.ID()][key] = next
		}
		*newest = max(*newest, r.record.EventTime)
	}
}

func (r *rows) read(t *testing.T, v *feature.View, e freshet.Entity, at freshet.Timestamp) []expression.Value {
	t.Helper()
	out, err := v.Read(r.scratches[v.ID()], r.data[v.ID()][e.Key], at, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
