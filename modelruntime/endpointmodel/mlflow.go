package endpointmodel

import (
	"fmt"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet/modelruntime"
)

// mlflow is an MLflow scoring server.
type mlflow struct {
	document  *document
	signature modelruntime.Signature
}

func (p *mlflow) path() string {
	if p.document.Model == "" {
		return "invocations"
	}
	return "models/" + url.PathEscape(p.document.Model) + "/invocations"
}

func (p *mlflow) contentType() string { return "application/json" }

// encode writes dataframe_split, the cheapest form for the server.
func (p *mlflow) encode(b []byte, rows int, inputs []float64) ([]byte, map[string]string) {
	columns := p.signature.Inputs
	b = append(b, `{"dataframe_split":{"columns":[`...)
	for j, c := range columns {
		b = appendQuoted(separated(b, j), c.Name)
	}
	b = append(b, `],"data":[`...)
	for i := range rows {
		b = append(separated(b, i), '[')
		for j, c := range columns {
			b = appendJSON(separated(b, j), c.Type, inputs[i*len(columns)+j])
		}
		b = append(b, ']')
	}
	return append(b, `]}}`...), nil
}

// decode reads {"predictions": […]}.
func (p *mlflow) decode(a answer, rows int, outputs []float64) error {
	return decodePredictions(a.body, p.signature.Outputs, rows, outputs)
}

// decodePredictions reads a list of predictions, bare or under the key predictions. Each is a number, a list of numbers, or a
// record whose keys are the outputs.
func decodePredictions(text []byte, names []string, rows int, outputs []float64) error {
	d := decoder(text)
	if d.PeekKind() == '{' {
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		for {
			name, err := d.ReadToken()
			switch {
			case err != nil:
				return err
			case name.Kind() == '}':
				return fmt.Errorf("it has no predictions")
			case name.String() == "predictions":
				return readPredictions(d, names, rows, outputs)
			}
			if err := d.SkipValue(); err != nil {
				return err
			}
		}
	}
	return readPredictions(d, names, rows, outputs)
}

func readPredictions(d *jsontext.Decoder, names []string, rows int, outputs []float64) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != '[' {
		return fmt.Errorf("the predictions are no list")
	}
	n := 0
	for ; d.PeekKind() != ']'; n++ {
		if n == rows {
			if _, err := d.ReadToken(); err != nil {
				return err
			}
			return fmt.Errorf("more than %d predictions; expected one for each row", rows)
		}
		if err := readPrediction(d, names, outputs[n*len(names):(n+1)*len(names)]); err != nil {
			return err
		}
	}
	if n != rows {
		return fmt.Errorf("%d predictions; expected %d, one for each row", n, rows)
	}
	return nil
}

// readPrediction reads the outputs of one row.
func readPrediction(d *jsontext.Decoder, names []string, out []float64) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != '[' && t.Kind() != '{' {
		v, ok := number(t)
		if !ok || len(out) != 1 {
			return fmt.Errorf("prediction %.40q: expected %d numbers", t.String(), len(out))
		}
		out[0] = v
		return nil
	}
	record, k := t.Kind() == '{', 0
	filled := make([]bool, len(out))
	for ; d.PeekKind() != ']' && d.PeekKind() != '}'; k++ {
		at := k
		if record {
			name, err := d.ReadToken()
			if err != nil {
				return err
			}
			if at = indexOf(names, name.String()); at < 0 && len(out) == 1 && k == 0 {
				at = 0
			}
		}
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		v, ok := number(t)
		switch {
		case at < 0 && ok: // another column of the record
			continue
		case !ok || at >= len(out):
			return fmt.Errorf("prediction %d numbers; expected %d", k+1, len(out))
		}
		out[at], filled[at] = v, true
	}
	for at, ok := range filled {
		if !ok {
			return fmt.Errorf("output %s is missing in a prediction", names[at])
		}
	}
	_, err = d.ReadToken()
	return err
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}
