package treemodel

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// maxPlainFeatures bounds num_feature where no names stand behind the number.
const maxPlainFeatures = 1 << 18

// model makes the model that Python would make as an object of class.
func (d *document) model(class string) (modelruntime.Model, error) {
	signature, err := d.inputs()
	if err != nil {
		return nil, at("learner", err)
	}
	o, err := findObjective(d.objective)
	if err != nil {
		return nil, at("learner", err)
	}
	if d.objectiveKey != "" {
		return nil, at("learner", unknownKey("objective", d.objectiveKey))
	}
	groups, err := d.groups()
	if err != nil {
		return nil, at("learner: learner_model_param", err)
	}
	if err := d.checkCategories(); err != nil {
		return nil, err
	}
	switch d.booster {
	case "gbtree", "dart", "gblinear":
	default:
		return nil, freshet.Errorf(freshet.Unsupported, "gradient_booster: booster %.40q is not known: gbtree, dart and gblinear are read", d.booster)
	}
	if d.booster != "dart" && d.weightDrop != nil || d.booster != "gblinear" && d.weights != nil {
		return nil, invalid("gradient_booster: booster %s with the weights of another", d.booster)
	}
	if most, what := d.sums(len(signature.Inputs)); groups > most {
		return nil, invalid("learner_model_param: num_class or num_target says %d sums for each row, and %s are there for %d", groups, what, most)
	}
	base, err := d.base(o, groups)
	if err != nil {
		return nil, at("learner: learner_model_param", err)
	}
	signature.Outputs = d.outputs(o, groups)
	if d.booster == "gblinear" {
		return d.linear(signature, o, base)
	}
	e, negative, err := d.ensemble(len(signature.Inputs), base, class)
	if err != nil {
		return nil, err
	}
	return &model{signature: signature, trees: e, link: o.link, divisor: 1, codes: negative}, nil
}

// sums is how many sums of a row the booster has numbers for: every sum needs one tree, or one column of weights.
func (d *document) sums(width int) (most int, what string) {
	if d.booster == "gblinear" {
		return len(d.weights) / (width + 1), "weights"
	}
	return len(d.trees), "trees"
}

// inputs are the columns: the names of the file, or f0, f1, … if it was trained without.
func (d *document) inputs() (s modelruntime.Signature, err error) {
	most := maxPlainFeatures
	if len(d.names) > 0 {
		most = maxFeatures
	}
	width, err := number(d.parameters, "num_feature", 0, 1, most)
	if err != nil {
		return s, err
	}
	if width == 0 {
		return s, invalid("learner_model_param has no num_feature")
	}
	if len(d.names) > 0 && len(d.names) != width {
		return s, invalid("feature_names has %d names and num_feature is %d", len(d.names), width)
	}
	s.Positional = len(d.names) == 0
	s.Inputs = make([]modelruntime.Column, width)
	seen := make(map[string]bool, len(d.names))
	for i := range s.Inputs {
		if s.Positional {
			s.Inputs[i].Name = "f" + strconv.Itoa(i)
			continue
		}
		name := d.names[i]
		switch {
		case name == "" || !utf8.ValidString(name):
			return s, invalid("feature_names[%d] is %.40q: expected a text in UTF-8", i, name)
		case seen[name]:
			return s, freshet.FieldErrorf(freshet.InvalidArgument, name, "feature_names has %q twice", name)
		}
		seen[name] = true
		s.Inputs[i].Name = name
	}
	return s, nil
}

// groups is the number of sums of a row: one for each class, target or quantile.
func (d *document) groups() (int, error) {
	classes, err := number(d.parameters, "num_class", 0, 0, math.MaxInt32)
	if err != nil {
		return 0, err
	}
	targets, err := number(d.parameters, "num_target", 1, 0, math.MaxInt32)
	if err != nil {
		return 0, err
	}
	if classes > 1 && targets > 1 {
		return 0, freshet.Errorf(freshet.Unsupported, "num_class is %d and num_target %d: several targets of several classes are not read", classes, targets)
	}
	if multi := strings.HasPrefix(d.objective, "multi:"); multi != (classes > 1) {
		return 0, invalid("num_class is %d and the objective %s", classes, d.objective)
	}
	return max(classes, targets, 1), nil
}

// base is what the sums begin with. The file has it in the space of answers, as one number or as a list.
func (d *document) base(o xgbObjective, groups int) ([]float64, error) {
	text := d.parameters["base_score"]
	words := strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), ",")
	if len(words) != 1 && len(words) != groups {
		return nil, invalid("base_score has %d numbers and there are %d sums for each row", len(words), groups)
	}
	base := make([]float64, groups)
	for i := range base {
		word := words[i%len(words)]
		v, err := strconv.ParseFloat(strings.TrimSpace(word), 32)
		if err != nil {
			return nil, invalid("base_score is %.60q: expected a number, or a list of them in brackets", text)
		}
		base[i] = single(o.margin(v))
		if !finite(float32(base[i])) {
			return nil, invalid("base_score is %.60q, which the objective %s cannot answer", text, d.objective)
		}
	}
	return base, nil
}

