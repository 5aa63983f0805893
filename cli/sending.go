package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

const (
	maxBatchBytes = 4 << 20 // below the server's bound of 8 MB as sent and 16 MB unpacked
	shownReasons  = 10
)

// sending is one run of `freshet send`: batches in the order of the file, one request at a time, so that the events of
// an entity arrive in order.
type sending struct {
	to interface {
		SendEvents(context.Context, client.Format, []byte) (client.EventsResult, error)
	}
	pace  pace
	meter *meter
	limit int           // events in a request
	retry time.Duration // how long to go on trying without an answer
	ids   *ids

	batch    []event
	bytes    int
	position freshet.Position
	sum      summary
}

// summary is what `freshet send` answers.
type summary struct {
	Accepted   int      `json:"accepted"`
	Duplicates int      `json:"duplicates"`
	Rejected   int      `json:"rejected"`
	Retries    int      `json:"retries"`           // requests that were sent again
	Reasons    []reason `json:"reasons,omitempty"` // of the first rejected events
	Position   string   `json:"position,omitempty"`
	Through    int      `json:"through_line"` // the last line of the file that was answered
}

// reason says why one event was rejected.
type reason struct {
	Line    int             `json:"line"`
	EventID freshet.EventID `json:"event_id,omitempty"`
	Code    freshet.Code    `json:"code"`
	Field   string          `json:"field,omitempty"`
	Detail  string          `json:"detail"`
}

// run sends all events of src. A line that is no event is counted and left out.
func (s *sending) run(ctx context.Context, src source) error {
	s.pace.start = time.Now()
	for {
		e, err := src.next()
		if err == io.EOF {
			return s.flush(ctx)
		}
		if bad, ok := errors.AsType[*badLine](err); ok {
			s.sum.Rejected++
			s.explain(reason{Line: bad.line, Code: freshet.InvalidArgument, Detail: bad.detail})
			continue
		}
		if err != nil {
			return errors.Join(err, s.flush(ctx))
		}
		e = s.ids.give(e)
		if wait := s.pace.wait(e, time.Now()); wait > 0 {
			if err := s.flush(ctx); err != nil {
				return err
			}
			if err := s.sleep(ctx, wait); err != nil {
				return err
			}
		}
		if len(s.batch) == s.limit || s.bytes+len(e.raw) > maxBatchBytes {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
		s.batch = append(s.batch, e)
		s.bytes += len(e.raw) + 1
	}
}

func (s *sending) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	err := s.deliver(ctx, s.batch)
	s.batch, s.bytes = s.batch[:0], 0
	return err
}

// deliver sends one batch and counts the answer. A batch that is too large for the server goes in halves.
func (s *sending) deliver(ctx context.Context, batch []event) error {
	var body bytes.Buffer
	for _, e := range batch {
		body.Write(e.raw)
		body.WriteByte('\n')
	}
	result, err := s.insist(ctx, body.Bytes())
	switch code := freshet.CodeOf(err); {
	case err == nil, code == freshet.Unprocessable:
	case code == freshet.TooLarge && len(batch) > 1:
		half := len(batch) / 2
		if err := s.deliver(ctx, batch[:half]); err != nil {
			return err
		}
		return s.deliver(ctx, batch[half:])
	case code == freshet.TooLarge:
		result = client.EventsResult{Rejected: []client.Rejection{{Code: code, Detail: err.Error()}}}
	default:
		return err
	}
	s.count(batch, result)
	return nil
}

// insist sends body until the server answers, for s.retry at most: each event in it has an id, so that one which was
// accepted already counts once.
func (s *sending) insist(ctx context.Context, body []byte) (client.EventsResult, error) {
	pause := 100 * time.Millisecond
	for began := time.Now(); ; {
		result, err := s.to.SendEvents(ctx, client.NDJSON, body)
		if err == nil || !worthRetrying(err) || ctx.Err() != nil || time.Since(began) >= s.retry {
			return result, err
		}
		s.sum.Retries++
		// Half of the pause is random, so that many senders do not come back at one moment.
		wait := pause/2 + mathrand.N(pause/2)
		if p, ok := errors.AsType[*client.Problem](err); ok {
			wait = max(wait, p.After)
		}
		if err := s.sleep(ctx, min(wait, s.retry)); err != nil {
			return client.EventsResult{}, err
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func worthRetrying(err error) bool {
	switch freshet.CodeOf(err) {
	case freshet.Unavailable, freshet.ResourceExhausted, freshet.DeadlineExceeded:
		return true
	}
	return false
}

// count adds the answer to a batch to the summary.
func (s *sending) count(batch []event, result client.EventsResult) {
	s.sum.Accepted += result.Accepted
	s.sum.Duplicates += result.Duplicates
	s.sum.Rejected += len(batch) - result.Accepted - result.Duplicates // the server may not list all of them
	for _, r := range result.Rejected {
		line := 0
		if r.Index >= 0 && r.Index < len(batch) {
			line = batch[r.Index].line
		}
		s.explain(reason{Line: line, EventID: r.EventID, Code: r.Code, Field: r.Field, Detail: r.Detail})
	}
	s.sum.Through = batch[len(batch)-1].line
	s.cover(result.Position)
	s.meter.show(s.sum)
}

// explain keeps the reason of a rejected event, if it is among the first.
func (s *sending) explain(r reason) {
	if len(s.sum.Reasons) < shownReasons {
		s.sum.Reasons = append(s.sum.Reasons, r)
	}
}

// cover widens the position of the summary by that of one answer.
func (s *sending) cover(position string) {
	p, err := freshet.ParsePosition(position)
	if err != nil {
		return // another form than this client knows: the events are sent all the same
	}
	for i := range freshet.Partition(freshet.Partitions) {
		s.position.Cover(freshet.Place{Partition: i, Offset: p.Through(i)})
	}
	s.sum.Position = s.position.String()
}

// sleep waits in short steps, showing progress.
func (s *sending) sleep(ctx context.Context, d time.Duration) error {
	for d > 0 {
		step := min(d, time.Second)
		t := time.NewTimer(step)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return freshet.Errorf(freshet.Unavailable, "stopped while waiting: %w", context.Cause(ctx))
		}
		d -= step
		s.meter.show(s.sum)
	}
	return nil
}

// ids gives event ids to events without one: a random part for this run, then a number.
type ids struct {
	run   string
	given int
}

func newIDs() *ids {
	return &ids{run: rand.Text()[:16]}
}

func (g *ids) give(e event) event {
	if !e.needsID {
		return e
	}
	g.given++
	e.raw = withID(e.raw, fmt.Sprintf("send-%s-%d", g.run, g.given))
	return e
}
