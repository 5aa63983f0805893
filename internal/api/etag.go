package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// revalidate keeps caches from answering by themselves: what is newest changes at any moment.
var revalidate = []string{"private, no-cache"}

// tagged writes a whole answer of JSON with a tag of its content, or 304 without it if the request has that content already.
func (w *response) tagged(r *http.Request, b []byte) {
	var text [20]byte
	tag := append(text[:0], '"')
	tag = strconv.AppendUint(tag, xxh3.Hash(b), 36)
	tag = append(tag, '"')
	h := w.Header()
	h["Etag"] = []string{string(tag)}
	h["Cache-Control"] = revalidate
	if known := r.Header["If-None-Match"]; len(known) > 0 && matches(known, string(tag)) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.json(http.StatusOK, b)
}

// matches tells whether tag stands in If-None-Match headers: a list of tags, weak ones too, or *.
func matches(known []string, tag string) bool {
	for _, line := range known {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}
