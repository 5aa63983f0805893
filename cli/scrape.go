package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
)

// scraped are the metrics of a server by name, summed over their labels; NAME{label="value"} holds each by itself.
type scraped map[string]float64

// scrape reads GET /metrics of the server at base.
func scrape(ctx context.Context, base string) (scraped, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, freshet.Errorf(freshet.Unavailable, "%s/metrics: answered %s", base, res.Status)
	}
	return parseMetrics(io.LimitReader(res.Body, 8<<20))
}

// parseMetrics reads the text form of Prometheus: NAME{labels} VALUE.
func parseMetrics(r io.Reader) (scraped, error) {
	all := make(scraped)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if cut < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(line[cut+1:], 64)
		if err != nil {
			continue // a form that we do not read hinders no other
		}
		series := line[:cut]
		name, _, labelled := strings.Cut(series, "{")
		all[name] += v
		if labelled {
			all[series] = v
		}
	}
	return all, lines.Err()
}

// backlog are the events that wait for their features and the jobs that wait for their prediction.
func (s scraped) backlog() (events, jobs int) {
	return int(s["freshet_receiver_lag_events"]), int(s["freshet_jobs_queued"] + s["freshet_jobs_leased"])
}

// predictions is how many predictions jobs have made.
func (s scraped) predictions() float64 { return s["freshet_job_seconds_count"] }
