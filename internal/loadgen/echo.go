package loadgen

import (
	"io"
	"net/http"
)

// Echo answers every request with the bytes of its body: what net/http costs on a machine when nothing is done. Bodies over
// 16 MiB are cut off.
func Echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(body); err != nil {
			return // the client is gone
		}
	})
}
