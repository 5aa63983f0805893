package loadgen

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// numbered makes requests whose body is their number.
func numbered(addr string) func(dst []byte, i int) []byte {
	return func(dst []byte, i int) []byte {
		body := strings.Repeat("x", i%7+1)
		return append(AppendHead(dst, "POST", addr, "/", "text/plain", "", len(body)), body...)
	}
}

func TestClosedCountsEveryAnswer(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	echo := Echo()
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		echo.ServeHTTP(w, r)
	}))
	var told atomic.Int64
	var done atomic.Int64
	r, err := Closed(t.Context(), Load{
		Addr: addr, Connections: 4, Request: numbered(addr),
		Answered: func(i int, _ time.Time, r Response) {
			if len(r.Body) != i%7+1 {
				t.Errorf("request %d: the echo has %d bytes", i, len(r.Body))
			}
			told.Add(1)
		},
	}, 100, 100*time.Millisecond, &done)
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors != 0 || r.Sent == 0 || int64(r.Sent) != served.Load() || told.Load() != served.Load() ||
		done.Load() != served.Load() || r.OK() != r.Sent || r.Statuses[200] != r.Sent {
		t.Errorf("served %d, told %d, done %d: %+v", served.Load(), told.Load(), done.Load(), r)
	}
}

func TestOpenSendsEveryRequestOnce(t *testing.T) {
	t.Parallel()
	addr := serve(t, Echo())
	var mu sync.Mutex
	seen := make(map[int]time.Time)
	r, err := Open(t.Context(), Load{
		Addr: addr, Connections: 3, Request: numbered(addr),
		Answered: func(i int, due time.Time, _ Response) {
			mu.Lock()
			defer mu.Unlock()
			seen[i] = due
		},
	}, 10, 500, 200*time.Millisecond, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 100 || r.OK() != 100 || len(seen) != 100 {
		t.Fatalf("sent %d, ok %d, seen %d: expected 100", r.Sent, r.OK(), len(seen))
	}
	for i := 11; i < 110; i++ {
		if gap := seen[i].Sub(seen[i-1]); gap < 1999*time.Microsecond || gap > 2001*time.Microsecond {
			t.Errorf("request %d was due %s after the one before: expected 2ms", i, gap)
		}
	}
}

// A server that stalls once must be seen in all requests that were due meanwhile, not in one.
func TestOpenSeesAStallInEveryRequestThatWasDue(t *testing.T) {
	t.Parallel()
	const stall = 200 * time.Millisecond
	var gate sync.Mutex
	var count atomic.Int64
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		gate.Lock()
		defer gate.Unlock()
		if count.Add(1) == 20 {
			time.Sleep(stall)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	r, err := Open(t.Context(), Load{Addr: addr, Connections: 2, Request: numbered(addr)}, 0, 200, 500*time.Millisecond, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.OK() != 100 {
		t.Fatalf("ok %d: expected 100", r.OK())
	}
	// 40 requests were due within the stall, the least delayed of them by almost nothing: the upper quarter waited long.
	if p := r.Latency.Quantile(0.75); p < stall/10 {
		t.Errorf("p75 is %s: the requests that were due while the server stalled are missing", p)
	}
}

func TestFailuresAreCountedAndSurvived(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	addr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch count.Add(1) % 4 {
		case 1:
			panic(http.ErrAbortHandler) // the connection is cut
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			w.Header().Set("Connection", "close")
		}
	}))
	r, err := Open(t.Context(), Load{Addr: addr, Connections: 2, Request: numbered(addr)}, 0, 1000, 40*time.Millisecond, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 40 || r.Errors == 0 || r.Err == nil || r.Statuses[429] == 0 || r.OK() == 0 ||
		r.Errors+r.Statuses[429]+r.OK() != 40 {
		t.Errorf("%+v", r)
	}
}

func TestContextEndsALoad(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	addr := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	for name, load := range map[string]func() (Result, error){
		"closed": func() (Result, error) {
			return Closed(ctx, Load{Addr: addr, Connections: 2, Request: numbered(addr)}, 0, time.Minute, nil)
		},
		"open": func() (Result, error) {
			return Open(ctx, Load{Addr: addr, Connections: 2, Request: numbered(addr)}, 0, 100, time.Minute, nil)
		},
	} {
		r, err := load()
		if err == nil && r.Elapsed > 30*time.Second {
			t.Errorf("%s went on for %s", name, r.Elapsed)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	addr := strings.TrimPrefix(s.URL, "http://")
	s.Close()
	if _, err := Closed(t.Context(), Load{Addr: addr, Connections: 1, Request: numbered(addr)}, 0, time.Second, nil); err == nil {
		t.Error("expected an error")
	}
	if _, err := Open(t.Context(), Load{Addr: addr, Connections: 1, Request: numbered(addr)}, 0, 1, time.Second, nil); err == nil {
		t.Error("expected an error")
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	addr := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		got <- r
	}))
	c, err := Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		request := AppendHead(nil, "GET", addr, "/a?b=c", "", "Authorization: Bearer k\r\n", 0)
		if _, err := c.Do(request, time.Now().Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		r := <-got
		if r.Method != "GET" || r.URL.String() != "/a?b=c" || r.Host != addr || r.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("%+v", r)
		}
	}
}
