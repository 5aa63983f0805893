package feature

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
)

// The contract once more, as a reader of it would write it down who has all events in a list and all the time there is: nothing here calls
// what it is held against, so that a mistake in what rows and Compute share (the edges of windows, the cells) does not agree with itself.

// played is an event of type play as it is sent.
type played struct {
	Type      string    `json:"type"`
	User      string    `json:"user_id"`
	Content   string    `json:"content_id"`
	ID        string    `json:"event_id"`
	Time      int64     `json:"event_time"`
	Category  *string   `json:"category,omitempty"`
	Seconds   *float64  `json:"seconds,omitempty"`
	Completed *bool     `json:"completed,omitempty"`
	Level     *int      `json:"level,omitempty"`
	At        *int64    `json:"at,omitempty"`
	Tags      []string  `json:"tags,omitzero"`
	V         []float64 `json:"v,omitempty"`

	ingest, largest int64 // when it came, and the largest event time of the partition before it
}

func (e *played) done() bool { return e.Completed != nil && *e.Completed }

// bruteCase is a feature with its value by brute force: of the events that a window sees, oldest first by (event_time, event_id), at a moment.
type bruteCase struct {
	name, expression string
	want             func(w []played, at int64) any
	off              float64 // by how much of itself a number may differ; 0: the same float64
}

// numberOf is what an expression over one event gives; ok is false for null.
type numberOf func(e *played) (x float64, ok bool)

func secondsOf(e *played) (float64, bool) {
	if e.Seconds == nil {
		return 0, false
	}
	return *e.Seconds, true
}

func levelOf(e *played) (float64, bool) {
	if e.Level == nil {
		return 0, false
	}
	return float64(*e.Level), true
}

func completedOf(e *played) (float64, bool) {
	if e.Completed == nil {
		return 0, false
	}
	if *e.Completed {
		return 1, true
	}
	return 0, true
}

func anyEvent(*played) bool { return true }

func isDone(e *played) bool { return e.done() }

// numbers are those of the events for which cond is true, each with the time of its event.
func numbers(w []played, x numberOf, cond func(*played) bool) (xs []float64, times []int64) {
	for i := range w {
		if v, ok := x(&w[i]); ok && cond(&w[i]) {
			xs, times = append(xs, v), append(times, w[i].Time)
		}
	}
	return xs, times
}

// summands are the numbers that add: none beyond 2^53.
func summands(w []played, x numberOf, cond func(*played) bool) (xs []*big.Int, times []int64) {
	all, at := numbers(w, x, cond)
	for i, v := range all {
		if math.Abs(v) <= 1<<53 {
			xs, times = append(xs, exactInt(v)), append(times, at[i])
		}
	}
	return xs, times
}

func total(xs []*big.Int) *big.Int {
	sum := new(big.Int)
	for _, x := range xs {
		sum.Add(sum, x)
	}
	return sum
}

// units is n in units of 2^-bits as a float64, rounded once, divided by by.
func units(n *big.Int, bits uint, by int64) float64 {
	return nearest(n, new(big.Int).Mul(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(by)))
}

func bruteSum(x numberOf, cond func(*played) bool) func([]played, int64) any {
	return func(w []played, _ int64) any {
		xs, _ := summands(w, x, cond)
		return units(total(xs), 64, 1)
	}
}

func bruteMean(x numberOf, cond func(*played) bool) func([]played, int64) any {
	return func(w []played, _ int64) any {
		xs, _ := summands(w, x, cond)
		if len(xs) == 0 {
			return nil
		}
		return units(total(xs), 64, int64(len(xs)))
	}
}

func bruteVariance(x numberOf, cond func(*played) bool, root bool) func([]played, int64) any {
	return func(w []played, _ int64) any {
		xs, _ := summands(w, x, cond)
		n := int64(len(xs))
		if n < 2 {
			return nil
		}
		var squares []*big.Int
		for _, x := range xs {
			squares = append(squares, new(big.Int).Mul(x, x))
		}
		sum := total(xs)
		num := new(big.Int).Sub(new(big.Int).Mul(big.NewInt(n), total(squares)), new(big.Int).Mul(sum, sum))
		v := units(num, 128, n*(n-1))
		if root {
			v = math.Sqrt(v)
		}
		return v
	}
}

