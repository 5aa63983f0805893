package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/release"
)

const (
	heartbeat   = 10 * time.Second // a client that hears nothing for 15 s may think the line dead
	streamWrite = 10 * time.Second // for one write: who reads more slowly is disconnected
	streamPage  = 100
)

// getStream sends the user's in-app messages, from behind Last-Event-ID, and each prediction that is stored meanwhile, as server-sent events. Only messages
// are counted: what else is sent has the id of the last message, so that whoever connects again says it. Such a one gets the newest prediction of each pipeline
// first, among them those that were stored in between.
func (a *API) getStream(w *response, r *http.Request) error {
	q, err := parseQuery(r, "last_event_id")
	if err != nil {
		return err
	}
	rel, err := a.live()
	if err != nil {
		return err
	}
	entity, spec, err := pathEntity(rel, r)
	rel.Unpin()
	if err != nil {
		return err
	}
	text := r.Header.Get("Last-Event-ID")
	if given, ok := q["last_event_id"]; ok {
		text = given
	}
	after := uint64(0)
	if text != "" {
		if after, err = strconv.ParseUint(text, 10, 63); err != nil {
			return invalid("Last-Event-ID", "%.40q is no id of this stream", text)
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	sub, err := a.deps.Hub.Subscribe(entity.Key)
	if err != nil {
		h.Del("Cache-Control")
		return err
	}
	defer sub.Close()
	s := &stream{a: a, w: w, control: http.NewResponseController(w), sub: sub, entity: entity, spec: spec, after: after}
	w.WriteHeader(http.StatusOK)
	// An id without data makes no event: it is what a client that loses the line before the first event says when it comes back.
	if s.write(append(strconv.AppendUint([]byte("retry: 2000\nid: "), after, 10), "\n\n"...)) == nil && (text == "" || s.resume(r.Context()) == nil) {
		s.run(r.Context())
	}
	return nil // the answer has begun: its end is all that can be said
}

// stream is one open stream.
type stream struct {
	a       *API
	w       *response
	control *http.ResponseController
	sub     *presence.Stream
	entity  freshet.Entity
	spec    feature.EntitySpec
	after   uint64
}

// run writes until the client is gone, reads too slowly, or the server stops.
func (s *stream) run(ctx context.Context) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err := s.messages(ctx); err == nil; {
		select {
		case <-s.sub.Messages:
			err = s.messages(ctx)
		case p, ok := <-s.sub.Predictions:
			if !ok {
				return
			}
			err = s.prediction(ctx, &p)
		case <-beat.C:
			err = s.write([]byte(": heartbeat\n\n"))
		case <-ctx.Done():
			return
		case <-s.a.draining.Done():
			return
		}
	}
}

// resume writes the newest predictions that are stored: the stream itself may have had them already, which is no harm, or they came while nobody listened.
func (s *stream) resume(ctx context.Context) error {
	stored, err := s.a.deps.Predictions.List(ctx, s.entity)
	if err != nil {
		return err
	}
	slices.SortStableFunc(stored, func(a, b freshet.Prediction) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) })
	for i := range stored {
		if err := s.prediction(ctx, &stored[i]); err != nil {
			return err
		}
	}
	return nil
}

// prediction writes p, or what a pull gives in its place if the release that made it was taken back: nothing, where nobody can answer.
func (s *stream) prediction(ctx context.Context, p *freshet.Prediction) error {
	if s.a.deps.Live.Set().Roles().Withdrawn[p.Release] {
		made, err := s.instead(ctx, *p)
		if err != nil {
			return ctx.Err()
		}
		p = &made
	}
	b := append(strconv.AppendUint([]byte("id: "), s.after, 10), "\nevent: prediction\ndata: "...)
	return s.write(append(append(b, appendPrediction(nil, p, s.spec, marks{})...), "\n\n"...))
}

// instead is again by the release that serves the user now.
func (s *stream) instead(ctx context.Context, was freshet.Prediction) (freshet.Prediction, error) {
	rel, err := s.a.serving(func(rel *release.Opened) (freshet.Key, error) {
		_, err := pipelineOf(rel, was.Pipeline)
		return s.entity.Key, err
	})
	if err != nil {
		return freshet.Prediction{}, err
	}
	defer rel.Unpin()
	return s.a.again(ctx, rel, was, release.Request{Pipeline: was.Pipeline, Entity: s.entity})
}

// messages writes what is in the outbox behind the last one written.
func (s *stream) messages(ctx context.Context) error {
	for {
		list, err := s.a.deps.People.InApp(ctx, s.entity.Key, s.after, s.a.now(), streamPage)
		if err != nil {
			return err
		}
		var b []byte
		for _, x := range list {
			b = append(b, "id: "...)
			b = strconv.AppendUint(b, x.Seq, 10)
			b = append(b, "\nevent: message\ndata: "...)
			b = append(append(b, x.Data...), "\n\n"...) // JSON as encoding/json writes it: one line
			s.after = x.Seq
		}
		if len(b) > 0 {
			if err := s.write(b); err != nil {
				return err
			}
		}
		if len(list) < streamPage {
			return nil
		}
	}
}

func (s *stream) write(b []byte) error {
	// Writers without deadlines are those of tests.
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}

// postAck forgets the messages of a stream through an id.
func (a *API) postAck(w *response, r *http.Request) error {
	user, err := a.user(r)
	if err != nil {
		return err
	}
	var sent struct {
		ID *int64 `json:"id"`
	}
	if err := a.readJSON(w, r, &sent); err != nil {
		return err
	}
	if sent.ID == nil {
		return invalid("id", "missing; expected the id of the last message that was read")
	}
	if *sent.ID < 0 {
		return invalid("id", "%d is no id of this stream", *sent.ID)
	}
	if err := a.deps.People.Ack(r.Context(), user, uint64(*sent.ID)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
