package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/reader"
)

func batchOf(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(play(fmt.Sprintf("e%d", i), `"category":"Sleep"`, `"seconds":12.5`, `"completed":true`))
		b.WriteByte('\n')
	}
	return b.String()
}

// TestEventsAllocateLittle counts what one event of a batch costs besides the log: its copies for log and record, its
// strings. A map or an interface per field would show.
func TestEventsAllocateLittle(t *testing.T) {
	r := newRig(t, Options{})
	rel := r.live.Load()
	text := []byte(batchOf(100))
	allocs := alloctest.PerRun(50, func() {
		b := r.api.batches.Get().(*batch)
		if err := b.split(text, formNDJSON, r.api.o); err != nil {
			t.Fatal(err)
		}
		b.decode(rel, r.live.Set(), now, r.api.o.MaxDepth)
		if len(b.entries) != 100 || len(b.rejected) != 0 {
			t.Fatalf("%d entries, %d rejected", len(b.entries), len(b.rejected))
		}
		r.api.returnBatch(b)
	})
	const perEvent = 2
	if allocs > 100*perEvent {
		t.Errorf("%v allocations for 100 events, expected at most %d for each", allocs, perEvent)
	}
	t.Logf("%v allocations for 100 events", allocs)
}

// blackHole is a log that forgets everything at once.
type blackHole struct{}

func (blackHole) Append(_ context.Context, entries []eventlog.Entry) ([]eventlog.Appended, error) {
	out := make([]eventlog.Appended, len(entries))
	places := make([]freshet.Place, len(entries))
	for i := range out {
		places[i] = freshet.Place{Partition: freshet.PartitionOf(entries[i].Entities[0].Key), Offset: 1}
		out[i].Places = places[i : i+1]
	}
	return out, nil
}

// nobody is a client that does not look.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}

func BenchmarkEvents(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			r := newRig(b, Options{})
			r.api.deps.Log = blackHole{}
			handler := r.api.Handler()
			body := batchOf(n)
			header := http.Header{"Content-Type": {"application/x-ndjson"}}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequest("POST", "/v1/events", strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				req.Header = header
				req.Body = io.NopCloser(strings.NewReader(body))
				handler.ServeHTTP(&nobody{http.Header{}}, req)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

func BenchmarkFeatures(b *testing.B) {
	r := newRig(b, Options{})
	handler := r.api.Handler()
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequest("GET", "/v1/features/session?user_id=u1", nil)
		if err != nil {
			b.Fatal(err)
		}
		handler.ServeHTTP(&nobody{http.Header{}}, req)
	}
}

// BenchmarkServe is one event a request over 64 connections, client and server in this process.
func BenchmarkServe(b *testing.B) {
	r := newRig(b, Options{})
	r.api.deps.Log = blackHole{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.api.Serve(ctx, l) }()
	defer func() { cancel(); <-done }()
	body := strings.TrimSpace(batchOf(1))
	request := fmt.Appendf(nil, "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	b.ReportAllocs()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			res, err := http.ReadResponse(in, nil)
			if err != nil || res.StatusCode != http.StatusAccepted {
				b.Error(res, err)
				return
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

const sessionOfOne = `{"features":["session.plays","session.recent","profile.tenure_days"],"entities":[{"user_id":"u1"}]}`

// TestReadingAllocatesLittle counts what one more entity of a batch read costs, and one more feature: nothing may be looked up
// by name again that the request before has asked for.
func TestReadingAllocatesLittle(t *testing.T) {
	r := newRig(t, Options{})
	handler := r.api.Handler()
	allocs := func(body string) float64 {
		return alloctest.PerRun(50, func() { handler.ServeHTTP(&nobody{http.Header{}}, posting(t, body)) })
	}
	one := allocs(sessionOfOne)
	wide := allocs(`{"features":["session.plays"` + strings.Repeat(`,"session.plays"`, 50) + `],"entities":[{"user_id":"u1"}]}`)
	many := allocs(strings.Replace(sessionOfOne, `{"user_id":"u1"}`, `{"user_id":"u1"}`+strings.Repeat(`,{"user_id":"u2"}`, 50), 1))
	t.Logf("%v allocations for one entity, %v for 51 features, %v for 51 entities", one, wide, many)
	if perFeature := (wide - one) / 48; perFeature > 1 {
		t.Errorf("%.1f allocations a feature", perFeature)
	}
	if perEntity := (many - one) / 50; perEntity > 15 {
		t.Errorf("%.1f allocations an entity", perEntity)
	}
}

func posting(t testing.TB, body string) *http.Request {
	req, err := http.NewRequest("POST", "/v1/features", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}}
	return req
}

// BenchmarkBatchRead is POST /v1/features of all 50 features of the bench's app over stored rows, without a network.
func BenchmarkBatchRead(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			r := newRigOf(b, string(benchapp.FeaturesProject()), Options{})
			r.api.deps.Values = reader.New(featurestore.New(r.rows), r.log)
			fillRows(b, r, n)
			var users []string
			for i := range n {
				users = append(users, fmt.Sprintf(`{"user_id":"u%d"}`, i))
			}
			body := fmt.Sprintf(`{"features":["%s"],"entities":[%s]}`, strings.Join(benchapp.AllFeatures(), `","`), strings.Join(users, ","))
			handler := r.api.Handler()
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(&nobody{http.Header{}}, posting(b, body))
			}
		})
	}
}

// fillRows gives users u0 … rows of 25 events.
func fillRows(b *testing.B, r *rig, users int) {
	b.Helper()
	rel := r.live.Load()
	rec := rel.Project().Schema.NewRecord()
	for u := range users {
		key := freshet.Key(fmt.Sprintf("u%d", u))
		p := freshet.PartitionOf(key)
		own, err := r.rows.Acquire(b.Context(), p, nil)
		if err != nil {
			b.Fatal(err)
		}
		at := now.Add(-29 * 24 * time.Hour)
		var rows []freshet.Row
		for _, v := range rel.Project().Views {
			rows = append(rows, freshet.Row{View: v.ID(), Key: key, Offset: 1})
		}
		for i := range 25 {
			for _, text := range []string{`"type":"play","category":"Sleep","seconds":%d,"completed":true`, `"type":"biometric","heart_rate":%d.5,"steps":4`} {
				text = fmt.Sprintf(`{"event_id":"e%d","user_id":%q,"event_time":%d,`+text+`}`, i, key, at, 20+i)
				if err := rel.Project().Schema.Decode([]byte(text), now, rec); err != nil {
					b.Fatal(err)
				}
				for j, v := range rel.Project().Views {
					next, _, err := v.Apply(v.NewScratch(), rows[j].Data, rec, at)
					if err != nil {
						b.Fatal(err)
					}
					rows[j].Data = next
				}
			}
			at += (now - at) / 3
		}
		if err := r.rows.Apply(b.Context(), p, own.Epoch, 1, rows); err != nil {
			b.Fatal(err)
		}
	}
}
