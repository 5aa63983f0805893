package release_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
)

// An event that is about more entities than the log takes is refused with the project, not when it comes.
func TestEventOfTooManyEntities(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{freshet.MaxEntities: "", freshet.MaxEntities + 1: "event type play: the views and pipelines that listen to it are about 17 entities"} {
		var entities, keys, views strings.Builder
		for i := range n + 1 { // to the last of them no view listens
			fmt.Fprintf(&entities, "  e%d: { key: k%d }\n", i, i)
			fmt.Fprintf(&keys, "k%d, ", i)
			if i < n {
				fmt.Fprintf(&views, "  v%d: { entity: e%d, from: play, window: lifetime, features: { n: count() } }\n", i, i)
			}
		}
		p, err := project.Parse("freshet.yaml", fmt.Appendf(nil, "project: many\nentities:\n%sevents: { play: { keys: [%s] } }\nviews:\n%s", &entities, &keys, &views))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := release.Open(p, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || freshet.FieldOf(err) != "events.play") {
			t.Errorf("%d entities: %v, want %q", n, err, want)
		}
		if opened != nil {
			_ = opened.Close()
		}
	}
}