func bruteSlope(x numberOf, cond func(*played) bool) func([]played, int64) any {
	return func(w []played, _ int64) any {
		xs, times := summands(w, x, cond)
		n := big.NewInt(int64(len(xs)))
		var ts, tts, xts []*big.Int
		for i, x := range xs {
			t := big.NewInt(times[i])
			ts, tts, xts = append(ts, t), append(tts, new(big.Int).Mul(t, t)), append(xts, new(big.Int).Mul(x, t))
		}
		den := new(big.Int).Sub(new(big.Int).Mul(n, total(tts)), new(big.Int).Mul(total(ts), total(ts)))
		if den.Sign() == 0 {
			return nil
		}
		num := new(big.Int).Sub(new(big.Int).Mul(n, total(xts)), new(big.Int).Mul(total(xs), total(ts)))
		return nearest(num.Mul(num, big.NewInt(1000)), den.Lsh(den, 64))
	}
}

func bruteExtreme(x numberOf, cond func(*played) bool, of func([]float64) float64) func([]played, int64) any {
	return func(w []played, _ int64) any {
		xs, _ := numbers(w, x, cond)
		if len(xs) == 0 {
			return nil
		}
		return of(xs) + 0
	}
}

// quantile is the element itself: the engine is off by a hundredth of it at most.
func bruteQuantile(x numberOf, q float64) func([]played, int64) any {
	return func(w []played, _ int64) any {
		xs, _ := numbers(w, x, anyEvent)
		xs = slices.DeleteFunc(xs, func(v float64) bool { return math.Abs(v) > 1<<53 })
		if len(xs) == 0 {
			return nil
		}
		slices.Sort(xs)
		return xs[int(math.Floor(q*float64(len(xs)-1)))]
	}
}

// texts are the categories of events, the oldest first.
func texts(w []played, cond func(*played) bool) (all []any) {
	for i := range w {
		if w[i].Category != nil && cond(&w[i]) {
			all = append(all, *w[i].Category)
		}
	}
	return all
}

func values(xs []float64) (all []any) {
	for _, x := range xs {
		all = append(all, x)
	}
	return all
}

func tally(all []any) map[any]float64 {
	n := map[any]float64{}
	for _, x := range all {
		n[x]++
	}
	return n
}

// bruteTop is the k most frequent, ties by themselves.
func bruteTop(all []any, k int, compare func(a, b any) int) []any {
	n := tally(all)
	top := []any{}
	for x := range n {
		top = append(top, x)
	}
	slices.SortFunc(top, func(a, b any) int {
		if c := cmp.Compare(n[b], n[a]); c != 0 {
			return c
		}
		return compare(a, b)
	})
	return top[:min(k, len(top))]
}

func compareTextsOf(a, b any) int   { return strings.Compare(a.(string), b.(string)) }
func compareNumbersOf(a, b any) int { return cmp.Compare(a.(float64), b.(float64)) }

// newestFirst are the last n of a list.
func newestFirst(all []any, n int) []any {
	list := slices.Clone(all[max(0, len(all)-n):])
	slices.Reverse(list)
	if list == nil {
		list = []any{}
	}
	return list
}

func oneOf(all []any, last bool) any {
	switch {
	case len(all) == 0:
		return nil
	case last:
		return all[len(all)-1]
	}
	return all[0]
}

func bruteSince(cond func(*played) bool) func([]played, int64) any {
	return func(w []played, at int64) any {
		for i := len(w) - 1; i >= 0; i-- {
			if cond(&w[i]) {
				return float64(at-w[i].Time) / 1000
			}
		}
		return nil
	}
}

