package endpointmodel

import (
	"bytes"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet/modelruntime"
)

// sageMaker is InvokeEndpoint. Rows go as CSV without a header, which the containers of SageMaker read.
type sageMaker struct {
	document  *document
	signature modelruntime.Signature
}

func (p *sageMaker) path() string {
	return "endpoints/" + url.PathEscape(p.document.Model) + "/invocations"
}

func (p *sageMaker) contentType() string { return "text/csv" }

func (p *sageMaker) encode(b []byte, _ int, inputs []float64) ([]byte, map[string]string) {
	width := len(p.signature.Inputs)
	for i, v := range inputs {
		switch {
		case i == 0:
		case i%width == 0:
			b = append(b, '\n')
		default:
			b = append(b, ',')
		}
		if !math.IsNaN(v) {
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		}
	}
	return append(b, '\n'), nil
}

// decode reads JSON as MLflow has it, or CSV.
func (p *sageMaker) decode(a answer, rows int, outputs []float64) error {
	text := bytes.TrimSpace(a.body)
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return decodePredictions(text, p.signature.Outputs, rows, outputs)
	}
	cells := strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' })
	if len(cells) != len(outputs) {
		return fmt.Errorf("%d numbers; expected %d", len(cells), len(outputs))
	}
	for i, cell := range cells {
		v, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
		if err != nil {
			return fmt.Errorf("%.40q is no number", cell)
		}
		outputs[i] = v
	}
	return nil
}
