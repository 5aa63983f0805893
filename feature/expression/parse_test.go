package expression_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

func parse(t testing.TB, src string) *expression.Tree {
	t.Helper()
	tree, err := expression.Parse(src)
	if err != nil {
		t.Fatalf("Parse(%s): %v", src, err)
	}
	return tree
}

func TestCanonicalText(t *testing.T) {
	t.Parallel()
	tests := []struct{ src, want string }{
		{"a+b * c", "(a + (b * c))"}, {"((a))", "a"}, {"'x'", `"x"`}, {"`x`", `"x"`}, {`"é"`, `"\u00e9"`}, {"a not in b", "(not (a in b))"},
		{"not (a in b)", "(not (a in b))"}, {"sum( x ,y )", "sum(x, y)"}, {"a?b:c", "(a ? b : c)"}, {"[1,2.50]", "[1, 2.5]"}, {"5.0", "5.0"}, {"1e300", "1e+300"},
		{"-3", "(- 3)"}, {"user.name", "user.name"}, {"true", "true"}, {"0x10", "16"}, {"a and b or not c", "((a and b) or (not c))"}, {"map(x, 2)", "map(x, 2)"},
	}
	for _, tt := range tests {
		got := parse(t, tt.src).String()
		if got != tt.want {
			t.Errorf("%s → %s, want %s", tt.src, got, tt.want)
		}
		if again := parse(t, got).String(); again != got {
			t.Errorf("%s read back is %s", got, again)
		}
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	if got := parse(t, `f(a, b.c) + a > sum(d ? 1 : "x")`).Names(); !slices.Equal(got, []string{"a", "b.c", "d"}) {
		t.Errorf("Names = %q", got)
	}
	for src, want := range map[string]float64{"5": 5, "-0.1": -0.1, "(1e3)": 1000, "--2": 2} {
		if got, ok := parse(t, src).Number(); got != want || !ok {
			t.Errorf("Number of %s = %v, %v", src, got, ok)
		}
	}
	for _, src := range []string{"a", `"5"`, "1 + 1", "true", "not 1"} {
		if v, ok := parse(t, src).Number(); ok {
			t.Errorf("Number of %s = %v", src, v)
		}
	}
	if v, ok := parse(t, `"7d"`).Text(); v != "7d" || !ok {
		t.Errorf("Text = %q, %v", v, ok)
	}
	if _, ok := parse(t, "a").Text(); ok {
		t.Error("Text of a name")
	}
	name, args, ok := parse(t, "last(x, 5)").Call()
	if name != "last" || len(args) != 2 || !ok || args[1].Offset() != 8 {
		t.Errorf("Call = %s, %v, %v", name, args, ok)
	}
	if _, _, ok := parse(t, "x").Call(); ok {
		t.Error("Call of a name")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	sum := func(n int) string { return strings.TrimSuffix(strings.Repeat("count() + ", n), " + ") }
	for _, src := range []string{sum(90), sum(100), strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200), `"` + strings.Repeat("(", 5000) + `"`} {
		if _, err := expression.Parse(src); err != nil {
			t.Errorf("%.40s… (%d bytes): %v", src, len(src), err)
		}
	}
	for src, word := range map[string]string{
		sum(101):                         "200",
		sum(800):                         "200",
		strings.Repeat("(", 201) + "1":   "200",
		strings.Repeat("-", 4000) + "1":  "200",
		`"` + strings.Repeat("a", 9000):  "8192",
		strings.Repeat("not ", 1000):     "early",
		strings.Repeat("a?b:", 1000):     "early",
		"[" + strings.Repeat("1,", 1000): "early",
	} {
		_, err := expression.Parse(src)
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%.40s… (%d bytes): error %v, want one with %q", src, len(src), err, word)
		}
	}
}

