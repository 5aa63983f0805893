package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/freshet-ml/freshet"
)

// served is a rig that listens.
type served struct {
	*rig
	address string
	stop    context.CancelFunc
	done    chan error
}

func serve(t *testing.T, o Options) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{rig: newRig(t, o), address: l.Addr().String(), stop: cancel, done: make(chan error, 1)}
	go func() { s.done <- s.api.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// raw sends bytes on a connection of its own and returns the first answer; what follows the text is given by more.
func (s *served) raw(text string, more func(io.Writer)) *http.Response {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	if more != nil {
		go more(c)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.t.Fatalf("no answer: %v", err)
	}
	s.t.Cleanup(func() { res.Body.Close() })
	return res
}

// hangsUp sends a text and waits for the server to close the connection.
func (s *served) hangsUp(text string) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		s.t.Errorf("%.30s: %v, expected the server to hang up", text, err)
	}
}

func problemOf(t *testing.T, res *http.Response) wireProblem {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, body}.problem(t)
}

func TestHugeBodiesAreRefusedUnread(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{MaxBody: 1 << 20})
	res := s.raw("POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n", nil)
	if p := problemOf(t, res); res.StatusCode != 413 || p.Code != freshet.TooLarge || !res.Close || !strings.Contains(p.Detail, "1048576") {
		t.Errorf("an announced gigabyte: %d %+v, close %v", res.StatusCode, p, res.Close)
	}
	res = s.raw("POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", func(w io.Writer) {
		chunk := fmt.Appendf(nil, "10000\r\n%s\r\n", bytes.Repeat([]byte(" "), 65536))
		for range 1024 {
			if _, err := w.Write(chunk); err != nil {
				return // refused, as it should be
			}
		}
	})
	if p := problemOf(t, res); res.StatusCode != 413 || !res.Close {
		t.Errorf("64 MB in chunks: %d %+v", res.StatusCode, p)
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{HeaderTimeout: 200 * time.Millisecond, BodyTimeout: 300 * time.Millisecond})
	res := s.raw("POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", nil)
	if p := problemOf(t, res); res.StatusCode != 408 || p.Code != freshet.InvalidArgument || !res.Close {
		t.Errorf("a body that does not come: %d %+v", res.StatusCode, p)
	}
	// A body that nobody reads does not keep its connection either.
	for _, request := range []string{"POST /nowhere", "DELETE /v1/events", "GET /healthz"} {
		s.hangsUp(request + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	}
	s.hangsUp("POST /v1/events HTTP/1.1\r\nHost:")
	// A wait is not a slow body, and a slow body does not shorten the next request on its connection.
	client := &http.Client{}
	for range 2 {
		slow, w := io.Pipe()
		go func() {
			for _, part := range strings.SplitAfter(play("e1"), ",") {
				time.Sleep(20 * time.Millisecond)
				io.WriteString(w, part)
			}
			w.Close()
		}()
		posted, err := client.Post("http://"+s.address+"/v1/events", "application/json", slow)
		if err != nil || posted.StatusCode != 202 {
			t.Fatalf("a slow body in time: %v %v", posted, err)
		}
		got, err := io.ReadAll(posted.Body)
		posted.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var sent wireEvents
		if err := json.Unmarshal(got, &sent); err != nil {
			t.Fatal(err)
		}
		waited, err := client.Get("http://" + s.address + "/v1/features/session?user_id=u1&wait=400ms&after=" + sent.Position)
		if err != nil || waited.StatusCode != 200 {
			t.Fatalf("a wait longer than a body may take: %v %v", waited, err)
		}
		waited.Body.Close()
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	res := s.raw("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("x", 80<<10)+"\r\n\r\n", nil)
	if res.StatusCode != 431 {
		t.Errorf("got %d, expected 431", res.StatusCode)
	}
	res = s.raw("GET /"+strings.Repeat("x", 20<<10)+" HTTP/1.1\r\nHost: x\r\n\r\n", nil)
	if p := problemOf(t, res); res.StatusCode != 414 {
		t.Errorf("got %d %+v, expected 414", res.StatusCode, p)
	}
}

func TestHTTP2InClear(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{MaxBody: 1000})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, test := range []struct {
		body   string
		status int
	}{{play("e1"), 202}, {strings.Repeat(" ", 1001), 413}, {play("e2"), 202}} {
		res, err := client.Post("http://"+s.address+"/v1/events", "application/json", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.ProtoMajor != 2 || res.StatusCode != test.status || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %d, expected HTTP/2 and %d", res.Proto, res.StatusCode, test.status)
		}
	}
}

// watchedRows tells when somebody waits.
type watchedRows struct {
	Rows
	waits chan struct{}
}

func (w *watchedRows) Wait(ctx context.Context, p freshet.Partition, o freshet.Offset) error {
	w.waits <- struct{}{}
	return w.Rows.Wait(ctx, p, o)
}

func TestServeDrains(t *testing.T) {
	t.Parallel()
	s := serve(t, Options{})
	rows := &watchedRows{Rows: s.api.deps.Rows, waits: make(chan struct{}, 1)}
	s.api.deps.Rows = rows
	position := s.post("/v1/events", play("e1")).events(t).Position
	answered := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + s.address + "/v1/features/session?user_id=u1&wait=30s&after=" + position)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		answered <- fmt.Sprint(res.StatusCode, string(body), err)
	}()
	<-rows.waits
	s.stop()
	if got := <-answered; !strings.HasPrefix(got, "200") || !strings.Contains(got, `"stale":true`) {
		t.Errorf("a wait at shutdown: %s, expected it to be answered as stale", got)
	}
	if a := s.get("/readyz"); a.status != 503 {
		t.Errorf("ready while going down: %s", a.body)
	}
	if _, err := http.Get("http://" + s.address + "/healthz"); err == nil {
		t.Error("a request after shutdown was answered")
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newRig(t, Options{}).api.Serve(context.Background(), l); freshet.CodeOf(err) != freshet.Unavailable {
		t.Errorf("got %v, expected Unavailable", err)
	}
}

