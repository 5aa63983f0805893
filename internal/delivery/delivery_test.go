package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
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

// fake is a provider that answers as the test says.
type fake struct {
	channel push.Channel
	answer  func(m push.Message) push.Result

	mu   sync.Mutex
	sent []push.Message
}

func (f *fake) Channel() push.Channel   { return f.channel }
func (f *fake) CheckToken(string) error { return nil }
func (f *fake) Send(_ context.Context, m push.Message) push.Result {
	f.mu.Lock()
	f.sent = append(f.sent, m)
	f.mu.Unlock()
	if f.answer == nil {
		return push.Result{Outcome: push.Sent}
	}
	return f.answer(m)
}

func (f *fake) calls() []push.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]push.Message(nil), f.sent...)
}

// bench is a Deliverer over memory, inside a bubble of fake time.
type bench struct {
	*Deliverer
	t        *testing.T
	box      *outbox.Outbox
	settings Settings
	options  Options
	stop     func()
}

// inBubble runs f in fake time with a Deliverer that works by the given providers. The time of bubbles begins at midnight UTC, 2000-01-01.
func inBubble(t *testing.T, f func(b *bench), providers ...push.Sender) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		box, err := outbox.New(t.Context(), memoutbox.New(), nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, box: box}
		b.start(providers...)
		f(b)
		b.stop()
	})
}

// start starts a Deliverer, as after a crash of the last: nothing but the outbox is left of it.
func (b *bench) start(providers ...push.Sender) {
	b.options.Logger = slog.New(slog.DiscardHandler)
	b.Deliverer = New(Deps{Outbox: b.box, Senders: Fixed(providers), Hub: presence.NewHub(), Metrics: NewMetrics(prometheus.NewRegistry()),
		Settings: func() Settings { return b.settings }}, b.options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.Run(ctx); err != nil {
			b.t.Error(err)
		}
	}()
	b.stop = func() { cancel(); <-ended }
}

func (b *bench) device(id string, c push.Channel) {
	b.t.Helper()
	if err := b.box.PutDevice(b.t.Context(), "u1", outbox.Device{ID: id, Channel: c, Token: "token-" + id, RegisteredAt: freshet.TimestampOf(time.Now())}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) add(n int, change func(*outbox.Message)) freshet.JobID {
	b.t.Helper()
	now := freshet.TimestampOf(time.Now())
	m := outbox.Message{ID: freshet.MakeJobID("p", freshet.Place{Partition: 3, Offset: freshet.Offset(n)}), User: "u1", Pipeline: "p", Category: "c",
		Title: fmt.Sprint("title ", n), CreatedAt: now, ExpiresAt: now.Add(15 * time.Minute), DueAt: now, Policy: outbox.Policy{Channels: []push.Channel{push.APNs, push.FCM}}}
	if change != nil {
		change(&m)
	}
	if _, err := b.box.Add(b.t.Context(), m, m.CreatedAt); err != nil {
		b.t.Fatal(err)
	}
	return m.ID
}

func (b *bench) want(id freshet.JobID, s outbox.State, reason string) outbox.Message {
	b.t.Helper()
	synctest.Wait()
	m, err := b.box.Message(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	if m.State != s || m.Reason != reason {
		b.t.Fatalf("%s is %s %q, want %s %q", id, m.State, m.Reason, s, reason)
	}
	return m
}

func TestSent(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		b.device("f", push.FCM) // the channel is not needed
		id := b.add(1, nil)
		m := b.want(id, outbox.Sent, "")
		calls := p.calls()
		if len(calls) != 1 || calls[0].Token != "token-d" || calls[0].Title != "title 1" || m.Attempts != 1 || m.Device != "d" {
			t.Errorf("%+v; %+v", calls, m)
		}
		if err := b.Outcome(t.Context(), id, "u1", "opened"); err != nil {
			t.Error(err)
		}
		if err := b.Outcome(t.Context(), id, "u2", "opened"); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("somebody else's: %v", err)
		}
		time.Sleep(8 * 24 * time.Hour) // what has ended is forgotten
		synctest.Wait()
		if _, err := b.box.Message(t.Context(), id); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("after its retention: %v", err)
		}
	}, p)
}

