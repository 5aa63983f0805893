package disklog

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// TestRewrite: changed records are read everywhere, from memory and from disk and after a restart; the others, offsets and
// times stay.
func TestRewrite(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db, err := disk.Open("data", &disk.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(db, &Options{TailBytes: 4 << 10}) // most blocks are on disk only
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	entity := freshet.Entity{Kind: "user", Key: "u1"}
	p := freshet.PartitionOf(entity.Key)
	const n = 300
	for i := range n {
		_, err := l.Append(ctx, []eventlog.Entry{{
			Event: freshet.Event{
				ID: freshet.EventID(fmt.Sprint("e", i)), Type: "play", EventTime: freshet.Timestamp(1000 + i%7), IngestTime: freshet.Timestamp(2000 + i),
				Payload: []byte(fmt.Sprintf(`{"n":%d,"long":"%0200d"}`, i, i)),
			},
			Entities: []freshet.Entity{entity},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	before, err := l.Read(ctx, nil, p, 1, n)
	if err != nil || len(before) != n {
		t.Fatal(len(before), err)
	}
	changed, err := l.Rewrite(ctx, p, func(r *eventlog.Record) (bool, error) {
		if r.Offset%3 != 0 {
			return false, nil
		}
		r.Entity, r.Event.ID, r.Event.Type, r.Event.Payload = freshet.Entity{}, "", "", []byte("{}")
		return true, nil
	})
	if err != nil || changed != n/3 {
		t.Fatalf("changed %d, %v", changed, err)
	}
	check := func(l *Log) {
		t.Helper()
		after, err := l.Read(ctx, nil, p, 1, n)
		if err != nil || len(after) != n {
			t.Fatal(len(after), err)
		}
		for i, r := range after {
			want := before[i]
			if want.Offset%3 == 0 {
				want.Entity, want.Event.ID, want.Event.Type, want.Event.Payload = freshet.Entity{}, "", "", []byte("{}")
			}
			if fmt.Sprintf("%+v", r) != fmt.Sprintf("%+v", want) {
				t.Fatalf("%+v, want %+v", r, want)
			}
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(again)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
