package wordtable

import (
	"bufio"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
)

// Options say what Convert makes of a text file. The zero value is a good start.
type Options struct {
	// MaxWords bounds the table: what comes after that many words is not read, so the order of the file should be by
	// frequency. Memory while converting is about 4·dimensions + 200 bytes a word. Defaults to 100,000; at most 16,000,000.
	MaxWords int
	// Center subtracts from every vector the mean of all, each weighing as much as it is used in texts. Vectors of most
	// trainings share a common direction that makes all texts look alike; without it texts are told apart better, but the
	// cosines between words are no longer those of the file. Wants a table of thousands of words.
	Center bool
}

// Converted is what Convert has done.
type Converted struct {
	Dim   int
	Words int // in the table
	// Skipped are the lines read that are not in the table: no text has such a token ("New_York", "well-known", "..."), it
	// stood there before in other letter case, is longer than 255 bytes, or has the zero vector.
	Skipped int
}

const (
	defaultMaxWords = 100_000
	sifConstant     = 0.002
	limitWords      = 16_000_000 // of 256 bytes: the words block of a table is below 2^32
	// maxComponents bounds the memory of a conversion: 2^30 float32 are 4 GiB.
	maxComponents = 1 << 30
)

// Convert reads word vectors as text, as GloVe and word2vec write them (docs/formats/words.md), and writes the word table.
// Words become lower case, vectors unit length and int8 components; how probable a word is follows from its place in the
// file. Axes are not rotated and contractions are not made up. Returns InvalidArgument naming the line for a file that is
// not so, and what r and w return. Nothing is written before all of the file is read.
func Convert(r io.Reader, w io.Writer, o *Options) (Converted, error) {
	var options Options
	if o != nil {
		options = *o
	}
	if options.MaxWords == 0 {
		options.MaxWords = defaultMaxWords
	}
	if options.MaxWords < 1 || options.MaxWords > limitWords {
		return Converted{}, freshet.FieldErrorf(freshet.InvalidArgument, "max_words", "max_words is %d, expected 1 to %d", options.MaxWords, limitWords)
	}
	in := vectorReader{maxWords: options.MaxWords, seen: map[string]bool{}}
	if err := in.read(r); err != nil {
		return Converted{}, err
	}
	d := draft{dim: in.dim, rows: in.rows}
	d.weigh()
	if options.Center {
		d.center()
	}
	slices.SortFunc(d.rows, func(a, b vectorRow) int { return strings.Compare(a.word, b.word) })
	done := Converted{Dim: in.dim, Words: len(in.rows), Skipped: in.vectors - len(in.rows)}
	return done, d.write(w)
}

// draft is a table being made.
type draft struct {
	dim  int
	rows []vectorRow
}

// weigh gives each word its probability: 1/(r+2.7), r being its place in the file from 0, normalised over the words of the
// table.
func (d *draft) weigh() {
	var sum float64
	for i := range d.rows {
		d.rows[i].p = 1 / (float64(d.rows[i].rank) + 2.7)
		sum += d.rows[i].p
	}
	for i := range d.rows {
		d.rows[i].p /= sum
	}
}

// center subtracts the mean of the vectors, each weighing p · a/(a+p): as much as all its uses together.
func (d *draft) center() {
	mean := make([]float64, d.dim)
	var total float64
	for _, r := range d.rows {
		weight := r.p * sifConstant / (sifConstant + r.p)
		total += weight
		for j, x := range r.vector {
			mean[j] += weight * float64(x)
		}
	}
	for _, r := range d.rows {
		for j := range r.vector {
			r.vector[j] -= float32(mean[j] / total)
		}
	}
}

// medianNorm is what a hashed vector gets, so that unknown words count as others do.
func (d *draft) medianNorm() float32 {
	norms := make([]float64, len(d.rows))
	for i, r := range d.rows {
		norms[i] = norm(r.vector)
	}
	slices.Sort(norms)
	return float32(norms[len(norms)/2])
}

// scales gives each dimension the step that its largest component needs.
func (d *draft) scales() []float32 {
	scales := make([]float32, d.dim)
	for _, r := range d.rows {
		for j, x := range r.vector {
			scales[j] = max(scales[j], float32(math.Abs(float64(x))))
		}
	}
	for j := range scales {
		scales[j] /= math.MaxInt8
	}
	return scales
}

func (d *draft) write(w io.Writer) error {
	const step = 1.0 / 4096
	var wordsBytes uint32
	for _, r := range d.rows {
		wordsBytes += 1 + uint32(len(r.word))
	}
	out := bufio.NewWriterSize(w, 1<<16) // keeps the first error until Flush
	scales := d.scales()
	b := append([]byte(magic), version, 0, 0, 0)
	b = le.AppendUint32(b, uint32(len(d.rows)))
	b = le.AppendUint32(b, uint32(d.dim))
	b = le.AppendUint32(b, wordsBytes)
	for _, x := range append([]float32{sifConstant, d.medianNorm(), step}, scales...) {
		b = le.AppendUint32(b, math.Float32bits(x))
	}
	_, _ = out.Write(b)
	for _, r := range d.rows {
		_ = out.WriteByte(byte(len(r.word)))
		_, _ = out.WriteString(r.word)
	}
	for _, r := range d.rows {
		u := math.Round(-math.Log(r.p) / step)
		_, _ = out.Write(le.AppendUint16(b[:0], uint16(min(u, math.MaxUint16)))) // a rarer word weighs 1 all the same
	}
	for _, r := range d.rows {
		b = b[:0]
		for j, x := range r.vector {
			b = append(b, byte(quantize(x, scales[j])))
		}
		_, _ = out.Write(b)
	}
	return out.Flush()
}

func quantize(x, scale float32) int8 {
	if scale == 0 {
		return 0
	}
	q := math.Round(float64(x) / float64(scale))
	return int8(max(-math.MaxInt8, min(math.MaxInt8, q)))
}

func norm(v []float32) float64 {
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	return math.Sqrt(squares)
}
