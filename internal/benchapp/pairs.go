package benchapp

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

//go:embed pairs.yaml
var pairsText string

// Sizes of the pairs' app.
const (
	PairUsers = 5000
	PairItems = 20
	// PairStep is what a generation adds to every score: more than any user's number.
	PairStep = 1_000_000
)

// PairsPipeline is the pipeline of the pairs' app: each event makes a job.
const PairsPipeline = "pair"

// WritePairs writes a project whose id map and factors belong together, into dir, which must exist: the project file, the id maps
// and the model. Each generation gives the users other sequence numbers. The best score of user n is n + generation × PairStep
// for as long as the map and the factors of one generation are used together, and something else otherwise.
func WritePairs(dir string, generation int) error {
	var users, items strings.Builder
	users.WriteString("user_id,sequence\n")
	userFactors := make([]float64, 2*PairUsers)
	for n := range PairUsers {
		seq := (n + generation*1777) % PairUsers
		fmt.Fprintf(&users, "%s,%d\n", PairUser(n), seq)
		userFactors[2*seq], userFactors[2*seq+1] = float64(n), float64(generation)
	}
	items.WriteString("item_id,sequence\n")
	itemFactors := make([]float64, 2*PairItems)
	for i := range PairItems {
		fmt.Fprintf(&items, "i%d,%d\n", i, i)
		itemFactors[2*i], itemFactors[2*i+1] = 1, PairStep-float64(i)/PairItems
	}
	model := filepath.Join(dir, "factors")
	if err := os.MkdirAll(model, 0o755); err != nil {
		return err
	}
	for path, data := range map[string][]byte{
		filepath.Join(dir, "freshet.yaml"):       []byte(pairsText),
		filepath.Join(dir, "users.csv"):          []byte(users.String()),
		filepath.Join(dir, "items.csv"):          []byte(items.String()),
		filepath.Join(model, "user_factors.npy"): npy(userFactors),
		filepath.Join(model, "item_factors.npy"): npy(itemFactors),
	} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// PairUser is the key of user n.
func PairUser(n int) string { return fmt.Sprintf("u%d", n) }

// PairScore is the best score of user n in a generation.
func PairScore(n, generation int) float64 { return float64(n) + float64(generation)*PairStep }

// npy is a NumPy file of rows of two float64 each.
func npy(values []float64) []byte {
	header := fmt.Sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 2), }", len(values)/2)
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	header += "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	b = append(b, header...)
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}
