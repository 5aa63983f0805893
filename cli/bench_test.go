package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/benchapp"
)

// benchmark runs a short benchmark in a temporary folder and checks that nothing is left there.
func benchmark(t *testing.T, args ...string) (out, errs string) {
	t.Helper()
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	args = append(append([]string{"bench"}, args...), "--dir", dir, "--warmup", "50ms", "--duration", "300ms")
	if code := run(t.Context(), Options{Args: args, Stdout: &stdout, Stderr: &stderr}); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	mustBeEmpty(t, dir)
	return stdout.String(), stderr.String()
}

func TestBenchIngest(t *testing.T) {
	t.Parallel()
	out, errs := benchmark(t, "ingest", "--json", "--batch", "1,20", "--connections", "4")
	if !strings.Contains(errs, "starting the server") {
		t.Errorf("no progress: %q", errs)
	}
	var r benchIngest
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 2 || r.Runs[0].Batch != 1 || r.Runs[1].Batch != 20 || r.Fsync == nil || r.Fsync.Count == 0 ||
		r.Decode.EventsPerSecond <= 0 || r.Conditions.FileSystem == "" || r.Conditions.Seed != 1 {
		t.Fatalf("%s", out)
	}
	for _, x := range r.Runs {
		if x.Errors != 0 || x.Refused != 0 || x.Ack.Count == 0 || x.EventsPerSecond <= 0 || x.EchoRatio <= 0 || x.Echo.Count == 0 ||
			x.CPUMicros <= 0 || x.MemoryBytes <= 0 || !x.Drained || x.CommitsPerSecond <= 0 {
			t.Errorf("%+v", x)
		}
		if jobs := x.Ack.Count * x.Batch / 5; x.Predictions < jobs*8/10 || x.Predictions > jobs*12/10+20 {
			t.Errorf("%d predictions of %d events: expected one in five", x.Predictions, x.Ack.Count*x.Batch)
		}
	}
	mustPrint(t, r.print, "1 event a request", "20 events a request", "acknowledged events/s", "× HTTP echo", "× JSON decoding", "drained after")
}

// mustPrint checks the table of a result of ingest or e2e.
func mustPrint(t *testing.T, print func(*shell) error, wants ...string) {
	t.Helper()
	mustShow(t, print, append(wants, "100,000 users", "fsync of 4 KiB", "server CPU an event", "backlog at the end")...)
}

// mustShow checks the table of any result.
func mustShow(t *testing.T, print func(*shell) error, wants ...string) {
	t.Helper()
	var table bytes.Buffer
	if err := print(&shell{out: &table}); err != nil {
		t.Fatal(err)
	}
	for _, want := range append(wants, "machine ", "fsync on", "seed 1") {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is missing in\n%s", want, table.String())
		}
	}
}

func TestBenchE2E(t *testing.T) {
	t.Parallel()
	out, _ := benchmark(t, "e2e", "--json", "--rate", "200", "--sample", "1", "--connections", "4")
	var r benchE2E
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 1 {
		t.Fatalf("%s", out)
	}
	if x := r.Runs[0]; x.Errors != 0 || x.Unanswered != 0 || x.Ack.Count != 60 || x.Prediction.Count != 12 || x.Predictions != 12 ||
		x.Prediction.P50 <= 0 || x.Echo.Count == 0 {
		t.Errorf("%+v", x)
	}
	mustPrint(t, r.print, "200 events/s", "event → prediction p50 / p99", "12 (100 % of jobs) / 0", "open loop")
}

