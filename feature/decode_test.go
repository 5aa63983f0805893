package feature

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

func slotOf(t testing.TB, s *Schema, name string) int {
	env, err := s.Env("play")
	if err != nil {
		t.Fatal(err)
	}
	slot, ok := env.Resolve(name)
	if !ok {
		t.Fatalf("no name %s", name)
	}
	return slot.Index
}

func TestDecode(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	const keys = `"type":"play","user_id":"u","content_id":"c"`
	ingest := freshet.Timestamp(1_741_003_200_000)
	for name, c := range map[string]struct {
		raw   string
		field string // with which it is refused
		get   func(r *Record) string
		want  string
	}{
		"fields before the type": {raw: `{"seconds":1.5,"content_id":"c","user_id":"u","type":"play"}`,
			get: func(r *Record) string { return fmt.Sprint(r.Type, r.slots[slotOf(t, s, "seconds")].Num) }, want: "play1.5"},
		"no id": {raw: `{` + keys + `}`,
			get: func(r *Record) string { return string(r.ID) + "|" }, want: "|"},
		"id of null": {raw: `{` + keys + `,"event_id":null}`,
			get: func(r *Record) string { return string(r.ID) + "|" }, want: "|"},
		"escapes": {raw: `{` + keys + `,"event_id":"a\u00e9\n","categor\u0079":"\ud83d\ude00"}`,
			get: func(r *Record) string { return string(r.ID) + r.slots[slotOf(t, s, "category")].Str }, want: "aé\n😀"},
		"spaces": {raw: " \n{ \"type\" : \"play\" ,\t\"user_id\":\"u\" , \"content_id\" : \"c\" , \"level\" : -3 , \"completed\" : true } ",
			get: func(r *Record) string { return fmt.Sprint(r.slots[slotOf(t, s, "level")].Num) }, want: "-3"},
		"long integer key": {raw: `{"type":"play","user_id":900719925474099312345,"content_id":-0}`,
			get: func(r *Record) string { k, _ := r.Key("pair"); return string(k) }, want: "900719925474099312345,0"},
		"whole key with exponent": {raw: `{"type":"play","user_id":1.20e3,"content_id":-7.0}`,
			get: func(r *Record) string { k, _ := r.Key("pair"); return string(k) }, want: "1200,-7"},
		"missing time": {raw: `{` + keys + `}`,
			get: func(r *Record) string { return fmt.Sprint(r.EventTime == ingest, r.Clamped) }, want: "true false"},
		"time of null": {raw: `{` + keys + `,"event_time":null,"sent_time":5}`,
			get: func(r *Record) string { return fmt.Sprint(r.EventTime == ingest, r.Clamped) }, want: "true false"},
		"from the future": {raw: `{` + keys + `,"event_time":1741003200001}`,
			get: func(r *Record) string { return fmt.Sprint(r.EventTime == ingest, r.Clamped) }, want: "true true"},
		"clock an hour fast": {raw: `{` + keys + `,"event_time":1741006800000,"sent_time":1741006802000}`,
			get: func(r *Record) string { return fmt.Sprint(int64(ingest-r.EventTime), r.Clamped) }, want: "2000 false"},
		"unknown fields": {raw: `{` + keys + `,"x":{"a":[1,{"b":"}]\""}],"c":null}}`,
			get: func(r *Record) string { return string(r.Type) }, want: "play"},
		"negative zero": {raw: `{` + keys + `,"seconds":-0.0,"level":-0}`, want: "false false",
			get: func(r *Record) string {
				return fmt.Sprint(math.Signbit(r.slots[slotOf(t, s, "seconds")].Num), math.Signbit(r.slots[slotOf(t, s, "level")].Num))
			}},
		"int with exponent": {raw: `{` + keys + `,"level":50e-1}`,
			get: func(r *Record) string { return fmt.Sprint(r.slots[slotOf(t, s, "level")].Num) }, want: "5"},
		"a text of 64 KiB": {raw: `{` + keys + `,"category":"` + strings.Repeat("é", freshet.MaxTextBytes/2) + `"}`,
			get: func(r *Record) string { return fmt.Sprint(len(r.slots[slotOf(t, s, "category")].Str)) }, want: "65536"},
		"a longer text":       {raw: `{` + keys + `,"category":"` + strings.Repeat("x", freshet.MaxTextBytes+1) + `"}`, field: "category"},
		"texts of more bytes": {raw: `{` + keys + `,"tags":["` + strings.Repeat("x", freshet.MaxTextBytes) + `","x"]}`, field: "tags"},
		"64 levels": {raw: `{` + keys + `,"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
			get: func(r *Record) string { return string(r.Type) }, want: "play"},
		"65 levels":                   {raw: `{` + keys + `,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, field: "x"},
		"a million levels":            {raw: `{` + keys + `,"x":` + strings.Repeat("[", 1e6), field: "x"},
		"name twice":                  {raw: `{` + keys + `,"level":1,"level":1}`, field: "level"},
		"name twice, with an escape":  {raw: `{` + keys + `,"level":1,"leve\u006c":1}`, field: "level"},
		"name twice inside":           {raw: `{` + keys + `,"x":{"a":1,"a":1}}`, field: "x"},
		"invalid UTF-8":               {raw: `{` + keys + ",\"category\":\"\xff\"}", field: "category"},
		"lone surrogate":              {raw: `{` + keys + `,"category":"\ud800"}`, field: "category"},
		"unquoted":                    {raw: `{` + keys + `,"category":Sleep}`, field: "category"},
		"correction before 1970":      {raw: `{` + keys + `,"event_time":0,"sent_time":1741003200001}`, field: "sent_time"},
		"correction after 9999":       {raw: `{` + keys + `,"event_time":253402300799999,"sent_time":0}`, field: "sent_time"},
		"time far out with sent_time": {raw: `{` + keys + `,"event_time":99999999999999999999,"sent_time":0}`, field: "event_time"},
		"followed by more":            {raw: `{` + keys + `}{}`, field: ""},
		"followed by junk":            {raw: `{` + keys + `}x`, field: ""},
		"a list":                      {raw: `[]`, field: ""},
		"nothing":                     {raw: ``, field: ""},
		"spaces only":                 {raw: `  `, field: ""},
		"cut":                         {raw: `{"type":"play"`, field: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := s.NewRecord()
			err := s.Decode([]byte(c.raw), ingest, r)
			if c.get == nil {
				if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != c.field {
					t.Fatalf("field %q of %v, want %q", freshet.FieldOf(err), err, c.field)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.get(r); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A record holds nothing of the event before, and nothing of the bytes it was read from.
func TestRecordIsReused(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	r := s.NewRecord()
	raw := []byte(playEvent)
	if err := s.Decode(raw, freshet.MaxTimestamp, r); err != nil {
		t.Fatal(err)
	}
	id, category := r.ID, r.slots[slotOf(t, s, "category")].Str
	clear(raw)
	if err := s.Decode([]byte(`{"type":"search","user_id":"u"}`), freshet.MaxTimestamp, r); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(id), "0195") || category != "Sleep" {
		t.Errorf("kept strings changed: %q %q", id, category)
	}
	fresh := s.NewRecord()
	if err := s.Decode([]byte(`{"type":"search","user_id":"u"}`), freshet.MaxTimestamp, fresh); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r.slots, fresh.slots) || r.ID != "" {
		t.Errorf("slots %+v, want %+v", r.slots, fresh.slots)
	}
}

// What a client sent is told back in part only, however long it is.
func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	long := strings.Repeat("x", 1e6)
	for _, raw := range []string{
		`{"type":"` + long + `"}`, `{"` + long + `":1,"` + long + `":1}`, `{"` + long + `":nope}`, `{"` + long + `":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`,
		`{"type":"play","user_id":"` + long + `"}`, `{"type":{"` + long + `":1}}`, `["` + long + `"]`, `{"type":"play","event_time":"` + long + `"}`,
	} {
		err := s.Decode([]byte(raw), freshet.MaxTimestamp, s.NewRecord())
		if err == nil || len(err.Error()) > 400 || len(freshet.FieldOf(err)) > 100 {
			t.Errorf("%.50s: the error has %d bytes", raw, len(fmt.Sprint(err)))
		}
	}
}

func TestDecodeEvent(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	r := s.NewRecord()
	ev := freshet.Event{ID: "given", Type: "play", EventTime: 5, IngestTime: 7,
		Payload: []byte(`{"event_id":1,"type":"search","event_time":"never","sent_time":[],"user_id":"u","content_id":"c","level":2}`)}
	if err := s.DecodeEvent(&ev, r); err != nil {
		t.Fatal(err)
	}
	if r.ID != "given" || r.Type != "play" || r.EventTime != 5 || r.IngestTime != 7 || r.slots[slotOf(t, s, "level")].Num != 2 {
		t.Errorf("record %+v", r)
	}
	if got := r.slots[slotOf(t, s, "event_time")]; got.Kind != expression.Time || got.Num != 5 {
		t.Errorf("event_time is %+v", got)
	}
}

func TestTimesAreThoseOfTheVocabulary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := freshet.Timestamp(rapid.Int64Range(int64(freshet.MinTimestamp), int64(freshet.MaxTimestamp)).Draw(t, "at"))
		if got, ok := parseTime(`"` + at.String() + `"`); !ok || got != at {
			t.Fatalf("%s is read as %d, want %d", at, got, at)
		}
		text := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d%sZ", rapid.IntRange(1969, 2101).Draw(t, "year"), rapid.IntRange(0, 13).Draw(t, "month"),
			rapid.IntRange(0, 32).Draw(t, "day"), rapid.IntRange(0, 24).Draw(t, "hour"), rapid.IntRange(0, 60).Draw(t, "minute"),
			rapid.IntRange(0, 60).Draw(t, "second"), rapid.SampledFrom([]string{"", ".1", ".123", ".123456789", ".", ",123"}).Draw(t, "fraction"))
		want, err := freshet.ParseTimestamp(text)
		if got, ok := parseTime(`"` + text + `"`); ok != (err == nil) || ok && got != want {
			t.Fatalf("%s is read as %d %v, want %d %v", text, got, ok, want, err)
		}
	})
}

