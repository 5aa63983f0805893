package delivery

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/quiethours"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/memoutbox"
	"github.com/freshet-ml/freshet/push"
)

// A provider is down for ten minutes: its messages wait, with few calls, and go out afterwards; another provider's are not hindered.
func TestProviderDown(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	down.Store(true)
	p := &fake{channel: push.APNs, answer: func(push.Message) push.Result {
		if down.Load() {
			return push.Failed("connection refused")
		}
		return push.Result{Outcome: push.Sent}
	}}
	other := &fake{channel: push.FCM}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		b.device("f", push.FCM)
		var waiting []freshet.JobID
		for i := range 50 {
			waiting = append(waiting, b.add(i, nil))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(p.calls()); n > 200 {
			t.Errorf("%d calls of a provider that is down", n)
		}
		b.want(b.add(100, func(m *outbox.Message) { m.Policy.Channels = []push.Channel{push.FCM} }), outbox.Sent, "")
		down.Store(false)
		time.Sleep(4*time.Minute + 50*time.Second)
		synctest.Wait()
		sent := 0
		for _, id := range waiting {
			if m, err := b.box.Message(t.Context(), id); err == nil && m.State == outbox.Sent {
				sent++
			}
		}
		if sent != len(waiting) {
			t.Errorf("%d of %d went out when it was there again", sent, len(waiting))
		}
	}, p, other)
}

// TestStaleLook: what was due when the dispatcher looked, and has ended or was put off by a worker meanwhile, is left alone: a message that is forgotten too
// early would be made once more by its cause.
func TestStaleLook(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs, answer: func(m push.Message) push.Result {
		if m.Title == "title 2" {
			return push.Result{Outcome: push.Retry, Reason: "TooManyRequests", After: time.Minute}
		}
		return push.Result{Outcome: push.Sent}
	}}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		sent, later := b.add(1, nil), b.add(2, nil)
		b.want(sent, outbox.Sent, "")
		b.want(later, outbox.Waiting, "TooManyRequests")
		for _, id := range []freshet.JobID{sent, later} {
			if err := b.first(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		b.want(sent, outbox.Sent, "")
		b.want(later, outbox.Waiting, "TooManyRequests")
		if n := len(p.calls()); n != 2 {
			t.Errorf("%d calls", n)
		}
	}, p)
}

// TestHeldShortly: a message that is held for less than the dispatcher's longest sleep goes out when it may.
func TestHeldShortly(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		b.settings.Quiet, _ = quiethours.Parse("22:00-06:00")
		time.Sleep(5*time.Hour + 59*time.Minute + 30*time.Second)
		id := b.add(1, nil)
		b.want(id, outbox.Held, reasonQuiet)
		time.Sleep(30 * time.Second)
		b.want(id, outbox.Sent, "")
	}, p)
}

// writes counts what is written to an outbox.
type writes struct {
	outbox.Driver
	n atomic.Int64
}

func (w *writes) Write(ctx context.Context, changes []outbox.Change, durable bool) error {
	w.n.Add(1)
	return w.Driver.Write(ctx, changes, durable)
}

// TestCrowd: a crowd before a provider that is down is not decided about all the time, which would keep others from their messages; it goes out when the provider is
// there again, and ends when its time is over.
func TestCrowd(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	down.Store(true)
	p := &fake{channel: push.APNs, answer: func(push.Message) push.Result {
		if down.Load() {
			return push.Failed("connection refused")
		}
		return push.Result{Outcome: push.Sent}
	}}
	synctest.Test(t, func(t *testing.T) {
		disk := &writes{Driver: memoutbox.New()}
		box, err := outbox.New(t.Context(), disk, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, box: box, options: Options{Line: 8, Lanes: 2, Each: 800 * time.Millisecond}}
		b.start(p)
		b.device("d", push.APNs)
		const crowd = 120
		for i := range crowd {
			b.add(i, func(m *outbox.Message) {
				if m.ExpiresAt = m.CreatedAt.Add(time.Hour); i < 30 {
					m.ExpiresAt = m.CreatedAt.Add(10 * time.Minute)
				}
			})
		}
		time.Sleep(time.Minute) // each was decided about
		before := disk.n.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := disk.n.Load() - before; n > 12*crowd { // each waits 50 to 100 s
			t.Errorf("%d writes in 10 minutes", n)
		}
		if n := box.Waiting(); n != crowd-30 {
			t.Errorf("%d wait, some of them past their time", n)
		}
		down.Store(false)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := box.Waiting(); n != 0 {
			t.Errorf("%d wait although the provider is there again", n)
		}
		b.stop()
	})
}

// changing are the senders of a live release that changes.
type changing struct{ atomic.Pointer[fake] }

func (c *changing) Of(freshet.ReleaseID) map[push.Channel]push.Sender { return Fixed{c.Load()}.Of("") }
func (c *changing) Open() []push.Sender                               { return Fixed{c.Load()} }

// TestSendersChange: a message that waits goes by the sender of the release that is live then, and the lane of a sender that no release has any more is ended.
func TestSendersChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box, err := outbox.New(t.Context(), memoutbox.New(), nil)
		if err != nil {
			t.Fatal(err)
		}
		// Without its secret a sender says so, however often it is asked.
		before := &fake{channel: push.APNs, answer: func(push.Message) push.Result { return push.Result{Outcome: push.Unauthorized, Reason: "no key"} }}
		after := &fake{channel: push.APNs}
		senders := &changing{}
		senders.Store(before)
		b := &bench{t: t, box: box}
		b.Deliverer = New(Deps{Outbox: box, Senders: senders, Hub: presence.NewHub(), Metrics: NewMetrics(prometheus.NewRegistry()), Settings: func() Settings { return b.settings }},
			Options{Logger: slog.New(slog.DiscardHandler), Attempts: 2})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		b.device("d", push.APNs)
		id := b.add(1, nil)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if m, err := box.Message(t.Context(), id); err != nil || m.State != outbox.Waiting || m.Reason != "no key" || len(before.calls()) < 5 || m.Reserved != 0 {
			t.Fatalf("it does not wait: %+v, %v, after %d calls", m, err, len(before.calls()))
		}
		senders.Store(after)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if m, err := box.Message(t.Context(), id); err != nil || m.State != outbox.Sent || m.Attempts != 1 || len(after.calls()) != 1 {
			t.Errorf("%+v, %v", m, err)
		}
		if len(b.lanes) != 1 || b.lanes[after] == nil {
			t.Errorf("lanes %v", b.lanes)
		}
		cancel()
		<-ended
	})
}
