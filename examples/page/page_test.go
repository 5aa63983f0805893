package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet/server"
)

// freshet runs a server of the meditation app and gives its address.
func freshet(t *testing.T) string {
	t.Helper()
	s, err := server.New(t.Context(), server.Options{
		Project: "../calm", Data: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	return "http://" + s.Addr()
}

// page serves the page over a server and gives its address.
func page(t *testing.T, server string) string {
	t.Helper()
	handler, err := newHandler(server)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// ask makes a request as the page does: a body is posted as JSON.
func ask(t *testing.T, url, body string) (status int, header http.Header, answer []byte) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, answer
}

func into[T any](t *testing.T, url, body string) (v T) {
	t.Helper()
	status, _, answer := ask(t, url, body)
	if err := json.Unmarshal(answer, &v); err != nil || status > 299 {
		t.Fatalf("%s: %d %s", url, status, answer)
	}
	return v
}

func TestFiles(t *testing.T) {
	t.Parallel()
	url := page(t, "http://127.0.0.1:1")
	for path, want := range map[string][2]string{
		"/":             {"text/html; charset=utf-8", `<script type="module" src="app.js">`},
		"/app.js":       {"text/javascript; charset=utf-8", "/v1/events"},
		"/style.css":    {"text/css; charset=utf-8", "prefers-color-scheme: dark"},
		"/icon.svg":     {"image/svg+xml", "<svg"},
		"/catalog.json": {"application/json", `{"id":"c001","category":"Focus","minutes":5,"title":"Bright Flow"}`},
	} {
		status, header, body := ask(t, url+path, "")
		if status != 200 || header.Get("Content-Type") != want[0] || !bytes.Contains(body, []byte(want[1])) {
			t.Errorf("%s: %d %s", path, status, header.Get("Content-Type"))
		}
		if header.Get("Content-Security-Policy") != "default-src 'self'" {
			t.Errorf("%s may load from anywhere", path)
		}
	}
	for path, want := range map[string]int{"/metrics": 404, "/v1/status": 404, "/main.go": 404, "/v1/users/u1/predictions/today": 502} {
		if status, _, body := ask(t, url+path, ""); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	for _, bad := range []string{"", "127.0.0.1:8787", "http://"} {
		if _, err := newHandler(bad); err == nil {
			t.Errorf("a server at %q", bad)
		}
	}
}

// TestClick asks what the page asks when it is opened and at a click.
func TestClick(t *testing.T) {
	t.Parallel()
	url := page(t, freshet(t))
	type list struct {
		Items []struct {
			ID    string
			Score float64
		}
		Stale bool
	}
	before := into[list](t, url+"/v1/predict/today", `{"entity":{"user_id":"u0001"}}`)
	sent := into[struct{ Position string }](t, url+"/v1/events",
		`{"event_id":"e1","type":"play","user_id":"u0001","content_id":"c001","category":"Focus","seconds":300,"completed":true}`)
	after := "after=" + sent.Position + "&wait=5s"
	now := into[list](t, url+"/v1/users/u0001/predictions/today?"+after, "")
	if len(before.Items) != 10 || len(now.Items) != 10 || now.Stale || before.Items[0] == now.Items[0] {
		t.Errorf("before the click %v, after it %v", before, now)
	}
	type features struct{ Features map[string]any }
	session := into[features](t, url+"/v1/features/session?user_id=u0001&"+after, "").Features
	recent := into[features](t, url+"/v1/features/recent?user_id=u0001&"+after, "").Features
	if session["session_plays"] != 1.0 || session["session_completed"] != 1.0 || recent["share_focus_5"] != 1.0 {
		t.Errorf("features %v and %v", session, recent)
	}
}

// browserModules are the packages that drive a browser.
var browserModules = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("sh", "../../test/clients/node.sh", "browser").Output()
	return string(bytes.TrimSpace(out)), err
})

// TestBrowser clicks through the page in the Chromium that is installed.
func TestBrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs Node and Chromium")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium; install it to have the page clicked through")
	}
	modules, err := browserModules()
	if err != nil {
		t.Skipf("no Node packages to drive a browser (test/clients/node.sh browser installs them): %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "browser.js"), chromium, page(t, freshet(t)))
	cmd.Env = append(cmd.Environ(), "NODE_PATH="+modules)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Errorf("%v\n%s", err, out)
	}
}
