package feature

import (
	"os"
	"regexp"
	"testing"
)

// The guide names every aggregate and every kind of window, and no aggregate that is none.
func TestGuideNamesAllAggregates(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/guide/features.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_]+\\(.*?) \\|").FindAllSubmatch(text, -1) {
		for _, call := range regexp.MustCompile("`([a-z_]+)\\(").FindAllSubmatch(row[1], -1) {
			name := string(call[1])
			named[name] = true
			if aggregates[name] == nil {
				t.Errorf("%s is no aggregate", name)
			}
		}
	}
	for name := range aggregates {
		if !named[name] {
			t.Errorf("%s is not in the guide", name)
		}
	}
	for _, kind := range []string{"sliding", "tumbling", "session", "last", "lifetime"} {
		if !regexp.MustCompile("(?m)^\\| `" + kind + "[ `]").Match(text) {
			t.Errorf("window %s is not in the guide", kind)
		}
	}
}
