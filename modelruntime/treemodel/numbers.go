package treemodel

import (
	"bytes"
	"math"
	"strconv"
)

// word cuts the next word off a line; its words are separated by one or more spaces.
func word(line []byte) (w, rest []byte) {
	line = bytes.TrimLeft(line, " ")
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		return line[:i], line[i+1:]
	}
	return line, nil
}

// ints reads exactly want whole numbers of 32 bits into dst.
func ints(dst []int, raw *[informs][]byte, key, want int) ([]int, error) {
	dst = dst[:0]
	for w, rest := word(raw[key]); len(w) > 0; w, rest = word(rest) {
		v, err := strconv.ParseInt(string(w), 10, 32)
		if err != nil {
			return dst, invalid("%s[%d] is %.40q: expected a whole number", treeKeys[key], len(dst), w)
		}
		if len(dst) == want { // before a line of millions of numbers takes memory
			return dst, checkLength(key, want+1, want)
		}
		dst = append(dst, int(v))
	}
	return dst, checkLength(key, len(dst), want)
}

// floats reads exactly want finite numbers into dst.
func floats(dst []float64, raw *[informs][]byte, key, want int) ([]float64, error) {
	dst = dst[:0]
	for w, rest := word(raw[key]); len(w) > 0; w, rest = word(rest) {
		v, err := strconv.ParseFloat(string(w), 64)
		// A threshold of inf is real: it parts the missing values from all others. LightGBM writes no other infinity.
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) && key != threshold {
			return dst, invalid("%s[%d] is %.40q: expected a finite number", treeKeys[key], len(dst), w)
		}
		if len(dst) == want {
			return dst, checkLength(key, want+1, want)
		}
		dst = append(dst, v)
	}
	return dst, checkLength(key, len(dst), want)
}

func checkLength(key, have, want int) error {
	if have == want {
		return nil
	}
	if have > want {
		return invalid("%s has more than %d numbers, which num_leaves promises", treeKeys[key], want)
	}
	return invalid("%s has %d numbers: expected %d", treeKeys[key], have, want)
}

// bitWords reads the words of the sets of categories.
func bitWords(dst []uint32, line []byte) ([]uint32, error) {
	for w, rest := word(line); len(w) > 0; w, rest = word(rest) {
		v, err := strconv.ParseUint(string(w), 10, 32)
		if err != nil {
			return dst, invalid("cat_threshold[%d] is %.40q: expected a whole number of 32 bits", len(dst), w)
		}
		dst = append(dst, uint32(v))
	}
	return dst, nil
}
