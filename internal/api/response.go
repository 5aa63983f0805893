package api

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// response is a ResponseWriter that knows its request's id and remembers what status was answered.
type response struct {
	http.ResponseWriter
	id     string
	status int // 0 until the header is written
}

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
