package trainingset

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/parquetfile/parquetfiletest"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
)

const testProject = `
project: test
lateness: 5m
entities: { user: { key: user_id }, content: { key: content_id } }
events:
  play: { keys: [user_id, content_id], fields: { seconds: float, category: string, at: time } }
  search: { keys: [user_id], fields: { query: string } }
views:
  recent: { entity: user, from: [play, search], window: [sliding 10m, sliding 1h], features: { n: count(), s: sum(seconds), m: max(seconds) } }
  day: { entity: user, from: play, window: tumbling 1h, features: { n_day: count(), cats: "counts(category)", best: "top(category, 2)" } }
  life: { entity: user, from: play, window: lifetime, features: { n_life: count(), fade: 'decay(seconds, "1h")', newest: max(at), any: count() > 3 } }
  lasts: { entity: user, from: play, window: last 3, where: seconds > 10, features: { l: "last(category, 3)", f: first(category) } }
  sitting: { entity: user, from: play, window: session 5m, features: { n_sit: count(), s_sit: sum(seconds), since: since_last() } }
  popular: { entity: content, from: play, window: sliding 1h, features: { plays: count() } }
tables:
  catalog: { entity: content, file: catalog.csv, columns: { minutes: float, title: string } }
`

const noon freshet.Timestamp = 1_741_003_200_000

// rig is a log of random events, and what must come out of it by Compute alone.
type rig struct {
	t      *testing.T
	rng    *rand.Rand
	rel    *release.Opened
	log    *eventlog.Log
	dir    string
	events map[freshet.Entity][]feature.HistoricEvent
}

