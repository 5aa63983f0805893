package wordtable

import (
	"bytes"
	"math"
)

// scratch is what one Embed needs beside its arguments.
type scratch struct {
	sum   []float64
	gram  []int32 // counts of hashed n-grams
	token []byte
}

// maxScratchToken bounds the token buffer that is kept for the next text: a text may be one long word.
const maxScratchToken = 4096

// Embed fills dst, whose length must be Dim, with the vector of text: of length 1, or all zero if no word of it says
// anything. The time is proportional to the text: about 0.25 µs for a word of the built-in table, 5 to 10 µs for one that
// may be misspelled, so bound the length of texts that strangers send.
func (t *Table) Embed(text string, dst []float32) {
	dst = dst[:t.dim]
	s := t.scratch.Get().(*scratch)
	clear(s.sum)
	for text != "" {
		if s.token, text = next(text, s.token); len(s.token) > 0 {
			t.addToken(s, s.token)
		}
	}
	normalize(dst, s.sum)
	if cap(s.token) > maxScratchToken {
		s.token = nil
	}
	t.scratch.Put(s)
}

// addToken adds what the token says to the sum: the table's vector of it, or of what stands before its apostrophe, or of
// the word that was probably meant, or a vector of its spelling.
func (t *Table) addToken(s *scratch, token []byte) {
	i := t.find(token)
	if at := bytes.IndexByte(token, apostrophe); i < 0 && at >= 0 {
		token = token[:at]
		i = t.find(token)
	}
	if i < 0 {
		if mute(token) {
			return
		}
		i = t.near(token)
	}
	if i < 0 {
		t.addHashed(s, token)
		return
	}
	t.addWord(s.sum, i)
}

// addWord adds word i with its weight. Every product is rounded before it is added, so that no machine fuses the two and
// the bits are the same everywhere.
func (t *Table) addWord(sum []float64, i int) {
	weight := t.a / (t.a + exp(-float64(t.logStep(i))*t.step))
	row := t.q[i*t.dim:][:len(sum)]
	scale := t.scale[:len(sum)]
	for d := range sum {
		sum[d] += float64(weight * float64(int8(row[d])) * scale[d])
	}
}

// FNV-1a, 64 bits.
const (
	fnvOffset = 0xCBF29CE484222325
	fnvPrime  = 0x100000001B3
)

// addHashed adds a vector of the 3-grams and 4-grams of <token>, so that two spellings of an unknown word are near each
// other. Its weight is 1.
func (t *Table) addHashed(s *scratch, token []byte) {
	clear(s.gram)
	n := len(token) + 2
	for i := 0; i+3 <= n; i++ {
		h := uint64(fnvOffset)
		for j := i; j < i+3; j++ {
			h = (h ^ uint64(bracketed(token, j))) * fnvPrime
		}
		s.count(h)
		if i+4 <= n {
			s.count((h ^ uint64(bracketed(token, i+3))) * fnvPrime)
		}
	}
	var squares float64
	for _, c := range s.gram {
		squares += float64(float64(c) * float64(c))
	}
	if squares == 0 {
		return
	}
	length := math.Sqrt(squares)
	for d, c := range s.gram {
		s.sum[d] += float64(float64(c) * t.norm / length)
	}
}

// bracketed is byte i of <token>.
func bracketed(token []byte, i int) byte {
	switch i {
	case 0:
		return '<'
	case len(token) + 1:
		return '>'
	}
	return token[i-1]
}

// count counts one n-gram: the low half of its hash says where, the top bit which way.
func (s *scratch) count(h uint64) {
	d := uint32(h) % uint32(len(s.gram))
	s.gram[d] += 1 - 2*int32(h>>63)
}

// normalize gives dst the direction of v and length 1, or zero if v is zero.
func normalize(dst []float32, v []float64) {
	var squares float64
	for _, x := range v {
		squares += float64(x * x)
	}
	if squares == 0 {
		clear(dst)
		return
	}
	length := math.Sqrt(squares)
	for d, x := range v {
		dst[d] = float32(x / length)
	}
}
