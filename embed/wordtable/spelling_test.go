package wordtable

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// nearByTrying is the rule as it is written: every string at edit distance 1, looked up.
func nearByTrying(l *layout, token string) int {
	if len(token) < minSpelling || !lowerLetters([]byte(token)) {
		return -1
	}
	best := -1
	try := func(candidate string) {
		i := l.find([]byte(candidate))
		if i >= 0 && (best < 0 || l.logStep(i) < l.logStep(best) || l.logStep(i) == l.logStep(best) && i < best) {
			best = i
		}
	}
	for i := range len(token) + 1 {
		head, tail := token[:i], token[i:]
		for c := 'a'; c <= 'z'; c++ {
			try(head + string(c) + tail)
			if tail != "" {
				try(head + string(c) + tail[1:])
			}
		}
		if tail != "" {
			try(head + tail[1:])
		}
		if len(tail) > 1 {
			try(head + tail[1:2] + tail[:1] + tail[2:])
		}
	}
	return best
}

func TestNearFindsWhatTryingAllFinds(t *testing.T) {
	t.Parallel()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 0))
	table := Builtin()
	found := 0
	for n := range 3000 {
		token := misspelled(random, string(table.word(random.IntN(table.Len()))), 1+n%2)
		if table.find([]byte(token)) >= 0 {
			continue // what is in the table is not mended
		}
		got, want := table.near([]byte(token)), nearByTrying(&table.layout, token)
		if got != want {
			t.Errorf("seed %d: near %q is %s, expected %s", seed, token, name(table, got), name(table, want))
		}
		if got >= 0 {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("only %d of the words had a neighbour: the test is blunt", found)
	}
}

func name(t *Table, i int) string {
	if i < 0 {
		return "none"
	}
	return fmt.Sprintf("%q", t.word(i))
}

// misspelled makes that many errors in word.
func misspelled(random *rand.Rand, word string, errors int) string {
	for range errors {
		letter := string(rune('a' + random.IntN(26)))
		i := random.IntN(len(word))
		switch random.IntN(4) {
		case 0:
			word = word[:i] + letter + word[i:]
		case 1:
			word = word[:i] + letter + word[i+1:]
		case 2:
			if len(word) > 1 {
				word = word[:i] + word[i+1:]
			}
		default:
			if i+1 < len(word) {
				word = word[:i] + word[i+1:i+2] + word[i:i+1] + word[i+2:]
			}
		}
	}
	return word
}
