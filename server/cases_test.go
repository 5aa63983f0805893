package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/sharedtest"
)

// sharedCase is one of the worked examples of the feature contract that lie beside the repository.
type sharedCase struct {
	Name       string
	OrderFree  bool `json:"order_free"`
	Needs      string
	Project    json.RawMessage
	Events     []json.RawMessage
	Duplicates []int
	Rejected   []int
	Reads      []sharedRead
}

type sharedRead struct {
	View   freshet.ViewName
	Entity map[string]any
	At     freshet.Timestamp
	AsOf   client.AsOf `json:"as_of"`
	Expect map[freshet.FeatureName]any
	Exact  []freshet.FeatureName
	Approx map[freshet.FeatureName]float64 // relative difference instead of 1e-9
	Within map[freshet.FeatureName]float64 // absolute difference that is good, too
	Sample map[freshet.FeatureName]int     // size of a map of which each entry stands in Expect
}

// conditions are what must make no difference to a value.
type conditions struct {
	name     string
	shuffled bool // events come in another order, where the case allows it
	restart  bool // the server is stopped in the middle, and another goes on from its data folder
	evicted  bool // each event is a batch and a checkpoint of its own, after which no row is left in memory
}

// allConditions are together what can happen to an event; the last is the one for a slow machine.
var allConditions = []conditions{
	{name: "as they come"},
	{name: "shuffled, with a restart", shuffled: true, restart: true},
	{name: "evicted, with a restart", evicted: true, restart: true},
}

// TestCasesOverHTTP: P2 and P7. Each case is sent to a server of its own as an app would send it, and read as an app would
// read it, under all conditions.
func TestCasesOverHTTP(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(sharedtest.Path(t, "cases/features"), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	all := allConditions
	if raceDetector {
		all = all[len(all)-1:]
	}
	for _, file := range files {
		if filepath.Base(file) == "errors.json" {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c sharedCase
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, under := range all {
			if under.shuffled && !c.OrderFree {
				under.shuffled = false
			}
			t.Run(c.Name+"/"+under.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, under)
			})
		}
	}
}