func TestBenchModels(t *testing.T) {
	t.Parallel()
	out, errs := benchmark(t, "models", "--json", "--rate", "100", "--connections", "2")
	if !strings.Contains(errs, "requests/s") || strings.Contains(errs, "events/s") {
		t.Errorf("progress: %q", errs)
	}
	var r benchModels
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.InProcess) != 2 || r.InProcess[1].Rows != 100 || r.InProcess[0].Micros <= 0 {
		t.Errorf("in process: %+v", r.InProcess)
	}
	for name, x := range map[string]benchModelDoor{"oip": r.OIP, "predict": r.Predict} {
		if x.Errors != 0 || x.Latency.Count == 0 || x.Echo.Count == 0 {
			t.Errorf("%s: %+v", name, x)
		}
	}
	if x := r.Loading; x.Versions < 1 || x.Before.Count == 0 || x.While.Count == 0 || x.After.Count == 0 || x.Ratio <= 0 {
		t.Errorf("loading: %+v", x)
	}
	var table bytes.Buffer
	if err := r.print(&shell{out: &table}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"100 rows", "OIP, 30 numbers", "predict, 100 candidates", "× HTTP echo", "p99 × without loading"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is missing in\n%s", want, table.String())
		}
	}
}

func TestBenchFeatures(t *testing.T) {
	t.Parallel()
	out, errs := benchmark(t, "features", "--json", "--rows", "1,7", "--rate", "200,50", "--connections", "4", "--events", "2000")
	if !strings.Contains(errs, "reading in process") {
		t.Errorf("no progress: %q", errs)
	}
	var r benchFeatures
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 2 || r.Runs[1].Rows != 7 || r.Read <= 0 || r.RowBytes == 0 {
		t.Fatalf("%s", out)
	}
	for i, x := range r.Runs {
		if x.Features != 50 || x.Errors != 0 || x.Latency.Count != []int{60, 15}[i] || x.Echo.Count != x.Latency.Count || x.Most <= 0 || x.EchoMost <= 0 || x.CPUMicros <= 0 {
			t.Errorf("%+v", x)
		}
	}
	mustShow(t, func(sh *shell) error { return r.print(sh, 4) }, "50 features × 1 row", "50 features × 7 rows", "HTTP echo p50 / p99", "in process: 5 windows × 3 measures")
}

func TestBenchReplay(t *testing.T) {
	t.Parallel()
	out, _ := benchmark(t, "replay", "--json", "--events", "2000")
	var r benchReplay
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Events != 2000 || r.Applied != 3400 || r.Seconds <= 0 || r.Idle <= 0 || r.CPU <= 0 { // seven of ten are about a title, too
		t.Errorf("%s", out)
	}
	mustShow(t, r.print, "2,000 / 3,400", "CPU an event", "with nothing to rebuild")
}

