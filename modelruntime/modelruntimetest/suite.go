// Package modelruntimetest is what every runtime must pass: a conformance suite for its models, comparison with the answers
// that the real libraries gave, and malformed files. It tests nothing by itself.
package modelruntimetest

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Example is one model that a runtime opens.
type Example struct {
	Name     string
	File     []byte
	Files    map[string][]byte // of a Bundle, instead of File
	Texts    []string          // of a Ranker: some that it knows, in each of its columns of texts
	Inputs   []string          // column names, in order
	Required []string          // columns that must not be missing
	Outputs  []string
	Codes    []string // columns of category codes, in which negative values are refused
}

// Run checks that r keeps the contract of package modelruntime for each example.
func Run(t *testing.T, r modelruntime.Runtime, examples []Example) {
	for _, e := range examples {
		t.Run(e.Name, func(t *testing.T) {
			t.Run("signature", func(t *testing.T) { e.signature(t, r) })
			t.Run("widths", func(t *testing.T) { e.widths(t, r) })
			t.Run("missing", func(t *testing.T) { e.missing(t, r) })
			t.Run("rows", func(t *testing.T) { e.rows(t, r) })
			t.Run("concurrent", func(t *testing.T) { e.concurrent(t, r) })
			t.Run("cancelled", func(t *testing.T) { e.cancelled(t, r) })
			t.Run("allocations", func(t *testing.T) { e.allocations(t, r) })
			t.Run("truncated", func(t *testing.T) { e.truncated(t, r) })
			t.Run("recognizes", func(t *testing.T) { e.recognizes(t, r) })
			if len(e.Texts) > 0 {
				t.Run("ranker", func(t *testing.T) { e.ranker(t, r) })
			}
		})
	}
}

const fileName = "any-name.bin" // the content decides

func open(r modelruntime.Runtime, file []byte) (modelruntime.Model, error) {
	return r.Open(fstest.MapFS{fileName: {Data: file}}, fileName)
}

func (e Example) openFiles(r modelruntime.Runtime) (modelruntime.Model, error) {
	if e.Files == nil {
		return open(r, e.File)
	}
	dir := fstest.MapFS{}
	for name, file := range e.Files {
		dir[name] = &fstest.MapFile{Data: file}
	}
	return r.(modelruntime.Bundle).OpenFiles(dir)
}

func (e Example) open(t *testing.T, r modelruntime.Runtime) modelruntime.Model {
	t.Helper()
	m, err := e.openFiles(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (e Example) signature(t *testing.T, r modelruntime.Runtime) {
	s := e.open(t, r).Signature()
	var names, required []string
	for _, c := range s.Inputs {
		names = append(names, c.Name)
		if c.Required {
			required = append(required, c.Name)
		}
	}
	if !slices.Equal(names, e.Inputs) || !slices.Equal(required, e.Required) || !slices.Equal(s.Outputs, e.Outputs) {
		t.Errorf("inputs %v, required %v, outputs %v: expected %v, %v, %v", names, required, s.Outputs, e.Inputs, e.Required, e.Outputs)
	}
}

func (e Example) widths(t *testing.T, r modelruntime.Runtime) {
	m := e.open(t, r)
	in, out := len(e.Inputs), len(e.Outputs)
	for _, size := range [][2]int{{in + 1, out}, {in - 1, out}, {2 * in, out}, {in, 2 * out}, {in, 0}, {0, out}, {in, out + 1}} {
		err := m.Predict(context.Background(), make([]float64, size[0]), make([]float64, size[1]))
		if freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%d inputs, %d outputs: %v, expected %s", size[0], size[1], err, freshet.InvalidArgument)
		}
	}
	if err := m.Predict(context.Background(), nil, nil); err != nil {
		t.Errorf("no rows: %v", err)
	}
}

// missing leaves one column after the other out of the second of two rows.
func (e Example) missing(t *testing.T, r modelruntime.Runtime) {
	m := e.open(t, r)
	for i, name := range e.Inputs {
		inputs := make([]float64, 2*len(e.Inputs))
		inputs[len(e.Inputs)+i] = math.NaN()
		err := m.Predict(context.Background(), inputs, make([]float64, 2*len(e.Outputs)))
		if !slices.Contains(e.Required, name) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != name {
			t.Errorf("%s: error %v with field %q: expected %s that names the column", name, err, freshet.FieldOf(err), freshet.InvalidArgument)
		}
	}
}

// values are rows of ordinary and extreme numbers.
func (e Example) values(rows int) []float64 {
	extremes := []float64{0, 1, -1, 0.5, math.Copysign(0, -1), 1e300, -1e300, 5e-324, 1e-35, 3, 7.5, 1e6, 31, 32, 63}
	values := make([]float64, rows*len(e.Inputs))
	for i := range values {
		values[i] = extremes[(i*7+i/5)%len(extremes)]
		if slices.Contains(e.Codes, e.Inputs[i%len(e.Inputs)]) {
			values[i] = math.Abs(values[i])
		}
	}
	return values
}

// rows asks for numbers of rows around every block size: each row must have the same bits as alone.
func (e Example) rows(t *testing.T, r modelruntime.Runtime) {
	m := e.open(t, r)
	width, classes := len(e.Inputs), len(e.Outputs)
	inputs := e.values(300)
	alone := make([]float64, 300*classes)
	for i := range 300 {
		if err := m.Predict(context.Background(), inputs[i*width:(i+1)*width], alone[i*classes:(i+1)*classes]); err != nil {
			t.Fatal(err)
		}
	}
	for _, rows := range []int{2, 3, 4, 5, 31, 63, 64, 65, 300} {
		got := make([]float64, rows*classes)
		if err := m.Predict(context.Background(), inputs[:rows*width], got); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if math.Float64bits(v) != math.Float64bits(alone[i]) {
				t.Fatalf("%d rows: row %d is %v, alone %v", rows, i/classes, v, alone[i])
			}
		}
	}
}

