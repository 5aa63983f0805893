package server

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/internal/delivery"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/memoutbox"
)

// TestHeard: an event of a user says that the app is open, and one such as push_opened what became of a message: of the user's own, the first time.
func TestHeard(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "freshet.yaml")
	text := "project: p\nentities: { user: { key: user_id }, item: { key: item_id } }\nevents: { ping: { keys: [user_id, item_id] } }\npush: { presence: 30s }\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := project.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		box, err := outbox.New(t.Context(), memoutbox.New(), nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{o: Options{Now: time.Now}, live: &release.Live{}, hub: presence.NewHub(), outbox: box}
		s.live.Store(rel)
		s.deliverer = delivery.New(delivery.Deps{Outbox: box, Senders: delivery.Fixed{}, Hub: s.hub, Metrics: delivery.NewMetrics(prometheus.NewRegistry())}, delivery.Options{})
		log := heard{eventlog.New(memlog.New(nil)), s}
		defer log.Close()
		if _, err := box.Add(t.Context(), outbox.Message{ID: "risk-3-9", User: "u1", Pipeline: "risk", State: outbox.Sent, ExpiresAt: 4_000_000_000_000}, 0); err != nil {
			t.Fatal(err)
		}
		begun, n := time.Now(), 0
		hear := func(kind freshet.EventType, user, payload string) {
			t.Helper()
			time.Sleep(time.Second)
			n++
			_, err := log.Append(t.Context(), []eventlog.Entry{{
				Event:    freshet.Event{ID: freshet.EventID(fmt.Sprint("e", n)), Type: kind, EventTime: freshet.TimestampOf(time.Now()), IngestTime: freshet.TimestampOf(time.Now()), Payload: []byte(payload)},
				Entities: []freshet.Entity{{Kind: "user", Key: freshet.Key(user)}, {Kind: "item", Key: "c1"}},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		outcomes := func(want ...string) {
			t.Helper()
			m, err := box.Message(t.Context(), "risk-3-9")
			if got := slices.Sorted(maps.Keys(m.Outcomes)); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		}
		present := func(user freshet.Key) bool {
			return s.hub.Present(user, begun, time.Now(), rel.Project().Push.Presence)
		}
		hear("ping", "u2", `{"delivery":"risk-3-9"}`)
		if !present("u2") || present("u1") || present("c1") {
			t.Errorf("present: u2 %t, u1 %t, an item %t", present("u2"), present("u1"), present("c1"))
		}
		hear("push_opened", "u2", `{"delivery":"risk-3-9"}`)
		hear("push_opened", "u1", `{"delivery":"risk-3-8"}`)
		hear("push_opened", "u1", `{}`)
		outcomes()
		hear("push_opened", "u1", `{"delivery":"risk-3-9"}`)
		first, _ := box.Message(t.Context(), "risk-3-9")
		hear("push_opened", "u1", `{"delivery":"risk-3-9"}`)
		hear("push_completed", "u1", `{"delivery":"risk-3-9"}`)
		outcomes("completed", "opened")
		if m, _ := box.Message(t.Context(), "risk-3-9"); m.Outcomes["opened"] != first.Outcomes["opened"] {
			t.Error("the second time counts, too")
		}
		time.Sleep(30 * time.Second)
		if present("u1") || present("u2") {
			t.Error("present half a minute after the last event")
		}
	})
}
