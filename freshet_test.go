package freshet_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
)

func TestParseTimestamp(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]freshet.Timestamp{
		"1970-01-01T00:00:00Z":                0,
		"2025-03-03T12:00:00Z":                1_741_003_200_000,
		"2025-03-03T12:00:00.123999Z":         1_741_003_200_123,
		"2025-03-03T13:30:00+01:30":           1_741_003_200_000,
		"1970-01-01T01:00:00.001+01:00":       1,
		"9999-12-31T23:59:59.999Z":            freshet.MaxTimestamp,
		"9999-12-31T23:59:59.999999999-00:00": freshet.MaxTimestamp,
	} {
		if got, err := freshet.ParseTimestamp(s); err != nil || got != want {
			t.Errorf("%s is %d, %v; expected %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "now", "2025-03-03", "2025-03-03T12:00:00", "2025-13-03T12:00:00Z", "1741003200000", "1969-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59-01:00",
	} {
		if got, err := freshet.ParseTimestamp(s); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%q is %d, %v; expected an error", s, got, err)
		}
	}
}

func TestTimestampSub(t *testing.T) {
	t.Parallel()
	if got := freshet.Timestamp(1500).Sub(250); got != 1250*time.Millisecond {
		t.Errorf("1500 ms less 250 ms is %s", got)
	}
	// 8,029 years are more than a Duration holds.
	far := freshet.MaxTimestamp.Sub(freshet.MinTimestamp)
	if back := freshet.MinTimestamp.Sub(freshet.MaxTimestamp); far < 292*365*24*time.Hour || back != -far {
		t.Errorf("from end to end %s, back %s", far, back)
	}
}

func TestTimestampText(t *testing.T) {
	t.Parallel()
	at := freshet.Timestamp(1_741_003_200_007)
	if got, want := at.String(), "2025-03-03T12:00:00.007Z"; got != want {
		t.Errorf("String is %s, expected %s", got, want)
	}
	b, err := json.Marshal(at)
	if err != nil || string(b) != `"2025-03-03T12:00:00.007Z"` {
		t.Errorf("JSON is %s, %v", b, err)
	}
	for _, s := range []string{`"2025-03-03T12:00:00.007Z"`, `1741003200007`} {
		var got freshet.Timestamp
		if err := json.Unmarshal([]byte(s), &got); err != nil || got != at {
			t.Errorf("%s is %v, %v", s, got, err)
		}
	}
	for _, s := range []string{`"yesterday"`, `1.5`, `-1`, `253402300800000`, `{}`, `1e3`} {
		var got freshet.Timestamp
		if err := json.Unmarshal([]byte(s), &got); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s is %v, %v; expected an error", s, got, err)
		}
	}
}

func TestTimestampArithmetic(t *testing.T) {
	t.Parallel()
	at := freshet.TimestampOf(time.Date(2025, 3, 3, 12, 0, 0, 7_999_999, time.FixedZone("", 3600)))
	if want := freshet.Timestamp(1_740_999_600_007); at != want || !at.Time().Equal(want.Time()) || at.Time().Location() != time.UTC {
		t.Errorf("TimestampOf is %d, expected %d", at, want)
	}
	if got := at.Add(1500*time.Microsecond) - at; got != 1 {
		t.Errorf("Add of 1.5 ms is %d", got)
	}
	if got := at.Add(time.Hour).Sub(at); got != time.Hour {
		t.Errorf("Sub is %v", got)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []string
		want   freshet.Key
	}{
		{[]string{"a,b%2C"}, "a,b%2C"},
		{[]string{"a", "bc"}, "a,bc"},
		{[]string{"ab", "c"}, "ab,c"},
		{[]string{"a/b", "c"}, "a%2Fb,c"},
		{[]string{"a,b", "c"}, "a%2Cb,c"},
		{[]string{"", ""}, ","},
		{[]string{"ü", "100%"}, "%C3%BC,100%25"},
	} {
		got := freshet.JoinKey(c.values...)
		if got != c.want {
			t.Errorf("%q is %q, expected %q", c.values, got, c.want)
		}
		if split, err := got.Split(len(c.values)); err != nil || !slices.Equal(split, c.values) {
			t.Errorf("%q splits into %q, %v", got, split, err)
		}
	}
	for key, n := range map[freshet.Key]int{"a": 2, "a,b,c": 2, "a,%zz": 2, "a,%": 2} {
		if got, err := key.Split(n); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%q splits into %q, %v", key, got, err)
		}
	}
}

func TestKeyIsOneToOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }), 1, 4).Draw(t, "values")
		got, err := freshet.JoinKey(values...).Split(len(values))
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("%q came back as %q, %v", values, got, err)
		}
	})
}

func TestMakeJobID(t *testing.T) {
	t.Parallel()
	if got := freshet.MakeJobID("next_step", freshet.Place{Partition: 3, Offset: 9120}); got != "next_step-3-9120" {
		t.Errorf("job id is %q", got)
	}
	if got := (freshet.Entity{Kind: "user", Key: "a\x00"}).String(); !strings.Contains(got, `user "a\x00"`) {
		t.Errorf("entity is %s", got)
	}
}
