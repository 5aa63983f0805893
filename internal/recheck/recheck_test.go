package recheck

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/release"
)

const app = `
project: test
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views:
  near: { entity: user, from: play, window: sliding 10m, features: { n: count(), s: sum(seconds) } }
`

const start freshet.Timestamp = 1741003200000

// rig is a log with events of u1, a second apart, and rows that have the first few of them.
type rig struct {
	t      *testing.T
	rel    *release.Opened
	view   *feature.View
	log    *eventlog.Log
	rows   *featurestore.Store
	values *reader.Reader
	logged bytes.Buffer
	now    freshet.Timestamp
}

func newRig(t *testing.T, events int) *rig {
	t.Helper()
	p, err := project.Parse("freshet.yaml", []byte(app))
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, rel: rel, view: p.Views[0], log: eventlog.New(memlog.New(nil)), rows: featurestore.New(memfeatures.New())}
	r.values = reader.New(r.rows, r.log)
	for i := range events {
		r.now = start + freshet.Timestamp(i*1000)
		for _, user := range []string{"u1", "another"} {
			if _, err := r.log.Append(t.Context(), []eventlog.Entry{{
				Event: freshet.Event{ID: freshet.EventID(fmt.Sprint(user, i)), Type: "play", EventTime: r.now, IngestTime: r.now,
					Payload: fmt.Appendf(nil, `{"type":"play","user_id":%q,"seconds":%d}`, user, i)},
				Entities: []freshet.Entity{{Kind: "user", Key: freshet.Key(user)}},
			}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// apply makes the row of u1 of its first n events, but for one, and says that all before through have been applied.
func (r *rig) apply(n, without int, through freshet.Offset) {
	r.t.Helper()
	p := freshet.PartitionOf("u1")
	own, err := r.rows.Acquire(r.t.Context(), p, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	s, rec := r.view.NewScratch(), r.rel.Project().Schema.NewRecord()
	row := freshet.Row{View: r.view.ID(), Key: "u1"}
	for record, err := range r.log.Scan(r.t.Context(), p, eventlog.Scan{Match: func(_, key []byte) bool { return string(key) == "u1" }}) {
		if err != nil {
			r.t.Fatal(err)
		}
		if n--; n < 0 {
			break
		}
		row.Offset = record.Offset
		if without--; without == 0 {
			continue
		}
		if err := r.rel.Project().Schema.DecodeEvent(&record.Event, rec); err != nil {
			r.t.Fatal(err)
		}
		if row.Data, _, err = r.view.Apply(s, row.Data, rec, record.MaxEventTime); err != nil {
			r.t.Fatal(err)
		}
	}
	var rows []freshet.Row
	if row.Data != nil {
		rows = append(rows, row)
	}
	if err := r.rows.Apply(r.t.Context(), p, own.Epoch, max(through, row.Offset), rows); err != nil {
		r.t.Fatal(err)
	}
}

// check reads u1 and checks what was read.
func (r *rig) check(o Options) *Checker {
	r.t.Helper()
	o.Now = func() time.Time { return r.now.Time() }
	o.Logger = slog.New(slog.NewTextHandler(&r.logged, nil))
	c := New(r.values, r.rows, r.log, o)
	sampled := make(chan reader.Served, 1)
	ctx, stop := context.WithCancel(r.t.Context())
	defer stop()
	go func() {
		if s, err := r.values.Sample(ctx); err == nil {
			sampled <- s
		}
	}()
	for {
		if _, err := r.values.Values(r.t.Context(), r.rel, []*feature.View{r.view}, "u1", r.now, false, nil); err != nil {
			r.t.Fatal(err)
		}
		select {
		case s := <-sampled:
			c.Check(r.t.Context(), s)
			return c
		default:
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const all = 1000 // offsets, more than there are
	for name, c := range map[string]struct {
		events, applied, without int
		through                  freshet.Offset
		o                        Options
		want                     Stats
		unchecked                cause
		says                     string
	}{
		"a right row":                       {events: 5, applied: 5, want: Stats{Checked: 1}},
		"a row that is behind the log":      {events: 5, applied: 3, want: Stats{Checked: 1}},
		"an entity without events":          {events: 0, through: all, want: Stats{Checked: 1}},
		"a row without one of its events":   {events: 5, applied: 5, without: 2, want: Stats{Checked: 1, Mismatched: 2}, says: "view=near key=u1 at=2025-03-03T12:00:04.000Z feature=n"},
		"a row that missed the last events": {events: 5, applied: 3, through: all, want: Stats{Checked: 1, Mismatched: 1}, says: "key=u1"},
		"a row that is lost":                {events: 5, through: all, want: Stats{Checked: 1, Mismatched: 1}, says: "key=u1"},
		"a long history":                    {events: 5, applied: 5, o: Options{MaxEvents: 4}, unchecked: longPast},
		"long events":                       {events: 5, applied: 5, o: Options{MaxBytes: 100}, unchecked: longPast},
		"a long log":                        {events: 5, applied: 5, o: Options{MaxRecords: 3}, unchecked: longLog},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.events)
			r.apply(c.applied, c.without, c.through)
			checker := r.check(c.o)
			if got := checker.Stats(); got != c.want {
				t.Errorf("counted %+v, want %+v", got, c.want)
			}
			checker.Unchecked(func(name string, n float64) {
				if (name == causes[c.unchecked]) != (n == 1) {
					t.Errorf("unchecked for %s: %v", name, n)
				}
			})
			if c.says == "" && r.logged.Len() > 0 || !strings.Contains(r.logged.String(), c.says) {
				t.Errorf("logged %s, want %q", &r.logged, c.says)
			}
		})
	}
}
