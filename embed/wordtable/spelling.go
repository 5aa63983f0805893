package wordtable

import "bytes"

// minSpelling is the length of the shortest word whose spelling is mended: shorter ones have too many neighbours.
const minSpelling = 5

// span is the words lo ≤ i < hi of a table. Sorted words are a tree without being built as one: those that begin alike
// stand side by side.
type span struct{ lo, hi int }

func (s span) empty() bool { return s.lo >= s.hi }

// match is the word of s that goes on with rest behind its first depth bytes, -1 if there is none. The words of s are
// alike up to depth.
func (l *layout) match(s span, depth int, rest []byte) int {
	lo, hi := s.lo, s.hi
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch bytes.Compare(l.word(mid)[depth:], rest) {
		case 0:
			return mid
		case -1:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return -1
}

// narrow is the part of s whose words have the byte c at depth.
func (l *layout) narrow(s span, depth int, c byte) span {
	lo := l.bound(s, depth, int(c))
	return span{lo, l.bound(span{lo, s.hi}, depth, int(c)+1)}
}

// bound is the first word of s whose byte at depth is at least c; a word that ends there comes before all bytes.
func (l *layout) bound(s span, depth, c int) int {
	lo, hi := s.lo, s.hi
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if w := l.word(mid); len(w) <= depth || int(w[depth]) < c {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// near is the most frequent word at edit distance 1 from token, the first in byte order of several; -1 if there is none
// or the token is not five or more letters a–z. It walks the token and tries at each place what may have gone wrong there,
// among the words that begin as the token does up to there: a few dozen searches in a span that shrinks fast, where making
// the hundreds of candidates and looking up each would search the whole table hundreds of times.
func (l *layout) near(token []byte) int {
	if len(token) < minSpelling || len(token) > maxWord+1 || !lowerLetters(token) {
		return -1
	}
	best := nearest{layout: l, index: -1}
	alike := span{0, l.count}
	for depth := 0; !alike.empty(); depth++ {
		rest := token[depth:]
		best.insertOrReplace(alike, depth, rest)
		if len(rest) == 0 {
			break
		}
		best.consider(l.match(alike, depth, rest[1:]))
		if len(rest) > 1 {
			swapped := l.narrow(l.narrow(alike, depth, rest[1]), depth+1, rest[0])
			best.consider(l.match(swapped, depth+2, rest[2:]))
		}
		alike = l.narrow(alike, depth, rest[0])
	}
	return best.index
}

// nearest is the best candidate so far.
type nearest struct {
	*layout
	index int // of the word, -1 if there is none yet
}

func (n *nearest) consider(i int) {
	if i < 0 {
		return
	}
	if n.index >= 0 {
		u, best := n.logStep(i), n.logStep(n.index)
		if u > best || u == best && i > n.index {
			return
		}
	}
	n.index = i
}

// insertOrReplace tries each letter that words of s have at depth: in front of rest, and in the place of its first letter.
func (n *nearest) insertOrReplace(s span, depth int, rest []byte) {
	s.lo = n.bound(s, depth, 'a')
	for !s.empty() {
		c := n.word(s.lo)[depth]
		if c > 'z' {
			return
		}
		with := span{s.lo, n.bound(s, depth, int(c)+1)}
		n.consider(n.match(with, depth+1, rest))
		if len(rest) > 0 {
			n.consider(n.match(with, depth+1, rest[1:]))
		}
		s.lo = with.hi
	}
}

func lowerLetters(token []byte) bool {
	for _, c := range token {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}
