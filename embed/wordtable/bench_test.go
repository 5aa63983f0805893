package wordtable

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/internal/alloctest"
)

func TestEmbedAllocatesNothing(t *testing.T) {
	table := Builtin()
	v := make([]float32, table.Dim())
	for _, text := range []string{"preparing for big exam", "Can’t FALL asleep!", "meditaton blorptastic", "Übung macht den Meister"} {
		if n := alloctest.PerRun(100, func() { table.Embed(text, v) }); n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

// TestBuiltinAllocatesAFewBlocks: opening allocates a few blocks and no more for more words.
func TestBuiltinAllocatesAFewBlocks(t *testing.T) {
	if n := alloctest.PerRun(10, func() { Builtin() }); n > 5 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBuiltin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Builtin()
	}
}

func BenchmarkEmbed(b *testing.B) {
	table := Builtin()
	v := make([]float32, table.Dim())
	for _, c := range []struct{ name, text string }{
		{"4words", "preparing for big exam"},
		{"40words", strings.Repeat("preparing for big exam ", 10)},
		{"misspelled", "meditaton"},
		{"unknown", "blorptastic"},
		{"foreign", "übung"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Embed(c.text, v)
			}
		})
	}
}

func BenchmarkConvert(b *testing.B) {
	names, vectors := randomVectors(1, 2000, 100)
	text := []byte(textOf(names, vectors))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Convert(bytes.NewReader(text), io.Discard, nil); err != nil {
			b.Fatal(err)
		}
	}
}