// bruteCases are features of every aggregate that has one right value.
var bruteCases = []bruteCase{
	{"n", "count()", func(w []played, _ int64) any { return float64(len(w)) }, 0},
	{"done", "count(completed)", func(w []played, _ int64) any {
		return float64(len(slices.DeleteFunc(slices.Clone(w), func(e played) bool { return !e.done() })))
	}, 0},
	{"s", "sum(seconds)", bruteSum(secondsOf, anyEvent), 0},
	{"sc", "sum(level, completed)", bruteSum(levelOf, isDone), 0},
	{"sb", "sum(completed)", bruteSum(completedOf, anyEvent), 0},
	{"huge", "sum(seconds * 1000)", bruteSum(func(e *played) (float64, bool) { x, ok := secondsOf(e); return x * 1000, ok }, anyEvent), 0},
	{"m", "mean(seconds)", bruteMean(secondsOf, anyEvent), 0},
	{"mc", "mean(completed, level > 0)", bruteMean(completedOf, func(e *played) bool { return e.Level != nil && *e.Level > 0 }), 0},
	{"v", "variance(seconds)", bruteVariance(secondsOf, anyEvent, false), 0},
	{"sd", "stddev(level, completed)", bruteVariance(levelOf, isDone, true), 0},
	{"sl", "slope(seconds)", bruteSlope(secondsOf, anyEvent), 0},
	{"slc", "slope(level, completed)", bruteSlope(levelOf, isDone), 0},
	{"lo", "min(seconds)", bruteExtreme(secondsOf, anyEvent, slices.Min), 0},
	{"hi", "max(level, completed)", bruteExtreme(levelOf, isDone, slices.Max), 0},
	{"q", "quantile(seconds, 0.5)", bruteQuantile(secondsOf, 0.5), 0.01},
	{"f", "first(category)", func(w []played, _ int64) any { return oneOf(texts(w, anyEvent), false) }, 0},
	{"l", "last(category, completed)", func(w []played, _ int64) any { return oneOf(texts(w, isDone), true) }, 0},
	{"l3", "last(category, 3)", func(w []played, _ int64) any { return newestFirst(texts(w, anyEvent), 3) }, 0},
	{"x2", "last(level, 2, completed)", func(w []played, _ int64) any { xs, _ := numbers(w, levelOf, isDone); return newestFirst(values(xs), 2) }, 0},
	{"d", "distinct(category)", func(w []played, _ int64) any { return float64(len(tally(texts(w, anyEvent)))) }, 0},
	{"dx", "distinct(seconds, completed)", func(w []played, _ int64) any {
		xs, _ := numbers(w, secondsOf, isDone)
		return float64(len(tally(values(xs))))
	}, 0},
	{"c", "counts(category)", func(w []played, _ int64) any {
		counts := map[string]float64{}
		for x, n := range tally(texts(w, anyEvent)) {
			counts[x.(string)] = n
		}
		return counts
	}, 0},
	{"cx", "counts(level, completed)", func(w []played, _ int64) any {
		xs, _ := numbers(w, levelOf, isDone)
		counts := map[string]float64{}
		for x, n := range tally(values(xs)) {
			counts[strconv.Itoa(int(x.(float64)))] = n
		}
		return counts
	}, 0},
	{"t", "top(category, 2)", func(w []played, _ int64) any { return bruteTop(texts(w, anyEvent), 2, compareTextsOf) }, 0},
	{"tx", "top(level, 3, completed)", func(w []played, _ int64) any {
		xs, _ := numbers(w, levelOf, isDone)
		return bruteTop(values(xs), 3, compareNumbersOf)
	}, 0},
	{"since", "since_last()", bruteSince(anyEvent), 0},
	{"sincec", "since_last(completed)", bruteSince(isDone), 0},
	{"dec", "decay(level, \"10m\")", func(w []played, at int64) any {
		sum := 0.0
		for i := range w {
			if x, ok := levelOf(&w[i]); ok {
				sum += x * math.Exp2(-float64(at-w[i].Time)/600_000)
			}
		}
		return sum
	}, 1e-9},
	{"cen", "centroid(v)", func(w []played, _ int64) any {
		var of [3][]*big.Int
		for _, e := range w {
			for i, x := range e.V {
				of[i] = append(of[i], exactInt(x))
			}
		}
		if len(of[0]) == 0 {
			return nil
		}
		mean := []any{}
		for _, xs := range of {
			mean = append(mean, units(total(xs), 64, int64(len(xs))))
		}
		return mean
	}, 0},
	{"smooth", "smooth(done, n, 0.5, 4)", func(w []played, _ int64) any {
		done := len(slices.DeleteFunc(slices.Clone(w), func(e played) bool { return !e.done() }))
		return (float64(done) + 2) / (float64(len(w)) + 4)
	}, 0},
}