// TestDevices: a message goes to all devices of its channel, under a cap that counts it once; what becomes of it on one does not hinder the others.
func TestDevices(t *testing.T) {
	t.Parallel()
	calls := map[string]int{}
	p := &fake{channel: push.APNs}
	p.answer = func(m push.Message) push.Result {
		p.mu.Lock()
		defer p.mu.Unlock()
		calls[m.Token]++
		switch {
		case m.Token == "token-lost":
			return push.Result{Outcome: push.Gone, Reason: "Unregistered"}
		case m.Token == "token-bad":
			return push.Result{Outcome: push.Rejected, Reason: "BadTopic"}
		case m.Token == "token-busy" && calls[m.Token] < 3:
			return push.Result{Outcome: push.Retry, Reason: "TooManyRequests", After: time.Minute}
		}
		return push.Result{Outcome: push.Sent, ProviderID: "of " + m.Token}
	}
	other := &fake{channel: push.FCM}
	inBubble(t, func(b *bench) {
		for _, id := range []string{"phone", "lost", "busy", "bad", "tablet"} {
			b.device(id, push.APNs)
			time.Sleep(time.Second)
		}
		b.device("f", push.FCM)
		again := outbox.Device{ID: "named-anew", Channel: push.APNs, Token: "token-tablet", RegisteredAt: freshet.TimestampOf(time.Now())}
		if err := b.box.PutDevice(t.Context(), "u1", again); err != nil {
			t.Fatal(err)
		}
		capped := func(m *outbox.Message) { m.Policy.Caps = []outbox.Cap{{Count: 1, Window: 3_600_000}} }
		id := b.add(1, capped)
		m := b.want(id, outbox.Waiting, "TooManyRequests")
		b.want(b.add(2, capped), outbox.Suppressed, reasonCap)
		time.Sleep(3 * time.Minute)
		m = b.want(id, outbox.Sent, "")
		got := map[string]string{}
		for _, x := range m.Targets {
			got[x.Device] = string(x.State) + " " + x.Reason + x.ProviderID
		}
		want := map[string]string{"named-anew": "sent of token-tablet", "bad": "failed BadTopic", "busy": "sent of token-busy", "lost": "failed Unregistered", "phone": "sent of token-phone"}
		if !maps.Equal(got, want) || m.Attempts != 7 || len(other.calls()) != 0 {
			t.Errorf("%v after %d calls, want %v", got, m.Attempts, want)
		}
		ids := map[string]string{}
		for _, c := range p.calls() {
			if first, ok := ids[c.Token]; ok && first != c.ID {
				t.Errorf("%s under two ids", c.Token)
			}
			ids[c.Token] = c.ID
		}
		if calls["token-tablet"] != 1 || ids["token-tablet"] == ids["token-phone"] {
			t.Errorf("calls %v, ids %v", calls, ids)
		}
		if devices, err := b.box.Devices(t.Context(), "u1"); err != nil || len(devices) != 6 {
			t.Errorf("devices %v, %v", devices, err)
		}
	}, p, other)
}

// TestHalfSent: some devices have a message when its time is over, or its user says no: it counts as sent, and the others get it no more.
func TestHalfSent(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs, answer: func(m push.Message) push.Result {
		if m.Token == "token-busy" {
			return push.Result{Outcome: push.Retry, Reason: "busy", After: time.Minute}
		}
		return push.Result{Outcome: push.Sent}
	}}
	inBubble(t, func(b *bench) {
		b.device("phone", push.APNs)
		b.device("busy", push.APNs)
		id := b.add(1, nil)
		b.want(id, outbox.Waiting, "busy")
		time.Sleep(20 * time.Minute)
		m := b.want(id, outbox.Sent, "")
		if x := targetOf(&m, "busy"); x.State != outbox.Failed || x.Reason != reasonExpired || m.Reserved == 0 {
			t.Errorf("%+v", m)
		}
	}, p)
}

// TestBeforeDevices: a message that was on its way when it had one device only goes there again, after an upgrade.
func TestBeforeDevices(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs}
	inBubble(t, func(b *bench) {
		b.device("d1", push.APNs)
		time.Sleep(time.Second)
		b.device("d2", push.APNs)
		id := b.add(1, func(m *outbox.Message) {
			m.State, m.Channel, m.Device, m.Reserved, m.Attempts = outbox.Sending, push.APNs, "d1", m.CreatedAt, 1
		})
		m := b.want(id, outbox.Sent, "")
		if calls := p.calls(); len(calls) != 1 || calls[0].Token != "token-d1" || m.Attempts != 2 || len(m.Targets) != 1 {
			t.Errorf("%+v; %+v", calls, m)
		}
	}, p)
}

