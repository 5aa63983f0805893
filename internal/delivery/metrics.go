package delivery

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/telemetry"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// Metrics count the way of messages: decided, suppressed by reason, sent, accepted, opened.
type Metrics struct {
	reg                                                                      prometheus.Registerer
	decided, suppressed, failed, held, attempts, accepted, dropped, outcomes *prometheus.CounterVec
}

// NewMetrics registers the metrics of a Deliverer with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	m := &Metrics{
		reg:        reg,
		decided:    counter("freshet_push_decided_total", "Messages made of predictions.", "pipeline"),
		suppressed: counter("freshet_push_suppressed_total", "Messages that policy refused, by the rule.", "pipeline", "reason"),
		failed:     counter("freshet_push_failed_total", "Messages that no provider would take.", "pipeline"),
		held:       counter("freshet_push_held_total", "Times that messages were put off.", "reason"),
		attempts:   counter("freshet_push_attempts_total", "Calls of providers, by how they ended.", "channel", "outcome"),
		accepted:   counter("freshet_push_accepted_total", "Messages that a provider, or the user's stream, has taken.", "channel"),
		dropped:    counter("freshet_push_devices_dropped_total", "Devices forgotten because their provider does not know them any more.", "channel"),
		outcomes:   counter("freshet_push_outcomes_total", "What people did with messages.", "pipeline", "outcome"),
	}
	return m
}

// watch shows what waits.
func (m *Metrics) watch(d *Deliverer) {
	m.reg.MustRegister(
		telemetry.Func("freshet_push_waiting", "Messages that have not ended.", func() float64 { return float64(d.Outbox.Waiting()) }),
		telemetry.FuncBy("freshet_push_line", "Messages in memory that wait for a provider.", "channel", d.each(func(l *lane) float64 { return float64(len(l.line)) })),
		telemetry.FuncBy("freshet_push_calls", "Calls of a provider under way.", "channel", d.each(func(l *lane) float64 { return float64(l.calls.Load()) })),
		telemetry.FuncBy("freshet_push_down", "How many senders of a channel do not call their provider because it failed.", "channel", d.each(func(l *lane) float64 { return truth(l.breaker.State() == gobreaker.StateOpen) })),
		telemetry.FuncBy("freshet_push_credentials_refused", "How many senders of a channel have credentials that are missing or that their provider does not take. Somebody must mend them.", "channel",
			d.each(func(l *lane) float64 { return truth(l.refused.Load() > int64(d.now())) })),
		telemetry.Funcs(d.Hub.Stats,
			telemetry.Metric[presence.Stats]{Name: "freshet_user_streams_open", Help: "Streams of users that are open.", Value: func(x presence.Stats) float64 { return float64(x.Open) }},
			telemetry.Metric[presence.Stats]{Name: "freshet_user_streams_slow_total", Help: "Streams ended because their reader was too slow.", Value: func(x presence.Stats) float64 { return float64(x.Slow) }},
			telemetry.Metric[presence.Stats]{Name: "freshet_user_streams_refused_total", Help: "Streams refused because too many were open.", Value: func(x presence.Stats) float64 { return float64(x.Refused) }},
		),
	)
}

func (d *Deliverer) each(value func(*lane) float64) func(emit func(string, float64)) {
	return func(emit func(string, float64)) {
		of := map[push.Channel]float64{} // several releases may be open with a sender each
		d.mu.Lock()
		for s, l := range d.lanes {
			of[s.Channel()] += value(l)
		}
		d.mu.Unlock()
		for c, v := range of {
			emit(string(c), v)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *Metrics) ended(x *outbox.Message) {
	switch x.State {
	case outbox.Suppressed:
		m.suppressed.WithLabelValues(string(x.Pipeline), x.Reason).Inc()
	case outbox.Failed:
		m.failed.WithLabelValues(string(x.Pipeline)).Inc()
	}
}
