package erase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/mempredictions"
	"github.com/freshet-ml/freshet/tablestore"
	"github.com/freshet-ml/freshet/tablestore/memtables"
)

func TestRename(t *testing.T) {
	t.Parallel()
	user := &Names{[]string{"user_id"}, []string{"u1"}}
	seat := &Names{[]string{"hall", "row"}, []string{"h", "7"}}
	keep := func(member string) bool { return member != "secret" }
	for _, c := range []struct {
		names         *Names
		payload, want string // "" for what is left alone
	}{
		{user, `{"user_id":"u1","item":"c1","n":1.50,"secret":"u1"}`, `{"user_id":"X","item":"c1","n":1.50}`},
		{user, `{ "item" : {"user_id":"u1"}, "user_id" : "\u00751" }`, `{"item":{"user_id":"u1"},"user_id":"X"}`},
		{user, `{"user_id":"u12"}`, ""},
		{user, `{"other":"u1"}`, ""},
		{user, `{"user_id":["u1"]}`, ""},
		{user, `{"user_id":"u1"`, ""},
		{user, `["u1"]`, ""},
		{user, `{}`, ""},
		{seat, `{"row":7,"hall":"h"}`, `{"row":"X","hall":"X"}`},
		{seat, `{"row":8,"hall":"h"}`, ""},
	} {
		got, changed := c.names.rename([]byte(c.payload), "X", keep)
		if changed != (c.want != "") || changed && string(got) != c.want || !changed && string(got) != c.payload {
			t.Errorf("%s becomes %s, %v; want %s", c.payload, got, changed, c.want)
		}
		if c.names.In([]byte(c.payload)) != changed || c.names.In(got) {
			t.Errorf("%s: In does not agree", c.payload)
		}
	}
	if _, err := NewNames(feature.EntitySpec{Kind: "seat", KeyFields: []string{"a", "b"}}, "x"); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("a key of another kind: %v", err)
	}
}

func FuzzRename(f *testing.F) {
	f.Add([]byte(`{"user_id":"u1","a":{"b":[1,"\u00e4"]}}`))
	names := &Names{[]string{"user_id"}, []string{"u1"}}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, changed := names.rename(payload, "X", func(string) bool { return true })
		if changed && names.In(got) && !duplicated(got) {
			t.Fatalf("%q becomes %q, which still names it", payload, got)
		}
	})
}

// duplicated tells whether a member stands twice, which no door takes.
func duplicated(payload []byte) bool {
	members, _ := membersOf(payload)
	seen := map[string]bool{}
	for _, m := range members {
		if seen[m.name] {
			return true
		}
		seen[m.name] = true
	}
	return false
}

// memory keeps requests as a disk would.
type memory struct {
	mu  sync.Mutex
	all map[string]Request
}

func (m *memory) Put(r *Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[r.ID] = *r
	return nil
}

func (m *memory) Delete(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, id)
	return nil
}

func (m *memory) All() ([]Request, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.all)), nil
}

// logs are an owner and a past that count, and fail when told to.
type logs struct {
	mu             sync.Mutex
	fails          error
	alias          func() string
	owner, rewrite int
	renewed        int
}

func (l *logs) Erase(context.Context, freshet.Entity, eventlog.Change) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owner++
	return 3, l.fails
}

func (l *logs) Renew(_ context.Context, _ freshet.Partition, entities map[freshet.Entity]bool, fields []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(entities) == 1 && entities[freshet.Entity{Kind: "item", Key: "c1"}] && slices.Equal(fields, []string{"user_id"}) {
		l.renewed++
	}
	return nil
}

// Rewrite shows a record about an item of somebody else, and one that named the user before a restart.
func (l *logs) Rewrite(_ context.Context, _ freshet.Partition, change eventlog.Change) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rewrite++
	for key, user := range map[freshet.Key]string{"c1": l.alias(), "c2": "u2"} {
		rec := eventlog.Record{Entity: freshet.Entity{Kind: "item", Key: key}}
		rec.Event.Payload = fmt.Appendf(nil, `{"user_id":%q,"item_id":%q}`, user, key)
		if _, err := change(&rec); err != nil {
			return 0, err
		}
	}
	return 1, l.fails
}

// TestGoesOnAfterARestart: a request that is written down is carried out by the next process, and then says no more whom it was about.
func TestGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "freshet.yaml")
	if err := os.WriteFile(path, []byte("project: p\nentities: { user: { key: user_id } }\n"), 0o600); err != nil {
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
	live := &release.Live{}
	live.Store(rel)
	records, l := &memory{all: map[string]Request{}}, &logs{fails: errors.New("the disk is away")}
	also := 0
	deps := Deps{
		Live: live, Owner: l, Past: l, Jobs: jobqueue.New(memqueue.New(), nil), Predictions: predictionstore.New(mempredictions.New(), nil),
		Tables: tablestore.New(memtables.New(), nil), Records: records, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Also: []func(context.Context, freshet.Entity) error{func(context.Context, freshet.Entity) error { also++; return nil }},
	}
	first, err := New(deps)
	if err != nil {
		t.Fatal(err)
	}
	user := freshet.Entity{Kind: "user", Key: "u1"}
	if _, err := first.Begin(t.Context(), user); err == nil {
		t.Fatal("no error although the log cannot be changed")
	}
	l.mu.Lock()
	l.fails = nil
	l.mu.Unlock()
	second, err := New(deps)
	if err != nil {
		t.Fatal(err)
	}
	open := second.open()
	l.alias = func() string { r, _ := second.Get(open[0]); return r.Alias }
	if len(open) != 1 {
		t.Fatalf("%v are to be done", open)
	}
	if again, err := second.Begin(t.Context(), user); err != nil || again.ID != open[0] || !again.Forgotten {
		t.Errorf("asked for again: %+v, %v; want the same request", again, err)
	}
	if err := second.finish(t.Context(), open[0]); err != nil {
		t.Fatal(err)
	}
	third, err := New(deps)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := third.Get(open[0])
	if !ok || r.State != Done || r.Key != "" || r.Alias != "" || r.Events != 3 || r.Others != freshet.Partitions || r.EndedAt == 0 {
		t.Errorf("%+v", r)
	}
	if l.owner != 2 || l.rewrite != freshet.Partitions || l.renewed != freshet.Partitions || also == 0 {
		t.Errorf("owner %d, rewrite %d, renewed %d, also %d", l.owner, l.rewrite, l.renewed, also)
	}
}
