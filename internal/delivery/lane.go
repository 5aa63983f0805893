package delivery

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// lane is the way to one provider: a line of messages, a bounded number of calls at once, and a breaker. What happens in one hinders no other.
type lane struct {
	sender  push.Sender
	line    chan freshet.JobID
	over    chan struct{} // closed when nothing comes into the line any more
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	refused atomic.Int64 // until when our credentials are not tried again, in Unix milliseconds
	calls   atomic.Int64 // under way
}

func newLane(s push.Sender, o Options) *lane {
	return &lane{sender: s, line: make(chan freshet.JobID, o.Line), over: make(chan struct{}), breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: string(s.Channel()), Timeout: o.Rest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
	})}
}

// work sends what stands in the line until ctx ends.
func (d *Deliverer) work(ctx context.Context, l *lane) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.over:
			return nil
		case id := <-l.line:
			again, err := d.deliver(context.WithoutCancel(ctx), l, id)
			d.claim(id, false)
			if again {
				d.look() // it was passed over because of the claim
			}
			if err != nil {
				return freshet.Errorf("", "delivery: message %s: %w", id, err)
			}
		}
	}
}

var errFailed = errors.New("the provider failed")

// deliver takes a message to those of its targets whose turn it is, one after the other. again says that it may be due at once.
func (d *Deliverer) deliver(ctx context.Context, l *lane, id freshet.JobID) (again bool, err error) {
	for {
		if rest := freshet.Timestamp(l.refused.Load()).Sub(d.now()); rest > 0 {
			return true, d.postpone(ctx, id, rest+d.apart(0))
		}
		done, err := l.breaker.Allow()
		if err != nil {
			return true, d.postpone(ctx, id, d.apart(d.o.Rest/2))
		}
		m, device, ok, err := d.begin(ctx, l, id)
		if err != nil || !ok {
			done(nil)
			return true, err
		}
		due, err := d.call(ctx, l, &m, device, done)
		if err != nil || due == 0 {
			return false, err
		}
		if due > d.now() {
			return true, nil
		}
	}
}

// call makes one attempt at a device and writes down what it came to. due is when the message is to be looked at again; 0: never.
func (d *Deliverer) call(ctx context.Context, l *lane, m *outbox.Message, device outbox.Device, done func(error)) (due freshet.Timestamp, err error) {
	within, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	l.calls.Add(1)
	result := l.sender.Send(within, push.Message{
		ID: idFor(m, device.ID), Token: device.Token, Collapse: collapseOf(m.User, m.Pipeline), Expires: m.ExpiresAt.Time(),
		Title: m.Title, Body: m.Body, Prediction: dataOf(m),
	})
	l.calls.Add(-1)
	if result.Outcome == push.Retry && result.Wide {
		done(errFailed)
	} else {
		done(nil)
	}
	d.Metrics.attempts.WithLabelValues(string(l.sender.Channel()), string(result.Outcome)).Inc()
	return d.record(context.WithoutCancel(ctx), l, m.ID, device, result)
}

// begin decides once more and, if the message is to go out by l, counts it against caps and makes that durable: whatever happens from now on, this message
// goes to these devices under these ids.
func (d *Deliverer) begin(ctx context.Context, l *lane, id freshet.JobID) (m outbox.Message, device outbox.Device, ok bool, err error) {
	err = d.Outbox.Decide(ctx, id, func(tx *outbox.Tx) (bool, error) {
		f := d.facts(tx)
		v := f.decide()
		if tx.Message.State.Ended() || v.do == send && f.senders[v.channel] != l.sender {
			return false, outbox.ErrKeep // the dispatcher finds it again
		}
		if v.do != send {
			return d.apply(f, v), nil
		}
		if tx.Message.Reserved == 0 {
			f.reserve(v.channel)
			tx.Message.Targets = make([]outbox.Target, len(v.devices))
			for i, x := range v.devices {
				tx.Message.Targets[i] = outbox.Target{Device: x.ID, State: outbox.Waiting}
			}
		}
		tx.Message.State, tx.Message.Reason = outbox.Sending, ""
		tx.Message.Channel, tx.Message.Device = v.channel, v.device.ID
		tx.Message.Attempts++
		t := targetOf(tx.Message, v.device.ID)
		t.State, t.Reason = outbox.Sending, ""
		t.Attempts++
		m, device, ok = *tx.Message, v.device, true
		return true, nil
	})
	if freshet.CodeOf(err) == freshet.NotFound {
		err = nil
	}
	return m, device, ok, err
}

// targetOf is the target of a device; nil if the message does not go there.
func targetOf(m *outbox.Message, device string) *outbox.Target {
	for i := range m.Targets {
		if m.Targets[i].Device == device {
			return &m.Targets[i]
		}
	}
	return nil
}

