package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/lenientjson"
	"github.com/freshet-ml/freshet/internal/release"
)

// The Segment door speaks Segment's HTTP tracking API: an app that sends there sends the same to us. Messages become events,
// traits rows of a push table, as the project file's section segment says.

const (
	maxSegmentBody     = 500 << 10
	maxSegmentMessage  = 32 << 10
	maxSegmentMessages = 2500
)

// segmentCalls are the kinds of messages; the first letter of each is the short form of its path.
var segmentCalls = []string{"track", "identify", "page", "screen", "group", "alias"}

func (a *API) segmentRoutes() (routes []route) {
	for _, call := range segmentCalls {
		handle := a.segment(call)
		routes = append(routes, route{"POST", "/v1/" + call, handle}, route{"POST", "/v1/" + call[:1], handle})
	}
	for _, name := range []string{"batch", "b", "import"} {
		routes = append(routes, route{"POST", "/v1/" + name, a.segment("")})
	}
	return routes
}

// segment makes the function of a route for one kind of message, or for a batch of any if call is "". It answers errors in
// Segment's own form.
func (a *API) segment(call string) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) error {
		if err := a.postSegment(w, r, call); err != nil {
			a.failSegment(w, r, err)
		}
		return nil
	}
}

// postSegment takes messages. Once the body can be read they are answered with 200, whatever is in them: at a 4xx the SDKs
// give up all messages of the request. What cannot be taken goes to the refused events.
func (a *API) postSegment(w *response, r *http.Request, call string) error {
	if err := a.checkBacklog(); err != nil {
		return err
	}
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	if len(bytes.TrimLeft(sent.buf, spaces)) == 0 {
		return freshet.Errorf(freshet.InvalidArgument, "the body is empty; expected a JSON object")
	}
	parcel, err := openParcel(lenientjson.Clean(sent.buf), call)
	if err != nil {
		return err
	}
	if err := a.takeParcel(r.Context(), rel, parcel); err != nil {
		return err
	}
	w.json(http.StatusOK, []byte(`{"success":true}`))
	return nil
}

// parcel is the body of a request.
type parcel struct {
	call     string // of all messages; "" if each says it
	messages []json.RawMessage
	sentAt   json.RawMessage // of messages without one
	context  json.RawMessage // below that of each message
}

// openParcel reads a body. What it returns shares no memory with text.
func openParcel(text []byte, call string) (parcel, error) {
	limit, what := maxSegmentBody, "the batch"
	if call != "" {
		limit, what = maxSegmentMessage, "the message"
	}
	if len(text) > limit {
		return parcel{}, freshet.Errorf(freshet.TooLarge, "%s has %d bytes; expected at most %d", what, len(text), limit)
	}
	if err := checkSyntax(text, lenient()...); err != nil {
		return parcel{}, err
	}
	if call != "" {
		message := bytes.Clone(bytes.Trim(text, spaces))
		if message[0] != '{' {
			return parcel{}, freshet.Errorf(freshet.InvalidArgument, "the body begins with %.20q; expected a JSON object", message)
		}
		return parcel{call: call, messages: []json.RawMessage{message}}, nil
	}
	var sent struct {
		Batch   *[]json.RawMessage `json:"batch"`
		SentAt  json.RawMessage    `json:"sentAt"`
		Context json.RawMessage    `json:"context"`
	}
	if err := json.Unmarshal(text, &sent); err != nil {
		return parcel{}, decodeError(err)
	}
	if sent.Batch == nil {
		return parcel{}, invalid("batch", "missing; expected a list of messages")
	}
	if n := len(*sent.Batch); n > maxSegmentMessages {
		return parcel{}, freshet.FieldErrorf(freshet.TooLarge, "batch", "batch: %d messages; expected at most %d", n, maxSegmentMessages)
	}
	return parcel{messages: *sent.Batch, sentAt: sent.SentAt, context: sent.Context}, nil
}

// takeParcel makes events and rows of the messages. When it returns nil, they are durable, and those that could not be taken are listed.
func (a *API) takeParcel(ctx context.Context, rel *release.Opened, p parcel) error {
	b := a.batches.Get().(*batch)
	defer a.returnBatch(b)
	b.use(rel)
	taker := segmentTaker{rel: rel, open: a.deps.Live.Set(), batch: b, ingest: a.now(), maxDepth: a.o.MaxDepth}
	for i, raw := range p.messages {
		m := segmentMessage{raw: raw, call: p.call, sentAt: p.sentAt, contexts: [2]json.RawMessage{nil, p.context}}
		if cause, err := taker.take(&m); err != nil {
			b.rejected = append(b.rejected, rejection{index: i, eventID: m.id, err: err})
			taker.refused = append(taker.refused, m.refused(taker.ingest, cause, err))
		}
	}
	if err := a.traits.put(ctx, a.deps.Tables, taker.traits); err != nil {
		return err
	}
	if err := a.append(ctx, b); err != nil {
		return err
	}
	a.countEvents(b)
	for _, refused := range taker.refused {
		a.metrics.segmentRefused.Of(refusalCause(refused.Cause)).Inc()
	}
	return a.deps.Refused.Add(taker.refused...)
}

// failSegment answers err in Segment's form. A body that can never be taken is 400, as there.
func (a *API) failSegment(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	if v.status == http.StatusRequestEntityTooLarge {
		v.status = http.StatusBadRequest
	}
	b := append([]byte(`{"success":false,"code":`), appendText(nil, string(v.code))...)
	b = append(b, `,"message":`...)
	b = appendText(b, clip(v.detail, maxDetail))
	w.json(v.status, append(b, '}'))
}
