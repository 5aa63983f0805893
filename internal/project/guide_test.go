package project_test

import (
	"os"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/internal/project"
)

// The view of the guide is one.
func TestGuidesView(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/guide/features.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	views, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is none")
	}
	p, err := project.Parse("freshet.yaml", []byte(`
project: guide
entities: { user: { key: user_id } }
events:
  play:   { keys: user_id, fields: { seconds: float } }
  search: { keys: user_id, fields: { query: string } }
`+views))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Views[0].Features()); n != 8 {
		t.Errorf("%d features", n)
	}
}