func TestDecodeAllocates(t *testing.T) {
	s := testSchema(t)
	r := s.NewRecord()
	raw := []byte(playEvent)
	if n := alloctest.PerRun(100, func() {
		if err := s.Decode(raw, freshet.MaxTimestamp, r); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("Decode allocates %v times, want 1: the copy of the text", n)
	}
}

// TestDecodeEventOfNoJSON: the log has what Decode let in, but a payload of anything else must not end a receiver.
func TestDecodeEventOfNoJSON(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	for _, raw := range []string{
		"", "{", "[]", "1", `"`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":"`, `{"a":"\`, `{"a":[}`, `{"a":{"b"`, `{1:2}`, `{"user_id":"u","tags":[1}`,
		`{"user_id":"u","content_id":"c","tags":["a"}`, `{"user_id":"u","content_id":"c","v":[1,2}`, `{"user_id":"u","content_id":"c","v":[1,"}`,
	} {
		ev := freshet.Event{ID: "e", Type: "play", EventTime: 5, IngestTime: 7, Payload: []byte(raw)}
		if err := s.DecodeEvent(&ev, s.NewRecord()); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// FuzzDecodeEvent: of what Decode accepts it finds the same values, and of anything else it finds an end.
func FuzzDecodeEvent(f *testing.F) {
	for _, raw := range []string{
		playEvent, `{"type":"search","user_id":12e1}`, ` { "type" : "play","user_id":"u\u00e9","content_id":"c","v":[1,2,3],"tags":["a","\n"],"x":{"y":["\"]}"]} } `,
		`{"a":[`, `{"type":"play","user_id":"u","content_id":"c","tags":[1}`, "\xff",
	} {
		f.Add([]byte(raw))
	}
	s := testSchema(f)
	door, log := s.NewRecord(), s.NewRecord()
	f.Fuzz(func(t *testing.T, raw []byte) {
		wrong := s.Decode(raw, freshet.MaxTimestamp, door)
		ev := freshet.Event{ID: "e", Type: "play", EventTime: 5, IngestTime: 7, Payload: raw}
		if wrong == nil {
			ev.ID, ev.Type, ev.EventTime, ev.IngestTime = door.ID, door.Type, door.EventTime, door.IngestTime
		}
		err := s.DecodeEvent(&ev, log)
		if err != nil && freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Fatal(err)
		}
		if wrong == nil && (err != nil || !reflect.DeepEqual(door.slots, log.slots)) {
			t.Fatalf("Decode found %+v, DecodeEvent %+v (%v)", door.slots, log.slots, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, raw := range []string{playEvent, `{"type":"search","user_id":12e1}`, `{"type":"play","v":[1,2,3],"tags":["a","\n"]}`, `{`, `{"a":[`, "\xff"} {
		f.Add([]byte(raw))
	}
	s := testSchema(f)
	r := s.NewRecord()
	f.Fuzz(func(t *testing.T, raw []byte) {
		err := s.Decode(raw, freshet.MaxTimestamp, r)
		if err == nil {
			if r.EventTime < freshet.MinTimestamp || r.EventTime > freshet.MaxTimestamp || len(r.ID) > freshet.MaxEventIDBytes {
				t.Fatalf("accepted: %+v", r)
			}
			if _, ok := r.Key("user"); !ok {
				t.Fatal("an event without a key was accepted")
			}
			return
		}
		if freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Fatal(err)
		}
	})
}

// What is in the log already is read, also beyond the bounds for what comes.
func TestDecodeEventTakesLongTexts(t *testing.T) {
	t.Parallel()
	s := testSchema(t)
	r := s.NewRecord()
	text := strings.Repeat("x", freshet.MaxTextBytes+1)
	ev := freshet.Event{ID: "e", Type: "play", Payload: []byte(`{"user_id":"u","content_id":"c","category":"` + text + `","tags":["` + text + `"]}`)}
	if err := s.DecodeEvent(&ev, r); err != nil {
		t.Fatal(err)
	}
	if got := r.slots[slotOf(t, s, "category")].Str; got != text {
		t.Errorf("the text has %d bytes", len(got))
	}
}
