package npy_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/npy"
)

// file is an array file of the given version.
func file(version byte, header string, data ...byte) []byte {
	b := append([]byte(npy.Magic), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	}
	return append(append(b, header...), data...)
}

func dict(descr, order, shape string) string {
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }   \n", descr, order, shape)
}

func floats(order binary.AppendByteOrder, values ...float64) (b []byte) {
	for _, v := range values {
		b = order.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	little, big := binary.LittleEndian, binary.BigEndian
	tests := []struct {
		file  []byte
		shape []int
		want  []float64
	}{
		{file(1, dict("<f8", "False", "(2, 3)"), floats(little, 1, 2, 3, 4, 5, 6)...), []int{2, 3}, []float64{1, 2, 3, 4, 5, 6}},
		{file(2, dict("<f8", "True", "(2, 3)"), floats(little, 1, 4, 2, 5, 3, 6)...), []int{2, 3}, []float64{1, 2, 3, 4, 5, 6}},
		{file(3, dict(">f8", "False", "(2,)"), floats(big, 1, -2)...), []int{2}, []float64{1, -2}},
		{file(1, dict("<f8", "False", "()"), floats(little, 7)...), []int{}, []float64{7}},
		{file(1, dict("<f8", "True", "(2, 1, 2)"), floats(little, 1, 3, 2, 4)...), []int{2, 1, 2}, []float64{1, 2, 3, 4}},
		{file(1, dict("<f8", "False", "(0, 4000000000000)")), []int{0, 4000000000000}, []float64{}},
		{file(1, dict("<f4", "False", "(1,)"), 0, 0, 0x20, 0x40), []int{1}, []float64{2.5}},
		{file(1, dict("<i2", "False", "(2,)"), 0xff, 0xff, 2, 1), []int{2}, []float64{-1, 258}},
		{file(1, dict(">i4", "False", "(1,)"), 0xff, 0xff, 0xff, 0xfe), []int{1}, []float64{-2}},
		{file(1, dict("|u1", "False", "(2L,)"), 0xff, 3), []int{2}, []float64{255, 3}},
		{file(1, dict("|b1", "False", "(3,)"), 0, 1, 2), []int{3}, []float64{0, 1, 1}},
	}
	for _, test := range tests {
		a, err := npy.Parse(test.file)
		if err != nil {
			t.Errorf("%q: %v", test.file, err)
			continue
		}
		got, err := a.Float64s()
		if err != nil || !slices.Equal(a.Shape, test.shape) || !slices.Equal(got, test.want) {
			t.Errorf("%q: %v of shape %v (%v), expected %v of shape %v", test.file, got, a.Shape, err, test.want, test.shape)
		}
	}
}

func TestFloat32s(t *testing.T) {
	t.Parallel()
	a, err := npy.Parse(file(1, dict("<f4", "True", "(2, 2)"), 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Float32s(); err != nil || !slices.Equal(got, []float32{1, 3, 2, 4}) {
		t.Errorf("%v (%v), expected 1 3 2 4", got, err)
	}
}

func TestStrings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		file []byte
		want []string
	}{
		{file(1, dict("<U2", "False", "(2,)"), 'a', 0, 0, 0, 0xe9, 0, 0, 0, 'b', 0, 0, 0, 0, 0, 0, 0), []string{"aé", "b"}},
		{file(1, dict("<i2", "False", "(1,)"), 0xff, 0xff), []string{"-1"}},
		{file(1, dict("|u1", "False", "(1,)"), 0xff), []string{"255"}},
		{file(1, dict("|b1", "False", "(2,)"), 0, 1), []string{"false", "true"}},
		{file(1, dict("<f4", "False", "(1,)"), 0xcd, 0xcc, 0xcc, 0x3d), []string{"0.1"}},
	}
	for _, test := range tests {
		a, err := npy.Parse(test.file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Strings(); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q (%v), expected %q", got, err, test.want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	one := floats(binary.LittleEndian, 1)
	good := dict("<f8", "False", "(1,)")
	tests := []struct {
		what     string
		file     []byte
		code     freshet.Code
		mentions string
	}{
		{"empty", nil, freshet.InvalidArgument, "begin"},
		{"cut in the magic", []byte(npy.Magic), freshet.InvalidArgument, "cut off"},
		{"cut in a length of version 2", file(2, good)[:10], freshet.InvalidArgument, "cut off"},
		{"version 9", file(9, good, one...), freshet.Unsupported, "version 9"},
		{"header of 4 GB", append([]byte(npy.Magic), 2, 0, 0xff, 0xff, 0xff, 0xff, '{'), freshet.InvalidArgument, "4294967295"},
		{"10^12 rows", file(1, dict("<f8", "False", "(1000000000000, 3)"), one...), freshet.InvalidArgument, "1000000000000"},
		{"overflow", file(1, dict("<f8", "False", "(4611686018427387904, 4)")), freshet.InvalidArgument, "shape"},
		{"beyond int64", file(1, dict("<f8", "False", "(99999999999999999999,)")), freshet.InvalidArgument, "whole numbers"},
		{"negative", file(1, dict("<f8", "False", "(-1,)"), one...), freshet.InvalidArgument, "negative"},
		{"nested", file(1, dict("<f8", "False", strings.Repeat("(", 4000)), one...), freshet.InvalidArgument, "whole numbers"},
		{"nine dimensions", file(1, dict("<f8", "False", "(1,1,1,1,1,1,1,1,1)"), one...), freshet.InvalidArgument, "at most 8"},
		{"short", file(1, good, one[:7]...), freshet.InvalidArgument, "7 bytes"},
		{"trailing", file(1, good, append(one, 0)...), freshet.InvalidArgument, "9 bytes"},
		{"object", file(1, dict("|O", "False", "(1,)"), one...), freshet.Unsupported, "|O"},
		{"complex", file(1, dict("<c16", "False", "(1,)"), one...), freshet.Unsupported, "c16"},
		{"empty texts", file(1, dict("<U0", "False", "(1000000000,)")), freshet.Unsupported, "U0"},
		{"structure", file(1, "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", one...), freshet.Unsupported, "structures"},
		{"expression", file(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (int('1'),)}", one...), freshet.InvalidArgument, "whole numbers"},
		{"key twice", file(1, "{'shape': (1,), 'shape': (1,), 'descr': '<f8'}", one...), freshet.InvalidArgument, "twice"},
		{"key unknown", file(1, "{'shape': (1,), 'order': False, 'descr': '<f8'}", one...), freshet.Unsupported, "order"},
		{"key missing", file(1, "{'shape': (1,), 'descr': '<f8'}", one...), freshet.InvalidArgument, "lacks"},
		{"behind the header", file(1, strings.TrimSpace(good)+" + {}", one...), freshet.InvalidArgument, "behind"},
	}
	for _, test := range tests {
		_, err := npy.Parse(test.file)
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%s: %v, expected %s and the words %q", test.what, err, test.code, test.mentions)
		}
	}
	a, err := npy.Parse(file(1, dict("<i8", "False", "(1,)"), 1, 0, 0, 0, 0, 0, 0x20, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Float64s(); freshet.CodeOf(err) != freshet.Unsupported {
		t.Errorf("2^53 + 1: %v, expected %s", err, freshet.Unsupported)
	}
}

// FuzzParse: no bytes may panic, and what is read is in proportion to them.
func FuzzParse(f *testing.F) {
	f.Add(file(1, dict("<f8", "True", "(1, 2)"), floats(binary.LittleEndian, 1, 2)...))
	f.Add(file(2, dict("<U1", "False", "(1,)"), 'a', 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := npy.Parse(bytes.Clone(b))
		if err != nil {
			return
		}
		words, err := a.Strings()
		if err != nil || len(words) > len(b) {
			t.Fatalf("%d texts (%v)", len(words), err)
		}
		if numbers, err := a.Float64s(); err == nil && len(numbers) != len(words) {
			t.Fatalf("%d numbers and %d texts", len(numbers), len(words))
		}
	})
}
