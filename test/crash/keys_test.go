package crash_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// manyProject is the project of the other tests with a view of several windows, and a prediction for one event in a hundred.
var manyProject = strings.NewReplacer(
	"models:", "  wide: { entity: user, from: pay, window: [sliding 1h, sliding 24h, sliding 7d], features: { w: count(), wc: sum(cents) } }\nmodels:",
	"from: pay, entity: user, model", "from: pay, where: cents >= 9900, entity: user, model",
).Replace(projectFile)

// manyKeys is how many users there are in TestKillWithManyKeys. FRESHET_CRASH_KEYS says another number; 1000000 takes minutes.
func manyKeys(t *testing.T) int {
	t.Helper()
	text := os.Getenv("FRESHET_CRASH_KEYS")
	if text == "" {
		return 5_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1000 {
		t.Fatalf("FRESHET_CRASH_KEYS %q: expected a number of at least 1000", text)
	}
	return n
}

// many are two events for each of many users, each known by its number: the first of all users, then the second of all.
type many struct {
	seed  uint64
	keys  int
	now   freshet.Timestamp // no event is later
	acked []atomic.Bool     // by batch
}

const manyBatch = 500

func (m *many) event(n int) event {
	rng := rand.New(rand.NewPCG(m.seed, uint64(n)))
	user := n
	if n >= m.keys {
		user = 2*m.keys - 1 - n
	}
	return event{
		id: fmt.Sprintf("k%08d", n), user: user, at: m.now - freshet.Timestamp(rng.IntN(24*3600*1000)),
		amount: float64(rng.IntN(1_000_000)) / 1000, cents: rng.IntN(10_000),
	}
}

func (m *many) batch(b int) (events []event) {
	for n := b * manyBatch; n < min((b+1)*manyBatch, 2*m.keys); n++ {
		events = append(events, m.event(n))
	}
	return events
}

// send sends the batches from one to another that are not acknowledged, over some connections, until a request fails.
func (m *many) send(ctx context.Context, c *client.Client, from, to int) error {
	var next atomic.Int64
	next.Store(int64(from))
	var connected sync.WaitGroup
	failures := make(chan error, 8)
	for range cap(failures) {
		connected.Go(func() {
			for b := int(next.Add(1)) - 1; b < to; b = int(next.Add(1)) - 1 {
				if m.acked[b].Load() {
					continue
				}
				batch := m.batch(b)
				result, err := post(ctx, c, batch)
				if err == nil && result.Accepted+result.Duplicates != len(batch) {
					err = fmt.Errorf("%+v of %d events", result, len(batch))
				}
				if err != nil {
					failures <- err
					return
				}
				m.acked[b].Store(true)
			}
		})
	}
	connected.Wait()
	close(failures)
	return <-failures
}

// TestKillWithManyKeys kills the server while it takes the second event of each of many users, and again when it has all:
// it is soon ready, what was acknowledged is in the log once, and features are exact.
func TestKillWithManyKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	t.Parallel()
	m := &many{seed: uint64(time.Now().UnixNano()), keys: manyKeys(t), now: freshet.TimestampOf(time.Now())}
	t.Logf("seed %d, %d keys", m.seed, m.keys)
	batches := (2*m.keys + manyBatch - 1) / manyBatch
	m.acked = make([]atomic.Bool, batches)
	project, data := writeProject(t), filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(filepath.Join(project, "freshet.yaml"), []byte(manyProject), 0o600); err != nil {
		t.Fatal(err)
	}

	p := start(t, project, data)
	if err := m.send(t.Context(), p.Client, 0, batches/2); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := m.send(ctx, p.Client, batches/2, batches); err == nil {
			t.Log("all was sent before the kill: this machine is fast; with more keys (FRESHET_CRASH_KEYS) it comes in between")
		}
	})
	for !m.acked[batches/2+1].Load() { // until the second round is on its way
		time.Sleep(time.Millisecond)
	}
	p.Kill(t)
	cancel()
	sending.Wait()

	p = start(t, project, data)
	t.Logf("killed under load: ready %s after the start", p.ready.Round(time.Millisecond))
	m.expectKnown(t, p.Client)
	if err := m.send(t.Context(), p.Client, 0, batches); err != nil {
		t.Fatal(err)
	}
	p.Kill(t)
	p = start(t, project, data)
	t.Logf("killed with all keys: ready %s after the start", p.ready.Round(time.Millisecond))
	p.awaitIdle(t)
	m.expectFeatures(t, p.Client)
	p.Kill(t)
	m.expectLog(t, data)
}

// expectKnown sends some acknowledged batches again: the server must know all events of them.
func (m *many) expectKnown(t *testing.T, c *client.Client) {
	t.Helper()
	rng := rand.New(rand.NewPCG(m.seed, 1))
	for range 40 {
		b := rng.IntN(len(m.acked))
		if !m.acked[b].Load() {
			continue
		}
		batch := m.batch(b)
		if result, err := post(t.Context(), c, batch); err != nil || result.Duplicates != len(batch) {
			t.Fatalf("of %d acknowledged events the server knows %d: %v", len(batch), result.Duplicates, err)
		}
	}
}

// expectFeatures compares users drawn at random with brute force.
func (m *many) expectFeatures(t *testing.T, c *client.Client) {
	t.Helper()
	rng := rand.New(rand.NewPCG(m.seed, 2))
	for range 1000 {
		user := rng.IntN(m.keys)
		events := []event{m.event(user), m.event(2*m.keys - 1 - user)}
		all := expected(events, m.now)
		all["wide"] = wide(events, m.now)
		for view, want := range all {
			got, err := c.GetFeatures(t.Context(), view, map[string]string{"user_id": fmt.Sprint("u", user)}, &client.FeatureOptions{At: m.now.Time()})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Features, want) {
				t.Fatalf("%s of u%d is %v, its events give %v", view, user, got.Features, want)
			}
		}
	}
}

// wide are the features of the view of that name. All events are of the last 24 hours.
func wide(events []event, now freshet.Timestamp) map[string]any {
	const fiveMinutes = 5 * 60 * 1000
	hour := (now - 3600*1000) / fiveMinutes * fiveMinutes
	n, cents, nHour, centsHour := 0.0, 0.0, 0.0, 0.0
	for _, e := range events {
		n++
		cents += float64(e.cents)
		if e.at >= hour {
			nHour++
			centsHour += float64(e.cents)
		}
	}
	return map[string]any{"w_1h": nHour, "wc_1h": centsHour, "w_24h": n, "wc_24h": cents, "w_7d": n, "wc_7d": cents}
}

// expectLog reads the log that the killed server has left: it holds every event once.
func (m *many) expectLog(t *testing.T, data string) {
	t.Helper()
	db, err := disk.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := disklog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := eventlog.New(d)
	defer func() {
		if err := cmp.Or(l.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}()
	seen := make([]bool, 2*m.keys)
	count := 0
	for p := range freshet.Partition(freshet.Partitions) {
		for r, err := range l.Scan(t.Context(), p, eventlog.Scan{From: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(strings.TrimPrefix(string(r.Event.ID), "k"))
			if err != nil || n < 0 || n >= len(seen) || seen[n] {
				t.Fatalf("event %q is not one of ours, or twice in the log", r.Event.ID)
			}
			seen[n] = true
			count++
		}
	}
	if count != len(seen) {
		t.Errorf("the log holds %d events of %d", count, len(seen))
	}
}