func gzipped(b []byte) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.String()
}

func zstdCompressed(t testing.TB, b []byte) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll(b, nil))
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{MaxUnpacked: 4 << 20})
	bomb := bytes.Repeat([]byte(" "), 64<<20)
	for round := range 2 { // the second round uses the readers of the first
		for _, test := range []struct {
			name, encoding, body string
			status               int
			words                string
		}{
			{"gzip", "gzip", gzipped([]byte(play("e1"))), 202, ""},
			{"two members", "gzip", gzipped([]byte("["+play("e1"))) + gzipped([]byte("]")), 202, ""},
			{"zstd", "zstd", zstdCompressed(t, []byte(play("e1"))), 202, ""},
			{"identity", "identity", play("e1"), 202, ""},
			{"gzip bomb", "gzip", gzipped(bomb), 413, "4194304"},
			{"zstd bomb", "zstd", zstdCompressed(t, bomb), 413, "4194304"},
			{"no gzip", "gzip", play("e1"), 400, "unpacked"},
			{"no zstd", "zstd", play("e1"), 400, "unpacked"},
			{"cut gzip", "gzip", gzipped([]byte(play("e1")))[:40], 400, "unpacked"},
			{"cut zstd", "zstd", zstdCompressed(t, []byte(strings.Repeat(play("e1"), 20)))[:40], 400, "unpacked"},
			{"nothing", "gzip", "", 400, "unpacked"},
			{"brotli", "br", play("e1"), 415, "gzip, zstd"},
			{"twice", "gzip, gzip", play("e1"), 415, "gzip, zstd"},
		} {
			a := r.post("/v1/events", test.body, "Content-Encoding", test.encoding)
			if a.status != test.status || !strings.Contains(string(a.body), test.words) {
				t.Errorf("round %d, %s: got %d %s, expected %d with %q", round, test.name, a.status, a.body, test.status, test.words)
			}
		}
	}
}

func TestLargeBodiesShareABound(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.api.inflight.Store(r.api.o.MaxInflight) // as if others were on their way
	large := "[" + play("e1", `"x":"`+strings.Repeat("x", 200<<10)+`"`) + "]"
	if a := r.post("/v1/events", large); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d %.300s, expected 429", a.status, a.body)
	}
	r.post("/v1/events", play("e1")).events(t)
	r.api.inflight.Store(0)
	r.post("/v1/events", large).events(t)
	if left := r.api.inflight.Load(); left != 0 {
		t.Errorf("%d bytes are still counted", left)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	if err := (Options{}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (Options{MaxBody: -1}).Validate(); freshet.FieldOf(err) != "max_body" {
		t.Errorf("got %v", err)
	}
}
