package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
	"github.com/freshet-ml/freshet/internal/project"
)

// backfillCheck reads the changed view of a sample of the users while events come in, and compares what was answered with what the
// events that were sent say by brute force: feature.View.Compute, which knows no rows.
type backfillCheck struct {
	b      *bench
	past   func(i int) freshet.Timestamp // the time of event i of the first events
	events int                           // how many of these there are
	users  []int                         // the sample, in the order in which they are read
	chosen map[int]int                   // their places in users
	first  time.Time                     // when the new release answered first

	switched, done chan struct{}

	mu       sync.Mutex
	live     map[int][]*backfillEvent // of the sample's users, as they were sent
	position []string                 // up to which their events are acknowledged
	projects map[freshet.ReleaseID]*project.Project
	reads    []backfillRead
}

// backfillEvent is an event of the live load.
type backfillEvent struct {
	n           int // of bench.events
	at          freshet.Timestamp
	sent, acked time.Time // acked: zero until then
	offset      freshet.Offset
}

// backfillRead is what a read was answered.
type backfillRead struct {
	user       int
	begin, end time.Time
	At         freshet.Timestamp                       `json:"at"`
	Release    freshet.ReleaseID                       `json:"release"`
	Features   map[freshet.FeatureName]json.RawMessage `json:"features"`
	Stale      bool                                    `json:"stale"`
}

func newBackfillCheck(b *bench, users int) (*backfillCheck, error) {
	c := &backfillCheck{
		b: b, chosen: map[int]int{}, live: map[int][]*backfillEvent{}, position: make([]string, users),
		projects: map[freshet.ReleaseID]*project.Project{}, switched: make(chan struct{}), done: make(chan struct{}),
	}
	for i := 0; len(c.users) < users; i++ { // the users of the first events: those who have some
		if i == benchapp.Pool {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, "reads", "--reads %d: there are only %d users with events", users, len(c.users))
		}
		user := b.events.NumberOf(i)
		if _, known := c.chosen[user]; !known {
			c.chosen[user] = len(c.users)
			c.users = append(c.users, user)
		}
	}
	return c, nil
}

