package table

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// computeDigest is SHA-256 over the content in a fixed form, so that quotes, line ends, ignored columns and the order of
// columns in the file do not matter, while the order of rows does: it decides ties. Numbers are little-endian, a text is its
// length as uint64 and its bytes:
//
//	number of key fields, each as text
//	number of columns, each as text, its kind as byte n, b, t or s, then byte 1 if it is int, else 0
//	per row: its key as text, then per column
//	  the number or the milliseconds as float64; null is the NaN 0x7FF8000000000001
//	  the bool as byte: 0 null, 1 false, 2 true
//	  the text; null is the empty one
func (t *Table) computeDigest() freshet.Digest {
	h := sha256.New()
	w := digestWriter{bufio.NewWriterSize(h, 64<<10)}
	w.number(uint64(len(t.spec.KeyFields)))
	for _, name := range t.spec.KeyFields {
		w.text(name)
	}
	w.number(uint64(len(t.columns)))
	for _, c := range t.spec.Columns {
		w.text(c.Name)
		w.byte(digestKind(c.Kind))
		w.byte(flag(c.Int))
	}
	for row := range t.Len() {
		w.text(t.keys.at(row))
		for i := range t.columns {
			w.value(&t.columns[i], row)
		}
	}
	_ = w.Flush() // a hash takes all
	return freshet.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

// digestKind is a number of its own, so that the digest of a table does not change with the list of kinds.
func digestKind(k expression.Kind) byte {
	switch k {
	case expression.Number:
		return 'n'
	case expression.Bool:
		return 'b'
	case expression.Time:
		return 't'
	}
	return 's'
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// digestWriter writes to a hash, which never fails.
type digestWriter struct{ *bufio.Writer }

func (w digestWriter) byte(b byte) { _ = w.WriteByte(b) }

func (w digestWriter) number(n uint64) {
	_, _ = w.Write(binary.LittleEndian.AppendUint64(w.AvailableBuffer(), n))
}

func (w digestWriter) text(s string) {
	w.number(uint64(len(s)))
	_, _ = w.WriteString(s)
}

func (w digestWriter) value(c *column, row int) {
	switch c.kind {
	case expression.String:
		w.text(c.texts.at(row))
	case expression.Bool:
		w.byte(byte(c.bools[row]))
	default:
		w.number(math.Float64bits(c.numbers[row]))
	}
}
