package feature

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet/feature/expression"
)

// maxCounts is how many values are counted.
const maxCounts = 256

// countsCell counts the events of each value, for as many values as there may be: those of the smallest hashes, ties by the
// bytes of the value. The largest hash kept only falls. So a value that is in the end among those kept was always among them,
// and each of its events is counted; and one that is kept of a union of events was kept of each part in which it occurs.
// Neither the order of events nor how panes are merged leaves a trace.
type countsCell struct {
	kind   expression.Kind
	values []counted // ascending by hash, then value
	arena  []byte
	// For results: places in values, and the keys of a map one behind the other, with where each begins and the last ends.
	order []int
	text  []byte
	ends  []int
}

type counted struct {
	hash  uint64
	value []byte // as appendValue writes it: of the row it was read from, or of the arena
	n     uint64
}

func (c *counted) compareTo(hash uint64, value []byte) int {
	if order := cmp.Compare(c.hash, hash); order != 0 {
		return order
	}
	return bytes.Compare(c.value, value)
}

func (c *countsCell) reset() {
	c.values = c.values[:0]
	c.arena = c.arena[:0]
}

func (c *countsCell) add(x *operand, _ *occurrence) {
	if !x.ok {
		return
	}
	from := len(c.arena)
	c.arena = appendOperand(c.arena, x, c.kind)
	end := len(c.arena)
	if isNew := c.offer(c.arena[from:end:end], 1); !isNew {
		c.arena = c.arena[:from]
	}
}

// offer counts n events of a value, which it keeps if it is a new one.
func (c *countsCell) offer(value []byte, n uint64) (isNew bool) {
	hash := hashOf(value)
	// Panes are written in ascending order: often what comes is at the end.
	at := len(c.values)
	if at > 0 && c.values[at-1].compareTo(hash, value) >= 0 {
		var found bool
		at, found = slices.BinarySearchFunc(c.values, hash, func(v counted, hash uint64) int { return v.compareTo(hash, value) })
		if found {
			c.values[at].n += n
			return false
		}
	}
	if at == maxCounts {
		return false
	}
	if len(c.values) == maxCounts {
		c.values = c.values[:maxCounts-1]
	}
	c.values = slices.Insert(c.values, at, counted{hash: hash, value: value, n: n})
	return true
}

func (c *countsCell) absorb(b []byte, _ anchor) (rest []byte, ok bool) {
	left, rest, ok := readUvarint(b)
	for ; ok && left > 0; left-- {
		var value []byte
		var n uint64
		if value, rest, ok = readScalar(rest, c.kind); !ok {
			break
		}
		if n, rest, ok = readUvarint(rest); ok {
			c.offer(value, n)
		}
	}
	return rest, ok
}

func (c *countsCell) append(dst []byte, _ anchor) []byte {
	dst = appendUvarint(dst, uint64(len(c.values)))
	for i := range c.values {
		dst = append(dst, c.values[i].value...)
		dst = appendUvarint(dst, c.values[i].n)
	}
	return dst
}

// counts is the map of values to their numbers. Its keys are parts of one string.
func (c *countsCell) counts() expression.Value {
	c.text, c.ends, c.order = c.text[:0], append(c.ends[:0], 0), c.order[:0]
	for i := range c.values {
		c.text = appendKey(c.text, c.values[i].value)
		c.ends, c.order = append(c.ends, len(c.text)), append(c.order, i)
	}
	text := string(c.text)
	key := func(i int) string { return text[c.ends[i]:c.ends[i+1]] }
	slices.SortFunc(c.order, func(i, j int) int { return strings.Compare(key(i), key(j)) })
	list := make([]expression.Value, len(c.order))
	for at, i := range c.order {
		list[at] = expression.Value{Kind: expression.Number, Str: key(i), Num: float64(c.values[i].n)}
	}
	return expression.Value{Kind: expression.Map, List: list}
}

// appendKey writes a value as the key of a map: a text as it is, a time in RFC 3339, all else as JSON.
func appendKey(dst, value []byte) []byte {
	if value[0] == tagString {
		text, _, _ := readBytes(value[1:])
		return append(dst, text...)
	}
	v := valueOf(value)
	if v.Kind != expression.Time {
		return v.AppendJSON(dst)
	}
	from := len(dst)
	dst = v.AppendJSON(dst) // in quotes
	return append(dst[:from], dst[from+1:len(dst)-1]...)
}

// top is the list of the k most frequent values.
func (c *countsCell) top(k int) expression.Value {
	c.order = c.order[:0]
	for i := range c.values {
		if len(c.order) == k {
			if c.compareRanks(i, c.order[k-1]) > 0 {
				continue
			}
			c.order = c.order[:k-1]
		}
		at, _ := slices.BinarySearchFunc(c.order, i, c.compareRanks)
		c.order = slices.Insert(c.order, at, i)
	}
	list := make([]expression.Value, len(c.order))
	for at, i := range c.order {
		list[at] = valueOf(c.values[i].value)
	}
	return expression.Value{Kind: expression.List, List: list}
}

// compareRanks orders values by how often they came, those that came as often by themselves.
func (c *countsCell) compareRanks(i, j int) int {
	a, b := &c.values[i], &c.values[j]
	if order := cmp.Compare(b.n, a.n); order != 0 {
		return order
	}
	return compareScalars(a.value, b.value)
}

func (c *call) counts() (expression.Slot, error) {
	state, _, err := c.counted(1)
	if err != nil {
		return expression.Slot{}, err
	}
	return c.frame.aggregate(expression.Type{Kind: expression.Map}, state, func(c cell, _ int64) expression.Value {
		return c.(*countsCell).counts()
	}), nil
}

func (c *call) top() (expression.Slot, error) {
	k, err := c.wholeNumber(1, "the length", maxCounts)
	if err != nil {
		return expression.Slot{}, err
	}
	state, kind, err := c.counted(2)
	if err != nil {
		return expression.Slot{}, err
	}
	list := expression.Type{Kind: expression.List, Elem: kind}
	return c.frame.aggregate(list, state, func(c cell, _ int64) expression.Value { return c.(*countsCell).top(k) }), nil
}

// counted finds or adds the countsCell of x, with a condition at index cond. The maps and lists of one x share it.
func (c *call) counted(cond int) (state int, kind expression.Kind, err error) {
	arg, in, err := c.operands(cond, scalarValues, scalarKinds...)
	if err != nil {
		return 0, 0, err
	}
	kind = arg.Type().Kind
	return c.frame.component("counts", in, func() cell { return &countsCell{kind: kind} }), kind, nil
}
