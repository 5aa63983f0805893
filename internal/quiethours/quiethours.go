// Package quiethours is a kit: the hours of a day in which nobody is to be disturbed, in a time zone with its changes of the clock. It is pure.
package quiethours

import (
	"strconv"
	"strings"
	"time"

	_ "time/tzdata" // the zones of a machine that has none

	"github.com/freshet-ml/freshet"
)

// Off is the text of no quiet hours.
const Off = "off"

// Hours are those of a day, from From, inclusive, to To, exclusive, in minutes since midnight; they cross midnight if To is not after From. The zero
// Hours are none.
type Hours struct{ From, To int }

// Parse reads "22:00-07:00", or "off" for none. Returns InvalidArgument.
func Parse(text string) (Hours, error) {
	if text == Off {
		return Hours{}, nil
	}
	from, to, ok := strings.Cut(text, "-")
	f, fok := minutes(from)
	t, tok := minutes(to)
	if !ok || !fok || !tok {
		return Hours{}, freshet.Errorf(freshet.InvalidArgument, "%.40q is no span of a day; write it as 22:00-07:00, or off", text)
	}
	if f == t {
		return Hours{}, freshet.Errorf(freshet.InvalidArgument, "%s has no length; write off for no quiet hours", text)
	}
	return Hours{f, t}, nil
}

// minutes reads "22:00".
func minutes(text string) (int, bool) {
	h, m, ok := strings.Cut(text, ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || err1 != nil || err2 != nil || len(h) != 2 || len(m) != 2 || hour > 23 || minute > 59 {
		return 0, false
	}
	return int(hour)*60 + int(minute), true
}

// Zone finds a time zone by its IANA name. Returns InvalidArgument. "Local" is none: it would depend on the machine.
func Zone(name string) (*time.Location, error) {
	if name != "" && name != "Local" && len(name) <= 64 {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, freshet.Errorf(freshet.InvalidArgument, "%.64q is no time zone; write an IANA name such as Europe/Berlin", name)
}

// Until says whether at is in quiet hours, and when they end.
func (h Hours) Until(at time.Time, zone *time.Location) (end time.Time, quiet bool) {
	if h == (Hours{}) {
		return time.Time{}, false
	}
	year, month, day := at.In(zone).Date()
	for back := 1; back >= 0; back-- { // those that began yesterday first
		from := moment(year, month, day-back, h.From, zone)
		last := day - back
		if h.To <= h.From {
			last++
		}
		to := moment(year, month, last, h.To, zone)
		if !at.Before(from) && at.Before(to) {
			return to, true
		}
	}
	return time.Time{}, false
}

// moment is when the clocks of zone show a time of day. A time that they leave out counts as the next that they show, of one that they show twice it
// is the first: time.Date promises neither.
func moment(year int, month time.Month, day, minute int, zone *time.Location) time.Time {
	wall := time.Date(year, month, day, 0, minute, 0, 0, time.UTC)
	at := time.Date(year, month, day, 0, minute, 0, 0, zone)
	shown := wallOf(at)
	start, end := at.ZoneBounds()
	switch {
	case shown.After(wall): // at is behind the gap
		return start
	case shown.Before(wall):
		return end
	case start.IsZero():
		return at
	}
	_, offset := start.Add(-time.Second).Zone()
	if first := wall.Add(-time.Duration(offset) * time.Second); first.Before(start) {
		return first.In(zone)
	}
	return at
}

// wallOf is what the clocks show, as if they stood in UTC.
func wallOf(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, t.Hour(), t.Minute(), 0, 0, time.UTC)
}
