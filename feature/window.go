package feature

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
)

// Milliseconds of the units of durations.
const (
	second = 1000
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

const (
	minDuration = second
	maxDuration = 400 * day
	maxEvents   = 1000 // of a window "last N" and of last(x, n)
)

type windowKind uint8

const (
	sliding windowKind = iota
	tumbling
	session
	lastN
	lifetime
)

// window is one window of a view. All lengths are in milliseconds.
type window struct {
	kind   windowKind
	text   string // canonical, for the digest
	length int64  // D of sliding and tumbling, GAP of session
	suffix string // the text of D, which names features in a list of windows
	hop    int64  // of sliding: the grid of its far edge
	offset int64  // of tumbling
	events int    // N of last N
}

// parseWindow reads a window as the project file has it: "sliding 10m", "tumbling 24h offset 4h", "session 30m", "last 5",
// "lifetime".
func parseWindow(text string) (window, error) {
	words := strings.Fields(text)
	w := window{text: strings.Join(words, " ")}
	if len(words) == 0 {
		return w, badWindow(text, "expected sliding D, tumbling D, session GAP, last N or lifetime")
	}
	args := words[1:]
	switch words[0] {
	case "sliding":
		w.kind = sliding
	case "tumbling":
		w.kind = tumbling
	case "session":
		w.kind = session
	case "last":
		w.kind = lastN
		return w, w.setEvents(text, args)
	case "lifetime":
		w.kind = lifetime
		if len(args) > 0 {
			return w, badWindow(text, "lifetime has no length")
		}
		return w, nil
	default:
		return w, badWindow(text, "there is no window %s; expected sliding D, tumbling D, session GAP, last N or lifetime", words[0])
	}
	return w, w.setLength(text, args)
}

func (w *window) setLength(text string, args []string) (err error) {
	if len(args) == 0 {
		return badWindow(text, "expected a duration, such as 30m")
	}
	if w.length, err = parseDuration(args[0]); err != nil {
		return badWindow(text, "%w", err)
	}
	w.suffix = args[0]
	w.hop = hopOf(w.length)
	args = args[1:]
	if w.kind == tumbling && len(args) == 2 && args[0] == "offset" {
		if w.offset, err = parseOffset(args[1]); err != nil {
			return badWindow(text, "%w", err)
		}
		if w.offset >= w.length {
			return badWindow(text, "the offset must be shorter than the bucket of %s", w.suffix)
		}
		return nil
	}
	if len(args) > 0 {
		return badWindow(text, "%q is too much", strings.Join(args, " "))
	}
	return nil
}

func (w *window) setEvents(text string, args []string) error {
	if len(args) == 1 {
		n, err := strconv.Atoi(args[0])
		if err == nil && n >= 1 && n <= maxEvents {
			w.events = n
			return nil
		}
	}
	return badWindow(text, "expected a number of events from 1 to %d", maxEvents)
}

func badWindow(text, format string, args ...any) error {
	args = append([]any{text}, args...)
	return freshet.Errorf(freshet.InvalidArgument, "window %q: "+format, args...)
}

// parseDuration reads 30s, 10m, 24h or 7d, from 1 s to 400 d, into milliseconds.
func parseDuration(text string) (int64, error) {
	d, err := parseOffset(text)
	if err == nil && (d < minDuration || d > maxDuration) {
		return 0, freshet.Errorf(freshet.InvalidArgument, "duration %s: expected 1s to 400d", text)
	}
	return d, err
}

// parseOffset is parseDuration for a length that may be zero.
func parseOffset(text string) (int64, error) {
	const maxDigits = 9 // so that nothing overflows
	units := map[byte]int64{'s': second, 'm': minute, 'h': hour, 'd': day}
	if n := len(text) - 1; n > 0 && n <= maxDigits {
		unit, known := units[text[n]]
		count, err := strconv.ParseUint(text[:n], 10, 64)
		if known && err == nil {
			return int64(count) * unit, nil
		}
	}
	return 0, freshet.Errorf(freshet.InvalidArgument, "duration %s: expected a number and s, m, h or d, such as 30s, 10m, 24h or 7d", text)
}

// hops are the grids of far edges. Each divides the next, so that one set of tiles serves all windows of a row.
var hops = [...]int64{second, 5 * second, 30 * second, 5 * minute, hour, 6 * hour, day}

// hopOf is the largest hop that is at most a twelfth of the length.
func hopOf(length int64) int64 {
	hop := hops[0]
	for _, h := range hops {
		if h <= length/12 {
			hop = h
		}
	}
	return hop
}

// floorTo is the largest multiple of hop that is at most t. Hops are divided by as constants, which costs a tenth.
func floorTo(t, hop int64) int64 {
	var rest int64
	switch hop {
	case second:
		rest = t % second
	case 5 * second:
		rest = t % (5 * second)
	case 30 * second:
		rest = t % (30 * second)
	case 5 * minute:
		rest = t % (5 * minute)
	case hour:
		rest = t % hour
	case 6 * hour:
		rest = t % (6 * hour)
	case day:
		rest = t % day
	default:
		rest = t % hop
	}
	if rest < 0 {
		rest += hop
	}
	return t - rest
}

// low is the first moment that a window of aligned tiles sees at time t.
func (w *window) low(t int64) int64 {
	switch w.kind {
	case sliding:
		return floorTo(t-w.length, w.hop)
	case tumbling:
		return floorTo(t-w.offset, w.length) + w.offset
	}
	return math.MinInt64
}

// windowsOf parses the windows of a view: one of any kind, or several sliding ones. It reports all that is wrong.
func windowsOf(texts []string, report func(element string, err error)) []window {
	if len(texts) == 0 {
		report("window", freshet.Errorf(freshet.InvalidArgument, "window: expected sliding D, tumbling D, session GAP, last N or lifetime"))
		return nil
	}
	var windows []window
	for i, text := range texts {
		w, err := parseWindow(text)
		switch {
		case err != nil:
		case len(texts) > 1 && w.kind != sliding:
			err = badWindow(text, "a list of windows may hold sliding ones only")
		case slices.ContainsFunc(windows, func(o window) bool { return o.suffix == w.suffix && len(texts) > 1 }):
			err = badWindow(text, "it stands in the list twice")
		}
		if err != nil {
			report(indexed("window", i, len(texts)), err)
			continue
		}
		windows = append(windows, w)
	}
	return windows
}

// indexed names an element of a list as a project file has it: a list of one may be written without brackets.
func indexed(name string, i, n int) string {
	if n == 1 {
		return name
	}
	return name + "[" + strconv.Itoa(i) + "]"
}
