package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/freshet-ml/freshet/internal/release"
)

// response is a ResponseWriter that knows its request's id and remembers what status was answered.
type response struct {
	http.ResponseWriter
	id     string
	status int // 0 until the header is written
	// control is set while the time for the request's body runs.
	control *http.ResponseController
}

// startBody gives the request's body until deadline to come: also one that nobody reads here, because the server reads a
// part of it before it takes the next request on the connection.
func (w *response) startBody(deadline time.Time) {
	control := http.NewResponseController(w.ResponseWriter)
	if control.SetReadDeadline(deadline) == nil { // writers without deadlines are those of tests
		w.control = control
	}
}

// bodyRead stops the time: what follows may take longer, and the end of the time would end it.
func (w *response) bodyRead() {
	if w.control != nil {
		w.control.SetReadDeadline(time.Time{})
		w.control = nil
	}
}

// releaseHeader names the release that an answer is of, for protocols that have no place for it in the body.
const releaseHeader = "Freshet-Release"

func (w *response) of(rel *release.Opened) { w.Header().Set(releaseHeader, string(rel.ID())) }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// send writes a whole answer. An error in writing means that nobody reads it any more.
func (w *response) send(status int, contentType string, b []byte) {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	w.WriteHeader(status)
	w.Write(b)
}

// json writes a whole answer of JSON.
func (w *response) json(status int, b []byte) { w.send(status, "application/json", b) }

// value writes v as JSON: for answers that are not on a hot path.
func (w *response) value(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.json(status, b)
	return nil
}