// Sixteen workers race for a cap of three.
func TestCapIsRaced(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs, answer: func(push.Message) push.Result { time.Sleep(time.Second); return push.Result{Outcome: push.Sent} }}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		const n = 64
		for i := range n {
			b.add(i, func(m *outbox.Message) { m.Policy.Caps = []outbox.Cap{{Count: 3, Window: 3_600_000}} })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(p.calls()); got != 3 {
			t.Errorf("%d messages went out under a cap of 3", got)
		}
		list, err := b.box.Messages(t.Context(), "u1", "", 100)
		capped := 0
		for _, m := range list {
			if m.State == outbox.Suppressed && m.Reason == reasonCap {
				capped++
			}
		}
		if err != nil || capped != n-3 {
			t.Errorf("%d capped, %v", capped, err)
		}
	}, p)
}

// A message that is held is decided about anew at the end of quiet hours, also if the user says no at the last moment.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		b.settings.Quiet, _ = quiethours.Parse("22:00-06:00")
		time.Sleep(5*time.Hour + 50*time.Minute)
		goes, out := b.add(1, nil), b.add(2, func(m *outbox.Message) { m.Category = "news" })
		tooLate := b.add(3, func(m *outbox.Message) { m.ExpiresAt = m.CreatedAt.Add(5 * time.Minute) })
		b.want(goes, outbox.Held, reasonQuiet)
		b.want(tooLate, outbox.Suppressed, reasonExpired)
		time.Sleep(9 * time.Minute)
		if err := b.box.PutPreferences(t.Context(), "u1", outbox.Preferences{OptOut: outbox.OptOut{Categories: []string{"news"}}}); err != nil {
			t.Fatal(err)
		}
		b.want(goes, outbox.Held, reasonQuiet)
		time.Sleep(time.Minute)
		b.want(goes, outbox.Sent, "")
		b.want(out, outbox.Suppressed, reasonOptOut)
		if n := len(p.calls()); n != 1 {
			t.Errorf("%d calls", n)
		}
	}, p)
}

// A token is dropped unless it was registered after the provider saw it end; then the next device, the next channel.
func TestGone(t *testing.T) {
	t.Parallel()
	var since atomic.Pointer[time.Time]
	p := &fake{channel: push.APNs, answer: func(m push.Message) push.Result {
		return push.Result{Outcome: push.Gone, Reason: "Unregistered", GoneSince: *since.Load()}
	}}
	other := &fake{channel: push.FCM}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		b.device("f", push.FCM)
		since.Store(ptr(time.Now().Add(time.Minute)))
		m := b.want(b.add(1, nil), outbox.Sent, "")
		if devices, _ := b.box.Devices(t.Context(), "u1"); len(devices) != 1 || m.Channel != push.FCM {
			t.Errorf("devices %v, sent by %s", devices, m.Channel)
		}
		since.Store(ptr(time.Now().Add(-time.Minute)))
		b.device("d", push.APNs)
		b.want(b.add(2, nil), outbox.Waiting, "Unregistered")
		if devices, _ := b.box.Devices(t.Context(), "u1"); len(devices) != 2 {
			t.Errorf("a device that was registered later is dropped: %v", devices)
		}
	}, p, other)
}

// After a crash at any step the message goes out under the same id to the same device, and nothing goes out twice that is known to have arrived.
func TestCrash(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]outbox.State{"before the call": outbox.Waiting, "around the call": outbox.Sending, "after it was recorded": outbox.Sent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				box, err := outbox.New(t.Context(), memoutbox.New(), nil)
				if err != nil {
					t.Fatal(err)
				}
				p := &fake{channel: push.APNs}
				b := &bench{t: t, box: box}
				b.Deliverer = New(Deps{Outbox: box, Senders: Fixed{p}, Hub: presence.NewHub(), Metrics: NewMetrics(prometheus.NewRegistry()),
					Settings: func() Settings { return b.settings }}, Options{Logger: slog.New(slog.DiscardHandler)})
				b.device("d", push.APNs)
				id := b.add(1, func(m *outbox.Message) { m.Policy.Caps = []outbox.Cap{{Count: 1, Window: 3_600_000}} })
				l := newLane(p, b.o)
				if state != outbox.Waiting {
					m, device, ok, err := b.begin(t.Context(), l, id)
					if err != nil || !ok {
						t.Fatal(ok, err)
					}
					p.Send(t.Context(), push.Message{ID: idFor(&m, device.ID), Token: device.Token})
					if state == outbox.Sent {
						if _, err := b.record(t.Context(), l, id, device, push.Result{Outcome: push.Sent}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if state != outbox.Waiting { // before the call it would go there, too
					b.device("newer", push.APNs)
				}
				b.start(p)
				if _, err := box.Add(t.Context(), outbox.Message{ID: id, User: "u1", Pipeline: "p", ExpiresAt: 1 << 60}, 0); err != nil {
					t.Fatal(err) // the job is run again, too
				}
				b.want(id, outbox.Sent, "")
				b.stop()
				calls := p.calls()
				want := map[outbox.State]int{outbox.Waiting: 1, outbox.Sending: 2, outbox.Sent: 1}[state]
				if len(calls) != want {
					t.Fatalf("%d calls, want %d", len(calls), want)
				}
				for _, c := range calls {
					if c.ID != calls[0].ID || c.Token != calls[0].Token {
						t.Errorf("the copies differ: %+v", calls)
					}
				}
			})
		})
	}
}

