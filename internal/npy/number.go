package npy

import (
	"math"
	"strconv"
)

// number is an element as a float64. False if it is a whole number that a float64 does not hold.
func (a *Array) number(element []byte) (float64, bool) {
	switch a.kind {
	case 'f':
		if a.size == 4 {
			return float64(math.Float32frombits(a.order.Uint32(element))), true
		}
		return math.Float64frombits(a.order.Uint64(element)), true
	case 'i':
		v := a.signed(element)
		return float64(v), v >= -1<<53 && v <= 1<<53
	case 'u':
		v := a.unsigned(element)
		return float64(v), v <= 1<<53
	}
	if element[0] != 0 {
		return 1, true
	}
	return 0, true
}

func (a *Array) unsigned(element []byte) uint64 {
	switch a.size {
	case 1:
		return uint64(element[0])
	case 2:
		return uint64(a.order.Uint16(element))
	case 4:
		return uint64(a.order.Uint32(element))
	}
	return a.order.Uint64(element)
}

func (a *Array) signed(element []byte) int64 {
	unused := 64 - 8*a.size
	return int64(a.unsigned(element)<<unused) >> unused
}

// words writes numbers as people do.
func (a *Array) words() ([]string, error) {
	values := make([]string, len(a.data)/a.size)
	a.each(func(i int, element []byte) {
		switch a.kind {
		case 'f':
			v, _ := a.number(element)
			values[i] = strconv.FormatFloat(v, 'g', -1, 8*a.size)
		case 'i':
			values[i] = strconv.FormatInt(a.signed(element), 10)
		case 'u':
			values[i] = strconv.FormatUint(a.unsigned(element), 10)
		default:
			values[i] = strconv.FormatBool(element[0] != 0)
		}
	})
	return values, nil
}
