package api

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/lenientjson"
	"github.com/freshet-ml/freshet/internal/tensor"
)

// inferRequest is the body of an infer request, read in one pass; its memory is used again.
type inferRequest struct {
	id           string
	timeout      int64 // microseconds; 0: none
	binaryOutput bool
	inputs       []inferTensor
	asked        []inferOutput
	values       []float64 // of all inputs

	decoder *jsontext.Decoder
	reader  bytes.Buffer
	seen    []bool
	outputs []wantedOutput
}

func newInferRequest() *inferRequest { return &inferRequest{decoder: new(jsontext.Decoder)} }

// reset lets go of what was read.
func (q *inferRequest) reset() {
	clear(q.inputs)
	clear(q.asked)
	q.reader = bytes.Buffer{}
	q.id, q.timeout, q.binaryOutput = "", 0, false
	q.inputs, q.asked, q.values = q.inputs[:0], q.asked[:0], q.values[:0]
}

// inferTensor is one input.
type inferTensor struct {
	name     []byte // points into the body, or is a copy
	datatype string
	shape    []int64
	binary   int64 // bytes of it behind the JSON; −1: its data is in the JSON
	from, to int   // its numbers in values
	data     dataShape
}

// dataShape is what was seen of an input's data in JSON.
type dataShape struct {
	given   bool
	depth   int  // of the lists that the numbers stand in
	ragged  bool // numbers at different depths, or lists of different lengths
	inner   int  // length of the innermost lists; −1 before the first
	strings bool // true, false or a text among the numbers
	whole   bool // no number has a fraction
}

type choice uint8

const (
	unset choice = iota
	no
	yes
)

type inferOutput struct {
	name   []byte
	binary choice
}

// read reads text, of which length bytes, a header's value, are JSON; "" means all. It keeps pieces of text until reset.
func (q *inferRequest) read(text []byte, length string, maxDepth int) error {
	n, err := headerLength(length, len(text))
	if err != nil {
		return err
	}
	head, tail := lenientjson.Clean(text[:n]), text[n:]
	if err := checkDepth(head, 0, maxDepth); err != nil {
		return err
	}
	q.reader = *bytes.NewBuffer(head)
	q.decoder.Reset(&q.reader)
	d := q.decoder
	err = objectOf(d, "the body", func(name []byte) (err error) {
		switch string(name) {
		case "id":
			q.id, err = stringOf(d, "id")
		case "parameters":
			err = q.readParameters()
		case "inputs":
			err = listOf(d, "inputs", q.readInput)
		case "outputs":
			err = listOf(d, "outputs", q.readOutput)
		default:
			err = d.SkipValue()
		}
		return err
	})
	if err == nil {
		err = ended(d, head)
	}
	if err != nil {
		return jsonError(head, err)
	}
	return q.readBinary(tail)
}

// jsonError puts an error of the decoder into our words; others stay.
func jsonError(text []byte, err error) error {
	if freshet.CodeOf(err) != freshet.Internal {
		return err
	}
	return syntaxError(text, err)
}

func (q *inferRequest) readParameters() error {
	d := q.decoder
	return objectOf(d, "parameters", func(name []byte) (err error) {
		switch string(name) {
		case "binary_data_output":
			q.binaryOutput, err = boolOf(d, "parameters.binary_data_output")
		case "timeout":
			q.timeout, err = intOf(d, "parameters.timeout")
		default:
			err = d.SkipValue()
		}
		return err
	})
}

// maxTensors bounds inputs and outputs of one request: no model has more columns.
const maxTensors = 1 << 16

func (q *inferRequest) readInput() error {
	if len(q.inputs) == maxTensors {
		return freshet.FieldErrorf(freshet.TooLarge, "inputs", "over %d inputs", maxTensors)
	}
	d := q.decoder
	t := inferTensor{binary: -1, from: len(q.values), to: len(q.values)}
	err := objectOf(d, "inputs", func(name []byte) (err error) {
		switch string(name) {
		case "name":
			var s string
			s, err = stringOf(d, "inputs.name")
			t.name = []byte(s)
		case "datatype":
			t.datatype, err = stringOf(d, "inputs.datatype")
		case "shape":
			err = listOf(d, "shape", func() error {
				n, err := intOf(d, "shape")
				if len(t.shape) < 9 { // more is refused anyway
					t.shape = append(t.shape, n)
				}
				return err
			})
		case "parameters":
			err = objectOf(d, "parameters", func(name []byte) (err error) {
				if string(name) == "binary_data_size" {
					t.binary, err = intOf(d, "binary_data_size")
					return err
				}
				return d.SkipValue()
			})
		case "data":
			t.data = dataShape{given: true, inner: -1, whole: true}
			q.values, err = readData(d, q.values, &t.data, 0)
			t.to = len(q.values)
		default:
			err = d.SkipValue()
		}
		return err
	})
	if err != nil {
		return err
	}
	q.inputs = append(q.inputs, t)
	return t.check(q.values[t.from:t.to])
}

