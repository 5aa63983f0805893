package factormodel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/factormodel"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
)

// array is an .npy file of float32 or float64.
func array[T float32 | float64](width int, values ...T) []byte {
	var v T
	header := fmt.Sprintf("{'descr': '<f%d', 'fortran_order': False, 'shape': (%d, %d), }\n", binary.Size(v), len(values)/width, width)
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	for _, part := range []any{uint16(len(header)), []byte(header), values} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// small is a model of two users and five items; nobody needs to be in the order of the maps.
func small() map[string][]byte {
	return map[string][]byte{
		"user_factors.npy": array[float32](2, 1, 0, 0.5, -2),
		"item_factors.npy": array[float64](2, 1, 1, 2, 0, 0, 3, 2, 0, -1, 0.25),
		"users.csv":        []byte("user_id,seq\nb,1\na,0\n"),
		"items.csv":        []byte("item,seq\na,0\nb,1\nc,2\nd,3\ne,4\n"),
	}
}

func open(files map[string][]byte) (modelruntime.Model, error) {
	dir := fstest.MapFS{}
	for name, file := range files {
		if file != nil {
			dir[name] = &fstest.MapFile{Data: file}
		}
	}
	return modelruntime.Open(dir, []modelruntime.Runtime{factormodel.Factors{}})
}

func TestConformance(t *testing.T) {
	sequences := small()
	delete(sequences, "users.csv")
	delete(sequences, "items.csv")
	modelruntimetest.Run(t, factormodel.Factors{}, []modelruntimetest.Example{
		{Name: "ids", Files: small(), Texts: []string{"a", "b"}, Inputs: []string{"user", "item", "recent"}, Outputs: []string{"score"}},
		{Name: "sequences", Files: sequences, Inputs: []string{"user_sequence", "item_sequence"}, Outputs: []string{"score"}},
	})
}

func TestScores(t *testing.T) {
	t.Parallel()
	m, err := open(small())
	if err != nil {
		t.Fatal(err)
	}
	ranker := m.(modelruntime.Ranker)
	nan := math.NaN()
	tests := []struct {
		name   string
		user   float64
		recent []float64
		want   []float64 // of items 0 to 4 and of one that it does not know
	}{
		{"a known user", 0, nil, []float64{1, 2, 0, 2, -1, nan}},
		{"recent items change nothing for a known user", 1, []float64{0}, []float64{-1.5, 1, -6, 1, -1, nan}},
		{"an unknown user", nan, nil, []float64{nan, nan, nan, nan, nan, nan}},
		{"folded in", nan, []float64{0, 2}, []float64{2.5, 1, 6, 1, 0, nan}}, // the mean of (1, 1) and (0, 3) is (0.5, 2)
		{"beyond the end", 2, nil, []float64{nan, nan, nan, nan, nan, nan}},
		{"half a user", 0.5, []float64{7}, []float64{nan, nan, nan, nan, nan, nan}},
	}
	for _, test := range tests {
		var inputs []float64
		for i := range test.want {
			inputs = append(inputs, test.user, float64(i), float64(len(test.recent)))
		}
		inputs[len(inputs)-2] = nan
		got := make([]float64, len(test.want))
		if err := ranker.Rank(context.Background(), [][]float64{test.recent}, inputs, got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: %v, expected %v", test.name, got, test.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		file, text string
		words      []string
	}{
		{"user_factors.npy", string(array[float32](3, 1, 2, 3)), []string{"3 columns", "2"}},
		{"item_factors.npy", string(array[float32](2, 1, float32(math.Inf(1)))), []string{"item_factors.npy", "row 0", "finite"}},
		{"item_factors.npy", "", []string{"item_factors.npy does not exist"}},
		{"users.csv", "", []string{"users.csv does not exist"}},
		{"users.csv", "a,0\nb,1\n", []string{"users.csv", "header"}},
		{"users.csv", "id,seq\na,0\nb,2\n", []string{`"b"`, "seq \"2\"", "0 to 1"}},
		{"users.csv", "id,seq\na,0\nb,-1\n", []string{`"b"`, "-1"}},
		{"users.csv", "id,seq\na,0\nb,1.0\n", []string{`"b"`, "1.0"}},
		{"users.csv", "id,seq\na,0\nb,\n", []string{`"b"`}},
		{"users.csv", "id,seq\na,0\nb,0\n", []string{`"a"`, `"b"`, "seq 0"}},
		{"users.csv", "id,seq\na,0\na,1\n", []string{`"a"`}},
	}
	for _, test := range tests {
		files := small()
		files[test.file] = []byte(test.text)
		if test.text == "" {
			files[test.file] = nil
		}
		_, err := open(files)
		if code := freshet.CodeOf(err); code != freshet.InvalidArgument {
			t.Errorf("%s %.20q: code %s of %v", test.file, test.text, code, err)
			continue
		}
		for _, word := range test.words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s %.20q: %v does not say %q", test.file, test.text, err, word)
			}
		}
	}
}
