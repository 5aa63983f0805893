package wordtable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/freshet-ml/freshet"
)

// maxLine bounds a line of a text file of vectors: 4,096 numbers of a hundred characters fit.
const maxLine = 1 << 20

// vectorRow is one word of a text file.
type vectorRow struct {
	word   string
	rank   int     // place in the file, from 0; lines that were skipped have one too
	p      float64 // of meeting the word in a text
	vector []float32
}

// vectorReader reads a text file of vectors.
type vectorReader struct {
	maxWords int
	dim      int // 0 until known
	declared int // lines that the header says follow, -1 without a header
	line     int // from 1
	vectors  int // lines with a vector so far
	rows     []vectorRow
	seen     map[string]bool // the words of rows
}

func (v *vectorReader) read(r io.Reader) error {
	v.declared = -1
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	for len(v.rows) < v.maxWords && lines.Scan() {
		v.line++
		line := strings.Trim(lines.Text(), " \t\r")
		if v.line == 1 {
			header, err := v.readHeader(line)
			if err != nil {
				return err
			}
			if header {
				continue
			}
		}
		if line == "" {
			continue
		}
		if err := v.readVector(line); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		v.line++
		return v.errorf("longer than %d bytes, expected a word and its numbers, as GloVe and word2vec write text", maxLine)
	} else if err != nil {
		return freshet.Errorf("", "word vectors, after line %d: %w", v.line, err)
	}
	if full := len(v.rows) == v.maxWords; !full && v.declared >= 0 && v.vectors != v.declared {
		return freshet.Errorf(freshet.InvalidArgument, "word vectors: the first line says that %d follow, there are %d: the file is cut off or changed", v.declared, v.vectors)
	}
	if len(v.rows) == 0 {
		return freshet.Errorf(freshet.InvalidArgument, "word vectors: none of %d lines has a word that a text can have", v.line)
	}
	return nil
}

func (v *vectorReader) errorf(format string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, "word vectors, line %d: %s", v.line, fmt.Sprintf(format, args...))
}

// readHeader reads word2vec's first line: how many vectors of how many dimensions follow. No vector line is like it but one
// of a single dimension.
func (v *vectorReader) readHeader(line string) (bool, error) {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return false, nil
	}
	count, err := strconv.ParseUint(fields[0], 10, 31)
	if err != nil {
		return false, nil
	}
	dim, err := strconv.ParseUint(fields[1], 10, 31)
	if err != nil {
		return false, nil
	}
	v.declared = int(count)
	return true, v.setDim(int(dim))
}

func (v *vectorReader) setDim(dim int) error {
	if dim < 1 || dim > MaxDim {
		return v.errorf("%d dimensions, expected 1 to %d", dim, MaxDim)
	}
	v.dim = dim
	return nil
}

func (v *vectorReader) readVector(line string) error {
	fields := strings.Fields(line)
	if v.dim == 0 {
		if err := v.setDim(len(fields) - 1); err != nil {
			return err
		}
	}
	numbers := fields[max(0, len(fields)-v.dim):]
	if len(fields) < v.dim+1 {
		return v.errorf("expected a word and %d numbers, found %d fields: %.60q", v.dim, len(fields), line)
	}
	// More fields than that is a phrase with blanks in it, unless what should be a part of the phrase is a number.
	if len(fields) > v.dim+1 {
		if _, err := strconv.ParseFloat(fields[len(fields)-v.dim-1], 32); err == nil {
			return v.errorf("expected a word and %d numbers, found %d numbers or more: %.60q", v.dim, v.dim+1, line)
		}
	}
	vector, err := v.parseNumbers(numbers)
	if err != nil {
		return err
	}
	rank := v.vectors
	v.vectors++
	word, ok := "", false
	if len(fields) == v.dim+1 {
		word, ok = tokenOf(fields[0])
	}
	if !ok || v.seen[word] || !unit(vector) {
		return nil
	}
	if (len(v.rows)+1)*v.dim > maxComponents {
		return v.errorf("more than %d numbers; convert fewer words", maxComponents)
	}
	v.seen[word] = true
	v.rows = append(v.rows, vectorRow{word: word, rank: rank, vector: vector})
	return nil
}

func (v *vectorReader) parseNumbers(fields []string) ([]float32, error) {
	vector := make([]float32, len(fields))
	for j, field := range fields {
		x, err := strconv.ParseFloat(field, 32)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, v.errorf("component %d is %.30q, expected a finite number that a float32 can hold", j+1, field)
		}
		vector[j] = float32(x)
	}
	return vector, nil
}

// tokenOf is word as it stands in a table, and whether any text has it as a token.
func tokenOf(word string) (string, bool) {
	token, _ := next(word, nil)
	whole := utf8.RuneCount(token) == utf8.RuneCountInString(word) // next leaves out what is not in a token
	return string(token), whole && len(token) > 0 && len(token) <= maxWord
}

// unit makes v of length 1; false if it is zero.
func unit(v []float32) bool {
	length := norm(v)
	if length == 0 {
		return false
	}
	for j, x := range v {
		v[j] = float32(float64(x) / length)
	}
	return true
}