// outputs names the answers.
func (d *document) outputs(o xgbObjective, groups int) []string {
	if o.index || groups == 1 {
		return modelruntime.OutputNames(1)
	}
	names := modelruntime.OutputNames(groups)
	if strings.HasPrefix(d.objective, "multi:") {
		return names
	}
	var alphas []json.Number
	if d.objective == "reg:quantileerror" && json.Unmarshal([]byte(d.alphas), &alphas) != nil {
		alphas = nil
	}
	for i := range names {
		names[i] = "target_" + strconv.Itoa(i)
		if len(alphas) == groups {
			alpha, _ := strconv.ParseFloat(alphas[i].String(), 32)
			names[i] = "quantile_" + strconv.FormatFloat(alpha, 'f', -1, 32)
		}
	}
	return names
}

// checkCategories refuses features whose inputs would have to be looked up first: texts, and numbers other than their own
// codes, where a number could mean either.
func (d *document) checkCategories() error {
	for i, c := range d.categories {
		if c.codes && (!c.texts || c.count == 0) { // a feature that is not categorical has an empty list
			continue
		}
		name := "f" + strconv.Itoa(i)
		if i < len(d.names) {
			name = d.names[i]
		}
		return freshet.FieldErrorf(freshet.Unsupported, name, "column %q has categories by name (cats), and inputs are numbers: train on category codes 0, 1, 2, … "+
			"instead (for pandas: .cat.codes, and feature_types \"c\")", name)
	}
	return nil
}

// ensemble makes the trees; codes are the columns with categorical splits.
func (d *document) ensemble(width int, base []float64, class string) (e *ensemble, codes []int, err error) {
	trees := len(d.trees)
	if trees == 0 {
		return nil, nil, invalid("gradient_booster: it has no trees")
	}
	if n, err := number(d.perRound, "num_trees", trees, trees, trees); err != nil || n != trees {
		return nil, nil, at("gbtree_model_param", err)
	}
	if len(d.treeClass) != trees {
		return nil, nil, invalid("tree_info has %d entries and there are %d trees", len(d.treeClass), trees)
	}
	if d.booster == "dart" && len(d.weightDrop) != trees {
		return nil, nil, invalid("weight_drop has %d entries and there are %d trees", len(d.weightDrop), trees)
	}
	used, err := d.used(class, len(base))
	if err != nil {
		return nil, nil, err
	}
	b := newBuilder(width)
	categorical := make([]bool, width)
	for i := range d.trees {
		if k := d.treeClass[i]; k < 0 || int(k) >= len(base) {
			return nil, nil, invalid("tree_info[%d] is %d: expected a class 0 … %d", i, k, len(base)-1)
		}
		weight := float32(1)
		if d.booster == "dart" {
			weight = d.weightDrop[i]
		}
		if !finite(weight) {
			return nil, nil, invalid("weight_drop[%d] is %v: expected a finite number", i, weight)
		}
		t := &d.trees[i]
		if err := b.addXGBoost(t, weight); err != nil {
			return nil, nil, freshet.Errorf("", "tree %d: %w", i, err)
		}
		for n, kind := range t.kinds {
			if kind == 1 {
				categorical[t.features[n]] = true
			}
		}
		if i+1 == used {
			break
		}
	}
	for f, is := range categorical {
		if is {
			codes = append(codes, f)
		}
	}
	e = b.finish(len(base))
	e.slots.single, e.base, e.class = true, base, d.treeClass[:used]
	return e, codes, nil
}

// used is how many of the trees an object of the Python class asks.
func (d *document) used(class string, groups int) (int, error) {
	best, stopped := d.attributes["best_iteration"]
	if class == boosterClass || !stopped {
		return len(d.trees), nil
	}
	if !strings.HasPrefix(class, wrapperClasses) {
		return 0, freshet.Errorf(freshet.Unsupported, "training was stopped early (best_iteration %.20s), and whether the model class %.60q stops there as well is not "+
			"known: log it as an xgboost.Booster or one of the classes of xgboost.sklearn", best, class)
	}
	round, err := strconv.Atoi(best)
	if err != nil || round < 0 || round >= len(d.trees) {
		return 0, invalid("attributes: best_iteration is %.40q: expected the number of a round", best)
	}
	if len(d.rounds) > 0 { // missing before version 2
		if round+1 >= len(d.rounds) || d.rounds[round+1] < 1 || int(d.rounds[round+1]) > len(d.trees) {
			return 0, invalid("attributes: best_iteration is %d, and iteration_indptr has no such round", round)
		}
		return int(d.rounds[round+1]), nil
	}
	parallel, err := number(d.perRound, "num_parallel_tree", 1, 1, len(d.trees))
	if err != nil {
		return 0, err
	}
	trees := (round + 1) * parallel * groups
	if trees > len(d.trees) {
		return 0, invalid("attributes: best_iteration is %d, and there are only %d trees", round, len(d.trees))
	}
	return trees, nil
}
