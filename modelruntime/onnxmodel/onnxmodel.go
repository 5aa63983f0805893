// Package onnxmodel is the runtime of a subset of ONNX: what skl2onnx, onnxmltools and exporters of small networks write
// (docs/guide/models.md lists the operators). It answers what ONNX Runtime answers, in float32 where the graph says so. A
// graph is compiled once, for one row: shapes, memory and everything that does not depend on the inputs are settled when
// the model is opened, and a row that is asked among others has the same answer, bit for bit, as alone. It never trains, and
// it never guesses: an operator, an attribute or a version that it does not know is refused by name.
package onnxmodel

import (
	"context"
	"encoding/binary"
	"io/fs"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// ONNX is the runtime. It has no state.
type ONNX struct{}

var _ modelruntime.Runtime = ONNX{}

// Name is "onnx".
func (ONNX) Name() string { return "onnx" }

// Recognizes looks for the beginning of a protobuf ModelProto: field 1 (ir_version) is a small number, and then a field of
// the message comes.
func (ONNX) Recognizes(head []byte) bool {
	if len(head) < 4 || head[0] != 0x08 {
		return false
	}
	version, n := binary.Uvarint(head[1:])
	if n <= 0 || version == 0 || version > 100 || 1+n >= len(head) {
		return false
	}
	switch head[1+n] {
	case 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42: // producer name and version, domain, model version, doc, graph, opset
		return true
	}
	return false
}

// Open reads a model, and weights beside it if it names such files. Returns Unsupported for an operator, attribute, version
// or type that is not known, TooLarge for a graph whose row would take too much memory or time, InvalidArgument for what is
// broken.
func (ONNX) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	file, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	m, err := decodeModel(file)
	if err != nil {
		return nil, err
	}
	return compile(dir, m)
}

// model is an opened file.
type model struct {
	signature modelruntime.Signature
	inputs    []*tensor
	columns   []column // of signature.Inputs
	outputs   []place  // of signature.Outputs
	program   program
	free      chan *machine // idle ones
}

// column says where a value of a row goes.
type column struct {
	place
	kind dtype
}

// place is one element of a tensor.
type place struct {
	tensor *tensor
	index  int
}

func (m *model) Signature() modelruntime.Signature { return m.signature }

// checkEvery is after how many rows Predict looks at its context.
const checkEvery = 16

// Predict runs the graph once for each row.
func (m *model) Predict(ctx context.Context, inputs, outputs []float64) error {
	rows, err := m.signature.Rows(inputs, outputs)
	if err != nil {
		return err
	}
	machine := m.machine()
	defer m.release(machine)
	width, height := len(m.columns), len(m.outputs)
	for row := range rows {
		if row%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := m.predictRow(machine, row, inputs[row*width:(row+1)*width], outputs[row*height:(row+1)*height]); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) predictRow(machine *machine, row int, inputs, outputs []float64) error {
	for i, x := range inputs {
		c := &m.columns[i]
		if c.kind == typeFloat { // nearly all
			machine.f32[c.tensor.offset+c.index] = float32(x)
			continue
		}
		if err := m.setColumn(machine, row, i, x); err != nil {
			return err
		}
	}
	if err := machine.run(); err != nil {
		return freshet.Errorf("", "row %d: %w", row, err)
	}
	for i, p := range m.outputs {
		outputs[i] = machine.at(p)
	}
	return nil
}

// setColumn gives input i, which is no float32, its value.
func (m *model) setColumn(machine *machine, row, i int, x float64) error {
	c, name := &m.columns[i], m.signature.Inputs[i].Name
	if c.kind == typeDouble {
		machine.f64[c.tensor.offset+c.index] = x
		return nil
	}
	if x != x {
		return modelruntime.MissingColumn(row, name)
	}
	low, high := c.kind.bounds()
	if x < low || x > high || x != float64(int64(x)) {
		return freshet.FieldErrorf(freshet.InvalidArgument, name, "row %d: column %q is %v: the model takes whole numbers from %.0f to %.0f", row, name, x, low, high)
	}
	machine.i64[c.tensor.offset+c.index] = int64(x)
	return nil
}

// machine is an idle machine or a new one.
func (m *model) machine() *machine {
	select {
	case idle := <-m.free:
		return idle
	default:
		return m.program.start()
	}
}

func (m *model) release(machine *machine) {
	select {
	case m.free <- machine:
	default: // more calls at once than are usual: let it go
	}
}

// Close has nothing to free.
func (m *model) Close() error { return nil }
