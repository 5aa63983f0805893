package cli

import (
	"context"
	"time"

	"github.com/freshet-ml/freshet"
)

// benchServed is what a run cost the server, by its own metrics.
type benchServed struct {
	CPUCores          float64 `json:"server_cpu_cores"`             // busy while the load ran
	CPUMicros         float64 `json:"server_cpu_us_an_event"`       // while the load ran
	CPUMicrosAll      float64 `json:"server_cpu_us_an_event_total"` // until all features and predictions were made as well
	GeneratorCores    float64 `json:"generator_cpu_cores"`          // of the load generator, on the same machine
	OtherCores        float64 `json:"other_cpu_cores"`              // of everything else on the machine: a busy neighbour spoils the run
	CommitsPerSecond  float64 `json:"group_commits_per_second"`     // fsyncs of the log
	EventsPerCommit   float64 `json:"events_a_group_commit"`
	BacklogEvents     int     `json:"backlog_events"` // when the load ended
	BacklogJobs       int     `json:"backlog_jobs"`
	Predictions       int     `json:"predictions"` // made of this run's events
	Drained           bool    `json:"drained"`     // within the time allowed
	DrainSeconds      float64 `json:"drain_seconds"`
	MemoryBytes       float64 `json:"server_memory_bytes"` // resident, after the drain
	PredictionsPerSec float64 `json:"predictions_per_second"`
}

// serving runs load, which returns how many events were acknowledged, and waits until the server has done all that they
// asked for. An event that was acknowledged and not counted by the server is an error: the benchmark is then worth nothing.
func (b *bench) serving(ctx context.Context, load func() (events int, err error)) (benchServed, error) {
	before, err := scrape(ctx, b.target.url)
	if err != nil {
		return benchServed{}, b.unreachable(err)
	}
	begin, own := time.Now(), ownCPU()
	machine, known := machineCPU()
	events, err := load()
	if err != nil {
		return benchServed{}, b.unreachable(err)
	}
	passed := time.Since(begin).Seconds()
	own = ownCPU() - own
	machineNow, _ := machineCPU()
	after, err := scrape(ctx, b.target.url)
	if err != nil {
		return benchServed{}, b.unreachable(err)
	}
	took, ok, err := b.drained(ctx)
	if err != nil {
		return benchServed{}, err
	}
	end, err := scrape(ctx, b.target.url)
	if err != nil {
		return benchServed{}, b.unreachable(err)
	}
	counted := func(m scraped) int {
		return int(m["freshet_events_accepted_total"] + m["freshet_events_duplicate_total"])
	}
	if n := counted(after) - counted(before); n < events {
		return benchServed{}, freshet.Errorf(freshet.Internal, "the server answered 2xx for %d events and counts %d", events, n)
	}
	cpu := usageOf(after).cpu - usageOf(before).cpu
	commits := after["freshet_log_groups_total"] - before["freshet_log_groups_total"]
	s := benchServed{
		CPUCores: perSecond(cpu, passed), CPUMicros: ratio(cpu*1e6, float64(events)),
		CPUMicrosAll:   ratio((usageOf(end).cpu-usageOf(before).cpu)*1e6, float64(events)),
		GeneratorCores: perSecond(own.Seconds(), passed), CommitsPerSecond: perSecond(commits, passed),
		EventsPerCommit: ratio(float64(events), commits),
		Predictions:     int(end.predictions() - before.predictions()),
		Drained:         ok, DrainSeconds: took.Seconds(), MemoryBytes: usageOf(end).rss,
		PredictionsPerSec: perSecond(end.predictions()-before.predictions(), passed+took.Seconds()),
	}
	if known && b.target.child != nil {
		s.OtherCores = max(0, perSecond(machineNow-machine, passed)-s.CPUCores-s.GeneratorCores)
	}
	s.BacklogEvents, s.BacklogJobs = after.backlog()
	return s, nil
}

// unreachable is the error for a server that does not answer, with what it said last if it is ours.
func (b *bench) unreachable(err error) error {
	if c := b.target.child; c != nil {
		if said := c.errors.String(); said != "" {
			return freshet.Errorf(freshet.Unavailable, "the server under test: %w; it said: %s", err, said)
		}
	}
	return freshet.Errorf(freshet.Unavailable, "the server under test at %s: %w", b.target.url, err)
}