func (e Example) concurrent(t *testing.T, r modelruntime.Runtime) {
	m := e.open(t, r)
	inputs := e.values(50)
	want := make([]float64, 50*len(e.Outputs))
	if err := m.Predict(context.Background(), inputs, want); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			got := make([]float64, len(want))
			for range 20 {
				if err := m.Predict(context.Background(), inputs, got); err != nil || !sameBits(got, want) {
					t.Errorf("answers differ between goroutines (error %v)", err)
					return
				}
			}
		})
	}
	group.Wait()
}

func sameBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

func (e Example) cancelled(t *testing.T, r modelruntime.Runtime) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.open(t, r).Predict(ctx, e.values(1), make([]float64, len(e.Outputs))); err == nil {
		t.Error("a cancelled context was not noticed")
	}
}

func (e Example) allocations(t *testing.T, r modelruntime.Runtime) {
	m := e.open(t, r)
	ctx := context.Background()
	for _, rows := range []int{1, 100} {
		inputs, outputs := e.values(rows), make([]float64, rows*len(e.Outputs))
		allocs := alloctest.PerRun(100, func() {
			if err := m.Predict(ctx, inputs, outputs); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations for %d rows", allocs, rows)
		}
	}
}

// truncated cuts each file at many points: no cut may panic, and a model that opens must answer.
func (e Example) truncated(t *testing.T, r modelruntime.Runtime) {
	e.cut(t, r, e.File, func(file []byte) Example { return Example{File: file} })
	for name, file := range e.Files {
		e.cut(t, r, file, func(file []byte) Example {
			short := Example{Files: maps.Clone(e.Files)}
			short.Files[name] = file
			return short
		})
	}
}

func (e Example) cut(t *testing.T, r modelruntime.Runtime, file []byte, with func([]byte) Example) {
	step := max(1, len(file)/500)
	for cut := 0; cut < len(file); cut += step {
		m, err := with(file[:cut]).openFiles(r)
		if err != nil {
			continue
		}
		s := m.Signature()
		if err := m.Predict(context.Background(), make([]float64, len(s.Inputs)), make([]float64, len(s.Outputs))); err != nil {
			t.Errorf("cut at %d: opened, then %v", cut, err)
		}
	}
}

func (e Example) recognizes(t *testing.T, r modelruntime.Runtime) {
	if e.Files == nil && !r.Recognizes(e.File[:min(len(e.File), 4096)]) {
		t.Error("the runtime does not recognise its own file")
	}
	if b, ok := r.(modelruntime.Bundle); ok {
		if e.Files != nil && !b.RecognizesFiles(slices.Collect(maps.Keys(e.Files))) {
			t.Error("the runtime does not recognise its own files")
		}
		if b.RecognizesFiles(nil) || b.RecognizesFiles([]string{"MLmodel", "model.json"}) {
			t.Error("it recognises a directory of others")
		}
	}
	for _, foreign := range []string{"", "{", "treetop", "PK\x03\x04", "\x80\x04\x95", "binf\x00\x00", "{\"learners\":{}}", "MLmodel", "\x08\x0a"} {
		if r.Recognizes([]byte(foreign)) {
			t.Errorf("it recognises %q", foreign)
		}
	}
}
