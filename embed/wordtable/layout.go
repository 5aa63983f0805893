package wordtable

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/freshet-ml/freshet"
)

// The format (docs/formats/words.md).
const (
	magic       = "WORDVEC\x00"
	version     = 1
	headerBytes = 36
	maxWord     = math.MaxUint8 // bytes of a word
	// MaxDim bounds the dimensions of a table: beyond those of any word vectors in use.
	MaxDim = 4096
)

var le = binary.LittleEndian

// layout is where the parts of a table are in its bytes. Nothing is copied but the scales and the place of each word.
type layout struct {
	count, dim int
	a          float64   // the SIF constant
	norm       float64   // of a hashed vector
	step       float64   // of the log probabilities
	scale      []float64 // of each dimension
	words      []byte    // the words block
	starts     []uint32  // of each word in words, at its length byte
	u          []byte    // count little-endian u16
	q          []byte    // count rows of dim int8
}

// parse checks every count against the bytes that are there before it believes it.
func parse(data []byte) (layout, error) {
	var l layout
	if len(data) < headerBytes || string(data[:len(magic)]) != magic {
		return l, freshet.Errorf(freshet.InvalidArgument,
			"not a word table: expected it to begin with %q and a header of %d bytes; text files of vectors must be converted first", magic, headerBytes)
	}
	if v, flags := le.Uint16(data[8:]), le.Uint16(data[10:]); v != version || flags != 0 {
		return l, freshet.Errorf(freshet.Unsupported, "word table of version %d with flags %d: version 1 with flags 0 is read", v, flags)
	}
	count, dim, wordsBytes := uint64(le.Uint32(data[12:])), uint64(le.Uint32(data[16:])), uint64(le.Uint32(data[20:]))
	if dim < 1 || dim > MaxDim {
		return l, freshet.Errorf(freshet.InvalidArgument, "word table: %d dimensions, expected 1 to %d", dim, MaxDim)
	}
	// No sum of these overflows: dim is at most 2^12 and the others are below 2^32.
	if want := headerBytes + 4*dim + wordsBytes + 2*count + count*dim; want != uint64(len(data)) {
		return l, freshet.Errorf(freshet.InvalidArgument, "word table: %d words of %d dimensions with %d bytes of words make %d bytes, there are %d: the file is cut off or changed",
			count, dim, wordsBytes, want, len(data))
	}
	l.count, l.dim = int(count), int(dim)
	if err := l.parseHeader(data[24:headerBytes]); err != nil {
		return l, err
	}
	rest := data[headerBytes:]
	if err := l.parseScales(rest[:4*dim]); err != nil {
		return l, err
	}
	rest = rest[4*dim:]
	if err := l.parseWords(rest[:wordsBytes]); err != nil {
		return l, err
	}
	rest = rest[wordsBytes:]
	l.u, l.q = rest[:2*count], rest[2*count:]
	return l, nil
}

// parseHeader reads the three numbers. Their bounds keep every sum finite and every weight above 0.
func (l *layout) parseHeader(b []byte) error {
	l.a, l.norm, l.step = float(b), float(b[4:]), float(b[8:])
	if !(l.a > 0) || math.IsInf(l.a, 0) {
		return freshet.Errorf(freshet.InvalidArgument, "word table: the SIF constant is %v, expected a finite number above 0", l.a)
	}
	if !(l.norm >= 0) || math.IsInf(l.norm, 0) {
		return freshet.Errorf(freshet.InvalidArgument, "word table: the norm of a hashed vector is %v, expected a finite number of at least 0", l.norm)
	}
	if !(l.step > 0 && l.step <= 1) {
		return freshet.Errorf(freshet.InvalidArgument, "word table: the step of the log probabilities is %v, expected above 0 and at most 1", l.step)
	}
	return nil
}

func (l *layout) parseScales(b []byte) error {
	l.scale = make([]float64, l.dim)
	for d := range l.scale {
		s := float(b[4*d:])
		if !(s >= 0) || math.IsInf(s, 0) {
			return freshet.Errorf(freshet.InvalidArgument, "word table: the scale of dimension %d is %v, expected a finite number of at least 0", d, s)
		}
		l.scale[d] = s
	}
	return nil
}

func (l *layout) parseWords(block []byte) error {
	l.words = block
	l.starts = make([]uint32, l.count) // bounded: each has dim+2 bytes behind the block
	at := 0
	var before []byte
	for i := range l.starts {
		if at >= len(block) || len(block)-at-1 < int(block[at]) {
			return freshet.Errorf(freshet.InvalidArgument, "word table: the words block ends inside word %d of %d", i+1, l.count)
		}
		word := block[at+1 : at+1+int(block[at])]
		if len(word) == 0 || !utf8.Valid(word) {
			return freshet.Errorf(freshet.InvalidArgument, "word table: word %d is %q, expected UTF-8 text", i+1, word)
		}
		if i > 0 && string(before) >= string(word) {
			return freshet.Errorf(freshet.InvalidArgument, "word table: word %d, %q, does not come after %q: words ascend by their bytes", i+1, word, before)
		}
		l.starts[i] = uint32(at)
		at += 1 + len(word)
		before = word
	}
	if at != len(block) {
		return freshet.Errorf(freshet.InvalidArgument, "word table: %d bytes follow the last of %d words", len(block)-at, l.count)
	}
	return nil
}

// float is a little-endian float32 as a float64, which holds it exactly.
func float(b []byte) float64 {
	return float64(math.Float32frombits(le.Uint32(b)))
}

// word is the text of word i.
func (l *layout) word(i int) []byte {
	at := int(l.starts[i])
	return l.words[at+1 : at+1+int(l.words[at])]
}

// logStep is u of word i: the smaller, the more frequent is the word.
func (l *layout) logStep(i int) uint16 { return le.Uint16(l.u[2*i:]) }

// find is the place of word in the table, -1 if it is not there.
func (l *layout) find(word []byte) int {
	return l.match(span{0, l.count}, 0, word)
}