// What is wrong with a text is said by name, with the place.
func TestRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		src    string
		offset int
		words  string
	}{
		{"", 0, "missing"}, {"  ", 0, "missing"}, {"count( + 1", -1, "ends too early"}, {"count() count()", 8, "count"}, {"1 +", -1, "ends too early"}, {"(1", -1, "ends too early"},
		{"1 ++ 2", -1, "+"}, {"x @ y", 2, "@"}, {`"open`, -1, "not terminated"}, {"12abc", -1, "12a"}, {"99999999999999999999", -1, "integer"}, {"1e999", -1, "float"},
		{"x && t", 2, "write and"}, {"x || t", 2, "write or"}, {"!t", 0, "write not"}, {"x ?? 1", 2, "coalesce"}, {"x?.y", -1, "?."}, {"tags[0]", 4, "[ ]"},
		{`x["y"]`, 1, "[ ]"}, {"tags[1:2]", 4, "slice"}, {"x matches b", 2, "matches"}, {"c contains b", 2, "contains"}, {"c startsWith b", 2, "startsWith"},
		{"c endsWith b", 2, "endsWith"}, {"let a = 1; a", -1, "let"}, {"{a: 1}", 0, "map"}, {"x ** 2", 2, "**"}, {"x % 2", 2, "%"}, {"x ^ 2", 2, "^"}, {"1..3", 1, ".."},
		{"+x", 0, "+ before"}, {"x; y", -1, ";"}, {"nil", 0, "coalesce"}, {"x | abs()", -1, "abs"}, {"1 < x < 3", -1, "chained"}, {"x < n < y < 3", -1, "chained"},
		{"a.b(1)", -1, "a.b"}, {"(1).a", -1, "dot"}, {"#", -1, "#"}, {`b"x"`, 0, `b"`}, {"::sum(x)", -1, "sum"}, {"\xff", 0, "UTF-8"}, {"if x {1} else {2}", -1, "x"},
		{"secnds > 1", 0, "secnds: no such name here"}, {"1 + bdy.rate", 4, "did you mean body.rate?"}, {"averge(x)", 0, "averge"}, {"rond(x)", 0, "did you mean round?"},
		{"filter(tags, true)", 0, "filter"}, {"map(tags, 2)", 0, "map"}, {"c == 5", 2, "string"}, {"c < 5", 2, "string"}, {"x + c", 2, "string"}, {"t and n", 2, "bool"},
		{"not n", 0, "bool"}, {`n in ["1"]`, 6, "in"}, {"n in tags", 2, "list of number"}, {"n in []", 5, "empty"}, {"tags in tags", 5, "in"}, {"x in x", 2, "list"},
		{`t ? "many" : 0`, 13, "string and int"}, {"x ? 1 : 2", 0, "bool"}, {"coalesce(c, 0)", 0, "coalesce"}, {"coalesce(c)", 0, "coalesce"}, {"len(n)", 0, "len"},
		{"abs(c)", 0, "abs"}, {"abs()", 0, "abs"}, {"abs(1, 2)", 0, "abs"}, {"tags + 1", 5, "list"}, {"smooth(1, 2, 3)", 0, "smooth"}, {"max(x)", 0, "max"}, {"max(c, b)", 0, "max"},
		{"max(x, late)", 0, "max"}, {"tags == tags", 5, "list"}, {"t < f", 2, "bool"}, {"-c", 0, "string"}, {"[1]", 0, "after in"}, {"late - early", 5, "time"}, {"t + 1", 2, "bool"},
		{"x + (n in [1, c])", 14, "string"}, {`"é" == é`, 8, "é"},
	}
	env, _ := sample()
	for _, tt := range tests {
		tree, err := expression.Parse(tt.src)
		if err == nil {
			_, err = tree.Compile(env)
		}
		if err == nil {
			t.Errorf("%s: no error", tt.src)
			continue
		}
		if !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v; want a message with %q", tt.src, err, tt.words)
		}
		e, ok := errors.AsType[*expression.Error](err)
		if !ok || freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s: error %T with code %s", tt.src, err, freshet.CodeOf(err))
			continue
		}
		if tt.offset >= 0 && e.Offset != tt.offset || e.Offset > len(tt.src) {
			t.Errorf("%s: error at %d, want %d (%v)", tt.src, e.Offset, tt.offset, err)
		}
	}
}

