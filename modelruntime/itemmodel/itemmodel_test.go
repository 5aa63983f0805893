package itemmodel_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/parquet-go/parquet-go"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/parquetfile/parquetfiletest"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/itemmodel"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
)

const table = "item,other,weight\na,b,2\na,c,0.5\nb,c,1\nc,a,-1\n"

type line struct {
	Item   string  `parquet:"item"`
	Other  string  `parquet:"other"`
	Weight float64 `parquet:"weight"`
}

func parquetFile[T any](t testing.TB, lines ...T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, lines); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(file []byte) (modelruntime.Model, error) {
	return modelruntime.Open(fstest.MapFS{"m": {Data: file}}, []modelruntime.Runtime{itemmodel.Items{}})
}

func TestConformance(t *testing.T) {
	lines := parquetFile(t, line{"a", "b", 2}, line{"a", "c", 0.5}, line{"b", "c", 1}, line{"c", "a", -1})
	for name, file := range map[string][]byte{"csv": []byte(table), "parquet": lines} {
		modelruntimetest.Run(t, itemmodel.Items{}, []modelruntimetest.Example{
			{Name: name, File: file, Texts: []string{"a", "b", "c"}, Inputs: []string{"item", "recent"}, Outputs: []string{"score"}},
		})
	}
}

func TestScores(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	files := map[string][]byte{
		"csv":         []byte(table),
		"other order": []byte("\ufeffweight,other,item\n2,b,a\n.5,c,a\n1,c,b\n-1,a,c\n"),
		"parquet":     parquetFile(t, line{"a", "b", 2}, line{"a", "c", 0.5}, line{"b", "c", 1}, line{"c", "a", -1}),
	}
	for name, file := range files {
		opened, err := open(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := opened.(modelruntime.Ranker)
		for _, test := range []struct {
			recent string
			want   []float64 // of a, b, c and an unknown item
		}{
			{"a", []float64{0, 2, 0.5, nan}},
			{"ab", []float64{0, 2, 1.5, nan}},
			{"aac", []float64{-1, 4, 1, nan}},
			{"zc", []float64{-1, 0, 0, nan}},
			{"z", []float64{nan, nan, nan, nan}},
			{"", []float64{nan, nan, nan, nan}},
		} {
			var list, inputs []float64
			for _, r := range test.recent {
				list = append(list, m.Encode(1, string(r)))
			}
			for _, c := range "abcz" {
				inputs = append(inputs, m.Encode(0, string(c)), float64(len(list)))
			}
			got := make([]float64, 4)
			if err := m.Rank(context.Background(), [][]float64{list}, inputs, got); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%s: after %q: %v, expected %v", name, test.recent, got, test.want)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	type wide struct {
		line
		More string `parquet:"more"`
	}
	type text struct {
		Item, Other, Weight string
	}
	tests := []struct {
		file  string
		code  freshet.Code
		words string
	}{
		{"item,other,weight\n", freshet.InvalidArgument, "no line"},
		{"item,other,weight\na,b,x\n", freshet.InvalidArgument, `line 2: weight "x"`},
		{"item,other,weight\na,b,NaN\n", freshet.InvalidArgument, "line 2: weight NaN"},
		{"item,other,weight\na,b,1e308\n", freshet.InvalidArgument, "1e+308"},
		{"item,other,weight\na,,1\n", freshet.InvalidArgument, "line 2: other"},
		{"item,other,weight\na,b,1\na,b,2\n", freshet.InvalidArgument, "twice"},
		{"item,other,weight\na,b\n", freshet.InvalidArgument, "line 2"},
		{"item,other,weight\n\"a,b,1\n", freshet.InvalidArgument, "line 2"},
		{"item,other,weights\na,b,1\n", freshet.Unsupported, "no model of a known format"},
		{"PAR1 and nothing", freshet.InvalidArgument, "broken"},
		{string(parquetFile(t, wide{line{"a", "b", 1}, "x"})), freshet.Unsupported, "more"},
		{string(parquetFile(t, text{"a", "b", "1"})), freshet.Unsupported, "Weight"},
	}
	for _, test := range tests {
		_, err := open([]byte(test.file))
		if freshet.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.words) {
			t.Errorf("%.40q: %v, expected %s with %q", test.file, err, test.code, test.words)
		}
	}
}

// TestWholeNumbers: ids that are numbers are their decimal texts, and weights may be counts; what looks like a number and is a time is not read.
func TestWholeNumbers(t *testing.T) {
	t.Parallel()
	type numbers struct {
		Item   int64 `parquet:"item"`
		Other  int64 `parquet:"other"`
		Weight int32 `parquet:"weight"`
	}
	opened, err := open(parquetFile(t, numbers{7, -8, 3}))
	if err != nil {
		t.Fatal(err)
	}
	m, got := opened.(modelruntime.Ranker), make([]float64, 1)
	if err := m.Rank(context.Background(), [][]float64{{m.Encode(1, "7")}}, []float64{m.Encode(0, "-8"), 1}, got); err != nil || got[0] != 3 {
		t.Errorf("%v, %v; expected 3", got, err)
	}
	type times struct {
		Item   int64 `parquet:"item,timestamp"`
		Other  int64 `parquet:"other"`
		Weight int32 `parquet:"weight"`
	}
	if _, err := open(parquetFile(t, times{7, 8, 3})); freshet.CodeOf(err) != freshet.Unsupported || freshet.FieldOf(err) != "item" {
		t.Errorf("ids that are times: %v", err)
	}
}

// TestLie: a table that says to have more values than it has costs no more than it has. Not parallel: it counts allocations.
func TestLie(t *testing.T) {
	lie := parquetfiletest.Lie(t, parquetFile(t, line{"a", "b", 2}))
	var err error
	took := parquetfiletest.Allocated(func() { _, err = open(lie) })
	if freshet.CodeOf(err) != freshet.InvalidArgument || !strings.Contains(fmt.Sprint(err), `column "item"`) || took > 32<<20 {
		t.Errorf("%v, and %d MiB: expected that column item is broken, and no memory", err, took>>20)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(table))
	f.Add(parquetFile(f, line{"a", "b", 2}))
	f.Fuzz(func(t *testing.T, file []byte) {
		if m, err := open(file); err == nil {
			if err := m.Predict(context.Background(), make([]float64, 2), make([]float64, 1)); err != nil {
				t.Error(err)
			}
		}
	})
}
