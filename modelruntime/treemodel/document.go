package treemodel

import (
	"maps"
	"slices"
	"strconv"

	freshet "github.com/freshet-ml/freshet"
)

// document is what is read of an XGBoost file, before anything is made of it: its parts refer to each other and may stand
// in any order. A key that is not known is refused, because it might change the meaning.
type document struct {
	learner    bool // it was there
	major      int32
	attributes map[string]string
	names      []string
	parameters map[string]string // learner_model_param
	objective  string
	alphas     string // quantile_alpha of reg:quantileerror

	objectiveKey string // one of the objective that is not known; "" if there is none

	booster    string // gbtree, dart, gblinear
	trees      []xgbTree
	treeClass  []int32 // tree_info
	rounds     []int32 // iteration_indptr: round i has the trees rounds[i] … rounds[i+1]−1
	perRound   map[string]string
	weightDrop []float32
	categories []categoryValues // cats.enc, by feature
	weights    []float32        // of gblinear
}

// categoryValues says what the codes of a categorical feature stand for.
type categoryValues struct {
	texts bool
	count int  // of values
	codes bool // the values are the codes themselves: 0, 1, 2, …
}

// xgbTree is one tree: arrays with an entry for each node.
type xgbTree struct {
	parameters         map[string]string
	left, right        []int32
	features           []int32
	thresholds         []float32
	defaultLeft, kinds []int32
	categories         []int32 // of all nodes
	categoryNodes      []int32
	segments, sizes    []int32 // node categoryNodes[i] has the codes categories[segments[i]] …, sizes[i] of them
}

// unknownKey refuses a key of a place.
func unknownKey(place, key string) error {
	return freshet.Errorf(freshet.Unsupported, "%s has the unknown key %.60q, which may change the meaning of the model", place, key)
}

func (d *document) read(s source) error {
	err := s.object(func(key string) error {
		switch key {
		case "learner":
			d.learner = true
			return d.readLearner(s)
		case "version":
			version, err := s.ints()
			if err == nil && len(version) == 0 {
				err = invalid("expected a list such as [3,2,0]")
			}
			if err == nil {
				d.major = version[0]
			}
			return err
		}
		return unknownKey("the file", key)
	})
	if err != nil {
		return err
	}
	if !d.learner {
		return invalid("it has no learner, in which XGBoost keeps the model")
	}
	if d.major < 1 || d.major > 3 {
		return freshet.Errorf(freshet.Unsupported, "version: it was written by XGBoost %d: versions 1, 2 and 3 are read", d.major)
	}
	return s.end()
}

func (d *document) readLearner(s source) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "attributes":
			d.attributes, err = readTexts(s)
		case "feature_names":
			d.names, err = readList(s)
		case "feature_types": // which features are categorical, say the splits
			err = s.skip()
		case "learner_model_param":
			if d.parameters, err = readTexts(s); err == nil {
				err = onlyKeys(key, d.parameters, modelParameters)
			}
		case "objective":
			err = d.readObjective(s)
		case "gradient_booster":
			err = d.readBooster(s)
		default:
			err = unknownKey("learner", key)
		}
		return err
	})
}

// modelParameters and treeParameters are all that XGBoost writes.
var (
	modelParameters = []string{"base_score", "boost_from_average", "num_class", "num_feature", "num_target"}
	treeParameters  = []string{"num_deleted", "num_feature", "num_nodes", "size_leaf_vector", "num_roots", "max_depth"} // the last two before version 1
	trained         = []string{"reg_loss_param", "softmax_multiclass_param", "poisson_regression_param", "tweedie_regression_param", "pseudo_huber_param",
		"lambda_rank_param", "lambdarank_param", "ti+", "tj-"} // of objectives: they say how to train
)

func onlyKeys(place string, texts map[string]string, known []string) error {
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		if !slices.Contains(known, key) {
			return unknownKey(place, key)
		}
	}
	return nil
}

// readTexts reads an object whose values are texts.
func readTexts(s source) (map[string]string, error) {
	texts := make(map[string]string)
	err := s.object(func(key string) (err error) {
		texts[key], err = s.text()
		return err
	})
	return texts, err
}

func readList(s source) (texts []string, err error) {
	err = s.array(func() error {
		t, err := s.text()
		texts = append(texts, t)
		return err
	})
	return texts, err
}

// readObjective keeps the name; its parameters were for training, but for the names of quantiles.
func (d *document) readObjective(s source) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "name":
			d.objective, err = s.text()
		case "quantile_loss_param":
			var p map[string]string
			p, err = readTexts(s)
			d.alphas = p["quantile_alpha"]
		default:
			// Of an objective that is not known the name says more than its parameters.
			if err = s.skip(); err == nil && !slices.Contains(trained, key) && d.objectiveKey == "" {
				d.objectiveKey = key
			}
		}
		return err
	})
}

