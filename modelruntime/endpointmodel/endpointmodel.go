// Package endpointmodel is the runtime of models that run elsewhere: an artifact is a small JSON file, freshet.endpoint/1
// (docs/formats/endpoint.md), that says where the model is and what it takes. A call is one HTTP request with all its rows, by the
// Open Inference Protocol, to an MLflow scoring server or to a SageMaker endpoint. It never falls back by itself and never
// keeps an answer: a remote that fails or is slow is an error.
package endpointmodel

import (
	"bytes"
	"context"
	"io/fs"

	"github.com/prometheus/client_golang/prometheus"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Endpoints is the runtime. It is also the collector of the metrics of all models that it has opened.
type Endpoints struct{ metrics *metrics }

var (
	_ modelruntime.Runtime = (*Endpoints)(nil)
	_ prometheus.Collector = (*Endpoints)(nil)
)

// New returns a runtime with metrics of its own.
func New() *Endpoints { return &Endpoints{newMetrics()} }

// Name is "freshet.endpoint".
func (*Endpoints) Name() string { return "freshet.endpoint" }

// Recognizes knows a JSON object by the text "freshet.endpoint/ among its first bytes.
func (*Endpoints) Recognizes(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	return bytes.HasPrefix(head, []byte("{")) && bytes.Contains(head, []byte(`"freshet.endpoint/`))
}

// Open reads the file; it calls nobody. Returns Unsupported for another version of the format, InvalidArgument for what is
// broken.
func (e *Endpoints) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	text, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	d, err := parse(text)
	if err != nil {
		return nil, err
	}
	return newModel(d, e.metrics), nil
}

// model is an opened file.
type model struct {
	signature modelruntime.Signature
	protocol  protocol
	caller    *caller
}

// protocol writes rows and reads answers.
type protocol interface {
	// path is where rows are sent, below the endpoint's URL.
	path() string
	contentType() string
	// encode appends the body for rows; more are the headers that it needs.
	encode(dst []byte, rows int, inputs []float64) (body []byte, more map[string]string)
	// decode fills outputs, or says what is wrong with the answer.
	decode(a answer, rows int, outputs []float64) error
}

func newModel(d *document, x *metrics) *model {
	m := &model{signature: d.signature()}
	switch d.Protocol {
	case "oip":
		m.protocol = &oip{document: d, signature: m.signature}
	case "mlflow":
		m.protocol = &mlflow{document: d, signature: m.signature}
	default:
		m.protocol = &sageMaker{document: d, signature: m.signature}
	}
	m.caller = newCaller(d, m.protocol, x)
	return m
}

func (m *model) Signature() modelruntime.Signature { return m.signature }

// Predict sends all rows in one request. Returns InvalidArgument for what the remote refuses about them, Unavailable if it does
// not answer or its circuit breaker is open, DeadlineExceeded if it takes longer than the file allows or ctx does, Internal for an
// answer that does not fit.
func (m *model) Predict(ctx context.Context, inputs, outputs []float64) error {
	rows, err := m.signature.Rows(inputs, outputs)
	if err != nil || rows == 0 {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	body, more := m.protocol.encode(nil, rows, inputs)
	limit := answerOverhead + int64(len(outputs))*bytesPerOutput
	err = m.caller.call(ctx, body, more, limit, func(a answer) error { return m.protocol.decode(a, rows, outputs) })
	if err != nil {
		return freshet.Errorf("", "endpoint %s: %w", m.caller.name, err)
	}
	return nil
}

// Bounds of an answer.
const (
	answerOverhead = 256 << 10
	bytesPerOutput = 64
)

// Close ends the connections that are open.
func (m *model) Close() error {
	m.caller.client.CloseIdleConnections()
	return nil
}
