// Package tablestoretest is the contract of tablestore.Driver as tests: every driver runs it. It is imported by tests only.
package tablestoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/tablestore"
)

// Harness makes drivers for the suite.
type Harness struct {
	// Open makes an empty store, which the suite closes.
	Open func(t testing.TB) tablestore.Driver
	// Reopen closes d and opens what it has kept. Nil for a driver that keeps nothing.
	Reopen func(t testing.TB, d tablestore.Driver) tablestore.Driver
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"RoundTrip", testRoundTrip},
		{"Newest", testNewest},
		{"Tombstone", testTombstone},
		{"OneKeyInOnePut", testOneKeyInOnePut},
		{"Keys", testKeys},
		{"Race", testRace},
		{"Erase", testErase},
		{"Reopen", testReopen},
		{"Context", testContext},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, h)
		})
	}
}

const noon tablestore.Moment = 1_772_366_400_000_000

// row is one of u1, so many microseconds after noon.
func row(after tablestore.Moment, data string) tablestore.Row {
	return tablestore.Row{Table: "profile", Key: "u1", EventTime: noon + after, Data: []byte(data)}
}

func open(t *testing.T, h Harness) tablestore.Driver {
	t.Helper()
	d := h.Open(t)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, d tablestore.Driver, ties tablestore.Ties, want []bool, rows ...tablestore.Row) {
	t.Helper()
	stored, err := d.Put(t.Context(), ties, rows)
	must(t, err)
	if !reflect.DeepEqual(stored, want) {
		t.Fatalf("put of %v: stored is %v, want %v", rows, stored, want)
	}
}

func wantGet(t *testing.T, d tablestore.Driver, want tablestore.Row) {
	t.Helper()
	got, ok, err := d.Get(t.Context(), want.Table, want.Key)
	must(t, err)
	same := got.Table == want.Table && got.Key == want.Key && got.EventTime == want.EventTime && got.ExpiresAt == want.ExpiresAt &&
		got.Deleted == want.Deleted && bytes.Equal(got.Data, want.Data)
	if !ok || !same {
		t.Fatalf("got %+v, %t; want %+v", got, ok, want)
	}
}

func wantNone(t *testing.T, d tablestore.Driver, table freshet.TableName, key freshet.Key) {
	t.Helper()
	if got, ok, err := d.Get(t.Context(), table, key); err != nil || ok {
		t.Fatalf("%s %q: got %+v, %v; want none", table, key, got, err)
	}
}

func testRoundTrip(t *testing.T, h Harness) {
	d := open(t, h)
	wantNone(t, d, "profile", "u1")
	r := row(1, "a\x00b")
	r.ExpiresAt = noon + 5
	put(t, d, tablestore.KeepFirst, []bool{true}, r)
	r.Data[0] = 'x' // the driver has its own
	r.Data = []byte("a\x00b")
	wantGet(t, d, r)
	got, _, err := d.Get(t.Context(), r.Table, r.Key)
	must(t, err)
	got.Data[0] = 'x'
	wantGet(t, d, r)
	for _, m := range []tablestore.Moment{tablestore.MinMoment, tablestore.MaxMoment} {
		r := tablestore.Row{Table: "edge", Key: "k", EventTime: m}
		put(t, d, tablestore.KeepFirst, []bool{true}, r)
		wantGet(t, d, r)
	}
}

func testNewest(t *testing.T, h Harness) {
	d := open(t, h)
	put(t, d, tablestore.KeepFirst, []bool{true}, row(5, "5"))
	for _, ties := range []tablestore.Ties{tablestore.KeepFirst, tablestore.TakeLast} {
		put(t, d, ties, []bool{false}, row(4, "older"))
		wantGet(t, d, row(5, "5"))
	}
	put(t, d, tablestore.KeepFirst, []bool{false}, row(5, "the same moment"))
	wantGet(t, d, row(5, "5"))
	put(t, d, tablestore.TakeLast, []bool{true}, row(5, "corrected"))
	wantGet(t, d, row(5, "corrected"))
	put(t, d, tablestore.KeepFirst, []bool{true}, row(6, "6"))
	wantGet(t, d, row(6, "6"))
}

func testTombstone(t *testing.T, h Harness) {
	d := open(t, h)
	deleted := func(after tablestore.Moment) tablestore.Row {
		r := row(after, "")
		r.Deleted = true
		return r
	}
	put(t, d, tablestore.KeepFirst, []bool{true}, deleted(3)) // also of a key that is not there
	put(t, d, tablestore.TakeLast, []bool{false}, row(3, "the same moment"))
	wantGet(t, d, deleted(3))
	put(t, d, tablestore.TakeLast, []bool{true}, row(4, "later"))
	put(t, d, tablestore.KeepFirst, []bool{false}, deleted(4))
	wantGet(t, d, row(4, "later"))
	put(t, d, tablestore.KeepFirst, []bool{true}, deleted(5))
	wantGet(t, d, deleted(5))
}

