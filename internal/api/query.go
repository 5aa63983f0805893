package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
)

// query are the parameters of a request, each given once.
type query map[string]string

// parseQuery reads the query of r. A parameter that is not among known, or is given twice, is an InvalidArgument that
// names it: a mistyped name must not be a silent default.
func parseQuery(r *http.Request, known ...string) (query, error) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "the query cannot be read: %w", err)
	}
	q := make(query, len(values))
	for name, given := range values {
		if !slices.Contains(known, name) {
			return nil, unknownParameter(name, known)
		}
		if len(given) != 1 {
			return nil, invalid(name, "given %d times; expected once", len(given))
		}
		q[name] = given[0]
	}
	return q, nil
}

func unknownParameter(name string, known []string) error {
	name = clip(name, 64)
	if len(known) == 0 {
		return freshet.FieldErrorf(freshet.InvalidArgument, name, "%s: unknown parameter; none is expected here", name)
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, name, "%s: unknown parameter; expected %s", name, strings.Join(known, ", "))
}

// invalid is an error about the value of one field.
func invalid(field, format string, args ...any) error {
	return freshet.FieldErrorf(freshet.InvalidArgument, field, field+": "+format, args...)
}

// at is the moment asked for: RFC 3339 or epoch milliseconds; now if none is.
func (q query) at(now freshet.Timestamp) (freshet.Timestamp, error) {
	s, ok := q["at"]
	if !ok {
		return now, nil
	}
	return parseMoment(s)
}

func parseMoment(s string) (freshet.Timestamp, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		t := freshet.Timestamp(ms)
		if t < freshet.MinTimestamp || t > freshet.MaxTimestamp {
			return 0, invalid("at", "%d ms is outside 1970 … 9999", ms)
		}
		return t, nil
	}
	// A plus that was not escaped arrives as a space; no time has one there.
	t, err := freshet.ParseTimestamp(strings.ReplaceAll(s, " ", "+"))
	if err != nil {
		return 0, invalid("at", "%.64q: expected RFC 3339 with zone, such as 2025-03-03T12:00:00Z, or epoch milliseconds, 1970 … 9999", s)
	}
	return t, nil
}

// known says whether only events that had arrived by the moment asked for count.
func (q query) known() (bool, error) {
	switch s, ok := q["as_of"]; {
	case !ok, s == "event":
		return false, nil
	case s == "known":
		return true, nil
	default:
		return false, invalid("as_of", "%.64q: expected event or known", s)
	}
}

func (q query) flag(name string) (bool, error) {
	switch s, ok := q[name]; {
	case !ok, s == "false":
		return false, nil
	case s == "true":
		return true, nil
	default:
		return false, invalid(name, "%.64q: expected true or false", s)
	}
}

// count is a whole number from 1 to limit; def if it is not given.
func (q query) count(name string, def, limit int) (int, error) {
	s, ok := q[name]
	if !ok {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > limit {
		return 0, invalid(name, "%.64q: expected a whole number from 1 to %d", s, limit)
	}
	return n, nil
}

// barrier is what an answer is to wait for.
type barrier struct {
	given   bool
	through freshet.Position
	wait    time.Duration
}

// barrier reads after and wait.
func (q query) barrier() (barrier, error) {
	var b barrier
	after, given := q["after"]
	wait, timed := q["wait"]
	if timed && !given {
		return b, invalid("wait", "given without after; expected the position from the answer to POST /v1/events in after")
	}
	if !given {
		return b, nil
	}
	var err error
	b.given = true
	if b.through, err = freshet.ParsePosition(after); err != nil || !timed {
		return b, err
	}
	b.wait, err = time.ParseDuration(wait)
	if err != nil || b.wait < 0 || b.wait > maxWait {
		return b, invalid("wait", "%.64q: expected a duration from 0s to %v, such as 500ms", wait, maxWait)
	}
	return b, nil
}
