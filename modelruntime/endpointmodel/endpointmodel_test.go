package endpointmodel

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// columns are three columns of different types.
const columns = `"inputs":[{"name":"n","type":"long","required":true},{"name":"x"},{"name":"b","type":"boolean"}]`

func openText(t testing.TB, text string) (modelruntime.Model, error) {
	t.Helper()
	r := New()
	if !r.Recognizes([]byte(text)) {
		t.Errorf("not recognized: %s", text)
	}
	return r.Open(fstest.MapFS{"m": {Data: []byte(text)}}, "m")
}

func mustOpen(t testing.TB, text string) modelruntime.Model {
	t.Helper()
	m, err := openText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestParse(t *testing.T) {
	t.Parallel()
	const begin = `{"format":"freshet.endpoint/1","protocol":"oip","url":"http://h","model":"m",` + columns
	m := mustOpen(t, begin+`,"outputs":["y","z"],"timeout":"50ms","retries":0,"connections":2,"description":["any"],"token_env":"FRESHET_ENDPOINT_T"}`)
	s := m.Signature()
	if !slices.Equal(s.Outputs, []string{"y", "z"}) || len(s.Inputs) != 3 || s.Inputs[0] != (modelruntime.Column{Name: "n", Type: "long", Required: true}) || s.Inputs[1].Required {
		t.Errorf("signature %+v", s)
	}
	for text, part := range map[string]string{
		`{"format":"freshet.endpoint/2"}`:                                            "freshet.endpoint/1 is read",
		`{"format":"freshet.endpoint/1"`:                                             "no JSON",
		`{"format":"freshet.endpoint/1"}`:                                            "protocol",
		begin + `,"secret":"x"}`:                                                     "secret",
		begin + `,"url":"http://h"}`:                                                 "duplicate",
		begin + `,"timeout":"1h"}`:                                                   "timeout",
		begin + `,"timeout":"soon"}`:                                                 "timeout",
		begin + `,"retries":9}`:                                                      "retries",
		begin + `,"connections":-1}`:                                                 "connections",
		begin + `,"outputs":[]}`:                                                     "outputs",
		begin + `,"outputs":["a","a"]}`:                                              "outputs[1]",
		begin + `,"tensor":{}}`:                                                      "tensor.name",
		begin + `,"tensor":{"name":"t"}}`:                                            "tensor.datatype",
		begin + `,"token_env":"HOME"}`:                                               "token_env",
		begin + `,"aws":{"region":"x"}}`:                                             "aws is of protocol sagemaker",
		strings.Replace(begin, "oip", "grpc", 1) + `}`:                               "protocol",
		strings.Replace(begin, "http://h", "h:80", 1) + `}`:                          "url",
		strings.Replace(begin, "http://h", "http://u:p@h", 1) + `}`:                  "no user",
		strings.Replace(begin, `"model":"m",`, "", 1) + `}`:                          "model",
		strings.Replace(begin, `"x"`, `"n"`, 1) + `}`:                                "inputs[1]",
		strings.Replace(begin, `long`, `string`, 1) + `}`:                            "type",
		strings.Replace(begin, "oip", "mlflow", 1) + `,"binary":true}`:               "protocol oip",
		strings.Replace(begin, "oip", "sagemaker", 1) + `}`:                          "aws.region",
		strings.Replace(begin, "oip", "sagemaker", 1) + `,"aws":{"region":"a.b/c"}}`: "aws.region",
		strings.Replace(begin, "oip", "sagemaker", 1) + `,"aws":{"region":"a","key_id_env":"PATH"}}`: "PATH",
	} {
		_, err := openText(t, text)
		if code := freshet.CodeOf(err); code != freshet.InvalidArgument && code != freshet.Unsupported || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, expected an error with %q", text, err, part)
		}
	}
}

