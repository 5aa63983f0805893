package jobqueue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/freshet-ml/freshet"
)

// Bounds of what a job may hold. A composite key is several keys, percent-encoded.
const (
	maxNameBytes   = 63
	maxKeyBytes    = 16 * freshet.MaxKeyBytes
	maxReasonBytes = 2048
)

// checkJob says what is wrong with a job that the events of partition up to through are said to have made.
func checkJob(j *freshet.Job, partition freshet.Partition, through freshet.Offset) error {
	if !isJobID(string(j.ID), j.Pipeline, j.Cause) {
		return jobError(j, "id", "expected %q, made of its pipeline and cause", freshet.MakeJobID(j.Pipeline, j.Cause))
	}
	if n := len(j.Pipeline); n < 1 || n > maxNameBytes {
		return jobError(j, "pipeline", "expected a name of 1 to %d bytes, got %d", maxNameBytes, n)
	}
	if n := len(j.Entity.Kind); n < 1 || n > maxNameBytes {
		return jobError(j, "entity", "expected a kind of 1 to %d bytes, got %d", maxNameBytes, n)
	}
	if n := len(j.Entity.Key); n < 1 || n > maxKeyBytes {
		return jobError(j, "entity", "expected a key of 1 to %d bytes, got %d", maxKeyBytes, n)
	}
	if n := len(j.EventID); n > freshet.MaxEventIDBytes {
		return jobError(j, "event_id", "expected at most %d bytes, got %d", freshet.MaxEventIDBytes, n)
	}
	if j.Priority < freshet.LowPriority || j.Priority > freshet.HighPriority {
		return jobError(j, "priority", "expected -1, 0 or 1, got %d", j.Priority)
	}
	if j.First > j.Cause.Offset || j.NotBefore < 0 {
		return jobError(j, "first", "expected an offset before %d and a moment, got %d and %d", j.Cause.Offset, j.First, j.NotBefore)
	}
	if j.Cause.Partition != partition || j.Cause.Offset < 1 || j.Cause.Offset > through {
		return jobError(j, "cause", "expected an event of partition %d at offset 1 to %d, got partition %d offset %d", partition, through, j.Cause.Partition, j.Cause.Offset)
	}
	return nil
}

func jobError(j *freshet.Job, field, format string, args ...any) error {
	return freshet.FieldErrorf(freshet.InvalidArgument, field, "job %.80q: %s: %s", j.ID, field, fmt.Sprintf(format, args...))
}

// isJobID compares with freshet.MakeJobID without making it: it runs for every job.
func isJobID(id string, pipeline freshet.PipelineName, cause freshet.Place) bool {
	var tail [32]byte
	b := append(tail[:0], '-')
	b = strconv.AppendUint(b, uint64(cause.Partition), 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(cause.Offset), 10)
	rest, ok := strings.CutPrefix(id, string(pipeline))
	return ok && rest == string(b)
}

// permanent says that the same attempt would fail the same way again.
func permanent(cause error) bool {
	switch freshet.CodeOf(cause) {
	case freshet.InvalidArgument, freshet.Unprocessable, freshet.NotFound, freshet.Unsupported:
		return true
	}
	return false
}

// exhausted is why a job is a dead letter that was leased as often as allowed and not answered the last time.
func exhausted(l Lease) string {
	if l.LastError == "" {
		return fmt.Sprintf("no attempt is left: its lease ended %d times without an answer", l.Attempt-1)
	}
	return clip(fmt.Sprintf("no attempt of %d is left: its last lease ended without an answer; an attempt before failed: %s", l.Attempt-1, l.LastError))
}

// clip cuts a reason at 2 KB.
func clip(reason string) string { return clipTo(reason, maxReasonBytes) }

// clipTo cuts a text at most bytes, between characters.
func clipTo(text string, most int) string {
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
)

// pause is how long to wait after the failed attempt l.
func (q *Queue) pause(l Lease) time.Duration {
	if q.o.Backoff != nil {
		return max(0, q.o.Backoff(l.Attempt))
	}
	d := maxPause
	if doublings := l.Attempt - 1; doublings < 16 { // beyond that the shift would only overflow
		d = min(maxPause, firstPause<<max(0, doublings))
	}
	return d - time.Duration(spread(l.Job.ID)*float64(d)/4)
}

// spread is a number in [0, 1) that follows from id alone (FNV-1a), so that a replay pauses as the first run did.
func spread(id freshet.JobID) float64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9 // FNV leaves its top bits much alike for ids that differ in the last digit
	return float64(h>>11) / (1 << 53)
}
