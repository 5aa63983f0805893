package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/evaluation"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/server"
)

// evaluateCommand says how good a model would have been.
type evaluateCommand struct {
	Model string `arg:"" help:"The model, by its name in the project; with @VERSION or @ALIAS that version of the server's registry."`

	Project string `default:"." placeholder:"PATH" help:"The project file, or the folder it is in (default: this folder)."`
	Events  string `required:"" placeholder:"FILE" help:"What happened: an NDJSON or CSV file, gzipped or not; - is standard input."`

	Pipeline    string `placeholder:"NAME" help:"The pipeline to ask (default: the only one with this model)."`
	Target      string `placeholder:"TYPE" help:"The events to foretell (default: the pipeline's first type that names a candidate)."`
	Where       string `placeholder:"EXPR" help:"Which of them, as an expression over their fields, such as completed."`
	Label       string `placeholder:"EXPR" help:"Compare the score of the event's own candidate with this, instead of its place in the list."`
	K           []int  `default:"5,10,20" placeholder:"N,…" help:"Cut-offs of the ranking metrics (default ${default})."`
	ExcludeSeen bool   `help:"Leave out of the list what the user has had before."`
	Seed        uint64 `default:"1" placeholder:"N" help:"Of the bootstrap intervals (default ${default})."`

	Store   bool `help:"Keep the metrics on the server, with the version that has these bytes (default: if a version is named)."`
	NoStore bool `help:"Keep them nowhere."`
	remote
}

// Help is the long text of `freshet evaluate --help`.
func (evaluateCommand) Help() string {
	return `Goes through the events in the order of their times, asks for the prediction of each user just before the user's last
target event, with the features as they were then, and compares. The model is that of the project's folder, and nothing is sent anywhere;
of MODEL@VERSION it is that version, which is fetched from the server, where the metrics are kept with it.

Examples:

  freshet evaluate ranker --events events.jsonl --where completed --k 5,10,20
  freshet evaluate ranker --events events.jsonl --label completed
  freshet evaluate ranker@7 --events events.jsonl --where completed && freshet models ranker`
}

// Validate is called by kong.
func (c *evaluateCommand) Validate() error {
	if c.Store && c.NoStore {
		return fmt.Errorf("--store and --no-store: expected one of them")
	}
	for _, k := range c.K {
		if k < 1 {
			return fmt.Errorf("--k: expected positive numbers, such as 5,10,20")
		}
	}
	return nil
}

// Run prints the metrics.
func (c *evaluateCommand) Run(ctx context.Context, sh *shell) error {
	p, err := project.Load(c.Project)
	if err != nil {
		return sh.printProblems(err)
	}
	pipeline, err := c.pipeline(p)
	if err != nil {
		return err
	}
	source, err := c.source(ctx, p)
	if err != nil {
		return err
	}
	rel, err := release.OpenFrom(ctx, p, source, sh.runtimes)
	if err != nil {
		return sh.printProblems(err)
	}
	defer rel.Close()
	events, skipped, err := c.read(rel, sh)
	if err != nil {
		return err
	}
	meter := newTaskMeter(sh.err)
	report, err := server.Evaluate(ctx, rel, events, evaluation.Options{
		Pipeline: pipeline, Target: freshet.EventType(c.Target), Where: c.Where, Label: c.Label, Ks: c.K, ExcludeSeen: c.ExcludeSeen, Seed: c.Seed,
		Progress: func(done, total int) {
			meter.show(func() string {
				return bar(int64(done), int64(total)) + fmt.Sprintf("  %s of %s events", grouped(done), grouped(total))
			})
		},
	})
	meter.close()
	if err != nil {
		return err
	}
	if sh.json {
		err = sh.printJSON(report)
	} else {
		err = sh.printEvaluation(&report, skipped)
	}
	if err != nil || !c.stores() {
		return err
	}
	return c.store(ctx, sh, rel, &report)
}

