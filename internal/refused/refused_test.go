package refused

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// memory keeps records as a disk would.
type memory map[uint64]Event

func (m memory) Write(put map[uint64]Event, remove []uint64, _ bool) error {
	maps.Copy(m, put)
	for _, n := range remove {
		delete(m, n)
	}
	return nil
}

func (m memory) All(each func(uint64, Event)) error {
	for _, n := range slices.Sorted(maps.Keys(m)) {
		each(n, m[n])
	}
	return nil
}

func open(t *testing.T, m memory) *List {
	t.Helper()
	l, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t *testing.T, l *List, events ...Event) {
	t.Helper()
	if err := l.Add(events...); err != nil {
		t.Fatal(err)
	}
}

// TestBounds: the newest are kept, within their number and their bytes, over a restart.
func TestBounds(t *testing.T) {
	t.Parallel()
	m := memory{}
	l := open(t, m)
	var many []Event
	for i := range MaxEvents + 5 {
		many = append(many, Event{EventID: strconv.Itoa(i)})
	}
	add(t, l, many[:3]...)
	add(t, l, many[3:]...)
	for _, l := range []*List{l, open(t, m)} {
		if got := l.Newest(MaxEvents * 2); len(got) != MaxEvents || got[0].EventID != strconv.Itoa(MaxEvents+4) || got[MaxEvents-1].EventID != "5" || len(m) != MaxEvents {
			t.Errorf("%d from %s to %s, %d records", len(got), got[0].EventID, got[len(got)-1].EventID, len(m))
		}
	}
	l = open(t, m)
	for range 200 {
		add(t, l, Event{Message: strings.Repeat("x", 32<<10)})
	}
	if n := l.Len(); n != MaxBytes/(32<<10) || len(m) != n {
		t.Errorf("%d are kept, %d records", n, len(m))
	}
	if got := l.Newest(1); len(got) != 1 || got[0].ID != "refused-1205" {
		t.Errorf("%+v", got)
	}
	if n, err := l.Drop("refused-1205", "refused-1", "today-3-9"); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if n, err := l.DropAll(); n != MaxBytes/(32<<10)-1 || err != nil || len(m) != 0 {
		t.Errorf("dropped %d, %v; %d records", n, err, len(m))
	}
}

// TestErase: whatever names somebody goes, what names somebody else stays.
func TestErase(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event  Event
		values []string
		want   bool
	}{
		"user":             {Event{Message: `{"userId":"u1","event":"x"}`}, []string{"u1"}, true},
		"another":          {Event{Message: `{"userId":"u12","event":"x"}`}, []string{"u1"}, false},
		"number":           {Event{Message: `{"userId":17}`}, []string{"17"}, true},
		"deep":             {Event{Message: `{"context":{"traits":[{"id":"u1"}]}}`}, []string{"u1"}, true},
		"escaped":          {Event{Message: `{"userId":"\u00751"}`}, []string{"u1"}, true},
		"no JSON":          {Event{Message: `{"userId":"u1`}, []string{"u1"}, true},
		"long, in a text":  {Event{Message: `{"text":"of user-4711-abc"}`}, []string{"user-4711-abc"}, true},
		"long, escaped":    {Event{Message: `{"text":"of \u0075ser-4711-abc"}`}, []string{"user-4711-abc"}, true},
		"in the reason":    {Event{Message: `{}`, Reason: `"user-4711-abc" is wrong`}, []string{"user-4711-abc"}, true},
		"short, by chance": {Event{Message: `{"text":"tu1p"}`, Reason: "tu1p"}, []string{"u1"}, false},
		"both parts":       {Event{Message: `{"a":"x","b":"y"}`}, []string{"x", "y"}, true},
		"one part":         {Event{Message: `{"a":"x","b":"z"}`}, []string{"x", "y"}, false},
	} {
		m := memory{}
		l := open(t, m)
		add(t, l, c.event)
		if n, err := l.Erase(c.values); (n == 1) != c.want || err != nil || (len(m) == 0) != c.want {
			t.Errorf("%s: erased %d, %v", name, n, err)
		}
	}
}