// A message that no provider would take is not counted against the cap; credentials that are refused stop the calls, not the messages.
func TestRejectedAndUnauthorized(t *testing.T) {
	t.Parallel()
	var answer atomic.Pointer[push.Result]
	answer.Store(&push.Result{Outcome: push.Rejected, Reason: "PayloadTooLarge"})
	p := &fake{channel: push.APNs, answer: func(push.Message) push.Result { return *answer.Load() }}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		once := func(m *outbox.Message) { m.Policy.Caps = []outbox.Cap{{Count: 1, Window: 3_600_000}} }
		b.want(b.add(1, once), outbox.Failed, "PayloadTooLarge")
		answer.Store(&push.Result{Outcome: push.Unauthorized, Reason: "InvalidProviderToken"})
		var ids []freshet.JobID
		for i := range 20 {
			ids = append(ids, b.add(10+i, nil))
		}
		synctest.Wait()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(p.calls()); n > 250 {
			t.Errorf("%d calls with credentials that are refused", n)
		}
		answer.Store(&push.Result{Outcome: push.Sent})
		time.Sleep(time.Minute)
		for _, id := range ids {
			b.want(id, outbox.Sent, "")
		}
		b.want(b.add(2, once), outbox.Suppressed, reasonCap)
	}, p)
}

// While a stream of the user is open the message is shown there and nobody is called.
func TestPresent(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		s, err := b.Hub.Subscribe("u1")
		if err != nil {
			t.Fatal(err)
		}
		b.want(b.add(1, nil), outbox.Shown, reasonPresent)
		<-s.Messages
		s.Close()
		b.want(b.add(2, nil), outbox.Sent, "")
		b.settings.Presence = time.Minute
		time.Sleep(time.Hour)
		b.Hub.Seen("u1", time.Now())
		time.Sleep(time.Second)
		b.want(b.add(3, nil), outbox.Sent, "") // the event that made the message does not count
		b.Hub.Seen("u1", time.Now().Add(time.Millisecond))
		time.Sleep(time.Millisecond)
		b.want(b.add(4, func(m *outbox.Message) { m.CreatedAt -= 10 }), outbox.Shown, reasonPresent)
		if n := len(p.calls()); n != 2 {
			t.Errorf("%d calls", n)
		}
	}, p)
}

// TestShownCounts: what is shown in the app counts against the caps of that channel, and is not pushed in the same words once the app is closed.
func TestShownCounts(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		inApp := func(m *outbox.Message) {
			m.Policy.Channels, m.Policy.Caps = []push.Channel{push.InApp}, []outbox.Cap{{Count: 1, Window: 3_600_000}}
		}
		b.want(b.add(1, inApp), outbox.Shown, "")
		b.want(b.add(2, inApp), outbox.Suppressed, reasonCap)
		time.Sleep(time.Hour)
		b.want(b.add(3, inApp), outbox.Shown, "")
		same := func(m *outbox.Message) { m.Title, m.Policy.Dedupe = "the same", 900_000 }
		s, err := b.Hub.Subscribe("u1")
		if err != nil {
			t.Fatal(err)
		}
		b.want(b.add(4, same), outbox.Shown, reasonPresent)
		s.Close()
		b.want(b.add(5, same), outbox.Suppressed, reasonDuplicate)
		time.Sleep(15 * time.Minute)
		b.want(b.add(6, same), outbox.Sent, "")
	}, p)
}

// An outage longer than the message's time ends it, and it does not count.
func TestExpiresWhileWaiting(t *testing.T) {
	t.Parallel()
	p := &fake{channel: push.APNs, answer: func(push.Message) push.Result {
		return push.Result{Outcome: push.Retry, Reason: "TooManyRequests", After: time.Hour}
	}}
	inBubble(t, func(b *bench) {
		b.device("d", push.APNs)
		id := b.add(1, nil)
		b.want(id, outbox.Waiting, "TooManyRequests")
		time.Sleep(15 * time.Minute)
		b.want(id, outbox.Suppressed, reasonExpired)
		if n := len(p.calls()); n != 1 {
			t.Errorf("%d calls, although the provider asked for an hour", n)
		}
	}, p)
}
