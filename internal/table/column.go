package table

import (
	"math"
	"slices"
	"strings"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// column holds the values of one column. A null is NaN, the empty text or unknown.
type column struct {
	kind    expression.Kind
	numbers []float64 // Number and Time (milliseconds)
	bools   []truth
	texts   texts
}

// truth is a bool that may be null.
type truth uint8

const (
	unknown truth = iota
	no
	yes
)

func (c *column) value(row int) expression.Value {
	switch c.kind {
	case expression.String:
		if s := c.texts.at(row); s != "" {
			return expression.Value{Kind: expression.String, Str: s}
		}
	case expression.Bool:
		if b := c.bools[row]; b != unknown {
			return expression.Value{Kind: expression.Bool, Num: float64(b - no)}
		}
	default:
		if v := c.numbers[row]; !math.IsNaN(v) {
			return expression.Value{Kind: c.kind, Num: v}
		}
	}
	return expression.Value{}
}

// append adds a value of the column's kind, or null.
func (c *column) append(v expression.Value) error {
	null := v.Kind == expression.Null
	switch c.kind {
	case expression.String:
		return c.texts.append(v.Str)
	case expression.Bool:
		switch {
		case null:
			c.bools = append(c.bools, unknown)
		case v.Num == 0:
			c.bools = append(c.bools, no)
		default:
			c.bools = append(c.bools, yes)
		}
	default:
		if null {
			v.Num = math.NaN()
		}
		c.numbers = append(c.numbers, v.Num)
	}
	return nil
}

// trim gives back what growing has left over.
func (c *column) trim() {
	c.numbers, c.bools = trimmed(c.numbers), trimmed(c.bools)
	c.texts.trim()
}

// trimmed is s in memory of its own size, unless that saves nothing to speak of.
func trimmed[T any](s []T) []T {
	if cap(s)-len(s) <= len(s)/64 {
		return s
	}
	return slices.Clone(s)
}

// texts is a list of texts in one piece of memory.
type texts struct {
	arena strings.Builder // not copied when it is read
	ends  []uint32        // text i lies between ends[i−1] and ends[i]
}

func (t *texts) len() int { return len(t.ends) }

func (t *texts) at(i int) string {
	var begin uint32
	if i > 0 {
		begin = t.ends[i-1]
	}
	return t.arena.String()[begin:t.ends[i]]
}

func (t *texts) append(s string) error {
	if uint64(t.arena.Len()+len(s)) > math.MaxUint32 {
		return freshet.Errorf(freshet.TooLarge, "more than 4 GiB of text in one column")
	}
	t.arena.WriteString(s)
	t.ends = append(t.ends, uint32(t.arena.Len()))
	return nil
}

func (t *texts) trim() {
	t.ends = trimmed(t.ends)
	if all := t.arena.String(); t.arena.Cap()-len(all) > len(all)/64 {
		t.arena.Reset()
		t.arena.Grow(len(all))
		t.arena.WriteString(all)
	}
}
