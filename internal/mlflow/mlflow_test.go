package mlflow_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/mlflow"
)

const loggedID = "m-0123456789abcdef0123456789abcdef"

// tracking answers like an MLflow server, from fixed texts: path and query → body.
type tracking map[string]string

func (a tracking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := strings.TrimPrefix(strings.TrimPrefix(r.URL.EscapedPath(), "/api/2.0/mlflow/"), "/api/2.0/mlflow-artifacts/")
	if r.URL.RawQuery != "" {
		asked += "?" + r.URL.RawQuery
	}
	answer, ok := a[asked]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no %s"}`, asked)
		return
	}
	fmt.Fprint(w, answer)
}

func server() tracking {
	return tracking{
		"registered-models/alias?alias=champion&name=ranker":     `{"model_version":{"name":"ranker","version":"7","run_id":"r7"}}`,
		"model-versions/get?name=ranker&version=7":               `{"model_version":{"name":"ranker","version":"7","run_id":"r7"}}`,
		"registered-models/get-latest-versions":                  `{"model_versions":[{"name":"ranker","version":"7","run_id":"r7"},{"name":"ranker","version":"12"}]}`,
		"model-versions/get-download-uri?name=ranker&version=7":  `{"artifact_uri":"models:/` + loggedID + `"}`,
		"model-versions/get-download-uri?name=ranker&version=12": `{"artifact_uri":"s3://bucket/x"}`,
		"logged-models/" + loggedID:                              `{"model":{"info":{"artifact_uri":"mlflow-artifacts:/3/models/m/artifacts","source_run_id":"r7"}}}`,
		"runs/get?run_id=r7":                                     `{"run":{"info":{"artifact_uri":"mlflow-artifacts:/3/r7/artifacts"},"data":{"metrics":[{"key":"auc","value":0.91},{"key":"loss","value":"NaN"},{"key":"n","value":3}]}}}`,
		"artifacts?path=3%2Fmodels%2Fm%2Fartifacts":              `{"files":[{"path":"MLmodel","is_dir":false,"file_size":8},{"path":"data","is_dir":true}]}`,
		"artifacts?path=3%2Fmodels%2Fm%2Fartifacts%2Fdata":       `{"files":[{"path":"model one.txt","is_dir":false}]}`,
		"artifacts/3/models/m/artifacts/MLmodel":                 `flavors:`,
		"artifacts/3/models/m/artifacts/data/model%20one.txt":    `tree`,
		"artifacts?path=3%2Fr7%2Fartifacts%2Fmodel":              `{}`,
		"model-versions/get-download-uri?name=out&version=1":     `{"artifact_uri":"mlflow-artifacts:/3/../../etc"}`,
		"model-versions/get?name=out&version=1":                  `{"model_version":{"name":"out","version":"1"}}`,
		"model-versions/get?name=loop&version=1":                 `{"model_version":{"name":"loop","version":"1"}}`,
		"model-versions/get-download-uri?name=loop&version=1":    `{"artifact_uri":"models:/m-00000000000000000000000000000000"}`,
		"logged-models/m-00000000000000000000000000000000":       `{"model":{"info":{"artifact_uri":"models:/m-00000000000000000000000000000000"}}}`,
		"model-versions/get?name=evil&version=1":                 `{"model_version":{"name":"evil","version":"1"}}`,
		"model-versions/get-download-uri?name=evil&version=1":    `{"artifact_uri":"mlflow-artifacts:/evil"}`,
	}
}

