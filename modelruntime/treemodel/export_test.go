package treemodel

import (
	"strconv"

	"github.com/freshet-ml/freshet/modelruntime"
)

// Margins is m without its link: it answers the sums.
func Margins(m modelruntime.Model) modelruntime.Model {
	plain := *m.(*model)
	plain.link = identity
	plain.signature.Outputs = nil
	for k := range plain.trees.classes {
		plain.signature.Outputs = append(plain.signature.Outputs, strconv.Itoa(k))
	}
	return &plain
}
