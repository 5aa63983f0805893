package modelruntime

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	freshet "github.com/freshet-ml/freshet"
)

// parseMLmodel reads the text of an MLmodel file. It looks at the syntax tree, so that no tag is obeyed and no alias
// expanded.
func parseMLmodel(text []byte) (mlmodel, error) {
	tokens := lexer.Tokenize(string(text))
	if err := checkDepth(tokens); err != nil {
		return mlmodel{}, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		what, _, _ := strings.Cut(err.Error(), "\n") // the rest is an excerpt of the file
		return mlmodel{}, freshet.Errorf(freshet.InvalidArgument, "it is no YAML: %.200s", what)
	}
	if len(file.Docs) != 1 {
		return mlmodel{}, freshet.Errorf(freshet.InvalidArgument, "expected one YAML document with a flavors section, found %d", len(file.Docs))
	}
	top, ok := pairs(file.Docs[0].Body)
	if !ok {
		return mlmodel{}, freshet.Errorf(freshet.InvalidArgument, "expected a YAML mapping with a flavors section")
	}
	var ml mlmodel
	for _, p := range top {
		switch key(p) {
		case "flavors":
			ml.flavors, err = parseFlavors(p.Value)
		case "signature":
			ml.inputs, err = parseInputs(p.Value)
		}
		if err != nil {
			return mlmodel{}, err
		}
	}
	if len(ml.flavors) == 0 {
		return mlmodel{}, freshet.Errorf(freshet.InvalidArgument, "it has no flavors: they say which file the model is in")
	}
	return ml, nil
}

// Bounds that no MLmodel file written by MLflow comes near; the parser recurses, and an alias multiplies what it names.
const (
	maxFlowDepth  = 64  // [ and {
	maxLineMarks  = 16  // "- - - x" opens three lists in one line
	maxIndent     = 256 // columns before the first token of a line
	maxYAMLAlias  = 64
	maxYAMLTokens = 20_000 // the parser compares all keys of a mapping with each other
)

func checkDepth(tokens token.Tokens) error {
	flow, marks, aliases, line := 0, 0, 0, -1
	if len(tokens) > maxYAMLTokens {
		return freshet.Errorf(freshet.TooLarge, "it has %d YAML tokens: at most %d are read", len(tokens), maxYAMLTokens)
	}
	for _, t := range tokens {
		if t.Position.Line != line {
			line, marks = t.Position.Line, 0
			if flow == 0 && t.Position.Column > maxIndent {
				return tooDeep(t)
			}
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			if flow == 0 {
				marks++
			}
		case token.AliasType:
			aliases++
		}
		if flow > maxFlowDepth || marks > maxLineMarks {
			return tooDeep(t)
		}
		if aliases > maxYAMLAlias {
			return freshet.Errorf(freshet.InvalidArgument, "line %d: more than %d aliases (*name)", t.Position.Line, maxYAMLAlias)
		}
	}
	return nil
}

func tooDeep(t *token.Token) error {
	return freshet.Errorf(freshet.InvalidArgument, "line %d: the YAML is nested too deep", t.Position.Line)
}

// answered are the functions of Python that a model stands for.
var answered = []string{"predict", "predict_proba"}

func parseFlavors(n ast.Node) ([]flavor, error) {
	list, ok := pairs(n)
	if !ok {
		return nil, freshet.Errorf(freshet.InvalidArgument, "flavors: expected a mapping from flavor to its settings")
	}
	var all []flavor
	for _, p := range list {
		f := flavor{name: key(p)}
		settings, _ := pairs(p.Value)
		for _, s := range settings {
			switch key(s) {
			case "data", "pickled_model": // the latter is scikit-learn's, whatever the format
				f.data, _ = text(s.Value)
			case "model_class":
				f.class, _ = text(s.Value)
			case "predict_fn": // of python_function, which says it for scikit-learn
				if fn, ok := text(s.Value); ok && !slices.Contains(answered, fn) {
					return nil, freshet.Errorf(freshet.Unsupported, "flavor %s: predict_fn is %.60q: models answer what predict gives, and classifiers what predict_proba gives; "+
						"log the model with pyfunc_predict_fn=\"predict_proba\" or without it", f.name, fn)
				}
			}
		}
		all = append(all, f)
	}
	return flavorsOf(all), nil
}

func parseInputs(n ast.Node) (string, error) {
	list, _ := pairs(n) // "signature: null" has none
	for _, p := range list {
		if key(p) != "inputs" {
			continue
		}
		if p.Value == nil || p.Value.Type() == ast.NullType {
			return "", nil
		}
		s, ok := text(p.Value)
		if !ok {
			return "", freshet.Errorf(freshet.InvalidArgument, "signature.inputs: expected JSON text")
		}
		return s, nil
	}
	return "", nil
}

// pairs are the entries of a mapping.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func key(p *ast.MappingValueNode) string {
	s, ok := p.Key.(ast.Node)
	if !ok || s.GetToken() == nil {
		return ""
	}
	return s.GetToken().Value
}

// text is the value of a scalar that is a text.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}