func (q *inferRequest) readOutput() error {
	if len(q.asked) == maxTensors {
		return freshet.FieldErrorf(freshet.TooLarge, "outputs", "over %d outputs", maxTensors)
	}
	d := q.decoder
	var o inferOutput
	err := objectOf(d, "outputs", func(name []byte) (err error) {
		switch string(name) {
		case "name":
			var s string
			s, err = stringOf(d, "outputs.name")
			o.name = []byte(s)
		case "parameters":
			err = objectOf(d, "parameters", func(name []byte) error {
				switch string(name) {
				case "binary_data":
					b, err := boolOf(d, "binary_data")
					o.binary = no
					if b {
						o.binary = yes
					}
					return err
				case "classification":
					return invalid("outputs.parameters.classification", "classification of outputs is not offered; leave it out")
				}
				return d.SkipValue()
			})
		default:
			err = d.SkipValue()
		}
		return err
	})
	q.asked = append(q.asked, o)
	return err
}

// readData appends the numbers of a list, flat or nested.
func readData(d *jsontext.Decoder, dst []float64, s *dataShape, depth int) ([]float64, error) {
	if d.PeekKind() != '[' {
		if _, err := d.ReadToken(); err != nil {
			return dst, err
		}
		return dst, invalid("inputs.data", "expected a list of numbers")
	}
	if _, err := d.ReadToken(); err != nil {
		return dst, err
	}
	depth++
	count := 0
	for {
		k := d.PeekKind()
		switch k {
		case '[':
			var err error
			if dst, err = readData(d, dst, s, depth); err != nil {
				return dst, err
			}
			continue
		case '{':
			return dst, invalid("inputs.data", "an object is no number")
		}
		token, err := d.ReadToken()
		if err != nil {
			return dst, err
		}
		v := math.NaN()
		switch k {
		case ']':
			if count > 0 || s.inner < 0 && depth >= s.depth {
				s.closed(depth, count)
			}
			return dst, nil
		case '0':
			v, _ = token.Float() // beyond float64: infinite
			s.whole = s.whole && v == math.Trunc(v)
		case 't':
			v, s.strings = 1, true
		case 'f':
			v, s.strings = 0, true
		case '"':
			switch token.String() {
			case "NaN":
			case "Infinity":
				v = math.Inf(1)
			case "-Infinity":
				v = math.Inf(-1)
			default:
				return dst, invalid("inputs.data", "the text %.40q is no number", token.String())
			}
		}
		if len(dst) == maxModelValues {
			return dst, checkValues(maxModelValues + 1)
		}
		dst = append(dst, v)
		count++
	}
}

// closed notes that a list of numbers ended.
func (s *dataShape) closed(depth, count int) {
	if s.inner < 0 {
		s.depth, s.inner = depth, count
	}
	s.ragged = s.ragged || s.depth != depth || s.inner != count
}

// check refuses a tensor that is not what it says, before anything is made of it. values are those of its data, and made what its
// datatype holds.
func (t *inferTensor) check(values []float64) error {
	if len(t.name) == 0 {
		return invalid("inputs.name", "missing")
	}
	size, ok := tensor.ElementSize(t.datatype)
	if !ok {
		return invalid(t.field(), "datatype %.20q is not read; expected FP64, FP32, INT8 to INT64, UINT8 to UINT64 or BOOL", t.datatype)
	}
	if len(t.shape) == 0 || len(t.shape) > 8 {
		return invalid(t.field(), "shape is missing or has more than 8 dimensions; expected [rows] or [rows, columns]")
	}
	count := int64(1)
	for _, n := range t.shape {
		if n < 0 {
			return invalid(t.field(), "shape %v has a negative dimension", t.shape)
		}
		if n > maxModelValues || count*n > maxModelValues {
			return checkValues(maxModelValues + 1)
		}
		count *= n
	}
	if t.binary >= 0 {
		switch {
		case t.data.given:
			return invalid(t.field(), "it has both data and binary_data_size; expected one of them")
		case t.binary != count*int64(size):
			return invalid(t.field(), "binary_data_size is %d; shape %v of %s takes %d bytes", t.binary, t.shape, t.datatype, count*int64(size))
		}
		return nil
	}
	return t.checkData(count, values)
}

