package benchapp

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// input is a column of the model and the range that its values have in the app.
type input struct {
	name     string
	low, top float64
}

var inputs = []input{
	{"session_plays", 0, 20}, {"session_searches", 0, 5}, {"session_completed", 0, 10}, {"sleep_bounce_rate", 0, 1},
	{"seconds_1h", 0, 3600}, {"long_plays_1h", 0, 10}, {"heart_rate", 50, 120}, {"heart_rate_slope", -0.5, 0.5}, {"steps", 0, 500},
	{"starts", 0, 20_000}, {"completion_rate", 0, 1}, {"seconds_mean", 0, 900},
	{"tenure_days", 0, 2000}, {"minutes", 3, 28}, {"age_days", 0, 700}, {"hour", 0, 23}, {"category", 0, 3},
}

func ranker(seed uint64) string { return treesOver(inputs, random(seed, partRanker)) }

// WideInputs is how many inputs Wide has.
const WideInputs = 30

// Wide is a model like that of the app over WideInputs numbers from 0 to 30: what is asked directly, by no pipeline.
func Wide(seed uint64) string {
	wide := make([]input, WideInputs)
	for i := range wide {
		wide[i] = input{fmt.Sprintf("x%d", i), 0, 30}
	}
	return treesOver(wide, random(seed, partRanker))
}

// treesOver is a LightGBM text model: Trees trees of Leaves leaves over the ranges of inputs. Every leaf can be reached, and
// missing values go left or right by the seed, as in a trained model.
func treesOver(inputs []input, r *rand.Rand) string {
	var names, infos []string
	for _, in := range inputs {
		names = append(names, in.name)
		infos = append(infos, fmt.Sprintf("[%g:%g]", in.low, in.top))
	}
	trees := make([]string, Trees)
	sizes := make([]string, Trees)
	for n := range trees {
		trees[n] = fmt.Sprintf("Tree=%d\n", n) + growTree(r, inputs).text() + "\n\n"
		sizes[n] = strconv.Itoa(len(trees[n]))
	}
	return fmt.Sprintf("tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=%d\n"+
		"objective=binary sigmoid:1\nfeature_names=%s\nfeature_infos=%s\ntree_sizes=%s\n\n",
		len(inputs)-1, strings.Join(names, " "), strings.Join(infos, " "), strings.Join(sizes, " ")) +
		strings.Join(trees, "") + "end of trees\n"
}

// tree is one tree as LightGBM numbers it: split k is inner node k; the leaf that it splits stays on its left and the new
// leaf k+1 is on its right. A child below zero is the leaf −child−1.
type tree struct {
	features, decisions, left, right []int
	thresholds, values               []float64
}

// leaf is a leaf that may still be split: where it hangs, and the box of inputs that reach it.
type leaf struct {
	parent  int  // split; −1 for the root
	onRight bool // of its parent
	box     [][2]float64
}

func growTree(r *rand.Rand, inputs []input) tree {
	root := leaf{parent: -1}
	for _, in := range inputs {
		root.box = append(root.box, [2]float64{in.low, in.top})
	}
	var t tree
	leaves := []leaf{root}
	for split := range Leaves - 1 {
		at := r.IntN(len(leaves))
		l := leaves[at]
		feature := r.IntN(len(inputs))
		low, top := l.box[feature][0], l.box[feature][1]
		threshold := low + (top-low)*(0.25+r.Float64()/2)
		t.add(feature, threshold, r.IntN(2) == 0, at, split+1)
		t.hang(l, split)
		leaves[at] = leaf{split, false, narrowed(l.box, feature, low, threshold)}
		leaves = append(leaves, leaf{split, true, narrowed(l.box, feature, threshold, top)})
	}
	for range leaves {
		t.values = append(t.values, r.NormFloat64()*0.05)
	}
	return t
}

// Bits of decision_type: a missing value is NaN, and the way it goes.
const (
	missingIsNaN = 2 << 2
	missingLeft  = 1 << 1
)

func (t *tree) add(feature int, threshold float64, toLeft bool, leftLeaf, rightLeaf int) {
	decision := missingIsNaN
	if toLeft {
		decision |= missingLeft
	}
	t.features = append(t.features, feature)
	t.thresholds = append(t.thresholds, threshold)
	t.decisions = append(t.decisions, decision)
	t.left = append(t.left, -leftLeaf-1)
	t.right = append(t.right, -rightLeaf-1)
}

// hang puts split where l was.
func (t *tree) hang(l leaf, split int) {
	if l.parent < 0 {
		return
	}
	if l.onRight {
		t.right[l.parent] = split
		return
	}
	t.left[l.parent] = split
}

func narrowed(box [][2]float64, feature int, low, top float64) [][2]float64 {
	out := append([][2]float64(nil), box...)
	out[feature] = [2]float64{low, top}
	return out
}

func (t tree) text() string {
	return fmt.Sprintf("num_leaves=%d\nnum_cat=0\nsplit_feature=%s\nthreshold=%s\ndecision_type=%s\nleft_child=%s\nright_child=%s\n"+
		"leaf_value=%s\nis_linear=0\nshrinkage=1\n", len(t.values), words(t.features), words(t.thresholds), words(t.decisions),
		words(t.left), words(t.right), words(t.values))
}

// words writes numbers with spaces between them, floats in their shortest form that reads back the same.
func words[T int | float64](list []T) string { return strings.Trim(fmt.Sprint(list), "[]") }
