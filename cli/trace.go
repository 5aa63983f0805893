package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// traceCommand shows what became of one event.
type traceCommand struct {
	Key []string `arg:"" name:"user-event" help:"The user's id and the event's; with --entity its key, one argument for each key field, then the event's id."`

	Entity string `default:"user" placeholder:"KIND" help:"Kind of entity, if the event is looked for at another than ${default}."`
	remote
}

// Help is the long text of `freshet trace --help`.
func (traceCommand) Help() string {
	return `Tells when the event was accepted, which views it changed, which jobs it made and how their attempts went, and which release and
model made the prediction. Nothing is stored for it: it is known for as long as the log keeps the event.

Example:

  freshet trace u1 0b5c5b7e-0d5c-4c1e-9d6a-2f1f3a9f8e11`
}

// Run prints the event's story.
func (c *traceCommand) Run(ctx context.Context, sh *shell) error {
	if len(c.Key) < 2 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "event", "which event? Give the user and the event's id: freshet trace USER EVENT")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	last := len(c.Key) - 1
	t, err := cl.Trace(ctx, client.Entity{Kind: freshet.EntityKind(c.Entity), Key: c.Key[:last]}, freshet.EventID(c.Key[last]))
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(t.Raw)
	}
	rows := [][]string{
		{"event", string(t.EventID)}, {"type", string(t.Type)}, {"offset", fmt.Sprintf("%d of partition %d", t.Offset.Offset, t.Offset.Partition)},
		{"features", tracedViews(t)},
	}
	for _, p := range t.Pipelines {
		state := "no job: not triggered"
		switch {
		case p.Prediction != nil:
			state = "prediction of release " + string(p.Prediction.Release)
			if p.Prediction.Model != "" {
				state += ", model " + p.Prediction.Model
			}
		case p.ReplacedBy != nil:
			state = "replaced by the prediction of event " + string(p.ReplacedBy.EventID)
		case p.Job != nil:
			state = "job " + p.Job.State
		case p.Triggered:
			state = "neither job nor prediction is known any more"
		}
		rows = append(rows, []string{string(p.Pipeline), state})
	}
	if err := sh.printTable(rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(sh.out); err != nil {
		return err
	}
	story := [][]string{}
	for _, m := range t.Timeline {
		story = append(story, []string{m.At.String(), m.What})
	}
	return sh.printTable(story)
}

func tracedViews(t client.Trace) string {
	var names []string
	for _, v := range t.Features.Views {
		names = append(names, string(v))
	}
	switch {
	case len(names) == 0:
		return "of no view"
	case !t.Features.Applied:
		return "not yet: " + strings.Join(names, ", ")
	}
	return strings.Join(names, ", ")
}
