package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestCasesOverHTTP: P2 and P7. Each case is sent to a server of its own as an app would send it, and read as an app would
// read it.
func TestCasesOverHTTP(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(sharedtest.Path(t, "cases/features"), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	ran := 0
	var skipped []string
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
		if reason := c.cannotRun(t); reason != "" {
			skipped = append(skipped, c.Name+" ("+reason+")")
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
	t.Logf("%d cases run, %d skipped: %s", ran, len(skipped), strings.Join(skipped, ", "))
}

// cannotRun says why a case is not for this test; "" if it is.
func (c *sharedCase) cannotRun(t *testing.T) string {
	t.Helper()
	if c.Needs != "" {
		return "a test of the package sets its " + c.Needs
	}
	_, err := project.Parse(c.Name, c.Project)
	if err == nil {
		return ""
	}
	problems, ok := errors.AsType[project.Errors](err)
	if !ok {
		t.Fatalf("%s: %v", c.Name, err)
	}
	for _, p := range problems {
		if !strings.Contains(p.Message, "not available yet") {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
	return "needs an aggregate that is not available yet"
}

func (c *sharedCase) run(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, project.FileName), c.Project, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), Options{
		Project: dir, Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", fs: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Date(9990, 1, 1, 0, 0, 0, 0, time.UTC) }, // later than every event
	})
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, s)
	defer r.stop()
	position := c.send(t, r.c)
	for i := range c.Reads {
		c.read(t, r.c, i, position)
	}
}

// send sends the events in the order of their arrival and expects the answers that the case tells.
func (c *sharedCase) send(t *testing.T, to *client.Client) (position string) {
	t.Helper()
	if len(c.Events) == 0 {
		return ""
	}
	var body bytes.Buffer
	for _, e := range c.Events {
		if err := json.Compact(&body, e); err != nil {
			t.Fatal(err)
		}
		body.WriteByte('\n')
	}
	result, err := to.SendEvents(t.Context(), client.NDJSON, body.Bytes())
	if err != nil && len(c.Rejected) < len(c.Events) {
		t.Fatal(err)
	}
	var rejected []int
	for _, r := range result.Rejected {
		rejected = append(rejected, r.Index)
	}
	if result.Duplicates != len(c.Duplicates) || !slices.Equal(rejected, c.Rejected) || result.Accepted+result.Duplicates+len(rejected) != len(c.Events) {
		t.Errorf("of %d events %d were accepted, %d duplicates and %v rejected; expected duplicates %v, rejected %v",
			len(c.Events), result.Accepted, result.Duplicates, rejected, c.Duplicates, c.Rejected)
	}
	return result.Position
}

func (c *sharedCase) read(t *testing.T, from *client.Client, i int, position string) {
	t.Helper()
	read := &c.Reads[i]
	entity := map[string]string{}
	for field, v := range read.Entity {
		if n, ok := v.(float64); ok {
			v = int64(n)
		}
		entity[field] = fmt.Sprint(v)
	}
	got, err := from.GetFeatures(t.Context(), read.View, entity, &client.FeatureOptions{At: read.At.Time(), AsOf: read.AsOf, After: position, Wait: 30 * time.Second})
	if err != nil || got.Stale {
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
