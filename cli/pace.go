package cli

import (
	"time"

	"github.com/freshet-ml/freshet"
)

// paceTick is how finely sending is paced: all events due within it go out in one request.
const paceTick = 100 * time.Millisecond

// pace says when an event may go out.
type pace struct {
	rate  float64 // events a second; 0: no bound
	speed float64 // of replay by event time; 0: no replay
	start time.Time

	passed int
	first  freshet.Timestamp // event time that start stands for; 0 until known
}

// wait is how long event e, the next one, has to wait at moment now.
func (p *pace) wait(e event, now time.Time) time.Duration {
	var due time.Duration // since start
	if p.rate > 0 {
		due = time.Duration(float64(p.passed) / p.rate * float64(time.Second))
	}
	if p.speed > 0 && e.at != 0 {
		if p.first == 0 {
			p.first = e.at
		}
		due = max(due, time.Duration(float64(e.at.Sub(p.first))/p.speed))
	}
	p.passed++
	due = due.Truncate(paceTick)
	return max(0, p.start.Add(due).Sub(now))
}