func (t *inferTensor) checkData(count int64, values []float64) error {
	s := &t.data
	got := int64(len(values))
	switch {
	case !s.given:
		return invalid(t.field(), "data is missing")
	case got != count:
		return invalid(t.field(), "shape %v takes %d numbers and data has %d", t.shape, count, got)
	case got > 0 && (s.ragged || s.depth > 1 && (s.depth != len(t.shape) || int64(s.inner) != t.shape[len(t.shape)-1])):
		return invalid(t.field(), "data is not nested as shape %v; expected that, or a flat list", t.shape)
	case (s.strings || !s.whole) && t.datatype != "BOOL" && t.datatype != "FP64" && t.datatype != "FP32":
		return invalid(t.field(), "its data is no list of whole numbers, as %s has it", t.datatype)
	case !tensor.Fit(t.datatype, values):
		return invalid(t.field(), "its data has a number that %s does not hold", t.datatype)
	}
	return nil
}

// readBinary takes the tensors that stand behind the JSON.
func (q *inferRequest) readBinary(tail []byte) error {
	var sum int64
	for i := range q.inputs {
		sum += max(0, q.inputs[i].binary)
	}
	if sum != int64(len(tail)) {
		return invalid("binary_data_size", "the inputs' sum is %d and %d bytes follow the JSON", sum, len(tail))
	}
	for i := range q.inputs {
		t := &q.inputs[i]
		if t.binary < 0 {
			continue
		}
		if sum/8 > maxModelValues {
			return checkValues(maxModelValues + 1)
		}
		t.from = len(q.values)
		size, _ := tensor.ElementSize(t.datatype)
		q.values = tensor.AppendValues(slices.Grow(q.values, int(t.binary)/size), t.datatype, tail[:t.binary])
		t.to = len(q.values)
		tail = tail[t.binary:]
	}
	return nil
}

// objectOf reads an object: member is called for each name and must read its value. A null is an object without members.
func objectOf(d *jsontext.Decoder, what string, member func(name []byte) error) error {
	t, err := d.ReadToken()
	switch {
	case err != nil:
		return err
	case t.Kind() == 'n':
		return nil
	case t.Kind() != '{':
		return invalid(what, "expected an object")
	}
	for d.PeekKind() != '}' {
		raw, err := d.ReadValue()
		if err != nil {
			return err
		}
		name := raw[1 : len(raw)-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			if name, err = jsontext.AppendUnquote(nil, raw); err != nil {
				return err
			}
		}
		if err := member(name); err != nil {
			return err
		}
	}
	_, err = d.ReadToken()
	return err
}

// listOf reads a list: element must read one value. A null is an empty list.
func listOf(d *jsontext.Decoder, what string, element func() error) error {
	t, err := d.ReadToken()
	switch {
	case err != nil:
		return err
	case t.Kind() == 'n':
		return nil
	case t.Kind() != '[':
		return invalid(what, "expected a list")
	}
	for d.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err = d.ReadToken()
	return err
}

func stringOf(d *jsontext.Decoder, what string) (string, error) {
	t, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	if t.Kind() != '"' {
		return "", invalid(what, "expected a text")
	}
	return t.String(), nil
}

func boolOf(d *jsontext.Decoder, what string) (bool, error) {
	t, err := d.ReadToken()
	if err != nil {
		return false, err
	}
	if k := t.Kind(); k != 't' && k != 'f' {
		return false, invalid(what, "expected true or false")
	}
	return t.Bool(), nil
}

func intOf(d *jsontext.Decoder, what string) (int64, error) {
	raw, err := d.ReadValue()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0, invalid(what, "%.40s: expected a whole number", raw)
	}
	return n, nil
}
