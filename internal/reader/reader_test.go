package reader

import (
	"fmt"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
)

// A read of the past holds no more of one key's events than it may.
func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	p, err := project.Parse("freshet.yaml", []byte(`
project: test
entities: { user: { key: user_id } }
events: { play: { keys: user_id } }
views: { life: { entity: user, from: play, window: lifetime, features: { n: count() } } }
`))
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	const events, payload, start = 5, `{"user_id":"u1"}`, 1_741_003_200_000
	log := eventlog.New(memlog.New(nil))
	for i := range events {
		if _, err := log.Append(t.Context(), []eventlog.Entry{{
			Event:    freshet.Event{ID: freshet.EventID(fmt.Sprint(i)), Type: "play", EventTime: start, IngestTime: start, Payload: []byte(payload)},
			Entities: []freshet.Entity{{Kind: "user", Key: "u1"}},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		maxEvents, maxBytes int
		ok                  bool
	}{{events, events * len(payload), true}, {events - 1, events * len(payload), false}, {events, events*len(payload) - 1, false}} {
		r := New(featurestore.New(memfeatures.New()), log)
		r.maxEvents, r.maxBytes = c.maxEvents, c.maxBytes
		got, err := r.Values(t.Context(), rel, []*feature.View{p.Views[0]}, "u1", start, true, nil)
		if c.ok && (err != nil || got[0].Num != events) || !c.ok && freshet.CodeOf(err) != freshet.Unprocessable {
			t.Errorf("with at most %d events of %d bytes: %v, %v", c.maxEvents, c.maxBytes, got, err)
		}
	}
}