func (d *document) readBooster(s source) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "name":
			d.booster, err = s.text()
		case "model":
			err = d.readModel(s)
		case "gbtree": // DART keeps its trees in a booster inside
			err = s.object(func(key string) error {
				switch key {
				case "name":
					return s.skip()
				case "model":
					return d.readModel(s)
				}
				return unknownKey("gbtree", key)
			})
		case "weight_drop":
			d.weightDrop, err = s.floats()
		default:
			err = unknownKey("gradient_booster", key)
		}
		return err
	})
}

func (d *document) readModel(s source) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "trees":
			err = s.array(func() error {
				d.trees = append(d.trees, xgbTree{})
				return d.trees[len(d.trees)-1].read(s)
			})
		case "tree_info":
			d.treeClass, err = s.ints()
		case "iteration_indptr":
			d.rounds, err = s.ints()
		case "gbtree_model_param":
			d.perRound, err = readTexts(s)
		case "cats":
			err = d.readCategories(s)
		case "weights":
			d.weights, err = s.floats()
		case "boosted_rounds", "param": // of gblinear: how it was trained
			err = s.skip()
		default:
			err = unknownKey("model", key)
		}
		return err
	})
}

func (d *document) readCategories(s source) error {
	return s.object(func(key string) error {
		switch key {
		case "enc":
			return s.array(func() error {
				c, err := readCategoryValues(s)
				d.categories = append(d.categories, c)
				return err
			})
		case "feature_segments", "sorted_idx": // an index into enc
			return s.skip()
		}
		return unknownKey("cats", key)
	})
}

func readCategoryValues(s source) (c categoryValues, err error) {
	var values []int32
	err = s.object(func(key string) error {
		switch key {
		case "offsets": // only texts have them: where each ends
			c.texts = true
			return s.skip()
		case "values":
			var err error
			values, err = s.ints()
			if err != nil { // fractions, or beyond 32 bits
				return freshet.Errorf(freshet.Unsupported, "categories that are no codes 0, 1, 2, …: train on such codes instead")
			}
			return nil
		case "type":
			return s.skip()
		}
		return unknownKey("cats", key)
	})
	c.count, c.codes = len(values), true
	for i, v := range values {
		c.codes = c.codes && int(v) == i
	}
	return c, err
}

func (t *xgbTree) read(s source) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "left_children":
			t.left, err = s.ints()
		case "right_children":
			t.right, err = s.ints()
		case "split_indices":
			t.features, err = s.ints()
		case "split_conditions":
			t.thresholds, err = s.floats()
		case "default_left":
			t.defaultLeft, err = s.ints()
		case "split_type":
			t.kinds, err = s.ints()
		case "categories":
			t.categories, err = s.ints()
		case "categories_nodes":
			t.categoryNodes, err = s.ints()
		case "categories_segments":
			t.segments, err = s.ints()
		case "categories_sizes":
			t.sizes, err = s.ints()
		case "tree_param":
			if t.parameters, err = readTexts(s); err == nil {
				err = onlyKeys(key, t.parameters, treeParameters)
			}
		case "leaf_weights": // size_leaf_vector decides
			err = s.skip()
		case "id", "parents", "base_weights", "loss_changes", "sum_hessian": // they only inform
			err = s.skip()
		default:
			err = unknownKey("a tree", key)
		}
		return err
	})
}

// number reads one of the whole numbers that XGBoost writes as texts; absent if the key is not there.
func number(parameters map[string]string, key string, absent, least, most int) (int, error) {
	text, ok := parameters[key]
	if !ok {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, invalid("%s is %.40q: expected a whole number, %d … %d", key, text, least, most)
	}
	return n, nil
}

// nodes checks that all arrays have an entry for each node and gives their number.
func (t *xgbTree) nodes() (int, error) {
	n := len(t.left)
	if n == 0 {
		return 0, invalid("left_children: a tree without nodes")
	}
	if len(t.kinds) == 0 { // before version 1.5 there were no categories
		t.kinds = make([]int32, n)
	}
	lengths := []struct {
		key  string
		have int
	}{{"right_children", len(t.right)}, {"split_indices", len(t.features)}, {"split_conditions", len(t.thresholds)},
		{"default_left", len(t.defaultLeft)}, {"split_type", len(t.kinds)}}
	for _, l := range lengths {
		if l.have != n {
			return 0, invalid("%s has %d entries and left_children %d", l.key, l.have, n)
		}
	}
	if i := slices.IndexFunc(t.kinds, func(kind int32) bool { return kind != 0 && kind != 1 }); i >= 0 {
		return 0, freshet.Errorf(freshet.Unsupported, "split_type of node %d is %d: 0 (numerical) and 1 (categorical) are read", i, t.kinds[i])
	}
	return n, nil
}
