package feature

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet/feature/expression"
)

// sketchCells are the cells that keep more than a few numbers, each with what it is fed from a random number.
var sketchCells = map[string]struct {
	make func() cell
	draw func(rng *rand.Rand, values int) operand
}{
	"variance": {
		func() cell { return &numbersCell{needs: numbersNeeds{counts: true, squares: true}} },
		func(rng *rand.Rand, _ int) operand { return operand{ok: true, num: drawSummand(rng)} },
	},
	"distinct": {
		func() cell { return &distinctCell{kind: expression.Number} },
		func(rng *rand.Rand, values int) operand { return operand{ok: true, num: float64(rng.IntN(values))} },
	},
	"counts of numbers": {
		func() cell { return &countsCell{kind: expression.Number} },
		func(rng *rand.Rand, values int) operand {
			return operand{ok: true, num: float64(rng.IntN(values)) / 4}
		},
	},
	"counts of texts": {
		func() cell { return &countsCell{kind: expression.String} },
		func(rng *rand.Rand, values int) operand {
			return operand{ok: true, value: expression.Value{Kind: expression.String, Str: fmt.Sprint("value ", rng.IntN(values))}}
		},
	},
	"quantile": {
		func() cell { return &quantileCell{} },
		func(rng *rand.Rand, _ int) operand { return operand{ok: true, num: drawSummand(rng)} },
	},
	"decay 1s": {
		func() cell { return &decayCell{halfLife: second} },
		func(rng *rand.Rand, _ int) operand { return operand{ok: true, num: drawSummand(rng)} },
	},
	"decay 7d": {
		func() cell { return &decayCell{halfLife: 7 * day} },
		func(rng *rand.Rand, _ int) operand { return operand{ok: true, num: drawSummand(rng)} },
	},
	"centroid": {
		func() cell { return &vectorsCell{sums: make([]fixed, 3)} },
		func(rng *rand.Rand, _ int) operand {
			return operand{ok: true, value: expression.Value{Kind: expression.Vector, Vec: []float64{drawSummand(rng), rng.NormFloat64(), 0}}}
		},
	},
	"embed": {
		func() cell {
			return &vectorsCell{sums: make([]fixed, 4), embedder: letters{}, vector: make([]float32, 4)}
		},
		func(rng *rand.Rand, _ int) operand {
			return operand{ok: true, value: expression.Value{Kind: expression.String, Str: string(rune('a' + rng.IntN(26)))}}
		},
	},
}

// drawSummand draws numbers of all magnitudes, also some that are too large to count.
func drawSummand(rng *rand.Rand) float64 {
	switch rng.IntN(4) {
	case 0:
		return float64(rng.IntN(21) - 10)
	case 1:
		return rng.NormFloat64() * 100
	case 2:
		return math.Ldexp(rng.Float64()-0.5, rng.IntN(110)-50) + 0
	}
	return []float64{0, maxSummand, -maxSummand, 2 * maxSummand, 1e-300, math.SmallestNonzeroFloat64, -1e15}[rng.IntN(7)]
}

// Events dealt to panes in any way, each pane in any order, the panes encoded, merged in any order and encoded again on the
// way, make the same bytes as all events in one cell.
func TestCellsForgetOrderAndPanes(t *testing.T) {
	t.Parallel()
	for name, c := range sketchCells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.SampledFrom([]int{0, 1, 2, 10, 70, 300, 1200}).Draw(t, "events")
				values := rapid.SampledFrom([]int{3, 60, 64, 65, 70, 256, 257, 400, 5000}).Draw(t, "values")
				spread := rapid.SampledFrom([]int64{1, second, minute, day, 500 * day}).Draw(t, "spread")
				rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))

				start := int64(1_741_003_200_000)
				panes := make([]cell, 1+rng.IntN(6))
				anchors := make([]anchor, len(panes))
				for i := range panes {
					panes[i], anchors[i] = c.make(), anchor{time: start - int64(rng.IntN(2))*rng.Int64N(400*day)}
				}
				type event struct {
					x operand
					e occurrence
				}
				var events []event
				for range n {
					events = append(events, event{c.draw(rng, values), occurrence{time: start + rng.Int64N(spread)}})
				}
				all := c.make()
				for i := range events {
					all.add(&events[i].x, &events[i].e)
				}
				want := all.append(nil, anchor{time: start})

				rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				for i := range events {
					panes[rng.IntN(len(panes))].add(&events[i].x, &events[i].e)
				}
				encoded := make([][]byte, len(panes))
				for i := range panes {
					encoded[i] = panes[i].append(nil, anchors[i])
				}
				merged := c.make()
				absorb := func(b []byte, at anchor) {
					rest, ok := merged.absorb(append(b, 0xff), at)
					if !ok || len(rest) != 1 {
						t.Fatalf("%x is read up to %x, %v", b, rest, ok)
					}
				}
				for _, i := range rng.Perm(len(panes)) {
					absorb(encoded[i], anchors[i])
					if rng.IntN(2) == 0 {
						half := merged.append(nil, anchors[i])
						merged.reset()
						absorb(half, anchors[i])
					}
				}
				if got := merged.append(nil, anchor{time: start}); !bytes.Equal(got, want) {
					t.Fatalf("%d events make\n%x, want\n%x", n, got, want)
				}
			})
		})
	}
}

// Whatever the bytes, a cell takes them or refuses them; what it writes of those it took, it reads back to the same.
func FuzzCells(f *testing.F) {
	names := slices.Sorted(maps.Keys(sketchCells))
	at := anchor{time: 1_741_003_200_000}
	for i, name := range names {
		rng := rand.New(rand.NewPCG(1, 1))
		for _, n := range []int{0, 1, 5, 100, 3000} {
			c := sketchCells[name].make()
			for range n {
				x := sketchCells[name].draw(rng, 5000)
				c.add(&x, &occurrence{time: at.time + rng.Int64N(100*day)})
			}
			f.Add(byte(i), c.append(nil, at))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		c, again := sketchCells[names[int(kind)%len(names)]].make(), sketchCells[names[int(kind)%len(names)]].make()
		if _, ok := c.absorb(b, at); !ok {
			return
		}
		written := c.append(nil, at)
		if rest, ok := again.absorb(written, at); !ok || len(rest) > 0 {
			t.Fatalf("%x is not read back", written)
		}
		if got := again.append(nil, at); !bytes.Equal(got, written) {
			t.Fatalf("%x is read back as %x", written, got)
		}
	})
}