// bruteWindow is W(k, T): which of the events, sorted and none of them late, a window sees.
func bruteWindow(window string, events []played, at int64) []played {
	words := strings.Fields(window)
	seen := func(from int64) []played {
		return slices.DeleteFunc(slices.Clone(events), func(e played) bool { return e.Time < from })
	}
	switch words[0] {
	case "sliding":
		length := bruteLength(words[1])
		hop := int64(1000)
		for _, h := range []int64{5, 30, 300, 3600, 21600, 86400} {
			if 12*h*1000 <= length {
				hop = h * 1000
			}
		}
		return seen(floored(at-length, hop))
	case "tumbling":
		offset := int64(0)
		if len(words) == 4 {
			offset = bruteLength(words[3])
		}
		return seen(floored(at-offset, bruteLength(words[1])) + offset)
	case "session":
		gap := bruteLength(words[1])
		begin := len(events)
		for next := at; begin > 0 && next-events[begin-1].Time <= gap; begin-- {
			next = events[begin-1].Time
		}
		return events[begin:]
	case "last":
		n, _ := strconv.Atoi(words[1])
		return events[max(0, len(events)-n):]
	}
	return events
}

func floored(t, step int64) int64 {
	m := new(big.Int).Mod(big.NewInt(t), big.NewInt(step)) // never negative
	return t - m.Int64()
}

func bruteLength(text string) int64 {
	n, _ := strconv.ParseInt(text[:len(text)-1], 10, 64)
	return n * map[byte]int64{'s': 1000, 'm': 60_000, 'h': 3_600_000, 'd': 86_400_000}[text[len(text)-1]]
}

// bruteInTime are the events that no session view has dropped as late. It keeps all sessions of the events in time as a list of times, and what was
// dropped with them as the last of these.
func bruteInTime(log []played, gap, lateness int64) (inTime []played) {
	var kept []int64 // times of the events in sessions that are kept
	dropped := int64(math.MinInt64 / 2)
	for _, e := range log {
		watermark := max(e.largest, e.Time) - lateness
		slices.Sort(kept)
		still, gone := kept, dropped
		for i := len(kept) - 1; i >= 0; i-- { // from the newest session on: where one ends, and whether the watermark has passed it
			if end := i == len(kept)-1 || kept[i+1]-kept[i] > gap; end && kept[i]+gap < watermark {
				still, gone = kept[i+1:], max(gone, kept[i])
				break
			}
		}
		if e.Time <= gone+gap {
			continue // it is late, and nothing has happened
		}
		kept, dropped = append(slices.Clone(still), e.Time), gone
		inTime = append(inTime, e)
	}
	return inTime
}

// bruteValues are the values of bruteCases for one window at a moment, from the log of an entity.
func bruteValues(log []played, window string, lateness, at int64, known bool) []any {
	if words := strings.Fields(window); words[0] == "session" {
		log = bruteInTime(log, bruteLength(words[1]), lateness)
	}
	var events []played
	for _, e := range log {
		if e.Time <= at && (!known || e.ingest <= at) {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b played) int { return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID)) })
	w := bruteWindow(window, events, at)
	var all []any
	for _, c := range bruteCases {
		all = append(all, c.want(w, at))
	}
	return all
}

func (e played) String() string {
	return fmt.Sprintf("%s at %s, come at %s", e.ID, freshet.Timestamp(e.Time), freshet.Timestamp(e.ingest))
}
