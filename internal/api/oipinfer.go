package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/tensor"
	"github.com/freshet-ml/freshet/modelruntime"
)

// postOIPInfer answers rows: one tensor for each column, or one matrix in the signature's order.
func (a *API) postOIPInfer(w *response, r *http.Request) error {
	m, err := a.oipModel(r)
	if err != nil {
		return err
	}
	defer m.unpin()
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	asked := a.infers.Get().(*inferRequest)
	defer a.returnInfer(asked)
	if err := asked.read(sent.buf, r.Header.Get("Inference-Header-Content-Length"), a.o.MaxDepth); err != nil {
		return err
	}
	s := m.Signature()
	outputs, err := asked.wanted(s)
	if err != nil {
		return err
	}
	x := a.matrix()
	defer a.returnMatrix(x)
	if x.inputs, err = asked.rows(x.inputs[:0], s.Inputs); err != nil {
		return err
	}
	if err := a.score(r.Context(), m.Model, x, asked.limit()); err != nil {
		return err
	}
	a.answerInfer(w, &m, asked, outputs, x)
	return nil
}

// limit is the time that the request allows: its parameter timeout is in microseconds.
func (q *inferRequest) limit() time.Duration {
	if q.timeout > 0 && q.timeout < maxModelTime.Microseconds() {
		return time.Duration(q.timeout) * time.Microsecond
	}
	return maxModelTime
}

// rows appends to dst the rows that the inputs make up, in the order of columns.
func (q *inferRequest) rows(dst []float64, columns []modelruntime.Column) ([]float64, error) {
	if len(q.inputs) == 0 {
		return nil, invalid("inputs", "missing; expected one tensor for each column of the model, or one of shape [rows, %d]", len(columns))
	}
	if t := &q.inputs[0]; len(q.inputs) == 1 && len(t.shape) == 2 && (len(columns) != 1 || t.shape[1] != 1) {
		if t.shape[1] != int64(len(columns)) {
			return nil, invalid(t.field(), "its shape is %v; the model has %d columns: expected [rows, %d]", t.shape, len(columns), len(columns))
		}
		return append(dst, q.values[t.from:t.to]...), nil
	}
	rows := q.inputs[0].to - q.inputs[0].from
	if len(columns) > 0 {
		if err := checkValues(rows * len(columns)); err != nil {
			return nil, err
		}
	}
	dst = slices.Grow(dst, rows*len(columns))[:rows*len(columns)]
	q.seen = slices.Grow(q.seen[:0], len(columns))[:len(columns)]
	clear(q.seen)
	finder := columnFinder{columns: columns}
	for i := range q.inputs {
		t := &q.inputs[i]
		j := finder.find(t.name)
		switch {
		case j < 0:
			return nil, invalid(t.field(), "the model has no such column; expected %s", columnList(columnNamesOf(modelruntime.Signature{Inputs: columns})))
		case q.seen[j]:
			return nil, invalid(t.field(), "given twice")
		case len(t.shape) == 0 || len(t.shape) > 2 || len(t.shape) == 2 && t.shape[1] != 1:
			return nil, invalid(t.field(), "its shape is %v; expected [rows] or [rows, 1]", t.shape)
		case t.to-t.from != rows:
			return nil, invalid(t.field(), "it has %d rows and input %.64q has %d; expected the same number", t.to-t.from, q.inputs[0].name, rows)
		}
		q.seen[j] = true
		for row, v := range q.values[t.from:t.to] {
			dst[row*len(columns)+j] = v
		}
	}
	for j, seen := range q.seen {
		if !seen {
			return nil, invalid(clip(columns[j].Name, 64), "missing: there is no input for this column of the model")
		}
	}
	return dst, nil
}

func (t *inferTensor) field() string { return "input " + clip(string(t.name), 64) }

// wantedOutput is one output of an answer.
type wantedOutput struct {
	index  int // in the signature
	binary bool
}

// wanted are the outputs that are asked for; none named means all.
func (q *inferRequest) wanted(s modelruntime.Signature) ([]wantedOutput, error) {
	q.outputs = q.outputs[:0]
	if len(q.asked) == 0 {
		for i := range s.Outputs {
			q.outputs = append(q.outputs, wantedOutput{i, q.binaryOutput})
		}
		return q.outputs, nil
	}
	for _, o := range q.asked {
		i := slices.Index(s.Outputs, string(o.name))
		if i < 0 {
			return nil, invalid("output "+clip(string(o.name), 64), "the model has no such output; expected %s", columnList(s.Outputs))
		}
		if slices.ContainsFunc(q.outputs, func(w wantedOutput) bool { return w.index == i }) {
			return nil, invalid("output "+clip(string(o.name), 64), "asked for twice")
		}
		w := wantedOutput{i, q.binaryOutput}
		if o.binary != unset {
			w.binary = o.binary == yes
		}
		q.outputs = append(q.outputs, w)
	}
	return q.outputs, nil
}

// answerInfer writes the answer: JSON, and behind it the outputs that are wanted in binary.
func (a *API) answerInfer(w *response, m *oipAsked, q *inferRequest, outputs []wantedOutput, x *matrix) {
	names := m.Signature().Outputs
	rows := len(x.outputs) / len(names)
	out := a.buffer()
	defer a.returnBuffer(out)
	b := appendText(append((*out)[:0], `{"model_name":`...), m.Name)
	b = appendText(append(b, `,"model_version":`...), versionOf(m.Model))
	if q.id != "" {
		b = appendText(append(b, `,"id":`...), q.id)
	}
	b = append(m.appendParameters(append(b, ',')), `,"outputs":[`...)
	binary := false
	for i, o := range outputs {
		b = appendText(append(comma(b, i), `{"name":`...), names[o.index])
		b = strconv.AppendInt(append(b, `,"datatype":"FP64","shape":[`...), int64(rows), 10)
		if o.binary {
			binary = true
			b = strconv.AppendInt(append(b, `],"parameters":{"binary_data_size":`...), int64(rows)*8, 10)
			b = append(b, `}}`...)
			continue
		}
		b = append(b, `],"data":[`...)
		for row := range rows {
			b = appendNumber(comma(b, row), x.outputs[row*len(names)+o.index])
		}
		b = append(b, `]}`...)
	}
	b = append(b, `]}`...)
	if !binary {
		*out = b
		w.json(http.StatusOK, b)
		return
	}
	w.Header()["Inference-Header-Content-Length"] = []string{strconv.Itoa(len(b))}
	for _, o := range outputs {
		if !o.binary {
			continue
		}
		for row := range rows {
			b = tensor.AppendFP64(b, x.outputs[row*len(names)+o.index])
		}
	}
	*out = b
	w.send(http.StatusOK, "application/octet-stream", b)
}

func (a *API) returnInfer(q *inferRequest) {
	if cap(q.values)*8 > maxPooled {
		q.values = nil
	}
	q.reset()
	a.infers.Put(q)
}

// headerLength reads Inference-Header-Content-Length: how many bytes of the body are JSON.
func headerLength(sent string, total int) (int, error) {
	if sent == "" {
		return total, nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(sent))
	if err != nil || n < 0 || n > total {
		return 0, freshet.FieldErrorf(freshet.InvalidArgument, "Inference-Header-Content-Length", "Inference-Header-Content-Length %.64q: expected the bytes of the JSON, 0 to %d", sent, total)
	}
	return n, nil
}
