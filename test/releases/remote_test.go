package releases_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// serveRemote serves r by MLflow's protocol.
func serveRemote(t *testing.T, r *remote) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var asked struct {
			Frame struct {
				Data [][]float64 `json:"data"`
			} `json:"dataframe_split"`
		}
		if err := json.NewDecoder(req.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ages := make([]float64, len(asked.Frame.Data))
		for i, row := range asked.Frame.Data {
			ages[i] = row[0]
		}
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		scores, status := answer(ages)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"predictions": scores})
	}))
	t.Cleanup(s.Close)
	return s.URL
}
