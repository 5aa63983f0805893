package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// request is one batch that reached the fake door, and when.
type request struct {
	after  time.Duration
	events int
}

// door is a server in memory. answer says how it answers the nth request, from 0; nil accepts all.
type door struct {
	start    time.Time
	requests []request
	answer   func(n int, events int) (client.EventsResult, error)
}

func (d *door) SendEvents(ctx context.Context, format client.Format, body []byte) (client.EventsResult, error) {
	n := strings.Count(string(body), "\n")
	d.requests = append(d.requests, request{time.Since(d.start), n})
	if d.answer == nil {
		return client.EventsResult{Accepted: n}, nil
	}
	return d.answer(len(d.requests)-1, n)
}

// list is a source in memory.
type list []event

func (l *list) next() (event, error) {
	if len(*l) == 0 {
		return event{}, io.EOF
	}
	e := (*l)[0]
	*l = (*l)[1:]
	return e, nil
}

// evenly makes n events, step apart in event time.
func evenly(n int, step time.Duration) *list {
	var l list
	for i := range n {
		at := freshet.Timestamp(1_700_000_000_000).Add(time.Duration(i) * step)
		l = append(l, event{line: i + 1, raw: fmt.Appendf(nil, `{"event_id":"e%d"}`, i), at: at})
	}
	return &l
}

func newSending(d *door) *sending {
	d.start = time.Now()
	return &sending{to: d, meter: newMeter(io.Discard, &input{}), limit: 500, retry: time.Minute, ids: newIDs()}
}

func TestSendKeepsTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &door{}
		s := newSending(d)
		s.pace.rate = 50
		if err := s.run(t.Context(), evenly(101, 0)); err != nil {
			t.Fatal(err)
		}
		// 5 events in each tenth of a second, the 101st after two seconds.
		if took := time.Since(d.start); took != 2*time.Second || len(d.requests) != 21 || s.sum.Accepted != 101 {
			t.Errorf("took %s in %d requests: %v", took, len(d.requests), d.requests)
		}
	})
}

func TestSendReplaysByEventTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &door{}
		s := newSending(d)
		s.pace.speed = 10
		events := evenly(4, 20*time.Second)
		(*events)[2].at = 0 // has no event time: goes with the one before
		if err := s.run(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		want := []request{{0, 1}, {2 * time.Second, 2}, {6 * time.Second, 1}}
		if fmt.Sprint(d.requests) != fmt.Sprint(want) {
			t.Errorf("requests %v, want %v", d.requests, want)
		}
	})
}

func TestSendBatches(t *testing.T) {
	t.Parallel()
	d := &door{}
	s := newSending(d)
	if err := s.run(t.Context(), evenly(1200, 0)); err != nil {
		t.Fatal(err)
	}
	if len(d.requests) != 3 || d.requests[0].events != 500 || d.requests[2].events != 200 || s.sum.Through != 1200 {
		t.Errorf("requests %v, through %d", d.requests, s.sum.Through)
	}

	big := list{}
	for range 10 {
		big = append(big, event{raw: make([]byte, maxLine)})
	}
	d = &door{}
	if err := newSending(d).run(t.Context(), &big); err != nil {
		t.Fatal(err)
	}
	for _, r := range d.requests {
		if r.events*maxLine > maxBatchBytes {
			t.Errorf("a request of %d MB", r.events)
		}
	}
}

func TestSendRetriesWithGrowingPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &door{answer: func(n, events int) (client.EventsResult, error) {
			switch n {
			case 0, 1, 2:
				return client.EventsResult{}, freshet.Errorf(freshet.Unavailable, "away")
			case 3:
				p := &client.Problem{Code: freshet.ResourceExhausted, Detail: "behind", After: 7 * time.Second}
				return client.EventsResult{}, freshet.Errorf(p.Code, "%w", p)
			}
			return client.EventsResult{Accepted: events}, nil
		}}
		s := newSending(d)
		if err := s.run(t.Context(), evenly(3, 0)); err != nil {
			t.Fatal(err)
		}
		if s.sum.Accepted != 3 || s.sum.Retries != 4 || len(d.requests) != 5 {
			t.Errorf("summary %+v", s.sum)
		}
		for i, bound := range []time.Duration{100, 200, 400} {
			pause := d.requests[i+1].after - d.requests[i].after
			if pause < bound*time.Millisecond/2 || pause > bound*time.Millisecond {
				t.Errorf("pause %d is %s, expected %d to %d ms", i, pause, bound/2, bound)
			}
		}
		if pause := d.requests[4].after - d.requests[3].after; pause != 7*time.Second {
			t.Errorf("the server asked for 7 s, got %s", pause)
		}
	})
}

func TestSendGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &door{answer: func(int, int) (client.EventsResult, error) {
			return client.EventsResult{}, freshet.Errorf(freshet.Unavailable, "away")
		}}
		s := newSending(d)
		s.retry = 10 * time.Second
		err := s.run(t.Context(), evenly(1, 0))
		if freshet.CodeOf(err) != freshet.Unavailable || time.Since(d.start) > 16*time.Second || len(d.requests) < 4 {
			t.Errorf("%v after %s and %d requests", err, time.Since(d.start), len(d.requests))
		}
		// A mistake is not repeated.
		d = &door{answer: func(int, int) (client.EventsResult, error) {
			return client.EventsResult{}, freshet.Errorf(freshet.Unauthenticated, "no key")
		}}
		if err := newSending(d).run(t.Context(), evenly(1, 0)); freshet.CodeOf(err) != freshet.Unauthenticated || len(d.requests) != 1 {
			t.Errorf("%v after %d requests", err, len(d.requests))
		}
	})
}

func TestSendSplitsWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	d := &door{answer: func(_, events int) (client.EventsResult, error) {
		if events > 1 {
			return client.EventsResult{}, freshet.Errorf(freshet.TooLarge, "over the limit")
		}
		return client.EventsResult{Accepted: 1}, nil
	}}
	s := newSending(d)
	if err := s.run(t.Context(), evenly(5, 0)); err != nil || s.sum.Accepted != 5 {
		t.Errorf("%v, %+v", err, s.sum)
	}
	d.answer = func(_, events int) (client.EventsResult, error) {
		return client.EventsResult{}, freshet.Errorf(freshet.TooLarge, "over the limit")
	}
	s = newSending(d)
	if err := s.run(t.Context(), evenly(2, 0)); err != nil || s.sum.Rejected != 2 || s.sum.Reasons[1].Line != 2 {
		t.Errorf("%v, %+v", err, s.sum)
	}
}

func TestSendCoversAllPositions(t *testing.T) {
	t.Parallel()
	d := &door{answer: func(n, events int) (client.EventsResult, error) {
		var p freshet.Position
		p.Cover(freshet.Place{Partition: freshet.Partition(n), Offset: 7})
		return client.EventsResult{Accepted: events, Position: p.String()}, nil
	}}
	s := newSending(d)
	s.limit = 1
	if err := s.run(t.Context(), evenly(3, 0)); err != nil {
		t.Fatal(err)
	}
	p, err := freshet.ParsePosition(s.sum.Position)
	if err != nil || p.Through(0) != 7 || p.Through(2) != 7 || p.Through(3) != 0 {
		t.Errorf("position %q: %v", s.sum.Position, err)
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		in := &input{size: 200}
		m := newMeter(&out, in)
		m.show(summary{})
		if out.Len() != 0 {
			t.Errorf("too soon: %q", out.String())
		}
		time.Sleep(5 * time.Second)
		in.read.n = 100
		m.show(summary{Accepted: 12_500, Rejected: 3, Retries: 1})
		m.show(summary{Accepted: 12_600})
		m.close()
		const want = "[############------------]  50 %  12,503 events, 2,500/s, rejected 3, sent again 1\n"
		if out.String() != want {
			t.Errorf("got  %q\nwant %q", out.String(), want)
		}
	})
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678", -1234: "-1,234", -123: "-123"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestBytesFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bytesFlag{"0": 0, "17": 17, "8MB": 8 << 20, "1gb": 1 << 30, "3 KB": 3 << 10} {
		var b bytesFlag
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5MB", "9223372036854775807KB", "8MiB"} {
		var b bytesFlag
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %d", text, b)
		}
	}
}
