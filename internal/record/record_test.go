package record_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet/internal/record"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := []byte{7}
	b = binary.AppendUvarint(b, math.MaxUint64)
	b = binary.AppendVarint(b, math.MinInt64)
	b = record.AppendText(b, "a\x00/ü\xff")
	b = record.AppendFloat(b, math.NaN())
	b = binary.AppendUvarint(b, 2)
	b = append(b, "xy"...)
	r := record.NewReader(string(b))
	if v := r.Byte(); v != 7 {
		t.Errorf("byte %d", v)
	}
	if v := r.Uvarint(); v != math.MaxUint64 {
		t.Errorf("uvarint %d", v)
	}
	if v := r.Varint(); v != math.MinInt64 {
		t.Errorf("varint %d", v)
	}
	if v := r.Text(); v != "a\x00/ü\xff" {
		t.Errorf("text %q", v)
	}
	if v := r.Float(); math.Float64bits(v) != math.Float64bits(math.NaN()) {
		t.Errorf("float %v", v)
	}
	if n := r.Count(1); n != 2 || r.Rest() != "xy" || r.Done() || r.Bad() {
		t.Errorf("count %d, rest %q", n, r.Rest())
	}
	r.Byte()
	r.Byte()
	if !r.Done() {
		t.Error("not done at the end")
	}
}

func TestBad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record string
		take   func(*record.Reader)
	}{
		"no byte":         {"", func(r *record.Reader) { r.Byte() }},
		"cut uvarint":     {"\x80", func(r *record.Reader) { r.Uvarint() }},
		"65 bits":         {strings.Repeat("\xff", 9) + "\x02", func(r *record.Reader) { r.Uvarint() }},
		"endless uvarint": {strings.Repeat("\xff", 20), func(r *record.Reader) { r.Uvarint() }},
		"cut text":        {"\x03ab", func(r *record.Reader) { r.Text() }},
		"huge text":       {strings.Repeat("\xff", 9) + "\x01", func(r *record.Reader) { r.Text() }},
		"cut float":       {"1234567", func(r *record.Reader) { r.Float() }},
		"huge count":      {"\x03123456789", func(r *record.Reader) { r.Count(4) }},
	} {
		r := record.NewReader(c.record)
		if c.take(&r); !r.Bad() || r.Done() {
			t.Errorf("%s: %q is taken as good", name, c.record)
		}
	}
}

// TestKeyText: keys compare as their texts do, and none is a prefix of another.
func TestKeyText(t *testing.T) {
	t.Parallel()
	text := rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 'a', 0xff}))
	rapid.Check(t, func(r *rapid.T) {
		a, b := text.Draw(r, "a"), text.Draw(r, "b")
		ka, kb := record.AppendKeyText(nil, a), record.AppendKeyText(nil, b)
		if bytes.Compare(ka, kb) != strings.Compare(a, b) {
			r.Fatalf("%q and %q are ordered otherwise than their keys %x and %x", a, b, ka, kb)
		}
		if a != b && bytes.HasPrefix(ka, kb) {
			r.Fatalf("the key of %q begins with that of %q", a, b)
		}
	})
}
