package wordtable

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/embed"
	"github.com/freshet-ml/freshet/embed/embedtest"
)

// smallTable is a table of 3 words and 2 dimensions, written by hand.
func smallTable() []byte {
	b := []byte("WORDVEC\x00" + "\x01\x00" + "\x00\x00" + "\x03\x00\x00\x00" + "\x02\x00\x00\x00" + "\x0b\x00\x00\x00")
	for _, x := range []float32{0.002, 1, 1.0 / 4096, 0.5, 0.25} {
		b = le.AppendUint32(b, math.Float32bits(x))
	}
	b = append(b, "\x01a"+"\x03b'c"+"\x04deep"...)
	b = append(b, "\x00\x10"+"\x00\x20"+"\x00\x40"...) // u: 4096, 8192, 16384
	return append(b, 2, 0, 0, 4, 0xfd, 4)              // 2·0.5 0 | 0 1 | -3·0.5 1
}

func TestSmallTable(t *testing.T) {
	t.Parallel()
	embedtest.Run(t, func(t *testing.T) embed.Embedder {
		table, err := Open(smallTable())
		if err != nil {
			t.Fatal(err)
		}
		return table
	})
	table, err := Open(smallTable())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]float32{
		"a":    {1, 0},
		"B'C":  {0, 1},
		"deep": {float32(-1.5 / math.Sqrt(3.25)), float32(1 / math.Sqrt(3.25))},
		"b":    {0, 0},
	} {
		if got := vectorOf(table, text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, expected %v", text, got, want)
		}
	}
	if !table.Has("deep") || table.Has("Deep") || table.Has("dee") || table.Has("") {
		t.Error("Has does not say what the table has")
	}
	// The weights are a/(a+p): rarer b'c outweighs a.
	p := func(u float64) float64 { return 0.002 / (0.002 + math.Exp(-u/4096)) }
	if v, want := vectorOf(table, "a b'c"), p(4096)/p(8192); math.Abs(float64(v[0]/v[1])-want) > 1e-6 {
		t.Errorf("the weights are as 1 to %v, expected %v", v[0]/v[1], want)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	change := func(at int, with string) []byte {
		b := smallTable()
		copy(b[at:], with)
		return b
	}
	const nan, inf, minus = "\x00\x00\xc0\x7f", "\x00\x00\x80\x7f", "\x00\x00\x80\xbf"
	const words = headerBytes + 8
	for _, c := range []struct {
		name string
		data []byte
		code freshet.Code
		says string
	}{
		{"nothing", nil, freshet.InvalidArgument, "not a word table"},
		{"text", []byte("the 0.1 0.2 0.3\nof 0.3 0.1 0.2\nand 0.1 0.5 0.3\n"), freshet.InvalidArgument, "must be converted"},
		{"version", change(8, "\x02"), freshet.Unsupported, "version 2"},
		{"flags", change(10, "\x01"), freshet.Unsupported, "flags 1"},
		{"too many words", change(12, "\xff\xff\xff\xff"), freshet.InvalidArgument, "4294967295 words"},
		{"no dimensions", change(16, "\x00"), freshet.InvalidArgument, "0 dimensions"},
		{"too many dimensions", change(16, "\xff\xff\xff\xff"), freshet.InvalidArgument, "4294967295 dimensions"},
		{"too many bytes of words", change(20, "\xff\xff\xff\xff"), freshet.InvalidArgument, "cut off"},
		{"a is zero", change(24, "\x00\x00\x00\x00"), freshet.InvalidArgument, "SIF"},
		{"a is not a number", change(24, nan), freshet.InvalidArgument, "SIF"},
		{"norm below zero", change(28, minus), freshet.InvalidArgument, "norm"},
		{"step of infinity", change(32, inf), freshet.InvalidArgument, "step"},
		{"scale of infinity", change(40, inf), freshet.InvalidArgument, "dimension 1"},
		{"word beyond the block", change(words+6, "\x05"), freshet.InvalidArgument, "ends inside word 3"},
		{"block beyond the words", change(words+6, "\x03"), freshet.InvalidArgument, "1 bytes follow"},
		{"empty word", change(words, "\x00\x00"), freshet.InvalidArgument, "word 1"},
		{"not UTF-8", change(words+1, "\xff"), freshet.InvalidArgument, "word 1"},
		{"not sorted", change(words+1, "c"), freshet.InvalidArgument, "does not come after"},
		{"too long", append(smallTable(), 0), freshet.InvalidArgument, "there are 68"},
		{"too short", smallTable()[:66], freshet.InvalidArgument, "there are 66"},
	} {
		_, err := Open(c.data)
		if freshet.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %s with %q", c.name, err, c.code, c.says)
		}
	}
	for n := range len(smallTable()) {
		if _, err := Open(smallTable()[:n]); err == nil {
			t.Errorf("the first %d bytes were read as a table", n)
		}
	}
}

// FuzzOpen: any bytes are a table or an error, and what is a table embeds any text to a vector of length 1 or 0.
func FuzzOpen(f *testing.F) {
	f.Add(smallTable(), "a b'c deep depe unknown")
	f.Add(smallTable()[:40], "")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		table, err := Open(slices.Clone(data))
		if err != nil {
			if c := freshet.CodeOf(err); c != freshet.InvalidArgument && c != freshet.Unsupported {
				t.Fatalf("%s: %v", c, err)
			}
			return
		}
		if n := norm(vectorOf(table, text)); n != 0 && math.Abs(n-1) > 1e-3 {
			t.Fatalf("a vector of length %v", n)
		}
	})
}

// FuzzTokens: tokens are what the rules say, for any bytes.
func FuzzTokens(f *testing.F) {
	f.Add("Can’t FALL asleep! a''b 10:30 \xff é")
	f.Fuzz(func(t *testing.T, text string) {
		for _, token := range tokens(text) {
			if again := tokens(token); len(again) != 1 || again[0] != token {
				t.Fatalf("token %q of %q has the tokens %q", token, text, again)
			}
			if strings.HasPrefix(token, "'") || strings.HasSuffix(token, "'") || strings.Contains(token, "''") {
				t.Fatalf("token %q of %q: an apostrophe is not between two letters", token, text)
			}
		}
	})
}
