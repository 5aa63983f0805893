package disklog

import (
	"math/bits"
	"sync/atomic"
)

// filter says of an id that it is surely new, or that it may be known. It is a Bloom filter that grows by layers; each id
// has its bits in one cache line of one layer.
type filter struct {
	layers []layer
}

type layer struct {
	lines []line
	room  int // ids until it is full
}

type line [8]uint64

const (
	lineBytes       = 64
	filterBitsPerID = 16
	filterProbes    = 7 // of 9 bits each: 63 bits of the hash
	// Layers grow fast, because each is one more cache miss for every id, up to a size whose allocation nobody feels.
	firstLayerLines = 1 << 10 // 64 KiB
	layerGrowth     = 4
	maxLayerLines   = 1 << 18 // 16 MiB
)

// filterBudget bounds the bytes of all filters together.
type filterBudget struct{ left atomic.Int64 }

// take takes as many lines as are left, at most those wanted; 0 where there are too few for a layer.
func (b *filterBudget) take(wanted int) int {
	for {
		left := b.left.Load()
		lines := int(min(int64(wanted), left/lineBytes))
		if lines < firstLayerLines {
			return 0
		}
		if b.left.CompareAndSwap(left, left-int64(lines*lineBytes)) {
			return lines
		}
	}
}

func (b *filterBudget) giveBack(bytes int) { b.left.Add(int64(bytes)) }

func (f *filter) add(h idHash, budget *filterBudget) {
	if len(f.layers) == 0 || f.layers[len(f.layers)-1].room <= 0 {
		f.grow(budget)
	}
	f.layers[len(f.layers)-1].add(h)
}

// grow adds a layer as large as the budget allows; the first one always. Without one the last layer takes more than it has room
// for: it says "may be known" more often, and Pebble is asked.
func (f *filter) grow(budget *filterBudget) {
	lines := firstLayerLines
	if n := len(f.layers); n > 0 {
		lines = min(len(f.layers[n-1].lines)*layerGrowth, maxLayerLines)
	}
	lines = budget.take(lines)
	if lines == 0 && len(f.layers) == 0 {
		lines = firstLayerLines
		budget.giveBack(-lines * lineBytes)
	}
	if lines > 0 {
		f.layers = append(f.layers, newLayer(lines))
	}
}

func (f *filter) mayHave(h idHash) bool {
	for i := range f.layers {
		if f.layers[i].mayHave(h) {
			return true
		}
	}
	return false
}

func (f *filter) bytes() int {
	n := 0
	for _, l := range f.layers {
		n += len(l.lines) * lineBytes
	}
	return n
}

func newLayer(lines int) layer {
	return layer{lines: make([]line, lines), room: lines * lineBytes * 8 / filterBitsPerID}
}

func (l *layer) add(h idHash) {
	line := l.line(h)
	for b, i := h.Lo, 0; i < filterProbes; i++ {
		line[b>>6&7] |= 1 << (b & 63)
		b >>= 9
	}
	l.room--
}

func (l *layer) mayHave(h idHash) bool {
	line := l.line(h)
	for b, i := h.Lo, 0; i < filterProbes; i++ {
		if line[b>>6&7]&(1<<(b&63)) == 0 {
			return false
		}
		b >>= 9
	}
	return true
}

func (l *layer) line(h idHash) *line {
	i, _ := bits.Mul64(h.Hi, uint64(len(l.lines)))
	return &l.lines[i]
}
