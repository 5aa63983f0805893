package itemmodel

import (
	"cmp"
	"math"
	"slices"
	"unicode/utf8"

	freshet "github.com/freshet-ml/freshet"
)

// maxPairs is how many lines a table may have.
const maxPairs = 50_000_000

// pair is a line of the table.
type pair struct {
	item, other uint32
	weight      float64
}

// builder collects lines. Items are numbered as they come.
type builder struct {
	numbers map[string]uint32
	names   []string
	pairs   []pair
}

func newBuilder() *builder { return &builder{numbers: map[string]uint32{}} }

// add takes a line.
func (b *builder) add(item, other string, weight float64) error {
	if weight-weight != 0 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "weight", "weight %v of %q and %q: expected a finite number", weight, item, other)
	}
	if len(b.pairs) == maxPairs {
		return freshet.Errorf(freshet.TooLarge, "more than %d pairs", maxPairs)
	}
	from, err := b.number("item", item)
	if err != nil {
		return err
	}
	to, err := b.number("other", other)
	if err != nil {
		return err
	}
	b.pairs = append(b.pairs, pair{from, to, weight})
	return nil
}

func (b *builder) number(column, name string) (uint32, error) {
	if n, ok := b.numbers[name]; ok {
		return n, nil
	}
	if name == "" || len(name) > freshet.MaxKeyBytes || !utf8.ValidString(name) {
		return 0, freshet.FieldErrorf(freshet.InvalidArgument, column, "%s %.64q: expected an id of 1 to %d bytes of UTF-8", column, name, freshet.MaxKeyBytes)
	}
	n := uint32(len(b.names)) // at most two for each pair
	b.numbers[name] = n
	b.names = append(b.names, name)
	return n, nil
}

// model is the table of the lines.
func (b *builder) model() (*model, error) {
	if len(b.pairs) == 0 {
		return nil, freshet.Errorf(freshet.InvalidArgument, "the table has no line: nothing leads to anything")
	}
	slices.SortFunc(b.pairs, func(x, y pair) int { return cmp.Or(cmp.Compare(x.item, y.item), cmp.Compare(x.other, y.other)) })
	m := &model{
		numbers: b.numbers, ends: make([]uint32, len(b.names)),
		others: make([]uint32, len(b.pairs)), weights: make([]float64, len(b.pairs)),
	}
	for k, p := range b.pairs {
		if k > 0 && p.item == b.pairs[k-1].item && p.other == b.pairs[k-1].other {
			return nil, freshet.Errorf(freshet.InvalidArgument, "item %q and other %q stand in it twice: one weight leads from one item to another", b.names[p.item], b.names[p.other])
		}
		m.others[k], m.weights[k] = p.other, p.weight
		m.ends[p.item] = uint32(k + 1)
	}
	for i := range m.ends { // items that lead nowhere
		m.ends[i] = max(m.ends[i], m.begin(i))
	}
	if err := b.checkSums(m); err != nil {
		return nil, err
	}
	m.sums.New = func() any { sums := make([]float64, len(m.ends)); return &sums }
	return m, nil
}

// checkSums refuses weights so large that a sum of them might not be finite.
func (b *builder) checkSums(m *model) error {
	const most = math.MaxFloat64 / (1 << 20) // lists are far shorter
	if k := slices.IndexFunc(m.weights, func(w float64) bool { return math.Abs(w) > most }); k >= 0 {
		return freshet.Errorf(freshet.InvalidArgument, "weight %v: expected at most ±%.0e, so that sums are finite", m.weights[k], most)
	}
	return nil
}
