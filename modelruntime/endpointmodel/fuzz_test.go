package endpointmodel

import (
	"net/http"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// FuzzAnswers: whatever a server answers, it is numbers or an error.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []struct{ header, body string }{
		{"", `{"predictions":[1,NaN]}`}, {"", `{"predictions":[[1,2],[3,4]]}`}, {"", `[{"y":1,"z":2},{"z":Infinity,"y":null}]`}, {"", "1,2\n3,4\n"},
		{"", `{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[1,[2]]},{"name":"z","datatype":"INT8","data":[true,"x"]}]}`},
		{"77", `{"outputs":[{"name":"y","datatype":"FP32","parameters":{"binary_data_size":8}}]}` + "\x00\x00\x80\x3f\x00\x00\x00\x40"},
		{"-1", `{}`}, {"", `[`}, {"", ``},
	} {
		f.Add(seed.header, []byte(seed.body))
	}
	signature := modelruntime.Signature{Inputs: []modelruntime.Column{{Name: "a"}}, Outputs: []string{"y", "z"}}
	protocols := []protocol{&mlflow{signature: signature}, &oip{signature: signature}, &sageMaker{signature: signature}}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		for _, p := range protocols {
			a := answer{header: http.Header{}, body: body}
			if header != "" {
				a.header.Set("Inference-Header-Content-Length", header)
			}
			_ = p.decode(a, 2, make([]float64, 4)) // an error is an answer, a panic is none
		}
	})
}

// FuzzOpen reads whatever the document of an endpoint holds.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"format":"freshet.endpoint/1","protocol":"oip","url":"http://h","model":"m",` + columns + `,"outputs":["y"],"timeout":"50ms","retries":0,"connections":2}`))
	f.Add([]byte(`{"format":"freshet.endpoint/1","protocol":"sagemaker","url":"https://h/p","model":"m",` + columns + `,"region":"eu-west-1"}`))
	f.Add([]byte(`{"format":"freshet.endpoint/1","protocol":"mlflow","url":"http://[::1]:1",` + columns + `}`))
	r := New()
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := r.Open(fstest.MapFS{"m": {Data: text}}, "m")
		if err != nil {
			if freshet.CodeOf(err) == freshet.Internal {
				t.Error(err)
			}
			return
		}
		if s := m.Signature(); len(s.Inputs) == 0 || len(s.Outputs) == 0 {
			t.Errorf("%d inputs, %d outputs", len(s.Inputs), len(s.Outputs))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
