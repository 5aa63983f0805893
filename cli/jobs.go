package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// jobsCommand lists jobs of one state, or shows one.
type jobsCommand struct {
	ID string `arg:"" optional:"" help:"A job to show with all its attempts."`

	State string `enum:"queued,leased,done,dead" default:"queued" help:"Which jobs: queued, leased, done or dead (default ${default})."`
	Limit int    `default:"100" placeholder:"N" help:"Most jobs to list (default ${default})."`
	remote
}

// Help is the long text of `freshet jobs --help`.
func (jobsCommand) Help() string {
	return `A job is one prediction to make. Of those that are done the server knows the last 10,000.

Examples:

  freshet jobs --state leased
  freshet jobs today-17-9120`
}

// Run prints the jobs, or the one.
func (c *jobsCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if c.ID != "" {
		return c.one(ctx, cl, sh)
	}
	jobs, err := listJobs(ctx, cl, c.State, c.Limit)
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(map[string]any{"jobs": jobs})
	}
	return printJobs(sh, jobs)
}

// listJobs asks for page after page until there are limit jobs.
func listJobs(ctx context.Context, cl *client.Client, state string, limit int) ([]client.Job, error) {
	if limit < 1 {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "limit", "--limit %d: expected at least 1", limit)
	}
	jobs := []client.Job{}
	for after := ""; ; {
		page, next, err := cl.Jobs(ctx, state, after, min(limit-len(jobs), 1000))
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, page...)
		if after = next; next == "" || len(jobs) >= limit {
			return jobs, nil
		}
	}
}

func printJobs(sh *shell, jobs []client.Job) error {
	if len(jobs) == 0 {
		_, err := fmt.Fprintln(sh.out, "none")
		return err
	}
	rows := [][]string{{"JOB", "FOR", "EVENT", "MADE", "ATTEMPTS", "ERROR"}}
	for _, j := range jobs {
		rows = append(rows, []string{string(j.ID), forWhom(j), string(j.EventID), j.EnqueuedAt.String(), strconv.Itoa(j.Attempts), j.Error})
	}
	return sh.printTable(rows)
}

func forWhom(j client.Job) string { return string(j.Entity.Kind) + " " + string(j.Entity.Key) }

func (c *jobsCommand) one(ctx context.Context, cl *client.Client, sh *shell) error {
	j, err := cl.Job(ctx, freshet.JobID(c.ID))
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(j)
	}
	rows := [][]string{
		{"job", string(j.ID)}, {"state", j.State}, {"pipeline", string(j.Pipeline)}, {"for", forWhom(j)},
		{"event", fmt.Sprintf("%s at %s, offset %d of partition %d", j.EventID, j.EventTime, j.Offset.Offset, j.Offset.Partition)},
	}
	if j.FirstOffset != 0 {
		rows = append(rows, []string{"stands for", fmt.Sprintf("the events from offset %d on", j.FirstOffset)})
	}
	if j.Priority != "" {
		rows = append(rows, []string{"priority", j.Priority})
	}
	rows = append(rows, []string{"made", j.EnqueuedAt.String()})
	if j.Until != nil {
		rows = append(rows, []string{"not before", j.Until.String()})
	}
	if j.EndedAt != nil {
		rows = append(rows, []string{"ended", j.EndedAt.String()})
	}
	rows = append(rows, []string{"attempts", strconv.Itoa(j.Attempts)})
	for _, e := range j.Errors {
		by := ""
		if e.Release != "" {
			by = " release " + string(e.Release) + ":"
		}
		rows = append(rows, []string{"error", e.At.String() + by + " " + e.Error})
	}
	if j.Release != "" {
		rows = append(rows, []string{"release", string(j.Release)})
	}
	if j.State == "dead" {
		rows = append(rows, []string{"reason", j.Error})
	}
	return sh.printTable(rows)
}

// deadLettersCommand is what can be done with jobs that ended without a prediction.
type deadLettersCommand struct {
	List    listLettersCommand    `cmd:"" default:"withargs" help:"List jobs that ended without a prediction, and events that could not be taken after they were answered."`
	Redrive redriveLettersCommand `cmd:"" help:"Put dead letters back into the queue."`
	Drop    dropLettersCommand    `cmd:"" help:"Forget dead letters and refused events."`
}

type listLettersCommand struct {
	Limit int `default:"100" placeholder:"N" help:"Most to list (default ${default})."`
	remote
}

// Run prints the dead letters.
func (c *listLettersCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	jobs, err := listJobs(ctx, cl, "dead", c.Limit)
	if err != nil {
		return err
	}
	refused, err := cl.RefusedEvents(ctx, min(c.Limit, 1000))
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(map[string]any{"dead_letters": jobs, "refused_events": refused})
	}
	if err := printJobs(sh, jobs); err != nil || len(refused) == 0 {
		return err
	}
	rows := [][]string{{"REFUSED", "DOOR", "EVENT", "AT", "CAUSE", "REASON"}}
	for _, e := range refused {
		rows = append(rows, []string{e.ID, e.Door, e.EventID, e.At.String(), e.Cause, e.Reason})
	}
	if _, err := fmt.Fprintln(sh.out); err != nil {
		return err
	}
	return sh.printTable(rows)
}

// someLetters are the dead letters that a command is about.
type someLetters struct {
	IDs []string `arg:"" optional:"" name:"job" help:"Ids of dead letters."`
	All bool     `help:"All of them."`
	remote
}

// ids are those chosen, nil for all.
func (c *someLetters) ids() ([]freshet.JobID, error) {
	if c.All == (len(c.IDs) > 0) {
		return nil, freshet.Errorf(freshet.InvalidArgument, "which dead letters? Give their ids, or --all (freshet dead-letters lists them)")
	}
	var ids []freshet.JobID
	for _, id := range c.IDs {
		ids = append(ids, freshet.JobID(id))
	}
	return ids, nil
}

// do does something to the dead letters chosen and prints how many there were.
func (c *someLetters) do(ctx context.Context, sh *shell, done string, f func(*client.Client, context.Context, []freshet.JobID) (int, error)) error {
	ids, err := c.ids()
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	n, err := f(cl, ctx, ids)
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(map[string]int{done: n})
	}
	_, err = fmt.Fprintf(sh.out, "%d %s\n", n, done)
	return err
}

type redriveLettersCommand struct{ someLetters }

// Run puts them back.
func (c *redriveLettersCommand) Run(ctx context.Context, sh *shell) error {
	return c.do(ctx, sh, "redriven", (*client.Client).RedriveDeadLetters)
}

type dropLettersCommand struct{ someLetters }

// Run forgets them.
func (c *dropLettersCommand) Run(ctx context.Context, sh *shell) error {
	return c.do(ctx, sh, "dropped", (*client.Client).DropDeadLetters)
}
