package push

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswerBytes is how much of a provider's answer is read: all that any of them says.
const maxAnswerBytes = 16 << 10

// ReadAnswer reads at most 16 KB of an answer and closes it.
func ReadAnswer(r *http.Response) ([]byte, error) {
	defer r.Body.Close()
	return io.ReadAll(io.LimitReader(r.Body, maxAnswerBytes))
}

// RetryAfter is what the header Retry-After of an answer says, at most a day; 0 if it says nothing.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	d := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return max(0, min(d, 24*time.Hour))
}

// Unreached is the result of a request that got no answer. The address stays out of the reason: it may be a secret itself.
func Unreached(err error) Result {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Failed("no answer in time")
	case errors.Is(err, context.Canceled):
		return Result{Outcome: Retry, Reason: "interrupted"}
	}
	return Failed(Clip(err.Error()))
}

// Clip shortens what a provider says to 200 bytes.
func Clip(s string) string { return s[:min(len(s), 200)] }
