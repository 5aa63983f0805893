package feature

import (
	"encoding/binary"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/freshet-ml/freshet/feature/expression"
)

// maxExact is how many distinct values are counted exactly.
const maxExact = 64

// distinctCell counts distinct values by their hashes: the hashes themselves up to maxExact, registers beyond. Which of the
// two follows from the set of values alone, so that it does not matter how the set came together.
type distinctCell struct {
	kind      expression.Kind
	hashes    []uint64 // ascending
	many      bool     // there are more than maxExact: they are in the registers
	registers *registers
	value     []byte
}

// hashOf is the hash of a value as appendValue writes it: one value has one such text, whatever field it came from.
func hashOf(value []byte) uint64 { return xxh3.Hash(value) }

func (c *distinctCell) reset() {
	c.hashes = c.hashes[:0]
	if c.many {
		c.many, *c.registers = false, registers{}
	}
}

func (c *distinctCell) add(x *operand, _ *occurrence) {
	if x.ok {
		c.value = appendOperand(c.value[:0], x, c.kind)
		c.offer(hashOf(c.value))
	}
}

func (c *distinctCell) offer(hash uint64) {
	if c.many {
		c.registers.add(hash)
		return
	}
	at, found := slices.BinarySearch(c.hashes, hash)
	switch {
	case found:
	case len(c.hashes) < maxExact:
		c.hashes = slices.Insert(c.hashes, at, hash)
	default:
		c.spill()
		c.registers.add(hash)
	}
}

// spill moves the hashes into the registers.
func (c *distinctCell) spill() {
	if c.registers == nil {
		c.registers = new(registers)
	}
	c.many = true
	for _, h := range c.hashes {
		c.registers.add(h)
	}
	c.hashes = c.hashes[:0]
}

// What an encoded cell begins with: the number of hashes, or one more than the largest such number.
const registersFollow = maxExact + 1

func (c *distinctCell) absorb(b []byte, _ anchor) (rest []byte, ok bool) {
	n, rest, ok := readUvarint(b)
	switch {
	case !ok || n > registersFollow:
		return nil, false
	case n == registersFollow:
		if !c.many {
			c.spill()
		}
		return c.registers.absorb(rest)
	case uint64(len(rest)) < n*8:
		return nil, false
	}
	for range n {
		c.offer(binary.LittleEndian.Uint64(rest))
		rest = rest[8:]
	}
	return rest, true
}

func (c *distinctCell) append(dst []byte, _ anchor) []byte {
	if c.many {
		return c.registers.append(append(dst, registersFollow))
	}
	dst = append(dst, byte(len(c.hashes)))
	for _, h := range c.hashes {
		dst = binary.LittleEndian.AppendUint64(dst, h)
	}
	return dst
}

func (c *distinctCell) count() float64 {
	if !c.many {
		return float64(len(c.hashes))
	}
	// That there are more than maxExact is certain.
	return max(c.registers.estimate(), maxExact+1)
}

func (c *call) distinct() (expression.Slot, error) {
	arg, in, err := c.operands(1, scalarValues, scalarKinds...)
	if err != nil {
		return expression.Slot{}, err
	}
	kind := arg.Type().Kind
	state := c.frame.component("distinct", in, func() cell { return &distinctCell{kind: kind} })
	return c.frame.aggregate(expression.Type{Kind: expression.Number, Int: true}, state, func(c cell, _ int64) expression.Value {
		return number(c.(*distinctCell).count())
	}), nil
}
