package tablestore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/tablestore"
	"github.com/freshet-ml/freshet/tablestore/memtables"
)

func TestHidesWhatIsGone(t *testing.T) {
	t.Parallel()
	now := time.UnixMicro(1000)
	s := tablestore.New(memtables.New(), &tablestore.Options{Now: func() time.Time { return now }})
	r := tablestore.Row{Table: "t", Key: "k", EventTime: 5, ExpiresAt: 1001, Data: []byte("x")}
	put := func(r tablestore.Row, want bool) {
		t.Helper()
		if stored, err := s.Put(t.Context(), tablestore.KeepFirst, r); err != nil || stored[0] != want {
			t.Fatalf("put %+v: %v, %v", r, stored, err)
		}
	}
	shown := func(want bool) {
		t.Helper()
		if _, ok, err := s.Get(t.Context(), "t", "k"); err != nil || ok != want {
			t.Fatalf("shown: %t, %v; want %t", ok, err, want)
		}
	}
	put(r, true)
	shown(true)
	now = time.UnixMicro(1001)
	shown(false)
	put(tablestore.Row{Table: "t", Key: "k", EventTime: 4}, false) // what has expired is still newer
	shown(false)
	put(tablestore.Row{Table: "t", Key: "k", EventTime: 6}, true)
	shown(true)
	put(tablestore.Row{Table: "t", Key: "k", EventTime: 7, Deleted: true}, true)
	shown(false)
	if got := s.Stats(); got != (tablestore.Stats{Written: 3, Historic: 1}) {
		t.Errorf("stats are %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	good := tablestore.Row{Table: "t", Key: "k", EventTime: 1}
	for name, change := range map[string]func(*tablestore.Row){
		"table":       func(r *tablestore.Row) { r.Table = "" },
		"key":         func(r *tablestore.Row) { r.Key = "" },
		"long key":    func(r *tablestore.Row) { r.Key = freshet.Key(strings.Repeat("k", 9000)) },
		"before 1970": func(r *tablestore.Row) { r.EventTime = -1 },
		"after 9999":  func(r *tablestore.Row) { r.EventTime = tablestore.MaxMoment + 1 },
		"end":         func(r *tablestore.Row) { r.ExpiresAt = -1 },
		"data":        func(r *tablestore.Row) { r.Data = make([]byte, tablestore.MaxRowBytes+1) },
	} {
		s := tablestore.New(memtables.New(), nil)
		bad := good
		change(&bad)
		_, err := s.Put(t.Context(), tablestore.KeepFirst, good, bad)
		if code := freshet.CodeOf(err); code != freshet.InvalidArgument && code != freshet.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok, err := s.Get(t.Context(), "t", "k"); ok || err != nil {
			t.Errorf("%s: the good row was kept, or %v", name, err)
		}
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]tablestore.Moment{
		"1970-01-01T00:00:00Z":        0,
		"2026-03-01T12:00:00Z":        1_772_366_400_000_000,
		"2026-03-01T12:00:00.250Z":    1_772_366_400_250_000,
		"2026-03-01T12:00:00.250001Z": 1_772_366_400_250_001,
		"9999-12-31T23:59:59.999999Z": tablestore.MaxMoment,
	} {
		if m.String() != want || tablestore.MomentOf(m.Time()) != m {
			t.Errorf("%d is %s, want %s", int64(m), m, want)
		}
	}
}
