package pushtable

import (
	"encoding/binary"
	"math"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/record"
	"github.com/freshet-ml/freshet/internal/table"
)

// Rows are described in docs/formats/tables.md.

// kindByte is a number of its own, so that what is stored does not change with the list of kinds.
func kindByte(k expression.Kind) byte {
	switch k {
	case expression.Number:
		return 'n'
	case expression.Bool:
		return 'b'
	case expression.Time:
		return 't'
	case expression.List:
		return 'l'
	}
	return 's'
}

func appendRow(dst []byte, columns []table.Column, values []expression.Value) []byte {
	for i, c := range columns {
		v := values[i]
		if v.Kind == expression.Null {
			continue
		}
		dst = append(record.AppendText(dst, c.Name), kindByte(c.Kind))
		switch c.Kind {
		case expression.Number:
			dst = record.AppendFloat(dst, v.Num)
		case expression.Bool:
			dst = append(dst, byte(v.Num))
		case expression.Time:
			dst = binary.AppendUvarint(dst, uint64(v.Num))
		case expression.List:
			dst = binary.AppendUvarint(dst, uint64(len(v.List)))
			for _, e := range v.List {
				dst = record.AppendText(dst, e.Str)
			}
		default:
			dst = record.AppendText(dst, v.Str)
		}
	}
	return dst
}

// readRow appends to dst the value of each column, whatever definition the row was written under. Texts share the memory
// of one copy of data.
func readRow(data []byte, columns []table.Column, dst []expression.Value) ([]expression.Value, error) {
	first := len(dst)
	for range columns {
		dst = append(dst, expression.Value{})
	}
	values := dst[first:]
	r := record.NewReader(string(data))
	next := 0 // the column that most likely follows
	for !r.Done() {
		name, kind := r.Text(), r.Byte()
		v := readValue(&r, kind)
		if r.Bad() {
			return dst[:first], freshet.Errorf(freshet.Internal, "%d stored bytes are no row", len(data))
		}
		at := find(columns, name, next)
		if at < 0 {
			continue
		}
		next = at + 1
		if c := columns[at]; kindByte(c.Kind) == kind && !(c.Int && v.Num != math.Trunc(v.Num)) {
			values[at] = v
		}
	}
	return dst, nil
}

// find is the index of a column by its name; it looks at next first.
func find(columns []table.Column, name string, next int) int {
	if next < len(columns) && columns[next].Name == name {
		return next
	}
	for i := range columns {
		if columns[i].Name == name {
			return i
		}
	}
	return -1
}

func readValue(r *record.Reader, kind byte) (v expression.Value) {
	switch kind {
	case 'n':
		v = expression.Value{Kind: expression.Number, Num: r.Float()}
	case 'b':
		v = expression.Value{Kind: expression.Bool, Num: float64(r.Byte() & 1)}
	case 't':
		v = expression.Value{Kind: expression.Time, Num: float64(r.Uvarint())}
	case 's':
		v = expression.Value{Kind: expression.String, Str: r.Text()}
	case 'l':
		n := r.Count(1)
		v = expression.Value{Kind: expression.List, List: make([]expression.Value, 0, n)}
		for range n {
			v.List = append(v.List, expression.Value{Kind: expression.String, Str: r.Text()})
		}
	default:
		*r = record.NewReader("")
		r.Byte() // bad
	}
	return v
}