// exchange is a request that a protocol sends, and answers to it.
type exchange struct {
	name, file   string
	path, body   string
	contentType  string
	answer       string
	answerHeader string
	want         []float64
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	f64 := func(values ...float64) (s string) {
		for _, v := range values {
			s += string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		}
		return s
	}
	head := `{"inputs":[{"name":"n","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}},{"name":"x","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}},` +
		`{"name":"b","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}}],"parameters":{"binary_data_output":true}}`
	answerHead := `{"outputs":[{"name":"y","datatype":"FP64","shape":[2],"parameters":{"binary_data_size":16}},{"name":"z","datatype":"INT8","parameters":{"binary_data_size":2}}]}`
	for _, e := range []exchange{
		{"oip", `"protocol":"oip","model":"m 1","version":"4"`, "/v2/models/m%201/versions/4/infer",
			`{"inputs":[{"name":"n","shape":[2],"datatype":"INT64","data":[1,2000000]},{"name":"x","shape":[2],"datatype":"FP64","data":[0.5,null]},{"name":"b","shape":[2],"datatype":"BOOL","data":[true,false]}]}`,
			"application/json", `{"outputs":[{"name":"z","data":[[3],[NaN]]},{"name":"other","data":[]},{"name":"y","data":[1,2e0]}]}`, "", []float64{1, 3, 2, nan}},
		{"oip, one tensor", `"protocol":"oip","model":"m","tensor":{"name":"rows","datatype":"FP32"}`, "/v2/models/m/infer",
			`{"inputs":[{"name":"rows","shape":[2,3],"datatype":"FP32","data":[1,0.5,1,2e+06,null,0]}]}`,
			"application/json", `{"outputs":[{"name":"any","data":[[1,3],[2,4]]}]}`, "", []float64{1, 3, 2, 4}},
		{"oip, binary", `"protocol":"oip","model":"m","binary":true`, "/v2/models/m/infer", head + f64(1, 2e6, 0.5, nan, 1, 0),
			"application/octet-stream", answerHead + f64(1, 2) + "\x03\xff", strconv.Itoa(len(answerHead)), []float64{1, 3, 2, -1}},
		{"mlflow", `"protocol":"mlflow"`, "/invocations", `{"dataframe_split":{"columns":["n","x","b"],"data":[[1,0.5,true],[2000000,null,false]]}}`,
			"application/json", `{"predictions": [[1, 3], [2, NaN]]}`, "", []float64{1, 3, 2, nan}},
		{"mlflow, records", `"protocol":"mlflow","model":"m"`, "/models/m/invocations", `{"dataframe_split":{"columns":["n","x","b"],"data":[[1,0.5,true],[2000000,null,false]]}}`,
			"application/json", `{"other":[1],"predictions":[{"z":3,"y":1,"w":7},{"y":2,"z":4}]}`, "", []float64{1, 3, 2, 4}},
		{"sagemaker", `"protocol":"sagemaker","model":"m","aws":{"region":"us-east-1","key_id_env":"FRESHET_ENDPOINT_ID","secret_env":"FRESHET_ENDPOINT_KEY"}`, "/endpoints/m/invocations",
			"1,0.5,1\n2e+06,,0\n", "text/csv", "1,3\n2, 4\n", "", []float64{1, 3, 2, 4}},
		{"sagemaker, JSON", `"protocol":"sagemaker","model":"m","aws":{"region":"us-east-1","key_id_env":"FRESHET_ENDPOINT_ID","secret_env":"FRESHET_ENDPOINT_KEY"}`, "/endpoints/m/invocations",
			"1,0.5,1\n2e+06,,0\n", "text/csv", `[[1,3],[2,4]]`, "", []float64{1, 3, 2, 4}},
	} {
		t.Run(e.name, func(t *testing.T) { e.run(t) })
	}
}

func (e exchange) run(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.EscapedPath() != e.path || string(body) != e.body || r.Header.Get("Content-Type") != e.contentType {
			t.Errorf("sent %s %s %q, expected %s %s %q", r.URL.EscapedPath(), r.Header.Get("Content-Type"), body, e.path, e.contentType, e.body)
		}
		if e.answerHeader != "" {
			w.Header().Set("Inference-Header-Content-Length", e.answerHeader)
		}
		io.WriteString(w, e.answer)
	}))
	defer server.Close()
	m := mustOpen(t, fmt.Sprintf(`{"format":"freshet.endpoint/1",%s,"url":%q,%s,"outputs":["y","z"],"timeout":"20s"}`, e.file, server.URL, columns))
	got := make([]float64, 4)
	if err := m.Predict(t.Context(), []float64{1, 0.5, 1, 2e6, math.NaN(), 0}, got); err != nil {
		t.Fatal(err)
	}
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	if !slices.EqualFunc(got, e.want, same) {
		t.Errorf("got %v, expected %v", got, e.want)
	}
}

