package telemetry_test

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/internal/telemetry"
)

func TestMetricsAreNamedAndCounted(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	telemetry.Counter(r, "x_clamped_total", "Clamped.").Add(2)
	codes := telemetry.Counters(r, "x_rejected_total", "Rejected.", "code", "invalid_argument", "too_large")
	codes.Of("too_large").Inc()
	codes.Of("made up").Inc()
	r.MustRegister(
		telemetry.Func("x_queued", "Queued.", func() float64 { return 7 }),
		telemetry.Func("x_calls_total", "Calls.", func() float64 { return 9 }),
		telemetry.FuncBy("x_lag", "Lag.", "partition", func(emit func(string, float64)) { emit("0", 1); emit("1", 2) }),
		telemetry.Funcs(func() int { return 3 },
			telemetry.Metric[int]{Name: "x_a", Help: "A.", Value: func(s int) float64 { return float64(s) }},
			telemetry.Metric[int]{Name: "x_b_total", Help: "B.", Value: func(s int) float64 { return float64(2 * s) }}),
	)
	const want = `
# HELP x_a A.
# TYPE x_a gauge
x_a 3
# HELP x_b_total B.
# TYPE x_b_total counter
x_b_total 6
# HELP x_calls_total Calls.
# TYPE x_calls_total counter
x_calls_total 9
# HELP x_clamped_total Clamped.
# TYPE x_clamped_total counter
x_clamped_total 2
# HELP x_lag Lag.
# TYPE x_lag gauge
x_lag{partition="0"} 1
x_lag{partition="1"} 2
# HELP x_queued Queued.
# TYPE x_queued gauge
x_queued 7
# HELP x_rejected_total Rejected.
# TYPE x_rejected_total counter
x_rejected_total{code="invalid_argument"} 0
x_rejected_total{code="other"} 1
x_rejected_total{code="too_large"} 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestRoutesCountByStatus(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	route := telemetry.NewRoutes(r, "x_http").Route("GET /v1/x")
	for _, status := range []int{200, 200, 404, 7} {
		route.Observe(status, .001)
	}
	const want = `
# HELP x_http_requests_total Requests answered, by route and status.
# TYPE x_http_requests_total counter
x_http_requests_total{route="GET /v1/x",status="200"} 2
x_http_requests_total{route="GET /v1/x",status="404"} 1
x_http_requests_total{route="GET /v1/x",status="other"} 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "x_http_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	route := telemetry.NewRoutes(prometheus.NewRegistry(), "x_http").Route("GET /v1/x")
	if allocs := alloctest.PerRun(100, func() { route.Observe(200, .001) }); allocs != 0 {
		t.Errorf("Observe allocates %v times, expected none", allocs)
	}
}

func TestHandlerAnswersAScrape(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	telemetry.Handler(telemetry.NewRegistry(), slog.New(slog.DiscardHandler)).
		ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || !strings.Contains(string(body), "go_goroutines") || !strings.Contains(string(body), "go_gc_heap_live_bytes ") {
		t.Errorf("expected go_goroutines and go_gc_heap_live_bytes in the scrape, got %v and %.200s", err, body)
	}
}
