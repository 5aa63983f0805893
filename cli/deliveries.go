package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// deliveriesCommand lists messages to people, shows one, or counts how far they came.
type deliveriesCommand struct {
	ID string `arg:"" optional:"" help:"A message to show with all that is known of it."`

	User   string `placeholder:"KEY" help:"Messages to this user only."`
	Reason string `placeholder:"RULE" help:"Only those that ended for this reason: holdout, cap, opt_out and so on."`
	Funnel bool   `help:"Count: how many were decided on, refused by which rule, sent, accepted, opened."`
	CSV    bool   `name:"csv" help:"As CSV, a line for each message with its outcomes: to compute with."`
	Limit  int    `default:"100" placeholder:"N" help:"Most messages to list, 0 for all (default ${default})."`
	remote
}

// Help is the long text of `freshet deliveries --help`.
func (deliveriesCommand) Help() string {
	return `A delivery is a message that a pipeline's push section makes of a prediction. Those that have ended are kept for 7 days.

Examples:

  freshet deliveries --user u1
  freshet deliveries next_step-17-9120
  freshet deliveries --funnel
  freshet deliveries --limit 0 --csv > deliveries.csv`
}

// Run prints the messages, the one, or the counts.
func (c *deliveriesCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	switch {
	case c.ID != "":
		d, err := cl.Delivery(ctx, freshet.JobID(c.ID))
		if err != nil {
			return err
		}
		if sh.json {
			return sh.printJSON(d)
		}
		return sh.printTable(deliveryLines(&d))
	case c.Funnel:
		return c.funnel(ctx, cl, sh)
	case c.Limit < 0:
		return freshet.FieldErrorf(freshet.InvalidArgument, "limit", "--limit %d: expected at least 1, or 0 for all", c.Limit)
	case c.CSV:
		return c.export(ctx, cl, sh)
	}
	list := []client.Delivery{}
	err = c.some(ctx, cl, func(d *client.Delivery) error {
		list = append(list, *d)
		return nil
	})
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(map[string]any{"deliveries": list})
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(sh.out, "none")
		return err
	}
	rows := [][]string{{"DELIVERY", "FOR", "STATE", "REASON", "BY", "ATTEMPTS", "MADE", "TITLE"}}
	for _, d := range list {
		rows = append(rows, []string{string(d.ID), string(d.User), d.State, d.Reason, d.Channel, strconv.Itoa(d.Attempts), d.CreatedAt.String(), d.Title})
	}
	return sh.printTable(rows)
}

// export writes the messages as CSV.
func (c *deliveriesCommand) export(ctx context.Context, cl *client.Client, sh *shell) error {
	outcomes := []string{"opened", "dismissed", "started", "completed"}
	w := csv.NewWriter(sh.out)
	header := []string{"delivery", "user_id", "pipeline", "category", "event_id", "release", "channel", "state", "reason", "attempts", "created_at", "ended_at"}
	if err := w.Write(append(header, outcomes...)); err != nil {
		return err
	}
	err := c.some(ctx, cl, func(d *client.Delivery) error {
		ended := ""
		if d.EndedAt != nil {
			ended = d.EndedAt.String()
		}
		line := []string{string(d.ID), string(d.User), string(d.Pipeline), d.Category, string(d.EventID), string(d.Release), d.Channel, d.State, d.Reason,
			strconv.Itoa(d.Attempts), d.CreatedAt.String(), ended}
		for _, o := range outcomes {
			at := ""
			if t, ok := d.Outcomes[o]; ok {
				at = t.String()
			}
			line = append(line, at)
		}
		return w.Write(line)
	})
	w.Flush()
	return errors.Join(err, w.Error())
}

// some goes over the messages that are asked for.
func (c *deliveriesCommand) some(ctx context.Context, cl *client.Client, f func(*client.Delivery) error) error {
	n := 0
	var failed error
	err := c.each(ctx, cl, func(d *client.Delivery) bool {
		if c.Reason != "" && d.Reason != c.Reason {
			return true
		}
		n++
		failed = f(d)
		return failed == nil && n != c.Limit
	})
	return errors.Join(err, failed)
}