// fake opens a model of one column whose server is handle.
func fake(t testing.TB, more string, handle http.HandlerFunc) modelruntime.Model {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return mustOpen(t, fmt.Sprintf(`{"format":"freshet.endpoint/1","protocol":"mlflow","url":%q,"inputs":[{"name":"a"}]%s}`, server.URL, more))
}

func predictOne(ctx context.Context, m modelruntime.Model) (float64, error) {
	out := []float64{0}
	err := m.Predict(ctx, []float64{1}, out)
	return out[0], err
}

func TestAnswersThatDoNotFit(t *testing.T) {
	t.Parallel()
	for body, part := range map[string]string{
		``: "EOF", `{}`: "no predictions", `{"predictions":3}`: "no list", `{"predictions":[]}`: "0 predictions", `[1,2]`: "more than 1",
		`["a"]`: "expected 1 numbers", `[[1,2]]`: "expected 1", `[[]]`: "missing", `[{"a":{}}]`: "numbers", `[1`: "EOF",
	} {
		m := fake(t, `,"timeout":"20s"`, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
		if _, err := predictOne(t.Context(), m); freshet.CodeOf(err) != freshet.Internal || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: got %v, expected Internal with %q", body, err, part)
		}
	}
	m := fake(t, `,"timeout":"20s"`, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"predictions":[`+strings.Repeat(" ", 1<<20)+`1]}`)
	})
	if _, err := predictOne(t.Context(), m); err == nil || !strings.Contains(err.Error(), "over") {
		t.Errorf("a long answer: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
		code   freshet.Code
		part   string
		calls  int32 // two where it is worth another attempt
	}{
		{400, `{"error_code":"BAD_REQUEST","message":"no column a"}`, freshet.InvalidArgument, "no column a", 1},
		{400, `{"error":"bad tensor"}`, freshet.InvalidArgument, "bad tensor", 1},
		{422, `{"detail":[{"msg":"x"}]}`, freshet.InvalidArgument, `"msg"`, 1},
		{424, `{"Message":"model","OriginalStatusCode":400,"OriginalMessage":"inner"}`, freshet.InvalidArgument, "inner", 1},
		{424, `{"Message":"model","OriginalStatusCode":500}`, freshet.Unavailable, "500", 1},
		{404, `nope`, freshet.Unavailable, "404: nope", 1},
		{302, ``, freshet.Unavailable, "302", 1},
		{500, strings.Repeat("x", 9000), freshet.Unavailable, "500", 1},
		{503, `busy`, freshet.Unavailable, "busy", 2},
		{429, ``, freshet.Unavailable, "429", 2},
	} {
		var calls atomic.Int32
		m := fake(t, `,"timeout":"20s"`, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", "http://elsewhere.invalid/")
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		})
		_, err := predictOne(t.Context(), m)
		if freshet.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.part) || len(err.Error()) > 1000 || calls.Load() != tt.calls {
			t.Errorf("%d %.40s: got %v after %d calls, expected %s with %q after %d", tt.status, tt.body, err, calls.Load(), tt.code, tt.part, tt.calls)
		}
	}
}

func TestRetrySucceeds(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	m := fake(t, `,"timeout":"20s","retries":2`, func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(503)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			io.WriteString(w, `{"predictions":[7]}`)
		}
	})
	if got, err := predictOne(t.Context(), m); err != nil || got != 7 {
		t.Errorf("got %v %v", got, err)
	}
}

// TestRetryAfter: an endpoint that says when to come again is asked then, or not at all if that is too late.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		says  func() string
		calls int
		took  time.Duration
	}{
		{func() string { return "2" }, 2, 2 * time.Second},
		{func() string { return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat) }, 2, 3 * time.Second},
		{func() string { return "30" }, 1, 0},
		{func() string { return "99999999999999999999" }, 2, time.Millisecond},
		{func() string { return "soon" }, 2, time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, err := openText(t, `{"format":"freshet.endpoint/1","protocol":"mlflow","url":"http://h.invalid","inputs":[{"name":"a"}],"timeout":"20s"}`)
			if err != nil {
				t.Fatal(err)
			}
			calls, start, says := 0, time.Now(), tt.says()
			m.(*model).caller.client.Transport = transport(func(*http.Request) (*http.Response, error) {
				calls++
				return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {says}}, Body: io.NopCloser(strings.NewReader(""))}, nil
			})
			if _, err := predictOne(t.Context(), m); freshet.CodeOf(err) != freshet.Unavailable {
				t.Errorf("%s: %v", says, err)
			}
			if took := time.Since(start); calls != tt.calls || took != tt.took {
				t.Errorf("Retry-After: %s: %d calls in %v; expected %d in %v", says, calls, took, tt.calls, tt.took)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	var calls atomic.Int32
	m := fake(t, `,"timeout":"20ms"`, func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		<-release
	})
	if _, err := predictOne(t.Context(), m); freshet.CodeOf(err) != freshet.DeadlineExceeded || !strings.Contains(err.Error(), "within 20ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := predictOne(ctx, m); err == nil {
		t.Error("an ended context was not seen")
	}
	if n := calls.Load(); n > 1 {
		t.Errorf("%d calls after a timeout, expected one", n)
	}
}

// transport answers without a network, so that time can be made up.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, err := openText(t, `{"format":"freshet.endpoint/1","protocol":"mlflow","url":"http://h.invalid","inputs":[{"name":"a"}],"retries":0}`)
		if err != nil {
			t.Fatal(err)
		}
		calls, status := 0, 500
		m.(*model).caller.client.Transport = transport(func(*http.Request) (*http.Response, error) {
			calls++
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"predictions":[1]}`))}, nil
		})
		call := func(want freshet.Code) {
			t.Helper()
			if _, err := predictOne(t.Context(), m); freshet.CodeOf(err) != want {
				t.Fatalf("got %v, expected code %q", err, want)
			}
		}
		status = 400 // what the remote says about rows is no failure of it
		for range 2 * breakerFailures {
			call(freshet.InvalidArgument)
		}
		calls, status = 0, 500
		for range breakerFailures + 3 {
			call(freshet.Unavailable)
		}
		if calls != breakerFailures {
			t.Errorf("%d calls, expected %d", calls, breakerFailures)
		}
		ctx, cancel := context.WithTimeout(t.Context(), breakerOpen+1)
		defer cancel()
		<-ctx.Done() // the bubble's clock goes on at once
		status = 200
		call("")
		call("")
		if calls != breakerFailures+2 {
			t.Errorf("%d calls, expected %d", calls, breakerFailures+2)
		}
	})
}

