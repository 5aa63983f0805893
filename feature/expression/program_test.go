package expression_test

import (
	"math"
	"testing"

	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

func compile(t testing.TB, env expression.Env, src string) *expression.Program {
	t.Helper()
	tree, err := expression.Parse(src)
	if err != nil {
		t.Fatalf("Parse(%s): %v", src, err)
	}
	p, err := tree.Compile(env)
	if err != nil {
		t.Fatalf("Compile(%s): %v", src, err)
	}
	return p
}

func TestEval(t *testing.T) {
	t.Parallel()
	tests := []struct{ src, want string }{
		// Precedence and arithmetic.
		{"1 + 2 * 3", "7"}, {"(1 + 2) * 3", "9"}, {"7 / 2", "3.5"}, {"-n - -3", "-1"}, {"10 - 4 - 3", "3"},
		{"24 / 4 / 2", "3"}, {"n > 9 ? 10 : n > 0 ? 20 : 30", "20"}, {"true or false and false", "true"},
		{"not (n == 1)", "true"}, {"1e3 + .5", "1000.5"}, {"2 < 10", "true"}, {`"2" < "10"`, "false"}, {"x * x - 1", "8"},
		{"-x", "-3"}, {"-zero", "0"}, {"0x10 + 1_000", "1016"}, {"1e-7", "1e-7"}, {"1e21", "1e+21"}, {"123456789012", "123456789012"},
		// Null and what is no number.
		{"x / zero", "null"}, {"x / -zero", "null"}, {"null + 1", "null"}, {"1 - null", "null"}, {"null * 0", "null"}, {"0 / null", "null"},
		{"1e300 * 1e300", "null"}, {"-1e308 - 1e308", "null"}, {"-null", "null"}, {"null > 0", "null"}, {"0 < null", "null"},
		{"null == null", "null"}, {"nulltext == b", "null"}, {`nulltext != "b"`, "null"}, {"b != nulltext", "null"}, {"nobool == t", "null"},
		{"t != nobool", "null"}, {"null > 0 ? 1 : 2", "null"}, {"t ? 1 : null", "1"}, {"f ? 1 : null", "null"}, {"coalesce(null + 1, null, -1)", "-1"},
		{"coalesce(nulltext, b)", `"b"`}, {"coalesce(nobool, f)", "false"}, {"coalesce(nolist, tags)", `["a","b"]`}, {"coalesce(null, null)", "null"},
		{"max(null, 1)", "null"}, {"min(1, null)", "null"}, {"abs(null)", "null"}, {"len(nulltext)", "null"}, {"len(nolist)", "null"},
		{"clamp(x, null, 2)", "null"}, {"smooth(n, null, 0.5, 2)", "null"}, {"smooth(1, -2, 0.5, 2)", "null"}, {"nobool ? tags : tags", "null"},
		// Three values.
		{"t and t", "true"}, {"t and f", "false"}, {"f and nobool", "false"}, {"nobool and f", "false"}, {"nobool and t", "null"}, {"t and nobool", "null"},
		{"nobool and nobool", "null"}, {"f or f", "false"}, {"t or nobool", "true"}, {"nobool or t", "true"}, {"nobool or f", "null"}, {"f or nobool", "null"},
		{"nobool or nobool", "null"}, {"not nobool", "null"}, {"not t", "false"}, {"not f", "true"},
		// Comparisons.
		{"x == 3", "true"}, {"x != 3", "false"}, {"x < 3", "false"}, {"x <= 3", "true"}, {"x > 2.5", "true"}, {"x >= n", "false"}, {"3 <= x", "true"},
		{`b == "b"`, "true"}, {`b != "b"`, "false"}, {`"b" == b`, "true"}, {`b < "é"`, "true"}, {`"A" < "a"`, "true"}, {`c >= "b"`, "true"}, {`'b' == b`, "true"},
		{"t == t", "true"}, {"t != f", "true"}, {"early < late", "true"}, {"early == late", "false"}, {"max(early, late)", `"1970-01-01T00:00:02.000Z"`},
		{`"say \"hi\"" == 'say "hi"'`, "true"}, {`"a" == "a"`, "true"},
		// in
		{`b in ["A", "b", "x"]`, "true"}, {`b in ["A"]`, "false"}, {`b not in ["A"]`, "true"}, {`nulltext in ["A"]`, "null"}, {`nulltext not in ["A"]`, "null"},
		{`"b" in tags`, "true"}, {`"c" in tags`, "false"}, {`not ("c" in tags)`, "true"}, {`"a" in nolist`, "null"}, {`"a" in holes`, "true"}, {`"b" in holes`, "null"},
		{"2.5 in numbers", "true"}, {"n in [1, 2, n]", "true"}, {"1 in [null]", "null"}, {"1 in [2, 3]", "false"}, {"t in [f, t]", "true"}, {"early in [early]", "true"},
		// Functions.
		{"min(y, 3, 7)", "-5.5"}, {"max(n, 2)", "4"}, {"abs(y)", "5.5"}, {"log(1)", "0"}, {"log(zero)", "null"}, {"log(-1)", "null"}, {"sqrt(n)", "2"},
		{"sqrt(-n)", "null"}, {"clamp(y, -2, 2)", "-2"}, {"clamp(0.5, -2, 2)", "0.5"}, {"clamp(9, -2, 2)", "2"}, {"round(2.5)", "3"}, {"round(-2.5)", "-3"},
		{"round(0.49999999999999994)", "0"}, {"round(-7.4)", "-7"}, {"round(-0.4)", "0"}, {"len(c)", "4"}, {`len("")`, "0"}, {"len(tags)", "2"}, {"len(m)", "1"},
		{"smooth(6, 8, 0.5, 4)", "0.6666666666666666"}, {"coalesce(x, 0)", "3"},
		// Other types.
		{"tags", `["a","b"]`}, {"v", "[1,2]"}, {"m", `{"k":2}`}, {"early", `"1970-01-01T00:00:01.000Z"`}, {"c", `"zoë😀"`}, {"body.rate + 1", "73"},
		{`t ? "busy" : "calm"`, `"busy"`}, {"t ? tags : nolist", `["a","b"]`}, {"f ? t : f", "false"}, {"f ? early : late", `"1970-01-01T00:00:02.000Z"`},
		{"nobool ? b : b", "null"}, {"nobool ? t : f", "null"}, {"/* why */ 1 // one", "1"},
	}
	env, slots := sample()
	for _, tt := range tests {
		if got := string(compile(t, env, tt.src).Eval(slots).AppendJSON(nil)); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.src, got, tt.want)
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		src  string
		want string
	}{
		{"1", "int"}, {"1.0", "float"}, {"n + 1", "int"}, {"n - n * 2", "int"}, {"n / 2", "float"}, {"n + x", "float"}, {"-n", "int"}, {"round(x)", "int"},
		{"len(c)", "int"}, {"abs(n)", "int"}, {"abs(x)", "float"}, {"min(n, 2)", "int"}, {"max(n, x)", "float"}, {"clamp(n, 0, 1)", "int"}, {"t ? n : 1", "int"},
		{"t ? n : x", "float"}, {"coalesce(n, 0.5)", "float"}, {"coalesce(n, 0)", "int"}, {"n < 1", "bool"}, {"c", "string"}, {"early", "time"},
		{"tags", "list of string"}, {"v", "vector 2"}, {"m", "map"}, {"smooth(n, n, n, n)", "float"}, {"min(early, late)", "time"}, {"b in tags", "bool"},
	}
	env, _ := sample()
	for _, tt := range tests {
		if got := compile(t, env, tt.src).Type().String(); got != tt.want {
			t.Errorf("type of %s = %s, want %s", tt.src, got, tt.want)
		}
	}
}

