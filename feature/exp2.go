package feature

import "math/bits"

// exp2 is 2^(f/2^64) for a fraction f, in units of 2^-63: from 2^63 to below 2^64. It is integer arithmetic, hence the same
// on every machine, which math.Exp2 is not. It is never too large, and too small by less than 2^-60.
func exp2(f uint64) uint64 {
	const (
		ln2       = 0xb17217f7d1cf79ab // all in units of 2^-64
		tableBits = 4
	)
	// The highest bits are looked up. The rest is e^y with y < ln 2 / 16, by the series Σ yⁿ/n!, of which what follows the
	// tenth power does not count.
	base := sixteenths[f>>(64-tableBits)]
	y, _ := bits.Mul64(f&(1<<(64-tableBits)-1), ln2)
	series := uint64(0)
	for _, c := range inverseFactorials {
		series, _ = bits.Mul64(series+c, y)
	}
	// Of the series all but its first two terms, divided by y, is there: e^y = 1 + y + y·(y/2! + y²/3! + …).
	rest, _ := bits.Mul64(series, y)
	more, _ := bits.Mul64(base, y+rest)
	return base + more
}

// sixteenths are 2^(k/16) in units of 2^-63, rounded down so that no product reaches 2.
var sixteenths = [16]uint64{
	0x8000000000000000, 0x85aac367cc487b14, 0x8b95c1e3ea8bd6e6, 0x91c3d373ab11c336,
	0x9837f0518db8a96f, 0x9ef5326091a111ad, 0xa5fed6a9b15138ea, 0xad583eea42a14ac6,
	0xb504f333f9de6484, 0xbd08a39f580c36be, 0xc5672a115506dadd, 0xce248c151f8480e3,
	0xd744fccad69d6af4, 0xe0ccdeec2a94e111, 0xeac0c6e7dd24392e, 0xf5257d152486cc2c,
}

// inverseFactorials are 1/n! in units of 2^-64, from n = 10 to 2, rounded down.
var inverseFactorials = [...]uint64{
	0x49f93edde27, 0x2e3bc74aad8e, 0x1a01a01a01a01, 0xd00d00d00d00d, 0x5b05b05b05b05b,
	0x222222222222222, 0xaaaaaaaaaaaaaaa, 0x2aaaaaaaaaaaaaaa, 0x8000000000000000,
}
