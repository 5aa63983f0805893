// Package crash_test kills the real binary. It proves promise P1, durable once, from outside: whatever moment a process is
// killed at, no acknowledged event is lost, none counts twice, every job ends, and deployments go on.
//
// A killed process loses nothing that it has written, synced or not; what happens when the machine dies is shown by the
// tests of package server on a file system that forgets.
package crash_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

const (
	kills       = 10
	connections = 16
	users       = 150
	perRound    = 2500
)

func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it ten times")
	}
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	project, data := writeProject(t), filepath.Join(t.TempDir(), "data")
	s := newSender(rng, freshet.TimestampOf(time.Now()))
	for round := range kills {
		s.invent(perRound)
		if round%3 == 2 {
			startAndKillAtOnce(t, project, data, rng)
		}
		p := start(t, project, data)
		t.Logf("round %d: ready %s after the start, %d events acknowledged, %d not", round, p.ready.Round(time.Millisecond), len(s.acked), len(s.pending)-perRound)
		s.repeat(t, p.Client, 200)
		// Most kills hit the server among its requests, some while it still makes predictions of them.
		reached, delay := s.acknowledges(rng.IntN(perRound)), rng.Int64N(int64(5*time.Millisecond))
		if round%4 == 3 {
			reached, delay = s.acknowledges(perRound), rng.Int64N(int64(200*time.Millisecond))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var sending sync.WaitGroup
		sending.Go(func() { s.send(ctx, p.Client) })
		sending.Go(func() {
			<-reached
			time.Sleep(time.Duration(delay)) // the moment of the kill
			p.Kill(t)
			cancel()
		})
		sending.Wait()
	}
	p := start(t, project, data)
	s.send(t.Context(), p.Client)
	if len(s.pending) > 0 {
		t.Fatalf("%d events were not acknowledged by a server that lives: %v", len(s.pending), s.failure)
	}
	s.repeat(t, p.Client, 2000)
	p.awaitIdle(t)
	predictions := checkUsers(t, p.Client, s)
	p.Kill(t)
	checkLog(t, data, s, predictions)
	t.Logf("%d events in all, %d were sent again because no answer had come, %d of these had been kept", len(s.acked), s.resent, s.known)
}

// startAndKillAtOnce kills the server while it starts: also recovery may be interrupted.
func startAndKillAtOnce(t *testing.T, project, data string, rng *rand.Rand) {
	t.Helper()
	p := launch(t, project, data)
	time.Sleep(time.Duration(rng.Int64N(int64(150 * time.Millisecond)))) // the moment of the kill
	p.Kill(t)
}

// sender invents events and remembers what the server has said about them.
type sender struct {
	rng  *rand.Rand
	now  freshet.Timestamp // no event is later
	next int               // number of the next event

	mu      sync.Mutex // guards what the connections share
	pending []event    // not acknowledged
	unsure  map[string]bool
	acked   []event
	resent  int
	known   int // of them: the server had them
	failure error
	awaited int           // a number of acknowledged events
	reached chan struct{} // closed when there are so many
}

// event is one payment.
type event struct {
	id     string
	user   int
	at     freshet.Timestamp
	amount float64
	cents  int
}

func newSender(rng *rand.Rand, now freshet.Timestamp) *sender {
	return &sender{rng: rng, now: now, unsure: map[string]bool{}}
}

// invent adds n events of the last day, in no order.
func (s *sender) invent(n int) {
	for range n {
		s.next++
		s.pending = append(s.pending, event{
			id: fmt.Sprintf("e%06d", s.next), user: s.rng.IntN(users), at: s.now - freshet.Timestamp(s.rng.IntN(24*3600*1000)),
			amount: float64(s.rng.IntN(1_000_000)) / 1000, cents: s.rng.IntN(10_000),
		})
	}
	s.rng.Shuffle(len(s.pending), func(i, j int) { s.pending[i], s.pending[j] = s.pending[j], s.pending[i] })
}

// send sends what is pending over many connections, until all is acknowledged or the server is gone.
func (s *sender) send(ctx context.Context, c *client.Client) {
	batches := make(chan []event, len(s.pending)) // more than there are batches
	for rest := s.pending; len(rest) > 0; {
		n := min(len(rest), 1+s.rng.IntN(20))
		batches <- slices.Clone(rest[:n])
		rest = rest[n:]
	}
	close(batches)
	s.pending = nil
	var connected sync.WaitGroup
	for range connections {
		connected.Go(func() {
			for batch := range batches {
				result, err := post(ctx, c, batch)
				s.settle(batch, result, err)
			}
		})
	}
	connected.Wait()
}

// acknowledges gives a channel that is closed when n more events are acknowledged.
func (s *sender) acknowledges(n int) <-chan struct{} {
	s.awaited, s.reached = len(s.acked)+n, make(chan struct{})
	return s.reached
}

// settle notes what became of a batch.
func (s *sender) settle(batch []event, result client.EventsResult, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && result.Accepted+result.Duplicates != len(batch) {
		err = fmt.Errorf("of %d events %d were accepted and %d known: %v", len(batch), result.Accepted, result.Duplicates, result.Rejected)
	}
	if err == nil {
		for _, e := range batch {
			if s.unsure[e.id] {
				s.resent++
			}
		}
		s.known += result.Duplicates
		s.acked = append(s.acked, batch...)
		if s.reached != nil && len(s.acked) >= s.awaited {
			close(s.reached)
			s.reached = nil
		}
		return
	}
	s.failure = err
	for _, e := range batch {
		s.unsure[e.id] = true // it may have been kept all the same
	}
	s.pending = append(s.pending, batch...)
}

// repeat sends n acknowledged events again: the server must know all of them.
func (s *sender) repeat(t *testing.T, c *client.Client, n int) {
	t.Helper()
	s.rng.Shuffle(len(s.acked), func(i, j int) { s.acked[i], s.acked[j] = s.acked[j], s.acked[i] })
	for batch := range slices.Chunk(s.acked[:min(n, len(s.acked))], 100) {
		result, err := post(t.Context(), c, batch)
		if err != nil || result.Duplicates != len(batch) {
			t.Fatalf("of %d acknowledged events the server knows %d: %v", len(batch), result.Duplicates, err)
		}
	}
}

func post(ctx context.Context, c *client.Client, batch []event) (client.EventsResult, error) {
	var body bytes.Buffer
	for _, e := range batch {
		fmt.Fprintf(&body, `{"event_id":%q,"type":"pay","user_id":"u%d","event_time":%d,"ref":%q,"amount":%v,"cents":%d}`+"\n", e.id, e.user, int64(e.at), e.id, e.amount, e.cents)
	}
	return c.SendEvents(ctx, client.NDJSON, body.Bytes())
}
