package factormodel

import (
	"io/fs"
	"math"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/npy"
	"github.com/freshet-ml/freshet/modelruntime"
)

// matrix holds vectors, one a row, as wide as the file has its numbers: half the memory where they are float32.
type matrix struct {
	rows, width int
	narrow      []float32 // one of the two is nil
	wide        []float64
}

// readMatrix reads a two-dimensional array of finite numbers.
func readMatrix(dir fs.FS, name string) (matrix, error) {
	file, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return matrix{}, absent(name, err)
	}
	m, err := parseMatrix(file)
	if err != nil {
		return matrix{}, freshet.Errorf("", "%s: %w", name, err)
	}
	return m, nil
}

// absent is the error of a file that cannot be read. If it is not there, the artifact is broken; it is not the artifact
// that was not found.
func absent(name string, err error) error {
	if freshet.CodeOf(err) != freshet.NotFound {
		return err
	}
	return freshet.Errorf(freshet.InvalidArgument, "%s does not exist: factors are %s and %s, with or without the id maps %s and %s",
		name, userFactors, itemFactors, userMap, itemMap)
}

func parseMatrix(file []byte) (matrix, error) {
	array, err := npy.Parse(file)
	if err != nil {
		return matrix{}, err
	}
	if len(array.Shape) != 2 || array.Shape[1] == 0 {
		return matrix{}, freshet.Errorf(freshet.InvalidArgument, "it has shape %v: expected [rows, factors], at least one factor", array.Shape)
	}
	m := matrix{rows: array.Shape[0], width: array.Shape[1]}
	if m.narrow, err = array.Float32s(); err != nil { // its numbers are wider, or no numbers
		if m.wide, err = array.Float64s(); err != nil {
			return matrix{}, err
		}
	}
	row := max(firstBad(m.narrow), firstBad(m.wide))
	if row >= 0 {
		return matrix{}, freshet.Errorf(freshet.InvalidArgument, "row %d holds a number that is not finite: train again, nothing can be ordered by it", row/m.width)
	}
	return m, nil
}

// firstBad is the index of the first value that is NaN or infinite; −1 if there is none.
func firstBad[T float32 | float64](values []T) int {
	for i, v := range values {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// index is the row of a sequence number; ok is false for one that has no row, and for what is no sequence number.
func (m *matrix) index(sequence float64) (i int, ok bool) {
	if !(sequence >= 0 && sequence < float64(m.rows)) || sequence != math.Trunc(sequence) {
		return 0, false
	}
	return int(sequence), true
}

// vector is a row as float64: a part of the matrix, or dst.
func (m *matrix) vector(dst []float64, i int) []float64 {
	if m.wide != nil {
		return m.wide[i*m.width : (i+1)*m.width]
	}
	for j, v := range m.narrow[i*m.width : (i+1)*m.width] {
		dst[j] = float64(v)
	}
	return dst
}

func (m *matrix) addTo(dst []float64, i int) {
	if m.wide != nil {
		add(dst, m.wide[i*m.width:(i+1)*m.width])
		return
	}
	add(dst, m.narrow[i*m.width:(i+1)*m.width])
}

func add[T float32 | float64](dst []float64, v []T) {
	for j := range dst {
		dst[j] += float64(v[j])
	}
}

// dot is the dot product of u with a row, summed from the first factor to the last.
func (m *matrix) dot(u []float64, i int) float64 {
	if m.wide != nil {
		return dot(u, m.wide[i*m.width:])
	}
	return dot(u, m.narrow[i*m.width:])
}

// dots is dot for several rows, each with the same bits as alone.
func (m *matrix) dots(u []float64, rows *[lanes]int) [lanes]float64 {
	if m.wide != nil {
		return dots(u, m.wide, rows)
	}
	return dots(u, m.narrow, rows)
}

// The conversion of a product to float64 forbids a fused multiply-add: the same bits on every machine.

func dot[T float32 | float64](u []float64, v []T) (sum float64) {
	v = v[:len(u)]
	for j, x := range u {
		sum += float64(x * float64(v[j]))
	}
	return sum
}

func dots[T float32 | float64](u []float64, values []T, rows *[lanes]int) [lanes]float64 {
	n := len(u)
	a, b, c, d := values[rows[0]*n:][:n], values[rows[1]*n:][:n], values[rows[2]*n:][:n], values[rows[3]*n:][:n]
	var s0, s1, s2, s3 float64
	for j, x := range u {
		s0 += float64(x * float64(a[j]))
		s1 += float64(x * float64(b[j]))
		s2 += float64(x * float64(c[j]))
		s3 += float64(x * float64(d[j]))
	}
	return [lanes]float64{s0, s1, s2, s3}
}
