// Package embedtest is what every embedder must pass: a conformance suite of the contract of package embed. It tests
// nothing by itself.
package embedtest

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet/embed"
)

var texts = []string{
	"", " ", "\x00", "...", "sleep", "deep sleep story", "Can’t FALL asleep!", "don't", "'", "a", "7", "10 2026", "meditaton",
	"café naïve", "Übung macht den Meister", "日本語のテキスト", "\xff\xfe\x80", "sleep\xffwell", strings.Repeat("z", 5000),
	strings.Repeat("deep sleep ", 500),
}

// Run checks that the embedders that open returns keep the contract. Each call must open the same one anew.
func Run(t *testing.T, open func(t *testing.T) embed.Embedder) {
	t.Run("digest", func(t *testing.T) {
		t.Parallel()
		a, b := open(t), open(t)
		if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(string(a.Digest())) {
			t.Errorf("digest %q, expected sha256: and 64 hexadecimal digits", a.Digest())
		}
		if a.Digest() != b.Digest() || a.Dim() != b.Dim() || a.Dim() < 1 {
			t.Errorf("opened twice: %s of %d, %s of %d dimensions", a.Digest(), a.Dim(), b.Digest(), b.Dim())
		}
	})
	t.Run("length", func(t *testing.T) {
		t.Parallel()
		e := open(t)
		for _, text := range texts {
			v := vector(e, text)
			var squares float64
			for _, x := range v {
				squares += float64(x) * float64(x)
			}
			if squares != 0 && math.Abs(squares-1) > 1e-5 {
				t.Errorf("%.40q: length %v, expected 1, or 0", text, math.Sqrt(squares))
			}
			if strings.TrimSpace(text) == "" && squares != 0 {
				t.Errorf("%q says nothing, yet its vector is not zero", text)
			}
		}
	})
	t.Run("repeatable", func(t *testing.T) {
		t.Parallel()
		a, b := open(t), open(t)
		for _, text := range texts {
			want := vector(a, text)
			if got := vector(a, text); !slices.Equal(got, want) {
				t.Errorf("%.40q: another vector the second time", text)
			}
			if got := vector(b, text); !slices.Equal(got, want) {
				t.Errorf("%.40q: another vector when opened anew", text)
			}
		}
	})
	t.Run("concurrent", func(t *testing.T) {
		t.Parallel()
		e := open(t)
		wants := make([][]float32, len(texts))
		for i, text := range texts {
			wants[i] = vector(open(t), text)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i, text := range texts {
					if !slices.Equal(vector(e, text), wants[i]) {
						t.Errorf("%.40q: another vector when several ask", text)
					}
				}
			})
		}
		all.Wait()
	})
}

// vector embeds into memory that is not zero: an embedder fills all of it.
func vector(e embed.Embedder, text string) []float32 {
	v := make([]float32, e.Dim())
	for i := range v {
		v[i] = float32(math.NaN())
	}
	e.Embed(text, v)
	return v
}