func testOneKeyInOnePut(t *testing.T, h Harness) {
	d := open(t, h)
	other := row(1, "other")
	other.Key = "u2"
	put(t, d, tablestore.TakeLast, []bool{true, true, false, true, true}, row(1, "1"), row(3, "3"), row(2, "2"), other, row(3, "3 again"))
	wantGet(t, d, row(3, "3 again"))
	wantGet(t, d, other)
}

func testKeys(t *testing.T, h Harness) {
	d := open(t, h)
	var rows []tablestore.Row
	var want []bool
	for _, table := range []freshet.TableName{"a", "ab", "a\x00", "a\x00\x01"} {
		for _, key := range []freshet.Key{"b", "\x00b", "b\x00", "/", "ü,", freshet.Key(strings.Repeat("k", 4096)), "\x01b"} {
			rows = append(rows, tablestore.Row{Table: table, Key: key, EventTime: 1, Data: fmt.Appendf(nil, "%s|%s", table, key)})
			want = append(want, true)
		}
	}
	put(t, d, tablestore.KeepFirst, want, rows...)
	for _, r := range rows {
		wantGet(t, d, r)
	}
	wantNone(t, d, "a", "")
	wantNone(t, d, "b", "b")
}

// testRace: many write the same keys at once, in both orders; the newest stays.
func testRace(t *testing.T, h Harness) {
	d := open(t, h)
	const writers, keys = 16, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rows := make([]tablestore.Row, keys)
			for k := range rows {
				at := k
				if w%2 == 1 {
					at = keys - 1 - k
				}
				rows[k] = tablestore.Row{Table: "t", Key: freshet.Key(fmt.Sprint("k", at)), EventTime: tablestore.Moment(w), Data: []byte{byte(w)}}
			}
			if _, err := d.Put(t.Context(), tablestore.KeepFirst, rows); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for k := range keys {
		wantGet(t, d, tablestore.Row{Table: "t", Key: freshet.Key(fmt.Sprint("k", k)), EventTime: writers - 1, Data: []byte{writers - 1}})
	}
}

func testReopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("the driver keeps nothing")
	}
	d := h.Open(t)
	gone := row(9, "")
	gone.Key, gone.Deleted = "gone", true
	put(t, d, tablestore.KeepFirst, []bool{true, true}, row(1, "1"), gone)
	d = h.Reopen(t, d)
	defer d.Close()
	wantGet(t, d, row(1, "1"))
	wantGet(t, d, gone)
	put(t, d, tablestore.KeepFirst, []bool{false}, row(0, "older"))
	put(t, d, tablestore.KeepFirst, []bool{true}, row(2, "2"))
	wantGet(t, d, row(2, "2"))
}

func testContext(t *testing.T, h Harness) {
	d := open(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Put(ctx, tablestore.KeepFirst, []tablestore.Row{row(1, "1")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if _, _, err := d.Get(ctx, "profile", "u1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	wantNone(t, d, "profile", "u1")
}

func testClose(t *testing.T, h Harness) {
	d := h.Open(t)
	for range 2 {
		must(t, d.Close())
	}
	if _, err := d.Put(t.Context(), tablestore.KeepFirst, []tablestore.Row{row(1, "1")}); freshet.CodeOf(err) != freshet.Unavailable {
		t.Errorf("Put: %v", err)
	}
	if _, _, err := d.Get(t.Context(), "profile", "u1"); freshet.CodeOf(err) != freshet.Unavailable {
		t.Errorf("Get: %v", err)
	}
}

// testErase: what was there is as if it had never been put, the tombstone too; an older row is kept afterwards.
func testErase(t *testing.T, h Harness) {
	d := open(t, h)
	other, dead := row(5, "other"), row(5, "")
	other.Key, dead.Table, dead.Deleted = "u2", "mood", true
	put(t, d, tablestore.KeepFirst, []bool{true, true, true}, row(5, "a"), other, dead)
	n, err := d.Erase(t.Context(), []freshet.TableName{"profile", "mood", "none"}, "u1")
	must(t, err)
	if n != 2 {
		t.Errorf("%d erased, want 2", n)
	}
	wantNone(t, d, "profile", "u1")
	wantNone(t, d, "mood", "u1")
	wantGet(t, d, other)
	put(t, d, tablestore.KeepFirst, []bool{true}, row(1, "older"))
	wantGet(t, d, row(1, "older"))
}
