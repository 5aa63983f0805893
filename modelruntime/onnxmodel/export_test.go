package onnxmodel

import (
	"cmp"
	"slices"
)

// Operators are the domains and names of all operators that are read, in order.
func Operators() [][2]string {
	var all [][2]string
	for o := range operators {
		all = append(all, [2]string{o.domain, o.name})
	}
	slices.SortFunc(all, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	return all
}
