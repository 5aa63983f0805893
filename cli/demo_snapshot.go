package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// demoSnapshot is everything that a screen shows. It is also what --json prints.
type demoSnapshot struct {
	Uptime               float64           `json:"uptime_seconds"`
	URL                  string            `json:"url"`
	Accepted             int               `json:"accepted"`
	EventsPerSecond      float64           `json:"events_per_second"`
	Predictions          int               `json:"predictions"`
	PredictionsPerSecond float64           `json:"predictions_per_second"`
	P50                  float64           `json:"event_to_prediction_p50_ms"`
	P99                  float64           `json:"event_to_prediction_p99_ms"`
	Samples              int               `json:"samples"`
	WatermarkBehind      float64           `json:"watermark_behind_seconds,omitempty"`
	BacklogEvents        int               `json:"backlog_events"`
	BacklogJobs          int               `json:"backlog_jobs"`
	Release              freshet.ReleaseID `json:"release,omitempty"`
	Model                string            `json:"model,omitempty"`
	Users                []demoUserShown   `json:"users"`
	Trouble              string            `json:"trouble,omitempty"`
}

// demoUserShown is one user: what it did last, and what is recommended to it since.
type demoUserShown struct {
	User        string     `json:"user_id"`
	Did         string     `json:"did"`
	Ago         float64    `json:"ago_seconds"`
	Items       []demoItem `json:"items"`
	Predictions int        `json:"predictions"` // in this session
	Changes     int        `json:"changes"`     // predictions whose items were not those of the one before
}

// demoItem is a recommended title.
type demoItem struct {
	ID    freshet.Key `json:"id"`
	Title string      `json:"title"`
	Score float64     `json:"score"`
	// Mark says how its place differs from the prediction before: "+" was not shown, "↑" was lower, "↓" was higher, ""
	// is where it was.
	Mark string `json:"mark,omitempty"`
}

// predicted takes the first items of p; before is the order of the prediction before.
func (u *demoUserShown) predicted(p client.Prediction, before []freshet.Key, t *demoTraffic) {
	first := u.Predictions == 0
	u.Predictions++
	u.Items = u.Items[:0]
	changed := false
	for place, item := range p.Items[:min(len(p.Items), demoTop)] {
		shown := demoItem{ID: item.ID, Title: t.title(item.ID), Score: item.Score}
		if !first {
			shown.Mark = markOf(place, slices.Index(before, item.ID))
			changed = changed || shown.Mark != ""
		}
		u.Items = append(u.Items, shown)
	}
	if changed {
		u.Changes++
	}
}

// markOf compares a place with the one before; −1 is none, and a place that was not shown counts as none.
func markOf(place, before int) string {
	switch {
	case before == place:
		return ""
	case before < 0 || before >= demoTop:
		return "+"
	case before > place:
		return "↑"
	}
	return "↓"
}

// String is "+Calm Anchor 0.83".
func (i demoItem) String() string { return fmt.Sprintf("%s%s %.2f", i.Mark, i.Title, i.Score) }

// plain is the snapshot as a few lines for a log.
func (s demoSnapshot) plain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  events %.0f/s  predictions %.0f/s  event to prediction p50 %.1f ms p99 %.1f ms  backlog %d events %d jobs",
		clock(s.Uptime), s.EventsPerSecond, s.PredictionsPerSecond, s.P50, s.P99, s.BacklogEvents, s.BacklogJobs)
	if s.Release != "" {
		fmt.Fprintf(&b, "  release %s %s", s.Release, s.Model)
	}
	b.WriteString("\n")
	for _, u := range s.Users {
		if len(u.Items) == 0 {
			continue
		}
		items := make([]string, len(u.Items))
		for i, item := range u.Items {
			items[i] = item.String()
		}
		fmt.Fprintf(&b, "      %s  %s  ->  %s\n", u.User, u.Did, strings.Join(items, ", "))
	}
	if s.Trouble != "" {
		fmt.Fprintf(&b, "      trouble: %s\n", s.Trouble)
	}
	return b.String()
}

// clock is 0:42 or 1:02:07.
func clock(seconds float64) string {
	s := int(seconds)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// behind is a distance in words a person reads at a glance: "12 h 0 min", "35 s".
func behind(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// demoHints are the addresses to open while the demo runs.
func demoHints(url, user string) string {
	return fmt.Sprintf("  %s/v1/status   %s/metrics\n  curl -s %s/v1/users/%s/predictions/%s\n", url, url, url, user, demoPipeline)
}