func TestMissingSecret(t *testing.T) {
	t.Parallel()
	m := fake(t, `,"token_env":"FRESHET_ENDPOINT_NOT_SET"`, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	if _, err := predictOne(t.Context(), m); freshet.CodeOf(err) != freshet.Unavailable || !strings.Contains(err.Error(), "FRESHET_ENDPOINT_NOT_SET") {
		t.Errorf("got %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	r, registry := New(), prometheus.NewRegistry()
	registry.MustRegister(r)
	answer := `[1]`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
	defer server.Close()
	m, err := r.Open(fstest.MapFS{"m": {Data: fmt.Appendf(nil, `{"format":"freshet.endpoint/1","protocol":"mlflow","url":%q,"inputs":[{"name":"a"}],"timeout":"20s"}`, server.URL)}}, "m")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := predictOne(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	answer = `[1,2,3]`
	if _, err := predictOne(t.Context(), m); freshet.CodeOf(err) != freshet.Internal {
		t.Errorf("an answer that does not fit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.(*model).caller.client.Transport = transport(func(*http.Request) (*http.Response, error) {
		cancel()
		return nil, ctx.Err()
	})
	if _, err := predictOne(ctx, m); err == nil {
		t.Error("an ended context was not seen")
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 2 {
		t.Errorf("%d families, %v", len(families), err)
	}
	for _, outcome := range []string{"ok", "internal", "given_up"} {
		if n := testutil.ToFloat64(r.metrics.requests.WithLabelValues(m.(*model).caller.name, outcome)); n != 1 {
			t.Errorf("%v requests ended %s; expected 1", n, outcome)
		}
	}
}
