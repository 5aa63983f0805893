package ondemand_test

import (
	"context"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/ondemand"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
)

// counting is a runtime of files that hold one word; it counts what is open.
type counting struct {
	opened, closed atomic.Int64
	gate           chan struct{} // an opening waits for it, if there is one
}

func (c *counting) Name() string                { return "counting" }
func (c *counting) Recognizes(head []byte) bool { return true }

func (c *counting) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	text, err := fs.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	if c.gate != nil {
		<-c.gate
	}
	c.opened.Add(1)
	return &model{runtime: c, answer: float64(len(text))}, nil
}

type model struct {
	runtime *counting
	answer  float64
	closed  atomic.Bool
}

func (m *model) Signature() modelruntime.Signature {
	return modelruntime.Signature{Inputs: []modelruntime.Column{{Name: "a"}}, Outputs: []string{"y"}}
}

func (m *model) Predict(_ context.Context, _, outputs []float64) error {
	if m.closed.Load() {
		return io.ErrClosedPipe
	}
	for i := range outputs {
		outputs[i] = m.answer
	}
	return nil
}

func (m *model) Close() error {
	m.closed.Store(true)
	m.runtime.closed.Add(1)
	return nil
}

// publish makes n versions of ranker; version i answers i.
func publish(t *testing.T, n int) (*modelregistry.Models, *counting) {
	t.Helper()
	runtime := &counting{}
	models := modelregistry.New(registry.New(memregistry.New(), nil), []modelruntime.Runtime{runtime})
	for i := range n {
		dir := fstest.MapFS{"m": {Data: []byte(strings.Repeat("x", i+1))}}
		if _, _, err := models.Publish(t.Context(), dir, modelregistry.Publication{Model: "ranker", Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.opened.Store(0)
	runtime.closed.Store(0)
	return models, runtime
}

func ask(t *testing.T, p ondemand.Pinned) float64 {
	t.Helper()
	out := make([]float64, 1)
	if err := p.Predict(t.Context(), []float64{0}, out); err != nil {
		t.Error(err)
	}
	return out[0]
}

func TestBound(t *testing.T) {
	t.Parallel()
	source, runtime := publish(t, 4)
	p := ondemand.New(source, []modelruntime.Runtime{runtime}, ondemand.Options{Max: 2, Metrics: prometheus.NewRegistry()})
	pin := func(number int) ondemand.Pinned {
		got, err := p.Pin(t.Context(), "ranker", number)
		if err != nil {
			t.Fatal(err)
		}
		if got.Label() != "ranker@"+string(rune('0'+number)) || ask(t, got) != float64(number) {
			t.Errorf("version %d is %s and answers %v", number, got.Label(), ask(t, got))
		}
		return got
	}
	pin(1).Unpin()
	held := pin(2)
	pin(1).Unpin() // 2 is now the one asked for the longest ago
	pin(3).Unpin()
	want := []ondemand.Status{{Model: "ranker", Version: 1, Ready: true}, {Model: "ranker", Version: 3, Ready: true}}
	if got := p.List(); !slices.Equal(got, want) {
		t.Errorf("open are %v; want %v", got, want)
	}
	if ask(t, held) != 2 || runtime.closed.Load() != 0 {
		t.Error("a version that is in use was closed")
	}
	held.Unpin()
	if n := runtime.closed.Load(); n != 1 {
		t.Errorf("%d are closed; want the one that was given back", n)
	}
	if n := p.Unload("ranker", 3); n != 1 || p.Unload("ranker", 3) != 0 || p.Unload("ranker", 0) != 1 {
		t.Errorf("unloaded %d of version 3", n)
	}
	pin(4).Unpin()
	if err := p.Close(); err != nil || runtime.opened.Load() != 4 || runtime.closed.Load() != 4 {
		t.Errorf("%v: %d opened, %d closed", err, runtime.opened.Load(), runtime.closed.Load())
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	source, runtime := publish(t, 1)
	fail := true
	p := ondemand.New(source, []modelruntime.Runtime{runtime}, ondemand.Options{Warm: func(context.Context, *release.Model) error {
		if fail {
			return freshet.Errorf(freshet.Unprocessable, "it answers nothing")
		}
		return nil
	}})
	for _, tt := range []struct {
		model  freshet.ModelName
		number int
		code   freshet.Code
	}{{"none", 1, freshet.NotFound}, {"ranker", 2, freshet.NotFound}, {"ranker", 0, freshet.NotFound}, {"ranker", 1, freshet.Unprocessable}} {
		if _, err := p.Pin(t.Context(), tt.model, tt.number); freshet.CodeOf(err) != tt.code {
			t.Errorf("%s@%d: %v; want %s", tt.model, tt.number, err, tt.code)
		}
	}
	if n := len(p.List()); n != 0 || runtime.closed.Load() != 1 {
		t.Errorf("%d are kept after their errors, %d closed", n, runtime.closed.Load())
	}
	fail = false // an error is not kept
	got, err := p.Pin(t.Context(), "ranker", 1)
	if err != nil {
		t.Fatal(err)
	}
	got.Unpin()
}

// TestOnce has many ask for a version at once: it is opened once, and who does not want to wait does not.
func TestOnce(t *testing.T) {
	t.Parallel()
	source, runtime := publish(t, 1)
	runtime.gate = make(chan struct{})
	p := ondemand.New(source, []modelruntime.Runtime{runtime}, ondemand.Options{})
	var group sync.WaitGroup
	first := make(chan struct{})
	group.Go(func() {
		close(first)
		got, err := p.Pin(t.Context(), "ranker", 1)
		if err != nil {
			t.Error(err)
			return
		}
		got.Unpin()
	})
	<-first
	for len(p.List()) == 0 { // until the first has begun
		continue
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Pin(gone, "ranker", 1); freshet.CodeOf(err) != freshet.DeadlineExceeded {
		t.Errorf("who is gone: %v", err)
	}
	if p.List()[0].Ready || p.Unload("ranker", 1) != 0 {
		t.Error("a version that is being opened is ready, or was unloaded")
	}
	for range 8 {
		group.Go(func() {
			got, err := p.Pin(t.Context(), "ranker", 1)
			if err != nil {
				t.Error(err)
				return
			}
			if ask(t, got) != 1 {
				t.Error("it answers otherwise")
			}
			got.Unpin()
		})
	}
	close(runtime.gate)
	group.Wait()
	if n := runtime.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
}
