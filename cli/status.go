package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
)

// statusCommand shows the page of truth of a server.
type statusCommand struct {
	remote
}

// Help is the long text of `freshet status --help`.
func (statusCommand) Help() string {
	return `Says whether the server is ready, what waits in it, and for each feature view how many rows it keeps and how many bytes a row has.
Rows are counted by the background sweep, a minute or more between two counts; --json gives all that GET /v1/status says.

Example:

  freshet status --server http://127.0.0.1:8787`
}

// serverStatus is what is shown of GET /v1/status.
type serverStatus struct {
	Project   string            `json:"project"`
	Version   string            `json:"version"`
	Roles     []string          `json:"roles"`
	StartedAt freshet.Timestamp `json:"started_at"`
	Now       freshet.Timestamp `json:"now"`
	Ready     bool              `json:"ready"`
	Reasons   []string          `json:"reasons"`
	Release   struct {
		Serving   freshet.ReleaseID `json:"serving"`
		Requested freshet.ReleaseID `json:"requested"`
		State     string            `json:"state"`
		Reason    string            `json:"reason"`
	} `json:"release"`
	Backlog struct {
		Events      uint64  `json:"events"`
		JobsQueued  int     `json:"jobs_queued"`
		JobsLeased  int     `json:"jobs_leased"`
		DeadLetters int     `json:"dead_letters"`
		OldestAge   float64 `json:"oldest_job_age_seconds"`
		Refusing    string  `json:"refusing"`
	} `json:"backlog"`
	Views []struct {
		View        freshet.ViewName   `json:"view"`
		Entity      freshet.EntityKind `json:"entity"`
		Rows        int64              `json:"rows"`
		BytesPerRow float64            `json:"bytes_per_row"`
		CountedAt   *freshet.Timestamp `json:"counted_at"`
	} `json:"views"`
	LastErrors []struct {
		At        freshet.Timestamp `json:"at"`
		Route     string            `json:"route"`
		RequestID string            `json:"request_id"`
	} `json:"last_errors"`
}

// Run prints the status, aligned.
func (c *statusCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	raw, err := cl.Status(ctx)
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(raw)
	}
	var s serverStatus
	if err := json.Unmarshal(raw, &s); err != nil {
		return freshet.Errorf(freshet.Internal, "the server's status cannot be read: %w", err)
	}
	if err := sh.printTable(s.lines()); err != nil || len(s.Views) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(sh.out); err != nil {
		return err
	}
	return sh.printTable(s.viewRows())
}

func (s *serverStatus) lines() [][]string {
	state := "ready"
	if !s.Ready {
		state = "not ready: " + strings.Join(s.Reasons, "; ")
	}
	b := &s.Backlog
	lines := [][]string{
		{s.Project, state},
		{"release", s.releaseText()},
		{"server", fmt.Sprintf("%s, %s, up %s", s.Version, strings.Join(s.Roles, " "), s.Now.Sub(s.StartedAt).Round(time.Second))},
		{"waiting", fmt.Sprintf("%d events, %d jobs and %d in work, the oldest for %s", b.Events, b.JobsQueued, b.JobsLeased,
			time.Duration(b.OldestAge*float64(time.Second)).Round(time.Millisecond))},
	}
	if b.Refusing != "" {
		lines = append(lines, []string{"refusing", b.Refusing})
	}
	if b.DeadLetters > 0 {
		lines = append(lines, []string{"failed", fmt.Sprintf("%d dead letters; GET /v1/dead-letters says why", b.DeadLetters)})
	}
	for _, e := range s.LastErrors {
		lines = append(lines, []string{"error", fmt.Sprintf("%s in %s, request %s", e.At, e.Route, e.RequestID)})
	}
	return lines
}

// releaseText is what serves, and what was asked for if that is another release.
func (s *serverStatus) releaseText() string {
	r := &s.Release
	if r.Requested == r.Serving {
		return string(r.Serving)
	}
	text := fmt.Sprintf("%s serves; %s was requested and is %s", r.Serving, r.Requested, r.State)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

func (s *serverStatus) viewRows() [][]string {
	rows := [][]string{{"VIEW", "OF", "ROWS", "BYTES A ROW", "COUNTED"}}
	for _, v := range s.Views {
		counted := "not yet"
		if v.CountedAt != nil {
			counted = s.Now.Sub(*v.CountedAt).Round(time.Second).String() + " ago"
		}
		rows = append(rows, []string{string(v.View), string(v.Entity), fmt.Sprint(v.Rows), fmt.Sprintf("%.0f", v.BytesPerRow), counted})
	}
	return rows
}