// pipeline is the one to ask.
func (c *evaluateCommand) pipeline(p *project.Project) (freshet.PipelineName, error) {
	name, _ := c.named()
	if _, ok := p.Model(name); !ok {
		return "", freshet.FieldErrorf(freshet.NotFound, "model", "the project has no model %q%s", name, hintModels(p))
	}
	if c.Pipeline != "" {
		pipeline, ok := p.Pipeline(freshet.PipelineName(c.Pipeline))
		if !ok || pipeline.Model != name {
			return "", freshet.FieldErrorf(freshet.InvalidArgument, "pipeline", "--pipeline %s: no pipeline of this name uses model %s", c.Pipeline, name)
		}
		return pipeline.Name, nil
	}
	var with []string
	for _, pipeline := range p.Pipelines {
		if pipeline.Model == name {
			with = append(with, string(pipeline.Name))
		}
	}
	switch len(with) {
	case 0:
		return "", freshet.FieldErrorf(freshet.InvalidArgument, "model", "no pipeline of the project uses model %s: there is nothing to ask it for", name)
	case 1:
		return freshet.PipelineName(with[0]), nil
	}
	return "", freshet.FieldErrorf(freshet.InvalidArgument, "pipeline", "%s use model %s: choose one with --pipeline", strings.Join(with, " and "), name)
}

func hintModels(p *project.Project) string {
	var names []string
	for _, m := range p.Models {
		names = append(names, string(m.Name))
	}
	return expression.Hint("", names)
}

// shownSkips is how many lines that could not be read are named.
const shownSkips = 3

// read reads the events. Lines that the project cannot read are counted; the first are named.
func (c *evaluateCommand) read(rel *release.Opened, sh *shell) (events *evaluation.Events, skipped int, err error) {
	in, err := openInput(c.Events, sh.in)
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	lines, err := (&sendCommand{Format: "auto"}).source(in)
	if err != nil {
		return nil, 0, err
	}
	events = evaluation.NewEvents(rel)
	for {
		e, err := lines.next()
		if errors.Is(err, io.EOF) {
			return events, skipped, nil
		}
		bad, isBad := errors.AsType[*badLine](err)
		if err != nil && !isBad {
			return nil, 0, err
		}
		if isBad {
			err = bad
		} else if err = events.Add(slices.Clone(e.raw)); freshet.CodeOf(err) == freshet.TooLarge {
			return nil, 0, err
		} else if err != nil {
			err = fmt.Errorf("line %d: %w", e.line, err)
		}
		if err != nil {
			if skipped++; skipped <= shownSkips {
				fmt.Fprintf(sh.err, "%s, %v\n", in.name, err)
			}
		}
	}
}

// printEvaluation prints what was compared and the metrics, one a line.
func (sh *shell) printEvaluation(r *evaluation.Report, skipped int) error {
	w := sh.out
	where := ""
	if r.Where != "" {
		where = " where " + r.Where
	}
	if _, err := fmt.Fprintf(w, "%s of pipeline %s: the last %s%s of %s users, foretold from what was before it (%s events",
		r.Model, r.Pipeline, r.Target, where, grouped(r.Users), grouped(r.Events)); err != nil {
		return err
	}
	for _, n := range []struct {
		count int
		what  string
	}{
		{r.Duplicates, "duplicates"}, {skipped, "lines skipped"}, {r.Unknown, "targets that are no candidate"},
		{r.Removed, "targets that keep takes away"}, {r.Fallbacks, "answers of the fallback"},
	} {
		if n.count > 0 {
			fmt.Fprintf(w, ", %s %s", grouped(n.count), n.what)
		}
	}
	fmt.Fprintln(w, ")")
	rows := [][]string{}
	for _, name := range slices.SortedFunc(maps.Keys(r.Metrics), compareMetrics) {
		row := []string{"  " + name, strconv.FormatFloat(r.Metrics[name], 'f', 4, 64)}
		if v, ok := r.Intervals[name]; ok && !math.IsNaN(v.Low) {
			row = append(row, fmt.Sprintf("%.4f … %.4f", v.Low, v.High))
		}
		rows = append(rows, row)
	}
	return sh.printTable(rows)
}

// compareMetrics sorts by metric, then by cut-off as a number.
func compareMetrics(a, b string) int {
	name, k, _ := strings.Cut(a, "@")
	otherName, otherK, _ := strings.Cut(b, "@")
	x, _ := strconv.Atoi(k)
	y, _ := strconv.Atoi(otherK)
	return cmp.Or(cmp.Compare(name, otherName), cmp.Compare(x, y))
}
