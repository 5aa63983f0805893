package tablestore

import (
	"time"

	"github.com/freshet-ml/freshet"
)

// Moment is the event time of a row in whole microseconds since 1970-01-01T00:00Z: finer than an event's, because the
// clients that push rows send so many digits, and a row must not lose against an older one of the same millisecond.
type Moment int64

// The first and the last moment that a row may have: those of events.
const (
	MinMoment = Moment(freshet.MinTimestamp) * 1000
	MaxMoment = Moment(freshet.MaxTimestamp)*1000 + 999
)

// MomentOf truncates t to whole microseconds.
func MomentOf(t time.Time) Moment { return Moment(t.UnixMicro()) }

// Time is the same moment as a time.Time in UTC.
func (m Moment) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// AppendFormat appends m as RFC 3339 in UTC with no, three or six digits of a second: the fewest that hold it.
func (m Moment) AppendFormat(dst []byte) []byte {
	layout := "2006-01-02T15:04:05Z"
	switch {
	case m%1000 != 0:
		layout = "2006-01-02T15:04:05.000000Z"
	case m%1_000_000 != 0:
		layout = "2006-01-02T15:04:05.000Z"
	}
	return m.Time().AppendFormat(dst, layout)
}

func (m Moment) String() string { return string(m.AppendFormat(nil)) }
