package server

import (
	"context"
	"fmt"
	"time"
)

// part is a component that is running: Run in a goroutine of its own.
type part struct {
	name   string
	run    func(context.Context) error
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

// start runs p until stop. If it ends by itself, why goes to failed.
func (p *part) start(ctx context.Context, failed chan<- error) {
	ctx, p.cancel = context.WithCancel(ctx)
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		p.err = p.run(ctx)
		if ctx.Err() == nil {
			if p.err == nil {
				p.err = fmt.Errorf("%s ended by itself", p.name)
			}
			failed <- p.err
			p.err = nil // told once
		}
	}()
}

// stop asks p to end and waits for it, timeout at most.
func (p *part) stop(timeout time.Duration) error {
	p.cancel()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(timeout):
		return fmt.Errorf("%s did not stop within %s", p.name, timeout)
	}
}
