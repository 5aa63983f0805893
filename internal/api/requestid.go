package api

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
)

// requestIDs gives each request a name. A fresh one is a random number of this process and a count: unique in the log of
// a server over its restarts, and made without a lock.
type requestIDs struct {
	prefix string // of this run of the program
	count  atomic.Uint64
}

func (ids *requestIDs) init() { ids.prefix = strconv.FormatUint(rand.Uint64()|1<<63, 36)[:8] + "-" }

// maxRequestID is the longest id that is taken over from a client.
const maxRequestID = 128

func (ids *requestIDs) of(r *http.Request) string {
	if sent := r.Header["X-Request-Id"]; len(sent) == 1 && sane(sent[0]) {
		return sent[0]
	}
	var b [32]byte
	return string(strconv.AppendUint(append(b[:0], ids.prefix...), ids.count.Add(1), 36))
}

// sane says that an id can stand in a header and in a log as it is.
func sane(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case c == '-', c == '_', c == '.', c == ':', c == '/', c == '+', c == '=', c == '@':
		default:
			return false
		}
	}
	return true
}