func TestBenchBackfill(t *testing.T) {
	t.Parallel()
	out, _ := benchmark(t, "backfill", "--json", "--events", "3000", "--reads", "60", "--rate", "200", "--connections", "4", "--sample", "1", "--window", "100ms")
	var r benchBackfill
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.New.Reads != 60 || r.New.Values != 240 || r.New.Differ+r.Old.Differ != 0 || r.New.First+r.Old.First != "" {
		t.Errorf("reads: %+v, %+v", r.Old, r.New)
	}
	for name, l := range map[string]benchLiveLatency{"before": r.Before, "during": r.During} {
		if l.Ack.Count == 0 || l.Failed != 0 || l.Prediction.Count == 0 || l.Unanswered != 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if r.Events != 3000 || r.Entries < 3000 || r.Live <= 0 || r.EventsPerSecond <= 0 {
		t.Errorf("%s", out)
	}
	mustShow(t, r.print, "deployed → live", "60 / 0", "before", "during", "after")
}

func TestTheBackfillIsComparedWithBruteForce(t *testing.T) {
	t.Parallel()
	b := &bench{events: benchapp.NewEventsOf(1, 7, 20)}
	c, err := newBackfillCheck(b, 20)
	if err != nil {
		t.Fatal(err)
	}
	begin := freshet.Timestamp(1_772_000_000_000)
	c.past, c.events = func(i int) freshet.Timestamp { return begin.Add(time.Duration(i) * time.Minute) }, 1000
	for id, text := range map[freshet.ReleaseID][]byte{"r1": benchapp.Project(), "r2": benchapp.ChangedProject()} {
		if err := c.release(id, text); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := c.projects["r2"].View(benchapp.ChangedView); !ok || bytes.Equal(benchapp.Project(), benchapp.ChangedProject()) {
		t.Fatal("the project has not changed")
	}
	// What r2 would answer, once with and once without an event that is under way.
	user := c.users[3]
	view, _ := c.projects["r2"].View(benchapp.ChangedView)
	past, err := c.history(c.projects["r2"], view)
	if err != nil {
		t.Fatal(err)
	}
	sent := time.UnixMilli(int64(begin)).Add(1000 * time.Minute)
	under := &backfillEvent{n: playOf(c, user), at: freshet.TimestampOf(sent), sent: sent}
	c.live[user] = []*backfillEvent{under}
	answer := func(id freshet.ReleaseID, more ...feature.HistoricEvent) backfillRead {
		r := backfillRead{user: user, begin: sent, end: sent.Add(time.Second), At: under.at.Add(time.Second), Release: id}
		values, err := view.Compute(view.NewScratch(), append(slices.Clone(past[user]), more...), r.At, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Features = map[freshet.FeatureName]json.RawMessage{}
		for i, f := range view.Features() {
			r.Features[f.Name] = values[i].AppendJSON(nil)
		}
		return r
	}
	more, err := c.event(c.projects["r2"], under.n, under.at)
	if err != nil {
		t.Fatal(err)
	}
	c.reads = []backfillRead{answer("r2"), answer("r2", more), answer("r2", more, more), answer("r1")}
	var got, old benchCompared
	if err := errors.Join(c.compare("r2", &got), c.compare("r1", &old)); err != nil {
		t.Fatal(err)
	}
	if got.Reads != 3 || got.Moving != 3 || got.Differ != 1 || got.First == "" || old.Differ != 1 {
		t.Errorf("%+v, %+v", got, old)
	}
	under.acked = sent.Add(-time.Millisecond) // it must be in all of them
	got = benchCompared{}
	if err := c.compare("r2", &got); err != nil || got.Moving != 0 || got.Differ != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// playOf is the number of a play of user, beyond the past.
func playOf(c *backfillCheck, user int) int {
	for i := c.events; ; i++ {
		if c.b.events.NumberOf(i) == user && c.b.events.MakesJob(i) {
			return i
		}
	}
}

func TestBenchMemory(t *testing.T) {
	t.Parallel()
	out, _ := benchmark(t, "memory", "--json", "--users", "1500", "--plays", "3", "--rate", "100", "--memory", "128MB")
	var r benchMemory
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Users != 1500 || r.Idle <= 0 || r.Cold.Count != 30 || r.Errors != 0 || r.FullRowBytes == 0 || r.Restarted <= 0 || r.Disk <= 0 {
		t.Errorf("%s", out)
	}
	mustShow(t, r.print, "1,500 / 3", "cold reads p50 / p99", "--memory 128MB")
}

func TestBenchRefusesWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"ingest", "--batch", "0"}, {"ingest", "--connections", "0"}, {"ingest", "--duration", "0s"}, {"e2e", "--rate", "0"},
		{"e2e", "--sample", "2"}, {"e2e", "--rate", "NaN"}, {"e2e", "--duration", "2h"}, {"ingest", "--server", "ftp://x"},
		{"ingest", "--dir", "/none/such"}, {"e2e", "--server", "http://127.0.0.1:1", "--dir", "/tmp"},
		{"models", "--connections", "0"}, {"models", "--rate", "0"},
		{"features", "--rows", "0,1"}, {"features", "--rows", "1"}, {"features", "--rate", "0,1"}, {"features", "--events", "1"},
		{"backfill", "--events", "1"}, {"backfill", "--reads", "0"}, {"backfill", "--window", "1ms"}, {"backfill", "--server", "http://127.0.0.1:1"},
		{"replay", "--events", "1"}, {"replay", "--server", "http://127.0.0.1:1"}, {"memory", "--users", "1"}, {"memory", "--memory", "much"},
	} {
		var errs bytes.Buffer
		if code := run(t.Context(), Options{Args: append([]string{"bench"}, args...), Stdout: &errs, Stderr: &errs}); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, errs.String())
		}
	}
}

func TestBenchOfAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	code := run(t.Context(), Options{Args: []string{"bench", "ingest", "--server", "http://127.0.0.1:1"}, Stdout: &errs, Stderr: &errs})
	if code != exitUnavailable {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

func TestBenchStopsCleanly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var errs bytes.Buffer
	started := make(chan struct{})
	go func() {
		defer cancel()
		for { // until the server under test has a data folder
			if found, _ := filepath.Glob(filepath.Join(dir, "*", "data")); len(found) > 0 {
				return
			}
			select {
			case <-started:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	code := run(ctx, Options{Args: []string{"bench", "ingest", "--dir", dir, "--duration", "1h"}, Stdout: &errs, Stderr: &errs})
	close(started)
	if code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	mustBeEmpty(t, dir)
}

func TestBenchCountsOnlyPredictionsOfTheEventOrNewer(t *testing.T) {
	t.Parallel()
	events := benchapp.NewEvents(1, 7)
	w := &benchWatching{b: &bench{events: events}}
	partition := freshet.PartitionOf(freshet.Key(events.User(3)))
	var position freshet.Position
	position.Cover(freshet.Place{Partition: partition, Offset: 10})
	x := benchWatch{event: 3, position: position.String()}
	for _, c := range []struct {
		id     freshet.EventID
		offset freshet.Place
		stale  bool
		want   bool
	}{
		{id: events.ID(3), offset: freshet.Place{Partition: partition, Offset: 9}, want: true},
		{id: events.ID(3), offset: freshet.Place{Partition: partition, Offset: 9}, stale: true},
		{id: "newer", offset: freshet.Place{Partition: partition, Offset: 11}, want: true},
		{id: "older", offset: freshet.Place{Partition: partition, Offset: 8}},
		{id: "other", offset: freshet.Place{Partition: partition + 1, Offset: 99}},
	} {
		body, err := json.Marshal(map[string]any{"event_id": c.id, "offset": c.offset, "stale": c.stale})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.caused(x, body); got != c.want {
			t.Errorf("%s: %v", body, got)
		}
	}
	if w.caused(x, []byte("{")) {
		t.Error("what is no JSON is no prediction")
	}
}

func TestChosenIsAShare(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0.05, 0.1, 0.5, 1} {
		n := 0
		for i := range 10_000 {
			if chosen(i, share) {
				n++
			}
		}
		if want := share * 10_000; float64(n) < want-20 || float64(n) > want+20 {
			t.Errorf("share %v: %d of 10,000", share, n)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	m, err := parseMetrics(strings.NewReader("# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.5\nb 1e3\nnonsense\nc NaNs\n\n"))
	if err != nil || m["a_total"] != 5.5 || m[`a_total{x="2"}`] != 3.5 || m["b"] != 1000 || len(m) != 4 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestFileSystemIsKnown(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/mounts"); err != nil {
		t.Skip("the system has no /proc/mounts")
	}
	if got := fileSystemOf("/proc/self"); got != "proc" {
		t.Errorf("/proc/self is on %s", got)
	}
}

func TestBenchSoak(t *testing.T) {
	t.Parallel()
	out, _ := benchmark(t, "soak", "--json", "--pulls", "200", "--events", "100", "--connections", "4")
	var r benchSoak
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.PullErrors+r.EventErrors+r.Refused != 0 || r.Pulls.Count < 50 || r.Acks.Count < 20 || r.Users < 1000 || len(r.Memory) == 0 || r.MemoryPeak < 1e6 ||
		len(r.Live) != len(r.Memory) || r.Hot < 1e6 || r.Echo.Count < 50 || r.ServerCores <= 0 {
		t.Errorf("%s", out)
	}
	for d, want := range map[time.Duration]int{time.Second: 20_000, 100 * time.Second: 40_000, time.Hour: 200_000} {
		if n := soakEvents(d); n != want {
			t.Errorf("%d events before %s, expected %d", n, d, want)
		}
	}
	if g := growth([]float64{9, 1, 1, 5}, 4*time.Minute); g != 2 {
		t.Errorf("growth is %v", g)
	}
}
