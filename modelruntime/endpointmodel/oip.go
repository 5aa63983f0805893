package endpointmodel

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"

	"github.com/freshet-ml/freshet/internal/lenientjson"
	"github.com/freshet-ml/freshet/internal/tensor"
	"github.com/freshet-ml/freshet/modelruntime"
)

// oip is the Open Inference Protocol v2 over HTTP.
type oip struct {
	document  *document
	signature modelruntime.Signature
}

func (p *oip) path() string {
	path := "v2/models/" + url.PathEscape(p.document.Model)
	if p.document.Version != "" {
		path += "/versions/" + url.PathEscape(p.document.Version)
	}
	return path + "/infer"
}

func (p *oip) contentType() string {
	if p.document.Binary {
		return "application/octet-stream"
	}
	return "application/json"
}

// oipTypes are the datatypes of columns.
var oipTypes = map[string]string{"": "FP64", "double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL"}

// encode writes one tensor for each column, or one for all. In binary all are FP64, so that a missing value is NaN whatever the type.
func (p *oip) encode(b []byte, rows int, inputs []float64) ([]byte, map[string]string) {
	columns := p.signature.Inputs
	b = append(b, `{"inputs":[`...)
	if t := p.document.Tensor; t != nil {
		b = p.head(b, t.Name, p.datatype(t.Datatype), len(inputs), rows, len(columns))
		for i, v := range inputs {
			if !p.document.Binary {
				b = appendJSON(separated(b, i), "", v)
			}
		}
		b = p.tail(b)
	} else {
		for j, c := range columns {
			b = p.head(separated(b, j), c.Name, p.datatype(oipTypes[c.Type]), rows, rows)
			for i := 0; i < rows && !p.document.Binary; i++ {
				b = appendJSON(separated(b, i), c.Type, inputs[i*len(columns)+j])
			}
			b = p.tail(b)
		}
	}
	b = append(b, ']')
	if !p.document.Binary {
		return append(b, '}'), nil
	}
	b = append(b, `,"parameters":{"binary_data_output":true}}`...)
	header := map[string]string{"Inference-Header-Content-Length": strconv.Itoa(len(b))}
	if p.document.Tensor != nil {
		for _, v := range inputs {
			b = p.element(b, v)
		}
		return b, header
	}
	for j := range columns {
		for i := range rows {
			b = p.element(b, inputs[i*len(columns)+j])
		}
	}
	return b, header
}

// element writes an element of a binary tensor.
func (p *oip) element(b []byte, v float64) []byte {
	if t := p.document.Tensor; t != nil && t.Datatype == "FP32" {
		return tensor.AppendFP32(b, v)
	}
	return tensor.AppendFP64(b, v)
}

func (p *oip) datatype(t string) string {
	if p.document.Binary && p.document.Tensor == nil {
		return "FP64"
	}
	return t
}

func (p *oip) head(b []byte, name, datatype string, count int, shape ...int) []byte {
	b = appendQuoted(append(b, `{"name":`...), name)
	b = append(b, `,"shape":[`...)
	for i, n := range shape {
		b = strconv.AppendInt(separated(b, i), int64(n), 10)
	}
	b = append(append(b, `],"datatype":"`...), datatype...)
	if p.document.Binary {
		size, _ := tensor.ElementSize(datatype)
		return strconv.AppendInt(append(b, `","parameters":{"binary_data_size":`...), int64(count*size), 10)
	}
	return append(b, `","data":[`...)
}

func (p *oip) tail(b []byte) []byte {
	if p.document.Binary {
		return append(b, `}}`...)
	}
	return append(b, `]}`...)
}

func separated(b []byte, i int) []byte {
	if i == 0 {
		return b
	}
	return append(b, ',')
}

// inferred is the answer.
type inferred struct {
	Outputs []struct {
		Name       string          `json:"name"`
		Datatype   string          `json:"datatype"`
		Data       json.RawMessage `json:"data"`
		Parameters struct {
			Size *int `json:"binary_data_size"`
		} `json:"parameters"`
	} `json:"outputs"`
}

// decode takes each output by its name, or the only one that there is.
func (p *oip) decode(a answer, rows int, outputs []float64) error {
	head, rest := a.body, []byte(nil)
	if length := a.header.Get("Inference-Header-Content-Length"); length != "" {
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(a.body) {
			return fmt.Errorf("Inference-Header-Content-Length is %.40q", length)
		}
		head, rest = a.body[:n], a.body[n:]
	}
	var got inferred
	if err := json.Unmarshal(lenientjson.Clean(head), &got); err != nil {
		return err
	}
	byName := map[string][]float64{}
	var last []float64
	for _, o := range got.Outputs {
		var values []float64
		if size := o.Parameters.Size; size != nil {
			n, ok := tensor.ElementSize(o.Datatype)
			if !ok || *size < 0 || *size > len(rest) || *size%n != 0 {
				return fmt.Errorf("output %.60q: %d bytes of %.20s, and %d follow the JSON", o.Name, *size, o.Datatype, len(rest))
			}
			values, rest = tensor.AppendValues(nil, o.Datatype, rest[:*size]), rest[*size:]
		} else {
			var err error
			if values, err = flat(o.Data); err != nil {
				return fmt.Errorf("output %.60q: %w", o.Name, err)
			}
		}
		byName[o.Name], last = values, values
	}
	names := p.signature.Outputs
	if len(got.Outputs) == 1 && len(last) == rows*len(names) {
		copy(outputs, last)
		return nil
	}
	for k, name := range names {
		values, ok := byName[name]
		if !ok || len(values) != rows {
			return fmt.Errorf("output %s has %d numbers; expected %d, one for each row", name, len(values), rows)
		}
		for i, v := range values {
			outputs[i*len(names)+k] = v
		}
	}
	return nil
}

// flat reads the numbers of a list, flat or nested.
func flat(text []byte) (values []float64, err error) {
	d := decoder(text)
	for depth := 0; ; {
		t, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		switch t.Kind() {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return values, nil
			}
		default:
			v, ok := number(t)
			if !ok || depth == 0 {
				return nil, fmt.Errorf("%.40q is no number of a list", t.String())
			}
			values = append(values, v)
		}
		if math.MaxInt32 < len(values) || depth == 0 {
			return nil, fmt.Errorf("expected a list")
		}
	}
}
