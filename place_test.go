package freshet_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

// Keys and the partitions that Kafka's Java client gives them in a topic of 64.
func TestPartitionOf(t *testing.T) {
	t.Parallel()
	for key, want := range map[freshet.Key]freshet.Partition{
		"": 25, "21": 44, "foobar": 62, "a-little-bit-long-string": 32, "a-little-bit-longer-string": 3, "abc": 27, "u1": 48, "user-42": 44, "ü": 26,
	} {
		if got := freshet.PartitionOf(key); got != want {
			t.Errorf("PartitionOf(%q) is %d, expected %d", key, got, want)
		}
	}
}

func TestPartitionOfDoesNotAllocate(t *testing.T) {
	var sum freshet.Partition
	if n := alloctest.PerRun(100, func() { sum += freshet.PartitionOf("a-little-bit-longer-string") }); n != 0 {
		t.Errorf("%v allocations, sum %d", n, sum)
	}
}

func TestPosition(t *testing.T) {
	t.Parallel()
	var p freshet.Position
	if got := p.String(); got != "" {
		t.Errorf("the zero Position is %q", got)
	}
	p.Cover(freshet.Place{Partition: 3, Offset: 7})
	p.Cover(freshet.Place{Partition: 3, Offset: 5})
	p.Cover(freshet.Place{Partition: 63, Offset: 300})
	p.Cover(freshet.Place{Partition: 9, Offset: 0})
	for partition, want := range map[freshet.Partition]freshet.Offset{3: 7, 63: 300, 9: 0, 0: 0} {
		if got := p.Through(partition); got != want {
			t.Errorf("through %d of partition %d, expected %d", got, partition, want)
		}
	}
	if got, want := p.String(), "Awc_rAI"; got != want {
		t.Errorf("position is %q, expected %q", got, want)
	}
	got, err := freshet.ParsePosition(p.String())
	if err != nil || got != p {
		t.Errorf("parsed %v, %v; expected %v", got, err, p)
	}
}

func TestPositionRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p freshet.Position
		for partition, o := range rapid.MapOf(rapid.Uint8Range(0, freshet.Partitions-1), rapid.Uint64()).Draw(t, "places") {
			p.Cover(freshet.Place{Partition: freshet.Partition(partition), Offset: freshet.Offset(o)})
		}
		got, err := freshet.ParsePosition(p.String())
		if err != nil || got != p {
			t.Fatalf("parsed %v, %v; expected %v", got, err, p)
		}
	})
}

func TestParsePositionRefuses(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	for name, s := range map[string]string{
		"no base64":              "!",
		"padded":                 "Awc=",
		"no offset":              encode([]byte{3}),
		"offset zero":            encode([]byte{3, 0}),
		"partition 64":           encode([]byte{64, 1}),
		"partitions not in turn": encode([]byte{4, 1, 3, 1}),
		"partition twice":        encode([]byte{3, 1, 3, 2}),
		"offset without an end":  encode([]byte{3, 0x80}),
		"offset of 65 bits":      encode(append([]byte{3}, append(bytes.Repeat([]byte{0xff}, 9), 2)...)),
	} {
		got, err := freshet.ParsePosition(s)
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != "after" || got != (freshet.Position{}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("")
	f.Add("Awc_rAI")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := freshet.ParsePosition(s)
		if err != nil {
			return
		}
		if again, err := freshet.ParsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q: parsed again %v, %v; expected %v", s, again, err, p)
		}
	})
}

func TestComparePlaces(t *testing.T) {
	t.Parallel()
	want := []freshet.Place{{0, 1}, {0, 2}, {1, 0}, {1, 1 << 63}, {63, 1}}
	got := []freshet.Place{want[3], want[1], want[4], want[0], want[2]}
	slices.SortFunc(got, freshet.ComparePlaces)
	if !slices.Equal(got, want) {
		t.Errorf("sorted %v, expected %v", got, want)
	}
}