// record writes down what a call came to, and what is next.
func (d *Deliverer) record(ctx context.Context, l *lane, id freshet.JobID, device outbox.Device, r push.Result) (due freshet.Timestamp, err error) {
	if r.Outcome == push.Unauthorized {
		d.alarm(l, r)
	}
	err = d.Outbox.Decide(ctx, id, func(tx *outbox.Tx) (bool, error) {
		m := tx.Message
		t := targetOf(m, device.ID)
		if t == nil {
			return false, outbox.ErrKeep
		}
		t.State, t.Reason = outbox.Waiting, r.Reason
		switch r.Outcome {
		case push.Sent:
			if !reached(m, outbox.Sent) {
				d.Metrics.accepted.WithLabelValues(string(m.Channel)).Inc()
			}
			t.State, t.ProviderID, m.ProviderID = outbox.Sent, r.ProviderID, r.ProviderID
		case push.Gone:
			// Registered after the provider saw the last one end: it is another one, or the same come back.
			if r.GoneSince.IsZero() || device.RegisteredAt <= freshet.TimestampOf(r.GoneSince) {
				d.drop(tx, device)
				t.State = outbox.Failed
			} else {
				t.DueAt = d.now().Add(d.backoff(t.Attempts))
			}
		case push.Rejected:
			t.State = outbox.Failed
		case push.Unauthorized:
			// Nobody has looked at the message: it waits for somebody to mend the credentials as long as it lives.
			t.Attempts--
			m.Attempts--
			t.DueAt = d.now().Add(d.o.Rest)
		default:
			t.DueAt = d.now().Add(max(r.After, d.backoff(t.Attempts)))
		}
		if !t.State.Ended() && t.Attempts >= d.o.Attempts {
			t.State = outbox.Failed
		}
		due = d.next(tx, r)
		return true, nil
	})
	if freshet.CodeOf(err) == freshet.NotFound { // erased meanwhile
		return 0, nil
	}
	return due, err
}

// next is when the message is to be looked at again after a call that came to r; 0 if it has ended.
func (d *Deliverer) next(tx *outbox.Tx, r push.Result) freshet.Timestamp {
	m := tx.Message
	m.State, m.Reason, m.DueAt = outbox.Waiting, r.Reason, d.now()
	due, open := freshet.Timestamp(0), false
	for _, t := range m.Targets {
		if !t.State.Ended() && (!open || t.DueAt < due) {
			due, open, m.Reason = t.DueAt, true, t.Reason
		}
	}
	if sent := reached(m, outbox.Sent); open || !sent && r.Outcome == push.Gone {
		if m.DueAt = d.within(m, max(m.DueAt, due)); !sent && (r.Outcome == push.Gone || r.Outcome == push.Unauthorized) && untouched(m) {
			giveBack(tx) // it has reached nobody: another device or channel, or the same one later
		}
		return m.DueAt
	} else if sent {
		d.end(tx, outbox.Sent, "")
	} else {
		giveBack(tx)
		d.end(tx, outbox.Failed, r.Reason)
	}
	return 0
}

// untouched says that no target waits because a call of it may have arrived.
func untouched(m *outbox.Message) bool {
	return !slices.ContainsFunc(m.Targets, func(t outbox.Target) bool { return !t.State.Ended() && t.Attempts > 0 })
}

// drop forgets a device, unless it was registered anew meanwhile.
func (d *Deliverer) drop(tx *outbox.Tx, device outbox.Device) {
	for _, x := range tx.Devices {
		if x == device {
			tx.DropDevice(device.ID)
			d.Metrics.dropped.WithLabelValues(string(device.Channel)).Inc()
			return
		}
	}
}

// alarm stops the calls of a provider that does not take our credentials, for a while.
func (d *Deliverer) alarm(l *lane, r push.Result) {
	if until := int64(d.now().Add(d.o.Rest)); l.refused.Swap(until) < until-int64(d.o.Rest/time.Millisecond/2) {
		d.o.Logger.Error("push: the provider does not take our credentials; nothing is sent by it until they are mended",
			slog.String("channel", string(l.sender.Channel())), slog.String("reason", r.Reason))
	}
}

const maxBackoff = 10 * time.Minute

// backoff is the wait after so many attempts: doubling, the half of it by chance.
func (d *Deliverer) backoff(attempts int) time.Duration {
	return jitter(min(d.o.Backoff<<min(attempts-1, 16), maxBackoff))
}

func jitter(t time.Duration) time.Duration {
	return t/2 + rand.N(max(t/2, 1))
}
