package cli

import (
	"context"
	"time"
)

// benchCores is what a run used.
type benchCores struct {
	cpu                       float64 // seconds of the server
	server, generator, others float64 // cores busy
}

// using runs load and tells what it used.
func (b *bench) using(ctx context.Context, load func() error) (benchCores, error) {
	before, err := scrape(ctx, b.target.url)
	if err != nil {
		return benchCores{}, b.unreachable(err)
	}
	begin, own := time.Now(), ownCPU()
	machine, known := machineCPU()
	if err := load(); err != nil {
		return benchCores{}, b.unreachable(err)
	}
	passed := time.Since(begin).Seconds()
	own = ownCPU() - own
	machineNow, _ := machineCPU()
	after, err := scrape(ctx, b.target.url)
	if err != nil {
		return benchCores{}, b.unreachable(err)
	}
	c := benchCores{cpu: usageOf(after).cpu - usageOf(before).cpu}
	c.server, c.generator = perSecond(c.cpu, passed), perSecond(own.Seconds(), passed)
	if known && b.target.child != nil {
		c.others = max(0, perSecond(machineNow-machine, passed)-c.server-c.generator)
	}
	return c, nil
}
