// Package outboxtest is the contract of outbox.Driver as tests: every driver runs it. It is imported by tests only.
package outboxtest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/outbox"
)

// Harness makes drivers for the suite.
type Harness struct {
	// Open makes an empty driver, which the suite closes.
	Open func(t testing.TB) outbox.Driver
	// Reopen loses what was not durable, if it can, and opens what is left. Nil for a driver that keeps nothing.
	Reopen func(t testing.TB, d outbox.Driver) outbox.Driver
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, d outbox.Driver)
	}{
		{"ValuesAndDeletions", testValues}, {"Order", testOrder}, {"WhileScanning", testWhileScanning}, {"Concurrency", testConcurrency},
		{"Context", testContext}, {"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := h.Open(t)
			t.Cleanup(func() { d.Close() })
			c.test(t, d)
		})
	}
	t.Run("Reopen", func(t *testing.T) {
		t.Parallel()
		if h.Reopen == nil {
			return // it keeps nothing
		}
		d := h.Open(t)
		write(t, d, true, set("a", "1"), set("b", "2"))
		write(t, d, true, outbox.Change{Key: []byte("a")})
		d = h.Reopen(t, d)
		t.Cleanup(func() { d.Close() })
		if got := list(t, d, "", "z"); got != "b=2" {
			t.Errorf("got %s", got)
		}
	})
}

func write(t testing.TB, d outbox.Driver, durable bool, changes ...outbox.Change) {
	t.Helper()
	if err := d.Write(t.Context(), changes, durable); err != nil {
		t.Fatal(err)
	}
}

func set(key, value string) outbox.Change {
	return outbox.Change{Key: []byte(key), Value: []byte(value)}
}

func list(t testing.TB, d outbox.Driver, from, to string) string {
	t.Helper()
	var all []string
	err := d.Scan(t.Context(), []byte(from), []byte(to), func(key, value []byte) bool {
		all = append(all, fmt.Sprintf("%s=%s", key, value))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func testValues(t *testing.T, d outbox.Driver) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	write(t, d, false, set("a", "1"), set("a\x00", "nul"), set("a/b", ""), outbox.Change{Key: []byte("big"), Value: big})
	for key, want := range map[string]string{"a": "1", "a\x00": "nul", "a/b": "", "big": string(big)} {
		value, ok, err := d.Get(t.Context(), []byte(key))
		if err != nil || !ok || string(value) != want {
			t.Errorf("%q: %.20q, %t, %v", key, value, ok, err)
		}
		if len(value) > 0 {
			value[0]++ // it is a copy
		}
	}
	write(t, d, true, outbox.Change{Key: []byte("a")}, outbox.Change{Key: []byte("never there")}, set("a\x00", "new"))
	if _, ok, err := d.Get(t.Context(), []byte("a")); ok || err != nil {
		t.Errorf("a deleted key: %t, %v", ok, err)
	}
	if value, _, _ := d.Get(t.Context(), []byte("a\x00")); string(value) != "new" {
		t.Errorf("a replaced value: %q", value)
	}
}

func testOrder(t *testing.T, d outbox.Driver) {
	write(t, d, false, set("b", "2"), set("\xff", "last"), set("a", "1"), set("aa", "11"), set("c", "3"))
	for _, c := range []struct{ from, to, want string }{
		{"", "\xff\xff", "a=1 aa=11 b=2 c=3 \xff=last"}, {"a", "c", "a=1 aa=11 b=2"}, {"aa", "aa", ""}, {"b", "a", ""}, {"x", "y", ""},
	} {
		if got := list(t, d, c.from, c.to); got != c.want {
			t.Errorf("%q to %q: %q, want %q", c.from, c.to, got, c.want)
		}
	}
	n := 0
	if err := d.Scan(t.Context(), []byte("a"), []byte("z"), func(_, _ []byte) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("stopped after %d, %v", n, err)
	}
}

// testWhileScanning: what is written while somebody scans is no fault.
func testWhileScanning(t *testing.T, d outbox.Driver) {
	write(t, d, false, set("a", "1"), set("b", "2"), set("c", "3"))
	var seen []string
	err := d.Scan(t.Context(), []byte("a"), []byte("z"), func(key, _ []byte) bool {
		seen = append(seen, string(key))
		write(t, d, false, outbox.Change{Key: bytes.Clone(key)})
		return true
	})
	if err != nil || strings.Join(seen, "") != "abc" || list(t, d, "a", "z") != "" {
		t.Errorf("saw %v, %v; left %s", seen, err, list(t, d, "a", "z"))
	}
}

// testConcurrency: what is written is there, and none is lost.
func testConcurrency(t *testing.T, d outbox.Driver) {
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 50 {
				key := fmt.Sprintf("%d-%02d", w, i)
				if err := d.Write(t.Context(), []outbox.Change{set("x"+key, "1"), set("y"+key, "1")}, i%10 == 0); err != nil {
					t.Error(err)
				}
				for _, k := range []string{"x" + key, "y" + key} {
					if _, ok, err := d.Get(t.Context(), []byte(k)); !ok || err != nil {
						t.Errorf("%s: %t, %v", k, ok, err)
					}
				}
			}
		})
	}
	group.Wait()
	if n := strings.Count(list(t, d, "x", "z"), "="); n != 800 {
		t.Errorf("%d keys, want 800", n)
	}
}

func testContext(t *testing.T, d outbox.Driver) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Write(ctx, []outbox.Change{set("a", "1")}, true); err == nil {
		t.Error("written after the context's end")
	}
	if list(t, d, "", "z") != "" {
		t.Error("something was written")
	}
}

func testClose(t *testing.T, d outbox.Driver) {
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, _, get := d.Get(t.Context(), []byte("a"))
	scan := d.Scan(t.Context(), nil, []byte("z"), func(_, _ []byte) bool { return true })
	for name, err := range map[string]error{"get": get, "scan": scan, "write": d.Write(t.Context(), []outbox.Change{set("a", "1")}, false)} {
		if freshet.CodeOf(err) != freshet.Unavailable {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}