func newRig(t *testing.T, events int) *rig {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := &rig{t: t, rng: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(), log: eventlog.New(memlog.New(nil)), events: map[freshet.Entity][]feature.HistoricEvent{}}
	r.file("freshet.yaml", testProject)
	r.file("catalog.csv", "content_id,minutes,title\nc0,5,Rain\nc1,12.5,\"Sea, calm\"\n")
	p, err := project.Load(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if r.rel, err = release.Open(p, nil); err != nil {
		t.Fatal(err)
	}
	r.fill(events)
	return r
}

func (r *rig) file(name, text string) string {
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// fill appends events that come late, at the same times, and from senders that overtake each other.
func (r *rig) fill(n int) {
	r.t.Helper()
	clock := noon
	for i := range n {
		clock += freshet.Timestamp(r.rng.Int64N(60_000)) / 1000 * 1000
		ingest := clock
		if r.rng.IntN(10) == 0 {
			ingest -= freshet.Timestamp(r.rng.Int64N(20_000))
		}
		at := ingest
		switch r.rng.IntN(5) {
		case 0:
			at -= freshet.Timestamp(r.rng.Int64N(30 * 60_000))
		case 1:
			at -= freshet.Timestamp(r.rng.Int64N(60)) * 1000
		}
		user, content := fmt.Sprint("u", r.rng.IntN(6)), fmt.Sprint("c", r.rng.IntN(3))
		e := eventlog.Entry{
			Event:    freshet.Event{ID: freshet.EventID(fmt.Sprint("e", i)), Type: "play", EventTime: at, IngestTime: ingest},
			Entities: []freshet.Entity{{Kind: "user", Key: freshet.Key(user)}, {Kind: "content", Key: freshet.Key(content)}},
		}
		e.Event.Payload = fmt.Appendf(nil, `{"type":"play","user_id":%q,"content_id":%q,"seconds":%v,"category":%q,"at":%q}`, user, content,
			float64(r.rng.IntN(1000))/8, []string{"Sleep", "Focus", "Move"}[r.rng.IntN(3)], at)
		if r.rng.IntN(6) == 0 {
			e.Event.Type, e.Entities = "search", e.Entities[:1]
			e.Event.Payload = fmt.Appendf(nil, `{"type":"search","user_id":%q,"query":"rain"}`, user)
		}
		if _, err := r.log.Append(r.t.Context(), []eventlog.Entry{e}); err != nil {
			r.t.Fatal(err)
		}
	}
	for p := range freshet.Partition(freshet.Partitions) {
		for record, err := range r.log.Scan(r.t.Context(), p, eventlog.Scan{}) {
			if err != nil {
				r.t.Fatal(err)
			}
			decoded := r.rel.Project().Schema.NewRecord()
			if err := r.rel.Project().Schema.DecodeEvent(&record.Event, decoded); err != nil {
				r.t.Fatal(err)
			}
			r.events[record.Entity] = append(r.events[record.Entity], feature.HistoricEvent{Record: decoded, MaxEventTime: record.MaxEventTime})
		}
	}
}

// compute gives the values of a view from all events of an entity, the plain way.
func (r *rig) compute(view freshet.ViewName, key freshet.Key, at freshet.Timestamp, known bool) []expression.Value {
	r.t.Helper()
	v, _ := r.rel.View(view)
	got, err := v.Compute(v.NewScratch(), r.events[freshet.Entity{Kind: v.Entity(), Key: key}], at, known, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

var allFeatures = []string{"recent", "day", "life", "lasts", "sitting", "popular", "catalog.title"}

type sample struct {
	user, content string
	at            freshet.Timestamp
}

// samples are rows of random keys and moments, also of keys without events.
func (r *rig) samples(n int) []sample {
	samples := make([]sample, n)
	for i := range samples {
		samples[i] = sample{fmt.Sprint("u", r.rng.IntN(7)), fmt.Sprint("c", r.rng.IntN(4)), noon + freshet.Timestamp(r.rng.Int64N(14*60*60))*1000 - 60*60*1000}
		if all := r.events[freshet.Entity{Kind: "user", Key: freshet.Key(samples[i].user)}]; len(all) > 0 && r.rng.IntN(3) == 0 { // at an event's own time
			e := all[r.rng.IntN(len(all))].Record
			samples[i].at = []freshet.Timestamp{e.EventTime, e.IngestTime, e.EventTime - 1}[r.rng.IntN(3)]
		}
	}
	return samples
}

func (r *rig) entities(samples []sample) string {
	text := "user_id,content_id,event_time,label\n"
	for i, s := range samples {
		text += fmt.Sprintf("%s,%s,%s,%d\n", s.user, s.content, s.at, i%2)
	}
	return r.file("entities.csv", text)
}

func (r *rig) write(o Options) Summary {
	r.t.Helper()
	s, err := Write(r.t.Context(), r.log, r.rel, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestAgreesWithCompute holds the values, made by bringing rows forwards, against Compute over all events of a key, bit for
// bit: as they happened and as they were known, with room for all events and with next to none.
func TestAgreesWithCompute(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		for _, maxBytes := range []int{0, 2000} {
			t.Run(fmt.Sprintf("known %t, %d bytes", known, maxBytes), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 1200)
				samples := r.samples(400)
				out := filepath.Join(r.dir, "train.csv")
				r.write(Options{Entities: r.entities(samples), Features: allFeatures, Output: out, Known: known, MaxBytes: maxBytes, Workers: 2})
				rows := readCSV(t, out)
				if len(rows) != len(samples)+1 {
					t.Fatalf("%d rows, expected %d", len(rows)-1, len(samples))
				}
				for i, s := range samples {
					var want []string
					for _, view := range allFeatures[:6] {
						v, _ := r.rel.View(freshet.ViewName(view))
						key := s.user
						if v.Entity() == "content" {
							key = s.content
						}
						for _, x := range r.compute(v.Name(), freshet.Key(key), s.at, known) {
							want = append(want, new(csvOutput).field(&x))
						}
					}
					want = append(want, map[string]string{"c0": "Rain", "c1": "Sea, calm"}[s.content])
					if got := rows[i+1][4:]; !slices.Equal(got, want) {
						t.Fatalf("row %d, %+v:\n%q\n%q\nexpected\n%q", i+1, s, rows[0][4:], got, want)
					}
				}
			})
		}
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	entities := r.entities(r.samples(3))
	out := filepath.Join(r.dir, "train.csv")
	s := r.write(Options{Entities: entities, Features: []string{"life.fade", "catalog", "recent.n_1h"}, Output: out, FullNames: true})
	want := []string{"user_id", "content_id", "event_time", "label", "life__fade", "catalog__minutes", "catalog__title", "recent__n_1h"}
	if !slices.Equal(s.Columns, want) || !slices.Equal(readCSV(t, out)[0], want) || s.Rows != 3 {
		t.Errorf("%+v, expected columns %q", s, want)
	}
	left, err := filepath.Glob(filepath.Join(r.dir, ".freshet-export-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	good := r.entities(r.samples(3))
	for _, tt := range []struct {
		name string
		o    Options
		code freshet.Code
		want string
	}{
		{"no features", Options{}, freshet.InvalidArgument, "name some"},
		{"unknown view", Options{Features: []string{"rescent.n"}}, freshet.NotFound, "did you mean recent"},
		{"unknown feature", Options{Features: []string{"life.fad"}}, freshet.NotFound, "did you mean fade"},
		{"unknown column", Options{Features: []string{"catalog.minute"}}, freshet.NotFound, "did you mean minutes"},
		{"name twice", Options{Features: []string{"life", "life.fade"}}, freshet.InvalidArgument, "--full-names"},
		{"time column", Options{Features: []string{"life"}, TimeColumn: "ts"}, freshet.InvalidArgument, `no column "ts"`},
		{"no key", Options{Entities: r.file("nokey.csv", "user_id,event_time\nu1,5\n"), Features: []string{"popular"}}, freshet.InvalidArgument, `no column "content_id"`},
		{"bad rows", Options{Entities: r.file("bad.csv", "user_id,event_time\nu1,5\n,5\nu1,yesterday\nu1,\n"), Features: []string{"life"}}, freshet.InvalidArgument,
			"line 3: column user_id: key \"\": expected 1 to 256 bytes of UTF-8\n  line 4: column event_time: \"yesterday\": expected a time"},
		{"short row", Options{Entities: r.file("short.csv", "user_id,event_time\nu1\n"), Features: []string{"life"}}, freshet.InvalidArgument, "line 2"},
		{"empty file", Options{Entities: r.file("empty.csv", ""), Features: []string{"life"}}, freshet.InvalidArgument, "header line"},
		{"no file", Options{Entities: "none.csv", Features: []string{"life"}}, freshet.NotFound, "none.csv"},
		{"no parquet", Options{Entities: r.file("no.parquet", "PAR1 not"), Features: []string{"life"}}, freshet.InvalidArgument, "no.parquet"},
		{"input format", Options{Entities: "x.json", Features: []string{"life"}}, freshet.Unsupported, "expected a .csv or .parquet"},
		{"output format", Options{Features: []string{"life"}, Output: "x.json"}, freshet.Unsupported, "expected a .csv or .parquet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Entities == "" {
				tt.o.Entities = good
			}
			if tt.o.Output == "" {
				tt.o.Output = filepath.Join(r.dir, "never.csv")
			}
			_, err := Write(t.Context(), r.log, r.rel, tt.o)
			if err == nil || freshet.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v of code %q, expected %q with %q", err, freshet.CodeOf(err), tt.code, tt.want)
			}
			if _, err := os.Stat(tt.o.Output); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// fromPython is Python that reads a training set as a data scientist would.
const fromPython = `
import sys
import pyarrow as pa, pyarrow.parquet as pq
t = pq.read_table(sys.argv[1])
kinds = {f.name: f.type for f in t.schema}
assert kinds["label"] == pa.int64() and kinds["user_id"] == pa.string(), kinds
assert kinds["n_life"] == pa.int64() and kinds["fade"] == pa.float64() and kinds["any"] == pa.bool_(), kinds
assert kinds["newest"] == pa.timestamp("ms", tz="UTC"), kinds
assert pa.types.is_list(kinds["l"]) and kinds["l"].value_type == pa.string(), kinds
assert t.num_rows == 200
for got, want in zip(t.to_pylist(), pa.csv.read_csv(sys.argv[2]).to_pylist()):
    assert got["n_life"] == want["n_life"] and got["fade"] == want["fade"] and got["label"] == want["label"], (got, want)
`

// TestParquet writes the same rows as Parquet and as CSV, reads the first, and from it makes the second again.
func TestParquet(t *testing.T) {
	t.Parallel()
	r := newRig(t, 600)
	entities := r.entities(r.samples(200))
	first, second := filepath.Join(r.dir, "train.parquet"), filepath.Join(r.dir, "again.csv")
	plain := filepath.Join(r.dir, "train.csv")
	o := Options{Entities: entities, Features: allFeatures, Output: plain}
	r.write(o)
	o.Output = first
	r.write(o)

	f, err := os.Open(first)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range p.Root().Columns() {
		names = append(names, c.Name())
	}
	want := readCSV(t, plain)
	if !slices.Equal(names, want[0]) || p.NumRows() != 200 {
		t.Fatalf("columns %q of %d rows, expected %q of 200", names, p.NumRows(), want[0])
	}

	// Its flat columns are rows of entities again.
	o = Options{Entities: flat(t, r.dir, first), Features: allFeatures, Output: second}
	r.write(o)
	for i, row := range readCSV(t, second) {
		if i > 0 && !slices.Equal(row[3:], want[i][4:]) {
			t.Fatalf("row %d is %q, expected %q", i, row[3:], want[i][4:])
		}
	}
	if python := os.Getenv("FRESHET_PYTHON"); python != "" {
		if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyarrow.csv\n"+fromPython, first, plain).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// flat copies keys and times of a training set, the times as nanoseconds, as pandas writes them.
func flat(t *testing.T, dir, from string) string {
	t.Helper()
	type row struct {
		User    string    `parquet:"user_id"`
		Content *string   `parquet:"content_id,optional"`
		Time    time.Time `parquet:"event_time,timestamp(nanosecond)"`
	}
	type in struct {
		User    string `parquet:"user_id,optional"`
		Content string `parquet:"content_id,optional"`
		Time    string `parquet:"event_time,optional"`
	}
	rows, err := parquet.ReadFile[in](from)
	if err != nil {
		t.Fatal(err)
	}
	var out []row
	for _, r := range rows {
		at, err := freshet.ParseTimestamp(r.Time)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row{r.User, &r.Content, at.Time()})
	}
	path := filepath.Join(dir, "flat.parquet")
	if err := parquet.WriteFile(path, out); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestParquetLie: entities in a file that says to have more values than it has cost no more than it has. Not parallel: it counts
// allocations.
func TestParquetLie(t *testing.T) {
	type row struct {
		User string `parquet:"user_id"`
	}
	var b bytes.Buffer
	if err := parquet.Write(&b, []row{{"u1"}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lie.parquet")
	if err := os.WriteFile(path, parquetfiletest.Lie(t, b.Bytes()), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openParquet(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	took := parquetfiletest.Allocated(func() { _, err = s.Next() })
	if freshet.CodeOf(err) != freshet.InvalidArgument || !strings.Contains(err.Error(), `column "user_id"`) || took > 32<<20 {
		t.Errorf("%v, and %d MiB: expected that column user_id is broken, and no memory", err, took>>20)
	}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c    cell
		want freshet.Timestamp
		ok   bool
	}{
		{cell{text: "2025-03-03T12:00:00Z"}, noon, true},
		{cell{text: "2025-03-03 13:00:00.000999+01:00"}, noon, true},
		{cell{text: "2025-03-03 12:00:00"}, noon, true},
		{cell{text: "1741003200000"}, noon, true},
		{cell{text: "2025-03-03"}, noon - 12*60*60*1000, true},
		{cell{kind: intCell, whole: int64(noon)}, noon, true},
		{cell{kind: timeCell, whole: int64(noon)*1000 + 999}, noon, true},
		{cell{kind: dateCell, whole: 20150}, noon - 12*60*60*1000, true},
		{cell{kind: timeCell, whole: -1}, 0, false},
		{cell{kind: floatCell}, 0, false},
		{cell{null: true}, 0, false},
		{cell{text: "noon"}, 0, false},
	} {
		got, err := tt.c.moment()
		if got != tt.want && tt.ok || (err == nil) != tt.ok {
			t.Errorf("%+v: %s, %v", tt.c, got, err)
		}
	}
}

func TestGuess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		texts []string
		want  cellKind
	}{
		{nil, textCell}, {[]string{""}, textCell}, {[]string{"1", "", "-5"}, intCell}, {[]string{"1", "2.5", "1e3"}, floatCell},
		{[]string{"true", "False"}, boolCell}, {[]string{"007"}, textCell}, {[]string{"1", "x"}, textCell}, {[]string{"nan"}, textCell},
		{[]string{"9223372036854775808"}, floatCell}, {[]string{"0", "0.5"}, floatCell},
	} {
		var g guess
		for _, s := range tt.texts {
			g.see(s)
		}
		if g.kind() != tt.want {
			t.Errorf("%q: kind %d, expected %d", tt.texts, g.kind(), tt.want)
		}
	}
}