// afterAll is a moment later than every event.
var afterAll = time.Date(9990, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// caseServer is the server of a case, which may be stopped and started again.
type caseServer struct {
	o     Options
	clock atomic.Int64 // epoch milliseconds
	*running
}

func (c *sharedCase) run(t *testing.T, under conditions) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, project.FileName), c.Project, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &caseServer{}
	s.clock.Store(afterAll)
	s.o = Options{
		Project: dir, Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Memory: MinMemory, fs: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.UnixMilli(s.clock.Load()) },
	}
	if under.evicted {
		s.o.hotBytes, s.o.receiver.CheckpointRows, s.o.receiver.BatchEvents = 1, 1, 1
	}
	s.start(t)
	events := c.inOrder(under.shuffled)
	duplicates := 0
	if under.restart {
		half := len(events) / 2
		duplicates += c.send(t, s, events[:half])
		s.stop()
		s.start(t)
		events = events[half:]
	}
	if duplicates += c.send(t, s, events); duplicates != len(c.Duplicates) {
		t.Errorf("%d duplicates, expected %d", duplicates, len(c.Duplicates))
	}
	s.clock.Store(afterAll)
	for p := range freshet.Partition(freshet.Partitions) {
		if err := s.features.Wait(t.Context(), p, s.log.Head(p)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.Reads {
		c.read(t, s.c, i)
	}
	s.stop()
	if rows, _ := s.hot.HotRows(); under.evicted && rows > 0 {
		t.Errorf("%d rows were in memory", rows)
	}
}

func (s *caseServer) start(t *testing.T) {
	t.Helper()
	opened, err := New(t.Context(), s.o)
	if err != nil {
		t.Fatal(err)
	}
	s.running = run(t, opened)
}

// inOrder gives the numbers of the events in the order in which they are sent.
func (c *sharedCase) inOrder(shuffled bool) []int {
	if !shuffled {
		order := make([]int, len(c.Events))
		for i := range order {
			order[i] = i
		}
		return order
	}
	return rand.New(rand.NewPCG(uint64(len(c.Events)), 0)).Perm(len(c.Events))
}

// send sends some of the events, by their numbers, expects the answers that the case tells, and returns how many were
// duplicates.
func (c *sharedCase) send(t *testing.T, to *caseServer, events []int) (duplicates int) {
	t.Helper()
	if c.Needs != "ingest_time" {
		return c.request(t, to.c, events)
	}
	for at, i := range events {
		var arrival struct {
			IngestTime freshet.Timestamp `json:"ingest_time"`
		}
		if err := json.Unmarshal(c.Events[i], &arrival); err != nil {
			t.Fatal(err)
		}
		to.clock.Store(int64(arrival.IngestTime))
		duplicates += c.request(t, to.c, events[at:at+1])
	}
	return duplicates
}

// request sends some of the events in one request.
func (c *sharedCase) request(t *testing.T, to *client.Client, events []int) (duplicates int) {
	t.Helper()
	if len(events) == 0 {
		return 0
	}
	var body bytes.Buffer
	var expected []int
	for at, i := range events {
		if err := json.Compact(&body, c.Events[i]); err != nil {
			t.Fatal(err)
		}
		body.WriteByte('\n')
		if slices.Contains(c.Rejected, i) {
			expected = append(expected, at)
		}
	}
	result, err := to.SendEvents(t.Context(), client.NDJSON, body.Bytes())
	if err != nil && len(expected) < len(events) {
		t.Fatal(err)
	}
	var rejected []int
	for _, r := range result.Rejected {
		rejected = append(rejected, r.Index)
	}
	if !slices.Equal(rejected, expected) || result.Accepted+result.Duplicates+len(rejected) != len(events) {
		t.Errorf("of %d events %d were accepted, %d duplicates and %v rejected; expected rejected %v",
			len(events), result.Accepted, result.Duplicates, rejected, expected)
	}
	return result.Duplicates
}

func (c *sharedCase) read(t *testing.T, from *client.Client, i int) {
	t.Helper()
	read := &c.Reads[i]
	entity := map[string]string{}
	for field, v := range read.Entity {
		if n, ok := v.(float64); ok {
			v = int64(n)
		}
		entity[field] = fmt.Sprint(v)
	}
	got, err := from.GetFeatures(t.Context(), read.View, entity, &client.FeatureOptions{At: read.At.Time(), AsOf: read.AsOf})
	if err != nil {
		t.Fatalf("read %d: %+v, %v", i, got, err)
	}
	for name, want := range read.Expect {
		value, there := got.Features[string(name)]
		if !there || !read.matches(name, value, want) {
			t.Errorf("read %d: %s.%s of %v at %s is %v, expected %v", i, read.View, name, entity, read.At, value, want)
		}
	}
}

func (read *sharedRead) matches(name freshet.FeatureName, got, want any) bool {
	tolerance := 1e-9
	if a, ok := read.Approx[name]; ok {
		tolerance = a
	}
	if slices.Contains(read.Exact, name) {
		tolerance = 0
	}
	if size, ok := read.Sample[name]; ok {
		shown, isMap := got.(map[string]any)
		all, _ := want.(map[string]any)
		for value, n := range shown {
			if n != all[value] {
				return false
			}
		}
		return isMap && len(shown) == size
	}
	return sameJSON(got, want, tolerance, read.Within[name])
}

// sameJSON compares values as the README of the cases says.
func sameJSON(got, want any, tolerance, within float64) bool {
	switch want := want.(type) {
	case float64:
		g, ok := got.(float64)
		d := math.Abs(g - want)
		return ok && (d <= tolerance*math.Abs(want) || d <= within)
	case string:
		g, ok := got.(string)
		a, errA := freshet.ParseTimestamp(g)
		b, errB := freshet.ParseTimestamp(want)
		return ok && (g == want || errA == nil && errB == nil && a == b)
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(g, want, func(a, b any) bool { return sameJSON(a, b, tolerance, within) })
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(want) {
			return false
		}
		for key, w := range want {
			if v, there := g[key]; !there || !sameJSON(v, w, tolerance, within) {
				return false
			}
		}
		return true
	}
	return got == want
}