// release says what a release serves.
func (c *backfillCheck) release(id freshet.ReleaseID, text []byte) error {
	p, err := project.Parse(project.FileName, text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.projects[id] = p
	return err
}

// watched is a load of events numbered from first whose events of the sample's users are noted.
func (c *backfillCheck) watched(l loadgen.Load, first int) loadgen.Load {
	var under sync.Map // events of the sample that are under way, by number
	l.Request = func(dst []byte, i int) []byte {
		n := first + i
		now := time.Now()
		at := freshet.TimestampOf(now)
		if c.watches(n) {
			e := &backfillEvent{n: n, at: at, sent: now}
			c.mu.Lock()
			user := c.b.events.NumberOf(n)
			c.live[user] = append(c.live[user], e)
			c.mu.Unlock()
			under.Store(n, e)
		}
		dst = loadgen.AppendHead(dst, "POST", c.b.target.addr, "/v1/events", "application/json", "", c.b.events.Size(n))
		return c.b.events.Append(dst, n, at)
	}
	l.Answered = func(i int, _ time.Time, r loadgen.Response) {
		if e, ok := under.LoadAndDelete(first + i); ok && r.Status == 202 {
			c.acked(e.(*backfillEvent), r.Body)
		}
	}
	return l
}

func (c *backfillCheck) watches(n int) bool {
	_, ok := c.chosen[c.b.events.NumberOf(n)]
	return ok
}

func (c *backfillCheck) acked(e *backfillEvent, answer []byte) {
	text := positionOf(answer)
	p, err := freshet.ParsePosition(text)
	if err != nil {
		return // it stays one that may have come in or not
	}
	user := c.b.events.NumberOf(e.n)
	partition := freshet.PartitionOf(benchapp.UserKey(user))
	c.mu.Lock()
	defer c.mu.Unlock()
	e.acked, e.offset = time.Now(), p.Through(partition)
	at := c.chosen[user]
	if before, err := freshet.ParsePosition(c.position[at]); err != nil || before.Through(partition) < e.offset {
		c.position[at] = text
	}
}

// pause between two reads, before the switch and after it.
const (
	pauseBefore = 10 * time.Millisecond
	pauseAfter  = time.Millisecond
)

// read reads the view of one user after the other until the changed release has answered for all of them.
func (c *backfillCheck) read(ctx context.Context, changed freshet.ReleaseID) error {
	conn, err := loadgen.Dial(ctx, c.b.target.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	switched := 0
	for i := 0; switched < len(c.users); i++ {
		got, err := c.ask(conn, i%len(c.users))
		if err != nil {
			return err
		}
		c.reads = append(c.reads, got)
		pause := pauseBefore
		if got.Release == changed {
			if switched++; switched == 1 {
				c.first = got.end
				close(c.switched)
			}
			pause = pauseAfter
		}
		if !waitFor(ctx, pause) {
			return ctx.Err()
		}
	}
	close(c.done)
	return nil
}

func (c *backfillCheck) ask(conn *loadgen.Conn, at int) (backfillRead, error) {
	c.mu.Lock()
	position := c.position[at]
	c.mu.Unlock()
	user := c.users[at]
	target := fmt.Sprintf("/v1/features/%s?user_id=%s", benchapp.ChangedView, benchapp.UserKey(user))
	if position != "" {
		target += fmt.Sprintf("&after=%s&wait=%s", url.QueryEscape(position), benchWait)
	}
	got := backfillRead{user: user, begin: time.Now()}
	r, err := conn.Do(loadgen.AppendHead(nil, "GET", c.b.target.addr, target, "", "", 0), got.begin.Add(2*benchWait))
	if err != nil {
		return got, err
	}
	if r.Status != 200 {
		return got, freshet.Errorf(freshet.Internal, "GET %s: %d %s", target, r.Status, r.Body)
	}
	got.end = time.Now()
	if err := json.Unmarshal(bytes.Clone(r.Body), &got); err != nil {
		return got, err
	}
	if got.Stale {
		return got, freshet.Errorf(freshet.Unavailable, "GET %s: its events were not applied within %s", target, benchWait)
	}
	return got, nil
}

// compare computes what the reads that a release answered should have said.
func (c *backfillCheck) compare(id freshet.ReleaseID, into *benchCompared) error {
	p := c.projects[id]
	view, ok := p.View(benchapp.ChangedView)
	if !ok {
		return freshet.Errorf(freshet.Internal, "the project of %s has no view %s", id, benchapp.ChangedView)
	}
	past, err := c.history(p, view)
	if err != nil {
		return err
	}
	scratch := view.NewScratch()
	for i := range c.reads {
		r := &c.reads[i]
		if r.Release != id {
			continue
		}
		into.Reads++
		into.Values += len(view.Features())
		events, moving, err := c.seen(p, past[r.user], r)
		if err != nil {
			return err
		}
		if moving > 0 {
			into.Moving++
		}
		wrong := ""
		for n := len(events) - moving; n <= len(events); n++ { // what was under way was taken or not, in the order of the log
			if wrong, err = different(view, scratch, events[:n], r); err != nil || wrong == "" {
				break
			}
		}
		if err != nil {
			return err
		}
		if wrong != "" {
			if into.Differ++; into.First == "" {
				into.First = fmt.Sprintf("%s of %s at %s in %s: %s", view.Name(), benchapp.UserKey(r.user), r.At, id, wrong)
			}
		}
	}
	return nil
}

// history decodes the events of the past of the sample's users.
func (c *backfillCheck) history(p *project.Project, view *feature.View) (map[int][]feature.HistoricEvent, error) {
	all := map[int][]feature.HistoricEvent{}
	for i := range c.events {
		if !c.watches(i) {
			continue
		}
		e, err := c.event(p, i, c.past(i))
		if err != nil {
			return nil, err
		}
		if view.Listens(e.Record.Type) {
			user := c.b.events.NumberOf(i)
			all[user] = append(all[user], e)
		}
	}
	return all, nil
}

// event is event i of the bench as the server has decoded it.
func (c *backfillCheck) event(p *project.Project, i int, at freshet.Timestamp) (feature.HistoricEvent, error) {
	r := p.Schema.NewRecord()
	err := p.Schema.Decode(c.b.events.Append(nil, i, at), at, r)
	return feature.HistoricEvent{Record: r, MaxEventTime: at}, err
}

// seen are the events of its user that a read has seen for certain, and after them those that were under way meanwhile.
func (c *backfillCheck) seen(p *project.Project, past []feature.HistoricEvent, r *backfillRead) (events []feature.HistoricEvent, moving int, err error) {
	events = slices.Clone(past)
	var under []*backfillEvent
	for _, e := range c.live[r.user] {
		switch {
		case !e.acked.IsZero() && e.acked.Before(r.begin):
			known, err := c.event(p, e.n, e.at)
			if err != nil {
				return nil, 0, err
			}
			events = append(events, known)
		case e.sent.Before(r.end):
			under = append(under, e)
		}
	}
	slices.SortFunc(under, func(a, b *backfillEvent) int { return cmp.Compare(a.offset, b.offset) })
	for _, e := range under {
		more, err := c.event(p, e.n, e.at)
		if err != nil {
			return nil, 0, err
		}
		events = append(events, more)
	}
	return events, len(under), nil
}

// different names what an answer says and brute force does not; "" if they agree to the last digit.
func different(view *feature.View, s *feature.Scratch, events []feature.HistoricEvent, r *backfillRead) (string, error) {
	values, err := view.Compute(s, events, r.At, false, nil)
	if err != nil {
		return "", err
	}
	for i, f := range view.Features() {
		if want, got := values[i].AppendJSON(nil), r.Features[f.Name]; !bytes.Equal(want, got) {
			return fmt.Sprintf("%s is %s, expected %s", f.Name, got, want), nil
		}
	}
	return "", nil
}
