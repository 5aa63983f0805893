package expression

import (
	"slices"
	"strings"
)

// Nearest is the candidate that a mistyped name most likely meant; "" if none is near.
func Nearest(name string, candidates []string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		a, b := strings.ToLower(name), strings.ToLower(c)
		d := distance(a, b)
		if min(len(a), len(b)) > 2 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
			d = min(d, 2) // one word too few or too many
		}
		if d < least && d < max(len(name), len(c)) {
			best, least = c, d
		}
	}
	return best
}

// Hint ends the message about an unknown name: "; did you mean seconds?", or all names if none is near and they are few.
func Hint(name string, candidates []string) string {
	const few = 12
	if n := Nearest(name, candidates); n != "" {
		return "; did you mean " + n + "?"
	}
	if len(candidates) == 0 || len(candidates) > few {
		return ""
	}
	return "; there is " + strings.Join(slices.Sorted(slices.Values(candidates)), ", ")
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b. Names longer than
// 100 bytes are far from everything.
func distance(a, b string) int {
	const longest = 100
	if len(a) > longest || len(b) > longest {
		return longest
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
