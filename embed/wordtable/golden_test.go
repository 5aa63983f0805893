package wordtable

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/embed"
	"github.com/freshet-ml/freshet/embed/embedtest"
	"github.com/freshet-ml/freshet/internal/sharedtest"
)

// tokens are all tokens of text.
func tokens(text string) []string {
	list := []string{}
	for text != "" {
		var token []byte
		if token, text = next(text, nil); len(token) > 0 {
			list = append(list, string(token))
		}
	}
	return list
}

func vectorOf(t *Table, text string) []float32 {
	v := make([]float32, t.Dim())
	t.Embed(text, v)
	return v
}

func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestBuiltin(t *testing.T) {
	t.Parallel()
	embedtest.Run(t, func(*testing.T) embed.Embedder { return Builtin() })
	table := Builtin()
	if table.Len() != 26665 || table.Dim() != 100 {
		t.Errorf("%d words of %d dimensions", table.Len(), table.Dim())
	}
	opened, err := Open(builtin)
	if err != nil {
		t.Fatal(err)
	}
	if opened.Digest() != table.Digest() {
		t.Errorf("the digest of words.bin is %s, builtinDigest says %s", opened.Digest(), table.Digest())
	}
	for _, who := range []string{"GloVe", "GRAYPE", "Wolf Garbe", "mmb L", "Kevin Atkinson"} {
		if !strings.Contains(Notices(), who) {
			t.Errorf("the notices do not name %s", who)
		}
	}
}

// TestBuiltinIsTheSharedTable: the copy in the package is the one that the contract is about.
func TestBuiltinIsTheSharedTable(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(sharedtest.Path(t, "data/words/words.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, builtin) {
		t.Error("words.bin is another than ../shared/data/words/words.bin")
	}
}

// TestGolden holds the vectors of 40 texts against those of the reference reader.
func TestGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Tolerance float64
		Texts     []struct {
			Text       string
			Tokens     []string
			First8     []float64
			Norm       float64
			NormBefore float64 `json:"norm_before"`
		}
		Cosines [][]float64
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Texts) != 40 || len(golden.Cosines) != 40 || golden.Tolerance > 1e-5 {
		t.Fatalf("%d texts, %d rows of cosines, tolerance %v", len(golden.Texts), len(golden.Cosines), golden.Tolerance)
	}
	table := Builtin()
	near := func(a, b float64) bool { return math.Abs(a-b) <= golden.Tolerance }
	vectors := make([][]float32, len(golden.Texts))
	for i, g := range golden.Texts {
		v := vectorOf(table, g.Text)
		vectors[i] = v
		if got := tokens(g.Text); !slices.Equal(got, g.Tokens) {
			t.Errorf("%q: tokens %q, expected %q", g.Text, got, g.Tokens)
		}
		for d, want := range g.First8 {
			if !near(float64(v[d]), want) {
				t.Errorf("%q: component %d is %v, expected %v", g.Text, d, v[d], want)
			}
		}
		if got := norm(v); !near(got, g.Norm) {
			t.Errorf("%q: norm %v, expected %v", g.Text, got, g.Norm)
		}
		if got := normBefore(table, g.Text); !near(got, g.NormBefore) {
			t.Errorf("%q: norm before %v, expected %v", g.Text, got, g.NormBefore)
		}
	}
	for i, row := range golden.Cosines {
		for j, want := range row {
			if got := dot(vectors[i], vectors[j]); !near(got, want) {
				t.Errorf("cosine of %q and %q: %v, expected %v", golden.Texts[i].Text, golden.Texts[j].Text, got, want)
			}
		}
	}
}

// normBefore is the length of the sum that is normalised.
func normBefore(table *Table, text string) float64 {
	s := table.scratch.New().(*scratch)
	for _, token := range tokens(text) {
		table.addToken(s, []byte(token))
	}
	var squares float64
	for _, x := range s.sum {
		squares += x * x
	}
	return math.Sqrt(squares)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"Deep SLEEP", []string{"deep", "sleep"}},
		{"3am, 10:30", []string{"3am", "10", "30"}},
		{"can't", []string{"can't"}},
		{"can’t", []string{"can't"}},
		{"'tis the dogs' bone'", []string{"tis", "the", "dogs", "bone"}},
		{"a''b 'c' d'", []string{"a", "b", "c", "d"}},
		{"o'clock's", []string{"o'clock's"}},
		{"rock'n'roll", []string{"rock'n'roll"}},
		{"7'11", []string{"7'11"}},
		{"it's'", []string{"it's"}},
		{"it'\u2019s", []string{"it", "s"}},
		{"snake_case-word", []string{"snake", "case", "word"}},
		{"İstanbul ΣΟΦΟΣ ẞ", []string{"istanbul", "σοφοσ", "ß"}},
		{"ǅ ǈ", []string{"ǆ", "ǉ"}},                           // title case has a simple mapping
		{"naïve nai\u0308ve", []string{"naïve", "nai", "ve"}}, // no normalisation: a combining mark is no letter
		{"٣٤ Ⅷ ½ ²", []string{"٣٤"}},                          // Nd counts, Nl and No do not
		{"日本語 テキスト", []string{"日本語", "テキスト"}},
		{"a\xffb\xc3", []string{"a", "b"}},
		{"a\ufffdb", []string{"a", "b"}},
	} {
		if got := tokens(c.text); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
			t.Errorf("%q: %q, expected %q", c.text, got, c.want)
		}
	}
}

// TestWhatATokenSays follows a token through the rules of docs/formats/words.md.
func TestWhatATokenSays(t *testing.T) {
	t.Parallel()
	table := Builtin()
	for _, c := range []struct{ text, same string }{
		{"Sleep", "sleep"},
		{"sleep'zzzz", "sleep"},     // what stands before the apostrophe
		{"meditaton", "meditation"}, // a letter is missing
		{"meditattion", "meditation"},
		{"meidtation", "meditation"}, // neighbours are swapped
		{"meqitation", "meditation"}, // another letter
		{"meditaton'zzzz", "meditation"},
		{"q", ""},
		{"4711", ""},
		{"٣٤", ""},
		{"sleep 4711", "sleep"},
	} {
		if got, want := vectorOf(table, c.text), vectorOf(table, c.same); !slices.Equal(got, want) {
			t.Errorf("%q has another vector than %q", c.text, c.same)
		}
	}
	for _, unknown := range []string{"zxqv", "zxqvzxqv", "übung", "3xyz"} {
		if norm(vectorOf(table, unknown)) == 0 {
			t.Errorf("%q says nothing, expected a vector of its spelling", unknown)
		}
	}
	if a, b, c := vectorOf(table, "blorptastic"), vectorOf(table, "blorptastico"), vectorOf(table, "qwyxnumfej"); dot(a, b) < 0.7 || dot(a, b) < dot(a, c)+0.5 {
		t.Errorf("unknown words of like spelling: cosine %v, of unlike spelling %v", dot(a, b), dot(a, c))
	}
}

func TestExp(t *testing.T) {
	t.Parallel()
	for u := range math.MaxUint16 + 1 {
		for _, step := range []float64{1.0 / 4096, float64(float32(0.01)), 1} {
			x := -float64(u) * step
			if got, want := exp(x), math.Exp(x); math.Abs(got-want) > 1e-15*want {
				t.Fatalf("exp(%v) = %v, expected %v", x, got, want)
			}
		}
	}
}
