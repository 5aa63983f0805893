package api

import (
	"net/http"
	"strconv"

	"github.com/freshet-ml/freshet"
)

// maxRejected bounds the list of rejected events in an answer, in bytes; how many more there are is told.
const maxRejected = 1 << 20

// answerEvents tells what became of each event.
func (a *API) answerEvents(w *response, b *batch) error {
	if b.accepted+b.duplicates == 0 && len(b.rejected) > 0 {
		return b.refusal()
	}
	out := a.buffer()
	defer a.returnBuffer(out)
	t := append((*out)[:0], `{"accepted":`...)
	t = strconv.AppendInt(t, int64(b.accepted), 10)
	t = append(t, `,"duplicates":`...)
	t = strconv.AppendInt(t, int64(b.duplicates), 10)
	t = append(t, `,"rejected":`...)
	t, omitted := appendRejected(t, b.rejected)
	if omitted > 0 {
		t = append(t, `,"rejected_omitted":`...)
		t = strconv.AppendInt(t, int64(omitted), 10)
	}
	t = append(t, `,"position":"`...) // URL-safe: needs no quoting
	t = append(t, b.position.String()...)
	t = append(t, `"}`...)
	*out = t
	w.json(http.StatusAccepted, t)
	return nil
}

// refusal is the error of a request of which nothing was taken.
func (b *batch) refusal() error {
	first := b.rejected[0].err
	if b.single {
		// A body that is no JSON could not be read; one that is was read and refused.
		if err := checkSyntax(b.text, lenient()...); err != nil {
			return err
		}
		list, _ := appendRejected(nil, b.rejected)
		return &rejectedError{list: list, error: freshet.FieldErrorf(freshet.Unprocessable, freshet.FieldOf(first), "%w", first)}
	}
	list, omitted := appendRejected(nil, b.rejected)
	text := "none of the " + strconv.Itoa(len(b.rejected)) + " events was accepted; errors says why for each"
	if omitted > 0 {
		text += " but the last " + strconv.Itoa(omitted)
	}
	return &rejectedError{list: list, error: freshet.Errorf(freshet.Unprocessable, "%s", text)}
}

// appendRejected writes the list of the rejected, as many as its bound allows.
func appendRejected(t []byte, rejected []rejection) (list []byte, omitted int) {
	start := len(t)
	t = append(t, '[')
	for i := range rejected {
		before := len(t)
		if i > 0 {
			t = append(t, ',')
		}
		t = appendRejection(t, &rejected[i])
		if len(t)-start >= maxRejected {
			return append(t[:before], ']'), len(rejected) - i
		}
	}
	return append(t, ']'), 0
}

func appendRejection(t []byte, r *rejection) []byte {
	t = append(t, `{"index":`...)
	t = strconv.AppendInt(t, int64(r.index), 10)
	if r.eventID != "" {
		t = append(t, `,"event_id":`...)
		t = appendText(t, r.eventID)
	}
	t = append(t, `,"code":`...)
	t = appendText(t, string(freshet.CodeOf(r.err)))
	if field := freshet.FieldOf(r.err); field != "" {
		t = append(t, `,"field":`...)
		t = appendText(t, field)
	}
	t = append(t, `,"detail":`...)
	t = appendText(t, clip(r.err.Error(), maxDetail))
	return append(t, '}')
}
