package featurestoretest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/featurestore"
)

func sweep(t *testing.T, s *featurestore.Store, e freshet.Epoch, at freshet.Timestamp, rows ...freshet.Row) int {
	t.Helper()
	n, err := s.Sweep(t.Context(), partition, e, at, rows)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantRemoved(t *testing.T, s *featurestore.Store, moments ...freshet.Timestamp) {
	t.Helper()
	for i, want := range moments {
		if got, err := s.Removed(key, freshet.ViewID(i+1)); err != nil || got != want {
			t.Errorf("view %d: removed at %d (%v), want %d", i+1, got, err, want)
		}
	}
}

func testSweep(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	wantRemoved(t, s, 0, 0)
	apply(t, s, partition, own.Epoch, 3, row(1, key, 1, "long a"), row(2, key, 2, "long b"), row(3, key, 3, "long c"))
	checkpoint(t, s, partition, own.Epoch)
	if n := sweep(t, s, own.Epoch, 70, row(1, key, 1, "a"), row(2, key, 2, "")); n != 2 {
		t.Errorf("%d rows swept, want 2", n)
	}
	want(t, s, key, "1 a", "-", "3 long c")
	wantRemoved(t, s, 0, 70, 0)
	own = acquire(t, s, partition) // as durable as a checkpoint
	want(t, s, key, "1 a", "-", "3 long c")
	wantRemoved(t, s, 0, 70, 0)
	sweep(t, s, own.Epoch, 60, row(1, key, 1, ""))
	sweep(t, s, own.Epoch, 80, row(3, key, 3, "c"))
	want(t, s, key, "-", "-", "3 c")
	wantRemoved(t, s, 60, 70, 0)
	apply(t, s, partition, own.Epoch, 5, row(2, key, 5, "new"))
	checkpoint(t, s, partition, own.Epoch)
	sweep(t, s, own.Epoch, 65, row(2, key, 5, ""))
	wantRemoved(t, s, 60, 70, 0)
}

// testSweepChanged: a sweep never takes back what an event has done since it has looked.
func testSweepChanged(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	apply(t, s, partition, own.Epoch, 2, row(1, key, 1, "a"), row(2, key, 2, "b"))
	if n := sweep(t, s, own.Epoch, 9, row(1, key, 1, ""), row(2, key, 2, "x")); n != 0 {
		t.Errorf("%d rows swept that no checkpoint has", n)
	}
	checkpoint(t, s, partition, own.Epoch)
	apply(t, s, partition, own.Epoch, 3, row(1, key, 3, "a3"))
	if n := sweep(t, s, own.Epoch, 9, row(1, key, 1, ""), row(1, key, 3, ""), row(2, key, 1, ""), row(3, key, 1, "")); n != 0 {
		t.Errorf("%d rows swept that have changed, or are not there", n)
	}
	checkpoint(t, s, partition, own.Epoch)
	if n := sweep(t, s, own.Epoch, 9, row(1, key, 1, "")); n != 0 {
		t.Errorf("%d rows swept that have changed", n)
	}
	want(t, s, key, "3 a3", "2 b", "-")
	wantRemoved(t, s, 0, 0, 0)
	acquire(t, s, partition)
	if _, err := s.Sweep(t.Context(), partition, own.Epoch, 9, []freshet.Row{row(1, key, 3, "")}); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Errorf("sweep of a former owner: %v", err)
	}
	want(t, s, key, "3 a3", "2 b")
}

func testSweepReopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("nothing outlives this driver")
	}
	d := h.Open(t)
	s := featurestore.New(d)
	own := acquire(t, s, partition)
	apply(t, s, partition, own.Epoch, 2, row(1, key, 1, "long a"), row(2, key, 2, "long b"))
	checkpoint(t, s, partition, own.Epoch)
	sweep(t, s, own.Epoch, 70, row(1, key, 1, "a"), row(2, key, 2, ""))
	s = featurestore.New(h.Reopen(t, d))
	defer s.Close()
	wantRemoved(t, s, 0, 70)
	want(t, s, key, "1 a", "-")
	if again := acquire(t, s, partition); again.Checkpoint != 2 {
		t.Errorf("checkpoint %d, want 2", again.Checkpoint)
	}
	wantRemoved(t, s, 0, 70)
}

func testScan(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	var keys []string
	var rows []freshet.Row
	for i := 0; len(keys) < 20; i++ {
		k := freshet.Key(fmt.Sprint("k", i))
		if i%3 == 0 {
			k += "\xff\x00"
		}
		if freshet.PartitionOf(k) != partition {
			continue
		}
		keys = append(keys, string(k))
		rows = append(rows, row(2, k, 1, "d"+string(k)), row(1, k, 1, "other"), row(3, k, 1, "other"), row(^freshet.ViewID(0), k, 1, "other"))
	}
	slices.Sort(keys)
	apply(t, s, partition, own.Epoch, 1, rows...)
	scan := func(v freshet.ViewID, from freshet.Key) []freshet.Row {
		t.Helper()
		got, err := s.Scan(t.Context(), nil, partition, v, from, 7)
		if err != nil || len(got) > 7 {
			t.Fatalf("%d rows (%v), want 7 at most", len(got), err)
		}
		return got
	}
	if got := scan(2, ""); len(got) != 0 {
		t.Fatalf("%d rows before the first checkpoint", len(got))
	}
	checkpoint(t, s, partition, own.Epoch)
	for _, v := range []freshet.ViewID{2, ^freshet.ViewID(0)} {
		var seen []string
		for from := freshet.Key(""); ; {
			got := scan(v, from)
			if len(got) == 0 {
				break
			}
			for _, r := range got {
				if r.View != v || r.Offset != 1 || v == 2 && string(r.Data) != "d"+string(r.Key) {
					t.Errorf("got %016x %q %d %q", r.View, r.Key, r.Offset, r.Data)
				}
				seen = append(seen, string(r.Key))
			}
			from = got[len(got)-1].Key + "\x00"
		}
		if !slices.Equal(seen, keys) {
			t.Errorf("scanned %q, want %q", strings.Join(seen, " "), strings.Join(keys, " "))
		}
	}
}
