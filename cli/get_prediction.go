package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// getPredictionCommand reads the newest prediction of one pipeline for one entity.
type getPredictionCommand struct {
	Pipeline string   `arg:"" help:"Name of the pipeline."`
	User     []string `arg:"" help:"The user's id; with --entity its key, one argument for each key field."`

	Entity  string `default:"user" placeholder:"KIND" help:"Kind of entity, if the pipeline is about another than ${default}."`
	Explain bool   `help:"Also show what the model saw for each item."`
	waiting
	remote
}

// Help is the long text of `freshet get prediction --help`.
func (getPredictionCommand) Help() string {
	return `Examples:

  freshet get prediction today u1 --explain
  freshet get prediction today u1 --after POSITION --wait 10s`
}

// Run prints the prediction: where it comes from, then its items.
func (c *getPredictionCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	p, err := cl.GetPrediction(ctx, client.Entity{Kind: freshet.EntityKind(c.Entity), Key: c.User},
		freshet.PipelineName(c.Pipeline),
		&client.PredictionOptions{After: c.After, Wait: c.bound(), Explain: c.Explain})
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(p)
	}
	if err := sh.printTable(provenance(p)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(sh.out); err != nil {
		return err
	}
	if err := sh.printTable(itemRows(p)); err != nil || !c.Explain {
		return err
	}
	if _, err := fmt.Fprintln(sh.out); err != nil {
		return err
	}
	return sh.printTable(append(inputRows(p), textRows(p)...))
}

// provenance is what made a prediction, when, and what to know about it.
func provenance(p client.Prediction) [][]string {
	rows := [][]string{
		{string(p.Pipeline), "for " + describe(p.Entity)},
		{"release", string(p.Release)},
		{"made", p.CreatedAt.String()},
	}
	if p.Model != "" { // no model has a say in the order of a table
		rows[1][1] += ", model " + p.Model
	}
	if p.EventID != "" {
		event := string(p.EventID)
		if p.EventTime != nil {
			event += " at " + p.EventTime.String()
		}
		rows = append(rows, []string{"event", event})
	}
	if p.ExpiresAt != nil {
		rows = append(rows, []string{"expires", p.ExpiresAt.String()})
	}
	if p.Fallback {
		why := "yes: " + string(p.FallbackCause)
		if p.FallbackReason != "" {
			why += ": " + p.FallbackReason
		}
		rows = append(rows, []string{"fallback", why})
	}
	if p.Stale {
		rows = append(rows, []string{"stale", "yes: the events of --after are not in it"})
	}
	return rows
}

func itemRows(p client.Prediction) [][]string {
	rows := [][]string{{"#", "ITEM", "SCORE"}}
	for i, item := range p.Items {
		rows = append(rows, []string{strconv.Itoa(i + 1), string(item.ID), value(item.Score)})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Outputs)) {
		rows = append(rows, []string{"", name, value(p.Outputs[name])})
	}
	return rows
}

// textRows has a line for each model column of texts, which are the same for all items.
func textRows(p client.Prediction) [][]string {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(p.Texts)) {
		rows = append(rows, []string{name, strings.Join(p.Texts[name], ", ")})
	}
	return rows
}

// inputRows has a line for each model column and a column for each item.
func inputRows(p client.Prediction) [][]string {
	head := []string{"INPUT"}
	names := map[string]bool{}
	for _, item := range p.Items {
		head = append(head, string(item.ID))
		for name := range item.Inputs {
			names[name] = true
		}
	}
	rows := [][]string{head}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		row := []string{name}
		for _, item := range p.Items {
			row = append(row, value(item.Inputs[name]))
		}
		rows = append(rows, row)
	}
	return rows
}
