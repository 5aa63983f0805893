package wordtable

import "math"

// The natural logarithm of 2 in two parts: the first has so many zero bits that k·ln2Hi is exact for the k that occur.
const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
)

// exp is e^x for -65535 ≤ x ≤ 0, within two units in the last place. math.Exp is assembler on some machines and gives other
// last bits there; a text must have the same vector on all of them.
func exp(x float64) float64 {
	k := math.Round(x / math.Ln2)
	r := x - float64(k*ln2Hi) - float64(k*ln2Lo)
	// |r| ≤ ln2/2: thirteen terms of the series are beyond the precision.
	sum := 1.0
	for n := 13.0; n >= 1; n-- {
		sum = 1 + float64(r*sum)/n
	}
	return math.Ldexp(sum, int(k))
}
