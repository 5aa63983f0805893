package treemodel_test

import (
	"math"
	"strconv"
	"strings"
)

// plainSum is the sum of the leaves of numerical trees for one row, read from the text and walked by the rules as they are
// written down, without any of the package's code.
func plainSum(text string, row []float64) float64 {
	var sum float64
	for _, tree := range strings.Split(text, "\nTree=")[1:] {
		sum += plainLeaf(tree, row)
	}
	return sum
}

func plainLeaf(tree string, row []float64) float64 {
	value := func(key string, i int) float64 {
		_, rest, _ := strings.Cut(tree, "\n"+key+"=")
		line, _, _ := strings.Cut(rest, "\n")
		v, _ := strconv.ParseFloat(strings.Fields(line)[i], 64)
		return v
	}
	node := 0
	for node >= 0 {
		x, decision := row[int(value("split_feature", node))], int(value("decision_type", node))
		missing, defaultLeft := decision>>2, decision&2 != 0
		if math.IsNaN(x) && missing != 2 {
			x = 0
		}
		left := x <= value("threshold", node)
		if missing == 1 && math.Abs(x) <= 1e-35 || missing == 2 && math.IsNaN(x) {
			left = defaultLeft
		}
		next := "right_child"
		if left {
			next = "left_child"
		}
		node = int(value(next, node))
	}
	return value("leaf_value", -node-1)
}
