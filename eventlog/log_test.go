package eventlog_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

func play(id freshet.EventID) eventlog.Entry {
	return eventlog.Entry{
		Event:    freshet.Event{ID: id, Type: "play", EventTime: 5, IngestTime: 7, Payload: []byte(`{}`)},
		Entities: []freshet.Entity{{Kind: "user", Key: "u1"}},
	}
}

func TestAppendValidates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*eventlog.Entry)
		code   freshet.Code
		field  string
	}{
		{"good", func(*eventlog.Entry) {}, "", ""},
		{"no id", func(e *eventlog.Entry) { e.Event.ID = "" }, freshet.InvalidArgument, "event_id"},
		{"longest id", func(e *eventlog.Entry) { e.Event.ID = freshet.EventID(strings.Repeat("x", 128)) }, "", ""},
		{"long id", func(e *eventlog.Entry) { e.Event.ID = freshet.EventID(strings.Repeat("x", 129)) }, freshet.InvalidArgument, "event_id"},
		{"no type", func(e *eventlog.Entry) { e.Event.Type = "" }, freshet.InvalidArgument, "type"},
		{"long type", func(e *eventlog.Entry) { e.Event.Type = freshet.EventType(strings.Repeat("x", 129)) }, freshet.InvalidArgument, "type"},
		{"before 1970", func(e *eventlog.Entry) { e.Event.EventTime = -1 }, freshet.InvalidArgument, "event_time"},
		{"ingested before 1970", func(e *eventlog.Entry) { e.Event.EventTime, e.Event.IngestTime = -2, -1 }, freshet.InvalidArgument, "ingest_time"},
		{"in 9999", func(e *eventlog.Entry) { e.Event.IngestTime = freshet.MaxTimestamp }, "", ""},
		{"after 9999", func(e *eventlog.Entry) { e.Event.IngestTime = freshet.MaxTimestamp + 1 }, freshet.InvalidArgument, "ingest_time"},
		{"in the future", func(e *eventlog.Entry) { e.Event.EventTime = 8 }, freshet.InvalidArgument, "event_time"},
		{"just now", func(e *eventlog.Entry) { e.Event.EventTime = 7 }, "", ""},
		{"no payload", func(e *eventlog.Entry) { e.Event.Payload = nil }, freshet.InvalidArgument, "payload"},
		{"largest payload", func(e *eventlog.Entry) { e.Event.Payload = make([]byte, 1<<20) }, "", ""},
		{"large payload", func(e *eventlog.Entry) { e.Event.Payload = make([]byte, 1<<20+1) }, freshet.TooLarge, "payload"},
		{"no entity", func(e *eventlog.Entry) { e.Entities = nil }, freshet.InvalidArgument, "entities"},
		{"no kind", func(e *eventlog.Entry) { e.Entities[0].Kind = "" }, freshet.InvalidArgument, "entities"},
		{"no key", func(e *eventlog.Entry) { e.Entities[0].Key = "" }, freshet.InvalidArgument, "user"},
		{"long key", func(e *eventlog.Entry) { e.Entities[0].Key = freshet.Key(strings.Repeat("x", 4097)) }, freshet.InvalidArgument, "user"},
		{"composite key of long values", func(e *eventlog.Entry) {
			e.Entities[0].Key = freshet.JoinKey(strings.Repeat("\xff", 256), strings.Repeat("\x00", 256))
		}, "", ""},
		{"kind twice", func(e *eventlog.Entry) { e.Entities = append(e.Entities, freshet.Entity{Kind: "user", Key: "u2"}) }, freshet.InvalidArgument, "user"},
		{"two kinds", func(e *eventlog.Entry) { e.Entities = append(e.Entities, freshet.Entity{Kind: "content", Key: "u1"}) }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := eventlog.New(memlog.New(nil))
			e := play("e2")
			c.change(&e)
			out, err := l.Append(t.Context(), []eventlog.Entry{play("e1"), e})
			if freshet.CodeOf(err) != c.code || freshet.FieldOf(err) != c.field {
				t.Fatalf("error %v has code %q and field %q, expected %q and %q", err, freshet.CodeOf(err), freshet.FieldOf(err), c.code, c.field)
			}
			if err == nil {
				return
			}
			if out != nil || l.Stats() != (eventlog.Stats{}) {
				t.Errorf("something of a bad call was appended: %+v, %+v", out, l.Stats())
			}
			if !strings.Contains(err.Error(), "event 2 of 2") {
				t.Errorf("error %q does not say which event", err)
			}
		})
	}
}

func TestAppendOfNothing(t *testing.T) {
	t.Parallel()
	l := eventlog.New(memlog.New(nil))
	if out, err := l.Append(t.Context(), nil); len(out) != 0 || err != nil || l.Stats().Calls != 0 {
		t.Errorf("%v, %v, %+v", out, err, l.Stats())
	}
}

// The log in memory works in a bubble: those who wait are durably blocked.
func TestWaitInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventlog.New(memlog.New(nil))
		p := freshet.PartitionOf("u1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := l.Wait(ctx, p, 1); err != context.DeadlineExceeded || time.Since(start) != time.Minute {
			t.Fatalf("Wait: %v after %v", err, time.Since(start))
		}
		go func() {
			time.Sleep(time.Hour)
			if _, err := l.Append(context.Background(), []eventlog.Entry{play("e1")}); err != nil {
				t.Error(err)
			}
		}()
		if err := l.Wait(t.Context(), p, 1); err != nil || time.Since(start) != time.Minute+time.Hour {
			t.Fatalf("Wait: %v after %v", err, time.Since(start))
		}
	})
}

func TestValidationDoesNotAllocate(t *testing.T) {
	entries := []eventlog.Entry{play("e1")}
	entries[0].Event.Payload = bytes.Repeat([]byte("x"), 300)
	l := eventlog.New(discard{})
	if n := alloctest.PerRun(100, func() {
		if _, err := l.Append(context.Background(), entries); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// discard is a driver that answers without storing.
type discard struct{ eventlog.Driver }

func (discard) Append(context.Context, []eventlog.Entry) ([]eventlog.Appended, error) {
	return nil, nil
}
