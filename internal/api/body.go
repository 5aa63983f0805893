package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/freshet-ml/freshet"
)

// form is how a body is written.
type form int

const (
	formJSON form = iota
	formNDJSON
)

// formOf tells by the content type how a body is to be read; none means JSON.
func formOf(h http.Header, ndjson bool) (form, error) {
	sent := h.Get("Content-Type")
	if sent == "" || sent == "application/json" { // what nearly everybody sends needs no parsing
		return formJSON, nil
	}
	t, params, err := mime.ParseMediaType(sent)
	charset := params["charset"]
	switch {
	case err != nil || (charset != "" && !strings.EqualFold(charset, "utf-8")):
	case t == "application/json", strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"):
		return formJSON, nil
	case ndjson && t == "application/x-ndjson":
		return formNDJSON, nil
	}
	expected := "application/json"
	if ndjson {
		expected += " or application/x-ndjson"
	}
	return 0, freshet.FieldErrorf(freshet.Unsupported, "Content-Type", "Content-Type %q is not read; expected %s in UTF-8", clip(sent, 128), expected)
}

// smallBody is how large a body may be before it counts against Options.MaxInflight.
const smallBody = 64 << 10

// body is the text of a request, in a buffer that is used again.
type body struct {
	buf      []byte
	reserved int64
}

// readBody reads a request's body, unpacked. The caller gives it back with returnBody and keeps nothing of it. Its errors
// are answered as they are: a body over a limit is not read to its end.
func (a *API) readBody(w *response, r *http.Request) (*body, error) {
	if r.ContentLength > a.o.MaxBody {
		return nil, closing(a.bodyTooLarge())
	}
	b := a.bodies.Get().(*body)
	if err := a.fill(b, w, r); err != nil {
		a.returnBody(b)
		return nil, err
	}
	return b, nil
}

func (a *API) returnBody(b *body) {
	a.inflight.Add(-b.reserved)
	b.reserved = 0
	if cap(b.buf) > maxPooled {
		return
	}
	b.buf = b.buf[:0]
	a.bodies.Put(b)
}

func (a *API) fill(b *body, w *response, r *http.Request) error {
	sent := &limited{r: r.Body, left: a.o.MaxBody}
	text, done, err := a.unpackers.of(r.Header, sent)
	if err != nil {
		return err
	}
	defer done()
	if err := a.readAll(b, text, r.ContentLength); err != nil {
		return a.bodyError(sent, err)
	}
	w.bodyRead()
	return nil
}

// limited reads at most left bytes of a body as it was sent, and remembers what went wrong: an unpacker would wrap it.
type limited struct {
	r    io.Reader
	left int64
	err  error
}

var (
	errBodyTooLarge = errors.New("the body is too large")
	errUnpacked     = errors.New("the body is too large when it is unpacked")
	errInflight     = errors.New("too many large bodies at once")
)

func (l *limited) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		err = errBodyTooLarge
	}
	l.err = err
	return n, err
}

// readAll appends what r gives to b.buf, in steps that are paid for by bytes that have come: an announced length alone
// costs nothing.
func (a *API) readAll(b *body, r io.Reader, announced int64) error {
	first := int64(4 << 10)
	if announced > 0 {
		first = min(announced+1, smallBody) // one more, so that the end is seen without growing
	}
	if int64(cap(b.buf)) < first {
		b.buf = make([]byte, 0, first)
	}
	for {
		if len(b.buf) == cap(b.buf) {
			if err := a.grow(b); err != nil {
				return err
			}
		}
		n, err := r.Read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+n]
		if int64(len(b.buf)) > a.o.MaxUnpacked {
			return errUnpacked
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (a *API) grow(b *body) error {
	size := min(2*int64(cap(b.buf)), a.o.MaxUnpacked+1)
	if size > smallBody {
		a.inflight.Add(size - b.reserved)
		b.reserved = size
		if a.inflight.Load() > a.o.MaxInflight {
			return errInflight
		}
	}
	grown := make([]byte, len(b.buf), size)
	copy(grown, b.buf)
	b.buf = grown
	return nil
}

// bodyError says what the end of an unfinished body means to its sender.
func (a *API) bodyError(sent *limited, err error) error {
	if sent.err != nil && sent.err != io.EOF {
		err = sent.err
	}
	switch {
	case errors.Is(err, errBodyTooLarge):
		return closing(a.bodyTooLarge())
	case errors.Is(err, errUnpacked), tooLargeToUnpack(err):
		return closing(freshet.Errorf(freshet.TooLarge, "the body is over %d bytes when it is unpacked; send less at once", a.o.MaxUnpacked))
	case errors.Is(err, errInflight):
		return closing(freshet.Errorf(freshet.ResourceExhausted, "too many large bodies are on their way at once; try again"))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &statusError{status: http.StatusRequestTimeout, close: true, err: freshet.Errorf(freshet.InvalidArgument,
			"the body did not come within %v; send less at once", a.o.BodyTimeout)}
	case sent.err != nil && sent.err != io.EOF:
		return closing(freshet.Errorf(freshet.InvalidArgument, "the body ended early: %w", err))
	}
	return closing(freshet.FieldErrorf(freshet.InvalidArgument, "Content-Encoding", "the body cannot be unpacked: %w", err))
}

func (a *API) bodyTooLarge() error {
	return freshet.Errorf(freshet.TooLarge, "the body is over %d bytes; send less at once", a.o.MaxBody)
}