// each goes over the messages, page by page, until f is false.
func (c *deliveriesCommand) each(ctx context.Context, cl *client.Client, f func(*client.Delivery) bool) error {
	for after := ""; ; {
		page, next, err := cl.Deliveries(ctx, freshet.Key(c.User), after, 1000)
		if err != nil {
			return err
		}
		for i := range page {
			if !f(&page[i]) {
				return nil
			}
		}
		if after = next; next == "" {
			return nil
		}
	}
}

func deliveryLines(d *client.Delivery) [][]string {
	lines := [][]string{
		{string(d.ID), d.State}, {"for", string(d.User)}, {"title", d.Title}, {"body", d.Body}, {"category", d.Category}, {"event", string(d.EventID)},
		{"release", string(d.Release)}, {"made", d.CreatedAt.String()}, {"expires", d.ExpiresAt.String()}, {"attempts", strconv.Itoa(d.Attempts)},
	}
	add := func(name, text string) {
		if text != "" {
			lines = append(lines, []string{name, text})
		}
	}
	add("reason", d.Reason)
	add("by", d.Channel)
	if len(d.Devices) == 0 {
		add("device", d.Device)
		add("provider's id", d.ProviderID)
	}
	for _, x := range d.Devices {
		text := x.Device + ": " + x.State
		for _, more := range []string{x.Reason, x.ProviderID} {
			if more != "" {
				text += ", " + more
			}
		}
		add("device", text)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Outcomes)) {
		add(name, d.Outcomes[name].String())
	}
	return lines
}

// deliveryFunnel is how far the messages of a pipeline came.
type deliveryFunnel struct {
	Decided    int            `json:"decided"`
	Suppressed map[string]int `json:"suppressed"` // by reason
	Waiting    int            `json:"waiting"`
	Sent       int            `json:"sent"` // a provider was called, or it was shown in the app
	Failed     int            `json:"failed"`
	Accepted   int            `json:"accepted"`
	Outcomes   map[string]int `json:"outcomes"`
}

func (f *deliveryFunnel) add(d *client.Delivery) {
	f.Decided++
	switch d.State {
	case "suppressed":
		f.Suppressed[d.Reason]++
	case "failed":
		f.Failed++
	case "sent", "in_app":
		f.Accepted++
	default:
		f.Waiting++
	}
	if d.Attempts > 0 || d.State == "in_app" {
		f.Sent++
	}
	for o := range d.Outcomes {
		f.Outcomes[o]++
	}
}

func (c *deliveriesCommand) funnel(ctx context.Context, cl *client.Client, sh *shell) error {
	funnels := map[string]*deliveryFunnel{}
	err := c.each(ctx, cl, func(d *client.Delivery) bool {
		f := funnels[string(d.Pipeline)]
		if f == nil {
			f = &deliveryFunnel{Suppressed: map[string]int{}, Outcomes: map[string]int{}}
			funnels[string(d.Pipeline)] = f
		}
		f.add(d)
		return true
	})
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(map[string]any{"pipelines": funnels})
	}
	rows := [][]string{{"PIPELINE", "STEP", "MESSAGES"}}
	for _, name := range slices.Sorted(maps.Keys(funnels)) {
		f := funnels[name]
		step := func(what string, n int) { rows = append(rows, []string{name, what, strconv.Itoa(n)}) }
		step("decided", f.Decided)
		for _, reason := range slices.Sorted(maps.Keys(f.Suppressed)) {
			step("suppressed: "+reason, f.Suppressed[reason])
		}
		step("waiting", f.Waiting)
		step("sent", f.Sent)
		step("failed", f.Failed)
		step("accepted", f.Accepted)
		for _, outcome := range slices.Sorted(maps.Keys(f.Outcomes)) {
			step(outcome, f.Outcomes[outcome])
		}
	}
	return sh.printTable(rows)
}