// min and max are aggregates over fields, and scalar over what has a value already.
func TestExtremes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		src   string
		calls []string // the aggregates asked for
	}{
		{"max(x)", []string{"max x"}}, {"max(x, t)", []string{"max x t"}}, {"max(abs(x), t)", []string{"max abs(x) t"}}, {"max(feature)", nil},
		{"max(feature, 1)", nil}, {"max(1, 2)", nil}, {"min(sum(x), 3, 7)", []string{"sum x"}}, {"max(count(), 2)", []string{"count"}},
		{"sum(max(x, 0) + min(x, 0, 5))", []string{"sum (max(x, 0) + min(x, 0, 5))"}}, {"max(min(x), 1)", []string{"min x"}}, {"max(min(x, t), 1)", []string{"min x t"}},
		{"max(feature + sum(x), 1)", []string{"sum x"}}, {"max(max(feature, 1), 2)", nil},
	}
	for _, tt := range tests {
		inner, _ := sample()
		env := newFields(map[string]expression.Type{"feature": floatType})
		env.inner = inner
		_, err := parse(t, tt.src).Compile(env)
		if tt.src == "max(feature)" {
			if err == nil || !strings.Contains(err.Error(), "feature") {
				t.Errorf("%s: %v", tt.src, err)
			}
			continue
		}
		if err != nil || !slices.Equal(env.calls, tt.calls) {
			t.Errorf("%s asked for %q, %v; want %q", tt.src, env.calls, err, tt.calls)
		}
	}
}

// An error in an argument keeps its own place and the name of the call around it.
func TestErrorsInCalls(t *testing.T) {
	t.Parallel()
	inner, _ := sample()
	env := newFields(nil)
	env.inner = inner
	tests := []struct {
		src    string
		offset int
		words  string
	}{{"1 + sum(x + secnds)", 12, "sum: secnds"}, {"1 + refuse()", 4, "refuse: not today"}, {"1 + summ(x)", 4, "did you mean sum?"}}
	for _, tt := range tests {
		_, err := parse(t, tt.src).Compile(env)
		e, ok := errors.AsType[*expression.Error](err)
		if !ok || e.Offset != tt.offset || !strings.Contains(err.Error(), tt.words) || freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s: %v at %+v, want %q at %d", tt.src, err, e, tt.words, tt.offset)
		}
	}
}

// calendar adds a function of its own.
type calendar struct{ *fields }

func (calendar) Scalar(name string) (expression.Scalar, bool) {
	if name == "second" {
		return expression.Scalar{Arg: timeType, Result: intType, Apply: func(ms float64) float64 { return ms / 1000 }}, true
	}
	if name == "started" {
		return expression.Scalar{Arg: timeType, Result: boolType, Apply: func(ms float64) float64 { return ms }}, true
	}
	return expression.Scalar{}, false
}

func (calendar) Functions() []string { return []string{"second", "started"} }

func TestAddedFunctions(t *testing.T) {
	t.Parallel()
	env, slots := sample()
	for src, want := range map[string]string{"second(late) + 1": "3", "started(early)": "true"} {
		if got := string(compile(t, calendar{env}, src).Eval(slots).AppendJSON(nil)); got != want {
			t.Errorf("%s = %s", src, got)
		}
	}
	for src, words := range map[string]string{"second(x)": "one time, not float", "second()": "nothing", "secnd(late)": "did you mean second?"} {
		if _, err := parse(t, src).Compile(calendar{env}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", src, err)
		}
	}
}

// Whatever the text, there is an answer or an Error inside the text; what parses reads back to itself.
func FuzzParse(f *testing.F) {
	for _, src := range []string{
		"1 + 2 * x", `mean(x < 30, c == "Sleep")`, "a.b ? [1] : -x", "x not in tags", `"\u00e9" == 'x'`, "1 < x < 3", "let a = 1; a", "map(tags, {# > 1})", "x ?? y?.z[1:2]",
		"0x1F + .5e-3", "coalesce(max(x, 1), min(y))", "not not t and (f or t)", "// c\n1", "::sum(x)", "b'x'", "if x {1} else {2}",
	} {
		f.Add(src)
	}
	env, slots := sample()
	env.inner, _ = sample()
	f.Fuzz(func(t *testing.T, src string) {
		tree, err := expression.Parse(src)
		if err == nil {
			canonical := tree.String()
			if again, err := expression.Parse(canonical); err != nil && len(canonical) <= expression.MaxBytes && !strings.Contains(err.Error(), "nested") || err == nil && again.String() != canonical {
				t.Errorf("%q reads back as %v, %v", canonical, again, err)
			}
			var p *expression.Program
			if p, err = tree.Compile(env); err == nil {
				if v := p.Eval(slots); v.Kind != expression.Null && v.Kind != p.Type().Kind {
					t.Errorf("%s: a %v where %v was declared", src, v.Kind, p.Type())
				}
			}
		}
		if err == nil {
			return
		}
		if e, ok := errors.AsType[*expression.Error](err); !ok || e.Offset < 0 || e.Offset > len(src) {
			t.Errorf("%q: error %v at %+v", src, err, e)
		}
	})
}
