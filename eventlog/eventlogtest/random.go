package eventlogtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// model is what a log must do, in the plainest words.
type model struct {
	horizon    freshet.Timestamp
	partitions [freshet.Partitions][]eventlog.Record
	accepted   map[freshet.Entity]freshet.Timestamp // by kind and event id (as key): the last acceptance
}

func (m *model) append(entries []eventlog.Entry) []eventlog.Appended {
	var out []eventlog.Appended
	for _, e := range entries {
		a := eventlog.Appended{}
		for _, entity := range e.Entities {
			at, ok := m.accepted[freshet.Entity{Kind: entity.Kind, Key: freshet.Key(e.Event.ID)}]
			a.Duplicate = a.Duplicate || ok && e.Event.IngestTime-at < m.horizon
		}
		for _, entity := range e.Entities {
			p := freshet.PartitionOf(entity.Key)
			if !a.Duplicate {
				m.accepted[freshet.Entity{Kind: entity.Kind, Key: freshet.Key(e.Event.ID)}] = e.Event.IngestTime
				var latest freshet.Timestamp
				for _, r := range m.partitions[p] {
					latest = max(latest, r.Event.EventTime)
				}
				m.partitions[p] = append(m.partitions[p], eventlog.Record{
					Event: e.Event, Entity: entity, Offset: freshet.Offset(len(m.partitions[p]) + 1), MaxEventTime: latest,
				})
			}
			a.Places = append(a.Places, freshet.Place{Partition: p, Offset: freshet.Offset(len(m.partitions[p]))})
		}
		out = append(out, a)
	}
	return out
}

// testRandomOperations compares a log with the model over random calls, ids that come again and a clock that goes on,
// with restarts if the driver survives them.
func testRandomOperations(t *testing.T, h Harness) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	l := open(t, h)
	m := &model{horizon: freshet.Timestamp(horizon.Milliseconds()), accepted: map[freshet.Entity]freshet.Timestamp{}}
	now := noon
	for step := range 300 {
		now += freshet.Timestamp(rng.Int64N(20 * 60 * 1000))
		entries := randomEntries(rng, now)
		got, err := l.Append(context.Background(), entries)
		if err != nil {
			t.Fatalf("step %d: Append: %v", step, err)
		}
		if want := m.append(entries); !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: Append: %+v\nexpected %+v", step, got, want)
		}
		if rng.IntN(40) == 0 && h.Reopen != nil {
			l = reopen(t, h, l)
		}
		readAtRandom(t, rng, l, m)
	}
	for p := range freshet.Partition(freshet.Partitions) {
		if got, want := readAll(t, l, p, 1+rng.IntN(20)), m.partitions[p]; len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("partition %d: %+v\nexpected %+v", p, got, want)
		}
	}
}

func randomEntries(rng *rand.Rand, now freshet.Timestamp) []eventlog.Entry {
	entries := make([]eventlog.Entry, 1+rng.IntN(6))
	for i := range entries {
		// Up to half an hour back, which is less than what must be remembered.
		ingest := now - freshet.Timestamp(rng.Int64N(30*60*1000))
		e := freshet.Event{
			ID: freshet.EventID(fmt.Sprint("e", rng.IntN(60))), Type: "play",
			EventTime: ingest - freshet.Timestamp(rng.Int64N(100_000)), IngestTime: ingest,
			Payload: fmt.Appendf(nil, `{"n":%d}`, rng.IntN(1000)),
		}
		kinds := []freshet.EntityKind{"user", "content", "device"}
		rng.Shuffle(len(kinds), func(a, b int) { kinds[a], kinds[b] = kinds[b], kinds[a] })
		entries[i].Event = e
		for _, kind := range kinds[:1+rng.IntN(3)] {
			entries[i].Entities = append(entries[i].Entities, freshet.Entity{Kind: kind, Key: freshet.Key(fmt.Sprint("k", rng.IntN(5)))})
		}
	}
	return entries
}

func readAtRandom(t *testing.T, rng *rand.Rand, l *eventlog.Log, m *model) {
	t.Helper()
	p := freshet.PartitionOf(freshet.Key(fmt.Sprint("k", rng.IntN(5))))
	want := m.partitions[p]
	from, limit := rng.IntN(len(want)+2), rng.IntN(10)
	got, err := l.Read(context.Background(), nil, p, freshet.Offset(from), limit)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	first := min(max(from, 1)-1, len(want))
	want = want[first:min(first+limit, len(want))]
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("Read from %d at most %d: %+v\nexpected %+v", from, limit, got, want)
	}
}
