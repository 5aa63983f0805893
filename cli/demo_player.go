package cli

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

const (
	demoPipeline  freshet.PipelineName = "today"
	demoSpeed                          = 30 // times as fast as it happened, at least
	demoMaxUsers                       = 1500
	demoSpare                          = 1.2 // times as many users as the rate needs on average: turns bound it
	demoMeasured                       = 20  // events a second whose prediction is waited for, beside those of shown users
	demoWait                           = 5 * time.Second
	demoFirstUser                      = "u0001"
)

// demoPlayer replays the sessions of many users at once, as if they happened now.
type demoPlayer struct {
	to      *client.Client
	board   *demoBoard
	traffic *demoTraffic
	rate    float64 // events a second, of all users together
	speed   float64 // of the replay; 0: as the rate asks for

	mu   sync.Mutex
	next time.Time // when the next event may go out
}

// run plays until ctx ends. As many users are active at once as make the rate at the speed of the replay; a higher rate
// than all users can make is reached by a higher speed.
func (p *demoPlayer) run(ctx context.Context) {
	gap := p.traffic.gap.Seconds()
	speed := p.speed
	if speed == 0 {
		speed = demoSpeed
	}
	seats := int(p.rate*gap/speed*demoSpare + 0.5)
	seats = min(max(seats, demoShown), demoMaxUsers, len(p.traffic.users))
	speed = p.rate * gap / float64(seats) * demoSpare
	var all sync.WaitGroup
	for seat := range seats {
		all.Go(func() { p.seat(ctx, seat, seats, speed) })
	}
	all.Wait()
}

// turn is how long an event that is due now has to wait, so that all together do not exceed the rate.
func (p *demoPlayer) turn(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = maxTime(p.next, now)
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(time.Second) / p.rate))
	return wait
}

// seat plays a session of one user, then one of another, and so on. Each seat has users of its own: nobody is in two
// sessions at once.
func (p *demoPlayer) seat(ctx context.Context, seat, seats int, speed float64) {
	r := rand.New(rand.NewPCG(2, uint64(seat)))
	gap := time.Duration(float64(p.traffic.gap) / speed)
	// Not everybody begins at once; the first seats do, so that there is something to see.
	pause := time.Duration(float64(gap) * float64(seat) / float64(seats))
	for n := seat; ; n += seats {
		if n >= len(p.traffic.users) {
			n = seat
		}
		u := p.traffic.users[n]
		session := u.sessions[r.IntN(len(u.sessions))]
		if !waitFor(ctx, pause) {
			return
		}
		if !p.session(ctx, r, session, speed) {
			return
		}
		pause = gap
	}
}

// session plays one session. It returns false when ctx has ended.
func (p *demoPlayer) session(ctx context.Context, r *rand.Rand, s demoSession, speed float64) bool {
	user := s[0].User
	shown := s.lively() && p.board.enter(user)
	if shown {
		defer p.board.leave(user)
	}
	due := time.Now()
	for i, e := range s {
		due = due.Add(time.Duration(float64(s.gap(i)) / speed))
		if !waitFor(ctx, time.Until(due)) || !waitFor(ctx, p.turn(time.Now())) {
			return false
		}
		watch := shown || r.Float64()*p.rate < demoMeasured
		if err := p.send(ctx, e, shown, watch); err != nil && ctx.Err() == nil {
			p.board.trouble(err.Error())
			if !waitFor(ctx, time.Second) { // the server is behind or gone: do not press it
				return false
			}
		}
		due = maxTime(due, time.Now().Add(-time.Second)) // late: go on from here, no burst
	}
	return ctx.Err() == nil
}

// send sends one event as happening now and, if watch is set, waits for the prediction that it causes.
func (p *demoPlayer) send(ctx context.Context, e demoEvent, shown, watch bool) error {
	begin := time.Now()
	e.ID = freshet.EventID(crand.Text()) // fresh: these events never happened before
	e.Time = freshet.TimestampOf(begin)
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if shown {
		p.board.did(e.User, p.traffic.tell(e), begin)
	}
	answer, err := p.to.SendEvents(ctx, client.JSON, body)
	if err != nil {
		return err
	}
	p.board.sent()
	if !watch {
		return nil
	}
	prediction, err := p.to.GetPrediction(ctx, client.User(e.User), demoPipeline,
		&client.PredictionOptions{After: answer.Position, Wait: demoWait})
	if err != nil {
		return err
	}
	p.board.predicted(e.User, prediction, time.Since(begin), p.traffic)
	return nil
}

// waitFor sleeps and reports whether it slept to the end.
func waitFor(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
