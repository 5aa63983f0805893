package pushtable

import (
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/table"
)

func TestParseJSON(t *testing.T) {
	t.Parallel()
	of := map[string]table.Column{
		"float": {Kind: expression.Number}, "int": {Kind: expression.Number, Int: true}, "bool": {Kind: expression.Bool},
		"string": {Kind: expression.String}, "time": {Kind: expression.Time}, "strings": {Kind: expression.List},
	}
	for _, c := range []struct{ column, raw, want string }{ // want is the value as JSON; "" where it is refused
		{"float", `0.5`, `0.5`},
		{"float", `5`, `5`},
		{"float", `null`, `null`},
		{"float", `"NaN"`, `null`},
		{"float", `"0.5"`, ``},
		{"float", `1e16`, ``},
		{"float", `true`, ``},
		{"int", `5`, `5`},
		{"int", `5.0`, `5`},
		{"int", `5e3`, `5000`},
		{"int", `5.5`, ``},
		{"int", `9007199254740993`, ``},
		{"int", `"NaN"`, `null`},
		{"bool", `true`, `true`},
		{"bool", `1`, ``},
		{"string", `"é\n"`, `"é\n"`},
		{"string", `""`, `null`},
		{"string", `1`, ``},
		{"time", `"2026-03-01T12:00:00"`, `"2026-03-01T12:00:00.000Z"`},
		{"time", `"2026-03-01T12:00:00.250999"`, `"2026-03-01T12:00:00.250Z"`},
		{"time", `"2026-03-01 12:00:00+01:00"`, `"2026-03-01T11:00:00.000Z"`},
		{"time", `"2026-03-01T12:00:00Z"`, `"2026-03-01T12:00:00.000Z"`},
		{"time", `1772366400.5`, `"2026-03-01T12:00:00.500Z"`},
		{"time", `"noon"`, ``},
		{"time", `-1`, ``},
		{"strings", `["a","é"]`, `["a","é"]`},
		{"strings", `[]`, `[]`},
		{"strings", `["a",1]`, ``},
		{"strings", `"a"`, ``},
		{"strings", `null`, `null`},
	} {
		v, err := ParseJSON(of[c.column], []byte(c.raw))
		if c.want == "" {
			if freshet.CodeOf(err) != freshet.InvalidArgument {
				t.Errorf("%s %s: %v", c.column, c.raw, err)
			}
			continue
		}
		if got := string(v.AppendJSON(nil)); err != nil || got != c.want {
			t.Errorf("%s %s is %s (%v), want %s", c.column, c.raw, got, err, c.want)
		}
	}
}

func TestParseMoment(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"2026-03-01T12:00:00Z":             "2026-03-01T12:00:00Z",
		"2026-03-01T12:00:00":              "2026-03-01T12:00:00Z",
		"2026-03-01T12:00:00.123456789":    "2026-03-01T12:00:00.123456Z",
		"2026-03-01T12:00:00.250+0100":     "2026-03-01T11:00:00.250Z",
		"2026-03-01T12:00:00 01:00":        "2026-03-01T11:00:00Z", // a plus that was not escaped
		"2026-03-01 12:00:00.250000+00:00": "2026-03-01T12:00:00.250Z",
		"2026-03-01T12:00Z":                "2026-03-01T12:00:00Z",
		"2026-03-01":                       "2026-03-01T00:00:00Z",
		"1969-12-31T23:59:59Z":             "",
		"2026-02-30T00:00:00Z":             "",
		"":                                 "",
		"1772366400":                       "",
	} {
		m, err := ParseMoment(s)
		if want == "" {
			if freshet.CodeOf(err) != freshet.InvalidArgument {
				t.Errorf("%q: %v, %v", s, m, err)
			}
			continue
		}
		if err != nil || m.String() != want {
			t.Errorf("%q is %v (%v), want %s", s, m, err, want)
		}
	}
	for _, s := range []string{"", "x", "NaN", "1e300", "-1", "Inf"} {
		if m, err := ParseSeconds(s); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%q: %v, %v", s, m, err)
		}
	}
}