func TestResultsOfEachKind(t *testing.T) {
	t.Parallel()
	env, slots := sample()
	for _, tt := range []struct {
		src  string
		want float64
		ok   bool
	}{{"x", 3, true}, {"t", 1, true}, {"f", 0, true}, {"late", 2000, true}, {"null", 0, false}, {"nobool", 0, false}, {"c", 0, false}, {"tags", 0, false}} {
		if got, ok := compile(t, env, tt.src).Number(slots); got != tt.want || ok != tt.ok {
			t.Errorf("Number of %s = %v, %v; want %v, %v", tt.src, got, ok, tt.want, tt.ok)
		}
	}
	if v, ok := compile(t, env, "t and x > 1").Bool(slots); !v || !ok {
		t.Errorf("Bool = %v, %v", v, ok)
	}
	if _, ok := compile(t, env, "x").Bool(slots); ok {
		t.Error("Bool of a number")
	}
	if v, ok := compile(t, env, "b").Text(slots); v != "b" || !ok {
		t.Errorf("Text = %q, %v", v, ok)
	}
	if _, ok := compile(t, env, "x").Text(slots); ok {
		t.Error("Text of a number")
	}
}

// A slot that was filled with another kind than declared, as a request can do, is null and not misread.
func TestWrongKindIsNull(t *testing.T) {
	t.Parallel()
	env, slots := sample()
	for i := range slots {
		slots[i] = expression.Value{Kind: expression.Map, Num: 1, Str: "a", List: []expression.Value{{}}}
	}
	for _, src := range []string{"x", "x > 1", "t", `b == "a"`, "b", "tags", "early", "v"} {
		if got := compile(t, env, src).Eval(slots); got.Kind != expression.Null {
			t.Errorf("%s = %+v, want null", src, got)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	env, slots := sample()
	for _, src := range []string{
		`x > 2 and c != "no" and coalesce(null, 0) < 3`, "max(x, y, 0) * clamp(n, 0, 1) + smooth(1, 2, 3, 4)", `b in ["a", "b"] ? len(c) : round(x)`,
		`"b" in tags`, "coalesce(nulltext, b)", "min(early, late)",
	} {
		p := compile(t, env, src)
		if n := alloctest.PerRun(100, func() {
			p.Number(slots)
			p.Bool(slots)
			p.Text(slots)
			p.Eval(slots)
		}); n != 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	env, slots := sample()
	p := compile(b, env, `x < 30 and b == "b"`)
	b.ReportAllocs()
	for b.Loop() {
		p.Bool(slots)
	}
}

func TestInt64(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]int64{
		0: 0, -7: -7, 1 << 53: 1 << 53, 1 << 62: 1 << 62, 1<<63 - 1024: 1<<63 - 1024, 1 << 63: math.MaxInt64, 1e300: math.MaxInt64,
		-1 << 63: math.MinInt64, -1<<63 - 2048: math.MinInt64, -1e300: math.MinInt64,
	} {
		if got := (expression.Value{Kind: expression.Number, Num: x}).Int64(); got != want {
			t.Errorf("%v is %d, want %d", x, got, want)
		}
	}
}
