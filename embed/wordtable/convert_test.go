package wordtable

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/freshet-ml/freshet"
)

// convert makes a table of text and opens it.
func convert(t *testing.T, text string, o *Options) (*Table, Converted) {
	t.Helper()
	var file bytes.Buffer
	done, err := Convert(strings.NewReader(text), &file, o)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Open(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if done.Dim != table.Dim() || done.Words != table.Len() {
		t.Errorf("%+v, yet the table has %d words of %d dimensions", done, table.Len(), table.Dim())
	}
	return table, done
}

// randomVectors are words word00000 … with vectors of all sizes that share a direction.
func randomVectors(seed uint64, words, dim int) ([]string, [][]float64) {
	random := rand.New(rand.NewPCG(seed, 0))
	names, vectors := make([]string, words), make([][]float64, words)
	for i := range names {
		names[i] = fmt.Sprintf("word%05d", (i*7919)%words) // not in the order of their bytes
		vectors[i] = make([]float64, dim)
		length := math.Exp(random.NormFloat64())
		for j := range vectors[i] {
			vectors[i][j] = math.Round(1e5*length*(random.NormFloat64()+0.5)) / 1e5
		}
	}
	return names, vectors
}

func textOf(names []string, vectors [][]float64) string {
	var text strings.Builder
	for i, name := range names {
		text.WriteString(name)
		for _, x := range vectors[i] {
			fmt.Fprintf(&text, " %.5f", x)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

func cosine(a, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return ab / math.Sqrt(aa*bb)
}

func TestConvertKeepsCosines(t *testing.T) {
	t.Parallel()
	const seed, words, dim = 3, 500, 50
	names, vectors := randomVectors(seed, words, dim)
	text := textOf(names, vectors)
	for _, header := range []string{"", fmt.Sprintf("%d %d\n", words, dim)} {
		table, done := convert(t, header+text, nil)
		if done != (Converted{Dim: dim, Words: words}) {
			t.Errorf("%+v", done)
		}
		worst := 0.0
		for i := 1; i < words; i++ {
			got := dot(vectorOf(table, names[i-1]), vectorOf(table, names[i]))
			worst = max(worst, math.Abs(got-cosine(vectors[i-1], vectors[i])))
		}
		if worst > 0.01 {
			t.Errorf("seed %d: a cosine changed by %v", seed, worst)
		}
	}
}

func TestConvertCenters(t *testing.T) {
	t.Parallel()
	const seed, words, dim = 5, 2000, 20
	names, vectors := randomVectors(seed, words, dim)
	plain, _ := convert(t, textOf(names, vectors), nil)
	centered, _ := convert(t, textOf(names, vectors), &Options{Center: true})
	mean := func(table *Table) (sum float64) {
		for i := 1; i < words; i++ {
			sum += dot(vectorOf(table, names[i-1]), vectorOf(table, names[i]))
		}
		return sum / (words - 1)
	}
	if a, b := mean(plain), mean(centered); a < 0.1 || math.Abs(b) > 0.02 {
		t.Errorf("seed %d: the mean cosine is %v, centered %v", seed, a, b)
	}
	if centered.norm >= 1 || centered.norm < 0.5 || math.Abs(plain.norm-1) > 1e-6 {
		t.Errorf("hashed vectors of length %v, centered %v", plain.norm, centered.norm)
	}
}

func TestConvertWeighsByRank(t *testing.T) {
	t.Parallel()
	table, done := convert(t, "The 1 0\n, 1 1\nof 0 1\nTHE 0.5 0.5\nwell-known 1 1\nnothing 0 0\nCan’t 1 -1\nzebra 3 4", nil)
	if done != (Converted{Dim: 2, Words: 4, Skipped: 4}) {
		t.Errorf("%+v", done)
	}
	ranks := map[string]float64{"the": 0, "of": 2, "can't": 6, "zebra": 7}
	var sum float64
	for _, rank := range ranks {
		sum += 1 / (rank + 2.7)
	}
	for word, rank := range ranks {
		i := table.find([]byte(word))
		if i < 0 {
			t.Errorf("%q is not in the table", word)
			continue
		}
		if got, want := exp(-float64(table.logStep(i))*table.step), 1/(rank+2.7)/sum; math.Abs(got/want-1) > 1.0/4096 {
			t.Errorf("p(%s) = %v, expected %v", word, got, want)
		}
	}
	if v := vectorOf(table, "zebra"); math.Abs(float64(v[0])-0.6) > 0.01 || math.Abs(float64(v[1])-0.8) > 0.01 {
		t.Errorf("zebra: %v", v)
	}
	if v := vectorOf(table, "the"); v[1] != 0 {
		t.Errorf("the: %v, expected the vector of its first line", v)
	}
}

func TestConvertReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		o    *Options
		want Converted
	}{
		"carriage returns":      {"2 2\r\na 1 2\r\nb 3 4\r\n", nil, Converted{2, 2, 0}},
		"blanks at the end":     {"2 2\na 1 2 \nb 3 4 \n\n", nil, Converted{2, 2, 0}},
		"tabs":                  {"a\t1\t2\nb\t3\t4", nil, Converted{2, 2, 0}},
		"phrases":               {"a 1 2\nat name@domain.com 3 4\nb 3 4", nil, Converted{2, 2, 1}},
		"not UTF-8":             {"a 1 2\nb\xff 3 4", nil, Converted{2, 1, 1}},
		"long words":            {"a 1 2\n" + strings.Repeat("x", 256) + " 1 2\n" + strings.Repeat("x", 255) + " 1 2\n", nil, Converted{2, 2, 1}},
		"one dimension":         {"a 1\nb 2", nil, Converted{1, 2, 0}},
		"numbers are words":     {"4711 1 2\nb 2 1", nil, Converted{2, 2, 0}},
		"exponents":             {"a 1e-3 -2E+2\nb 2 1", nil, Converted{2, 2, 0}},
		"dimension never used":  {"a 1 0\nb 2 0", nil, Converted{2, 2, 0}},
		"only so many words":    {"a 1 2\n- 1 2\nb 3 4\nthis is not read", &Options{MaxWords: 2}, Converted{2, 2, 1}},
		"header says more":      {"9 2\na 1 2\nb 3 4\n", &Options{MaxWords: 2}, Converted{2, 2, 0}},
		"one word, centered":    {"a 1 2", &Options{Center: true}, Converted{2, 1, 0}},
		"tiny and huge vectors": {"a 1e-40 1e-40\nb 3e38 -3e38", nil, Converted{2, 2, 0}},
	} {
		if _, done := convert(t, c.text, c.o); done != c.want {
			t.Errorf("%s: %+v, expected %+v", name, done, c.want)
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		o    *Options
		says string
	}{
		{"", nil, "none of 0 lines"},
		{"2 2\n", nil, "says that 2 follow, there are 0"},
		{"3 2\na 1 2\nb 1 2\n", nil, "says that 3 follow, there are 2"},
		{"1 2\na 1 2\nb 1 2\n", nil, "says that 1 follow, there are 2"},
		{"2 0\na\n", nil, "line 1: 0 dimensions"},
		{"2 5000\n", nil, "line 1: 5000 dimensions"},
		{"word\n", nil, "line 1: 0 dimensions"},
		{"a 1 2\nb 1\n", nil, "line 2: expected a word and 2 numbers"},
		{"a 1 2\n\nb 1 2 3\n", nil, "line 3: expected a word and 2 numbers, found 3"},
		{"a 1 2\nb 1 two\n", nil, `line 2: component 2 is "two"`},
		{"a 1 NaN\n", nil, `line 1: component 2 is "NaN"`},
		{"a 1e39 1\n", nil, `line 1: component 1 is "1e39"`},
		{"a 1 2\n" + strings.Repeat("1", maxLine), nil, "line 2: longer than"},
		{", 1 2\n. 1 2\n", nil, "none of 2 lines"},
		{"a 1 2", &Options{MaxWords: -1}, "max_words is -1"},
		{"a 1 2", &Options{MaxWords: 1e9}, "max_words is 1000000000"},
		{smallTableText, nil, "line 1"},
	} {
		var file bytes.Buffer
		_, err := Convert(strings.NewReader(c.text), &file, c.o)
		if freshet.CodeOf(err) != freshet.InvalidArgument || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.30q: %v, expected %q", c.text, err, c.says)
		}
		if file.Len() > 0 {
			t.Errorf("%.30q: %d bytes were written", c.text, file.Len())
		}
	}
}

var smallTableText = string(smallTable())

func TestConvertGivesBackTheErrorsOfItsFiles(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	if _, err := Convert(iotest.ErrReader(broken), &bytes.Buffer{}, nil); !errors.Is(err, broken) {
		t.Errorf("%v, expected the reader's error", err)
	}
	if _, err := Convert(strings.NewReader("a 1 2"), failing{broken}, nil); !errors.Is(err, broken) {
		t.Errorf("%v, expected the writer's error", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// FuzzConvert: any text is an error or becomes a table that opens.
func FuzzConvert(f *testing.F) {
	f.Add("2 3\na 1 2 3\nCan't -1 1e-9 0\n", false)
	f.Add("the 0.1 0.2\n, 1 1\nof 3e38 -3e38\n", true)
	f.Fuzz(func(t *testing.T, text string, center bool) {
		var file bytes.Buffer
		done, err := Convert(strings.NewReader(text), &file, &Options{Center: center, MaxWords: 1000})
		if err != nil {
			if freshet.CodeOf(err) != freshet.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		table, err := Open(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if table.Len() != done.Words {
			t.Fatalf("%d words, expected %d", table.Len(), done.Words)
		}
	})
}