func connect(t *testing.T, h http.Handler) *mlflow.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := mlflow.New(s.URL, mlflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFetch(t *testing.T) {
	t.Parallel()
	c := connect(t, server())
	for uri, source := range map[string]string{
		"models:/ranker@champion": "models:/ranker/7", "models:/ranker/7": "models:/ranker/7", "models:/" + loggedID: "models:/" + loggedID,
	} {
		m, err := c.Resolve(t.Context(), uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if m.Source != source || m.RunID != "r7" || !reflect.DeepEqual(m.Metrics, map[string]float64{"auc": 0.91, "n": 3}) {
			t.Errorf("%s is %+v", uri, m)
		}
		scratch := t.TempDir()
		files, err := c.Fetch(t.Context(), m, scratch)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		for name, want := range map[string]string{"MLmodel": "flavors:", "data/model one.txt": "tree"} {
			if got, err := fs.ReadFile(files, name); err != nil || string(got) != want {
				t.Errorf("%s: %s holds %q, %v", uri, name, got, err)
			}
		}
		if err := files.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	c := connect(t, server())
	for uri, want := range map[string]struct {
		code freshet.Code
		text string
	}{
		"models:/ranker@none":   {freshet.NotFound, "no registered-models/alias"},
		"models:/ranker/8":      {freshet.NotFound, "version=8"},
		"models:/ranker/latest": {freshet.Unsupported, "s3://bucket/x"}, // 12 is newer than 7
		"models:/out/1":         {freshet.InvalidArgument, "leads outside"},
		"models:/loop/1":        {freshet.InvalidArgument, "from one location to the next"},
		"models:/ranker":        {freshet.InvalidArgument, "expected models:/"},
		"models:/":              {freshet.InvalidArgument, "expected models:/"},
		"runs:/r7":              {freshet.InvalidArgument, "expected models:/"},
		"runs:/r8/model":        {freshet.NotFound, "r8"},
		"s3://x":                {freshet.InvalidArgument, "expected models:/"},
	} {
		_, err := c.Resolve(t.Context(), uri)
		if freshet.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v; want %q, %s", uri, err, want.code, want.text)
		}
	}
	m, err := c.Resolve(t.Context(), "runs:/r7/model")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(t.Context(), m, t.TempDir()); freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("a run without files: %v", err)
	}
}

// TestNamesThatLeadOut are listings as a server that lies would write them.
func TestNamesThatLeadOut(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"..", "../x", "/etc/passwd", "a/../../x", `a\b`, "C:x", "a%2e%2e", "a#b", "a?b", ""} {
		s := server()
		s["artifacts?path=evil"] = fmt.Sprintf(`{"files":[{"path":%q,"is_dir":false}]}`, name)
		c := connect(t, s)
		m, err := c.Resolve(t.Context(), "models:/evil/1")
		if err != nil {
			t.Fatal(err)
		}
		scratch := t.TempDir()
		if _, err := c.Fetch(t.Context(), m, scratch); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%q: %v", name, err)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("%q: %v is left, %v", name, left, err)
		}
	}
	s := server()
	s["artifacts?path=evil"] = `{"files":[{"path":"a","is_dir":true}]}`
	for i := range 20 {
		s["artifacts?path=evil"+strings.Repeat("%2Fa", i+1)] = `{"files":[{"path":"a","is_dir":true}]}`
	}
	c := connect(t, s)
	m, err := c.Resolve(t.Context(), "models:/evil/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(t.Context(), m, t.TempDir()); freshet.CodeOf(err) != freshet.TooLarge {
		t.Errorf("folders without end: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	c, err := mlflow.New("http://ada:secret@"+host, mlflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Resolve(t.Context(), "models:/ranker/7")
	if freshet.CodeOf(err) != freshet.Unauthenticated || !strings.Contains(err.Error(), "MLFLOW_TRACKING_USERNAME") || strings.Contains(err.Error(), "secret") {
		t.Errorf("without the right credentials: %v", err)
	}
	if got != "Basic YWRhOnNlY3JldA==" || strings.Contains(c.URI(), "secret") {
		t.Errorf("sent %q for %s", got, c.URI())
	}
	for _, bad := range []string{"mlflow:5000", "file:///x", ""} {
		if _, err := mlflow.New(bad, mlflow.Options{}); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
