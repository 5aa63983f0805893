package delivery

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
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

// deliver makes one attempt at a message. again says that it may be due at once.
func (d *Deliverer) deliver(ctx context.Context, l *lane, id freshet.JobID) (again bool, err error) {
	if rest := freshet.Timestamp(l.refused.Load()).Sub(d.now()); rest > 0 {
		return true, d.postpone(ctx, id, rest)
	}
	done, err := l.breaker.Allow()
	if err != nil {
		return true, d.postpone(ctx, id, jitter(d.o.Rest/2))
	}
	m, device, ok, err := d.begin(ctx, l, id)
	if err != nil || !ok {
		done(nil)
		return true, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	l.calls.Add(1)
	result := l.sender.Send(ctx, push.Message{
		ID: idFor(&m, device.ID), Token: device.Token, Collapse: collapseOf(m.User, m.Pipeline), Expires: m.ExpiresAt.Time(),
		Title: m.Title, Body: m.Body, Prediction: dataOf(&m),
	})
	l.calls.Add(-1)
	if result.Outcome == push.Retry && result.Wide {
		done(errFailed)
	} else {
		done(nil)
	}
	d.Metrics.attempts.WithLabelValues(string(l.sender.Channel()), string(result.Outcome)).Inc()
	return result.Outcome != push.Sent, d.record(context.WithoutCancel(ctx), l, id, device, result)
}

// begin decides once more and, if the message is to go out by l, counts it against caps and makes that durable: whatever happens from now on, this message
// goes to this device under this id.
func (d *Deliverer) begin(ctx context.Context, l *lane, id freshet.JobID) (m outbox.Message, device outbox.Device, ok bool, err error) {
	err = d.Outbox.Decide(ctx, id, func(tx *outbox.Tx) (bool, error) {
		f := d.facts(tx)
		v := f.decide()
		if tx.Message.State.Ended() || v.do == send && f.senders[v.channel] != l.sender {
			return false, outbox.ErrKeep // the dispatcher finds it again
		}
		if v.do != send {
			return d.apply(tx, v), nil
		}
		if tx.Message.Reserved == 0 {
			f.reserve(v.channel)
		}
		tx.Message.State, tx.Message.Reason = outbox.Sending, ""
		tx.Message.Channel, tx.Message.Device = v.channel, v.device.ID
		tx.Message.Attempts++
		m, device, ok = *tx.Message, v.device, true
		return true, nil
	})
	if freshet.CodeOf(err) == freshet.NotFound {
		err = nil
	}
	return m, device, ok, err
}

// record writes down what a call came to.
func (d *Deliverer) record(ctx context.Context, l *lane, id freshet.JobID, device outbox.Device, r push.Result) error {
	if r.Outcome == push.Unauthorized {
		d.alarm(l, r)
	}
	err := d.Outbox.Decide(ctx, id, func(tx *outbox.Tx) (bool, error) {
		m := tx.Message
		switch r.Outcome {
		case push.Sent:
			m.ProviderID = r.ProviderID
			d.Metrics.accepted.WithLabelValues(string(m.Channel)).Inc()
			d.end(tx, outbox.Sent, "")
		case push.Gone:
			// Registered after the provider saw the last one end: it is another one, or the same come back.
			if r.GoneSince.IsZero() || device.RegisteredAt <= freshet.TimestampOf(r.GoneSince) {
				d.drop(tx, device)
			} else {
				m.DueAt = d.now().Add(d.backoff(m.Attempts))
			}
			giveBack(tx)
			m.State, m.Reason = outbox.Waiting, r.Reason
		case push.Rejected:
			giveBack(tx)
			d.end(tx, outbox.Failed, r.Reason)
		case push.Unauthorized:
			giveBack(tx)
			m.Attempts-- // nobody has looked at the message: it waits for somebody to mend the credentials as long as it lives
			m.State, m.Reason, m.DueAt = outbox.Waiting, r.Reason, d.now().Add(d.o.Rest)
		default:
			m.State, m.Reason, m.DueAt = outbox.Waiting, r.Reason, d.now().Add(max(r.After, d.backoff(m.Attempts)))
		}
		if !m.State.Ended() && m.Attempts >= d.o.Attempts {
			d.end(tx, outbox.Failed, r.Reason)
		}
		return true, nil
	})
	if freshet.CodeOf(err) == freshet.NotFound { // erased meanwhile
		return nil
	}
	return err
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
