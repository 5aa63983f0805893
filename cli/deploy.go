package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/registry"
)

// wanted says what is to be planned or deployed.
type wanted struct {
	Project string            `placeholder:"PATH" help:"The project file, or the folder it is in (default: this folder; where there is none, the project that is live)."`
	Model   []string          `placeholder:"NAME@V" sep:"none" help:"A version of a model, by number or alias (default: the last published). May be given several times."`
	Table   map[string]string `placeholder:"NAME=FILE" help:"The file of a table (default: the project file's). May be given several times."`
	Release string            `placeholder:"NAME" help:"Go back to what an earlier release was."`
	remote
}

// request sends the files of tables, and of the embedder, that the server does not have, and makes the rest of the request.
func (w *wanted) request(ctx context.Context, cl *client.Client) (client.DeployRequest, error) {
	req := client.DeployRequest{Release: freshet.ReleaseID(w.Release), Tables: map[freshet.TableName]freshet.Digest{}, Models: map[freshet.ModelName]string{}}
	for _, m := range w.Model {
		name, version, ok := strings.Cut(m, "@")
		if !ok || name == "" || version == "" {
			return req, freshet.FieldErrorf(freshet.InvalidArgument, "model", "--model %s: expected NAME@VERSION, such as ranker@7", m)
		}
		req.Models[freshet.ModelName(name)] = version
	}
	files := map[freshet.TableName]string{}
	if w.Release == "" {
		p, err := w.load()
		if err != nil {
			return req, err
		}
		if p != nil {
			req.Project = string(p.Text)
			if e := p.Embedder; e != nil {
				if req.Embedder, err = send(ctx, cl, filepath.Join(p.Dir, filepath.FromSlash(e.File))); err != nil {
					return req, freshet.FieldErrorf("", "embedder", "embedder: %w", err)
				}
			}
			for _, t := range p.Tables {
				if !t.Push {
					files[t.Name] = filepath.Join(p.Dir, filepath.FromSlash(t.File))
				}
			}
		}
	}
	for name, file := range w.Table {
		files[freshet.TableName(name)] = file
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		digest, err := send(ctx, cl, files[name])
		if err != nil {
			return req, freshet.FieldErrorf("", "tables."+string(name), "table %s: %w", name, err)
		}
		req.Tables[name] = digest
	}
	return req, nil
}

// load reads the project; nil if none was named and there is none here.
func (w *wanted) load() (*project.Project, error) {
	if w.Project != "" {
		return project.Load(w.Project)
	}
	if _, err := os.Stat(project.FileName); errors.Is(err, os.ErrNotExist) && (len(w.Table) > 0 || len(w.Model) > 0) {
		return nil, nil
	}
	return project.Load(".")
}

// send stores a file with the server, unless it is there.
func send(ctx context.Context, cl *client.Client, path string) (freshet.Digest, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", freshet.Errorf(freshet.NotFound, "%w", err)
	}
	digest := registry.DigestOf(text)
	if has, err := cl.HasBlob(ctx, digest); err != nil || has {
		return digest, err
	}
	return digest, cl.PutBlob(ctx, digest, bytes.NewReader(text))
}

// printMistakes is printProblems for the mistakes of a project file. What else keeps a request from being made is its own error.
func (sh *shell) printMistakes(err error) error {
	if _, ok := errors.AsType[project.Errors](err); ok {
		return sh.printProblems(err)
	}
	return err
}

// planCommand shows what a deployment would do.
type planCommand struct {
	wanted
}

// Help is the long text of `freshet plan --help`.
func (planCommand) Help() string {
	return `Shows how the project differs from what is live: views that are added, changed (and so filled from the past), dropped or shared,
models and tables that are replaced, and what would break. Nothing changes.

Examples:

  freshet plan --project examples/calm
  freshet plan --table user_index=users.csv`
}

// Run prints the plan. A plan that cannot be deployed is an error.
func (c *planCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	req, err := c.request(ctx, cl)
	if err != nil {
		return sh.printMistakes(err)
	}
	plan, err := cl.PlanRelease(ctx, req)
	if err != nil {
		return err
	}
	if sh.json {
		err = sh.printJSON(plan)
	} else {
		err = sh.printPlan(plan)
	}
	if err == nil && len(plan.Problems) > 0 {
		return freshet.Errorf(freshet.Unprocessable, "it cannot be deployed: %s", plan.Problems[0].Detail)
	}
	return err
}

func (sh *shell) printPlan(plan client.Plan) error {
	_, err := fmt.Fprint(sh.out, planText(plan))
	return err
}

var planMarks = map[string]string{"added": "+", "dropped": "-", "changed": "~", "replaced": "~"}

func planText(plan client.Plan) string {
	var b strings.Builder
	if plan.Unchanged {
		fmt.Fprintf(&b, "%s is live as it is: nothing to do\n", plan.Live)
		return b.String()
	}
	if plan.Live == "" {
		fmt.Fprintf(&b, "%s would be the first release\n", plan.Next)
	} else {
		fmt.Fprintf(&b, "%s would follow %s\n", plan.Next, plan.Live)
	}
	for _, d := range plan.Changes {
		fill := ""
		if d.Fill {
			fill = ", filled from the past"
		}
		fmt.Fprintf(&b, "\n%s %s %s%s\n", planMarks[d.Change], d.What, d.Change, fill)
		for _, l := range d.Lines {
			fmt.Fprintf(&b, "    %s\n", l)
		}
	}
	if len(plan.Shared) > 0 {
		fmt.Fprintf(&b, "\n= shared: %s\n", strings.Join(plan.Shared, ", "))
	}
	if f := plan.Backfill; f != nil {
		source := "as the last fill went"
		if f.Guessed {
			source = "a guess: none was measured here yet"
		}
		fmt.Fprintf(&b, "\nfill: %s of %d events, about %s at %.0f events/s (%s)\n",
			plural(len(f.Views), "view"), f.Events, (time.Duration(f.Seconds * float64(time.Second))).Round(100*time.Millisecond), f.Rate, source)
	}
	for _, w := range plan.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s\n", w)
	}
	for _, p := range plan.Problems {
		fmt.Fprintf(&b, "\nproblem: %s\n", p.Detail)
	}
	return b.String()
}

// deployCommand makes a release and has it go live.
type deployCommand struct {
	wanted
	Canary string   `default:"10%" placeholder:"SHARE" help:"Users whom it serves first; 0 serves everybody at once (default ${default})."`
	Bake   string   `default:"10m" placeholder:"TIME" help:"How long it is a canary before it serves everybody (default ${default})."`
	Shadow string   `placeholder:"SHARE" help:"Jobs that it is run beside first, for nobody to see, until it is promoted (default: none)."`
	Accept []string `placeholder:"GUARD" help:"Guardrails that are not looked at: errors, latency, missing, scores, constant."`
	Reason string   `placeholder:"TEXT" help:"Why, for the audit."`
	NoWait bool     `help:"Return as soon as it serves the canary's share; freshet releases NAME --follow goes on (default: when it serves everybody or was taken back)."`
}

// Help is the long text of `freshet deploy --help`.
func (deployCommand) Help() string {
	return `Makes a release of the project file, its tables, and the version last published of each model, and has it go live: its views are
filled from the past while the live release serves, its models are tried on golden rows and on users seen lately, then it serves a share
of the users while guardrails watch it, then everybody. A release that a guardrail takes back ends this with exit code 1. Whoever
interrupts this leaves the release on its way: freshet abort takes it back.

Examples:

  freshet deploy --project examples/calm
  freshet deploy --model ranker@7 --canary 5% --bake 1h
  freshet deploy --table user_index=users.csv --canary 0`
}

// Run deploys, and follows the release.
func (c *deployCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	req, err := c.request(ctx, cl)
	if err != nil {
		return sh.printMistakes(err)
	}
	req.Canary, req.Bake, req.Shadow, req.Accept = c.Canary, c.Bake, c.Shadow, c.Accept
	plan, rel, err := cl.Deploy(ctx, req, client.Decision{Actor: actor(), Reason: c.Reason})
	if err != nil {
		return err
	}
	if !sh.json {
		if err := sh.printPlan(plan); err != nil {
			return err
		}
	}
	if plan.Unchanged {
		return sh.printEnd(ctx, cl, rel)
	}
	if !sh.json {
		fmt.Fprintln(sh.out)
	}
	return sh.followToEnd(ctx, cl, rel, !c.NoWait)
}

// followToEnd is follow, and printEnd behind it.
func (sh *shell) followToEnd(ctx context.Context, cl *client.Client, rel client.Release, wait bool) error {
	rel, err := sh.follow(ctx, cl, rel, wait)
	if printed := sh.printEnd(ctx, cl, rel); err == nil {
		err = printed
	}
	return err
}

// printEnd says what was asked for and what serves, unless that is rel: what did not go live must not look as if it had.
func (sh *shell) printEnd(ctx context.Context, cl *client.Client, rel client.Release) error {
	if sh.json {
		return sh.printJSON(rel)
	}
	if rel.State == "live" || ctx.Err() != nil {
		return nil
	}
	all, err := cl.ListReleases(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(sh.out, servingText(all))
	return err
}

// follow shows the way of a release until it serves, or is taken back, which is an error.
func (sh *shell) follow(ctx context.Context, cl *client.Client, rel client.Release, wait bool) (client.Release, error) {
	meter := newTaskMeter(sh.err)
	defer meter.close()
	shown := 0
	for {
		for ; shown < len(rel.History) && !sh.json; shown++ {
			h := rel.History[shown]
			text := fmt.Sprintf("%s %s", rel.ID, stateText(rel, h.State))
			if h.Reason != "" && shown > 0 {
				text += ": " + h.Reason
			}
			meter.close()
			if _, err := fmt.Fprintln(sh.out, text); err != nil {
				return rel, err
			}
		}
		switch rel.State {
		case "live", "former", "retired":
			return rel, nil
		case "canary", "shadow":
			if !wait || rel.State == "shadow" {
				return rel, nil
			}
		case "failed", "aborted":
			return rel, freshet.Errorf(freshet.Internal, "release %s was taken back by %s: %s", rel.ID, rel.Last().Actor, rel.Last().Reason)
		}
		meter.show(func() string { return progressText(rel) })
		select {
		case <-ctx.Done():
			return rel, ctx.Err()
		case <-time.After(followEvery):
		}
		next, err := cl.GetRelease(ctx, rel.ID)
		if err != nil {
			return rel, err
		}
		rel = next
	}
}

// followEvery is how often a release is looked at.
const followEvery = 100 * time.Millisecond

// stateText says what it is, or was, for a release to be in a state.
func stateText(rel client.Release, state string) string {
	switch state {
	case "preparing":
		return "is being prepared"
	case "canary":
		return fmt.Sprintf("serves %.4g %% of the users", 100*rel.Canary)
	case "shadow":
		return fmt.Sprintf("runs beside %.4g %% of the jobs until freshet promote", 100*rel.Shadow)
	case "live":
		return "is live"
	}
	return "is " + state
}

func progressText(rel client.Release) string {
	p := rel.Progress
	if p == nil {
		return string(rel.ID) + " " + stateText(rel, rel.State)
	}
	text := fmt.Sprintf("%s %s", rel.ID, p.Step)
	if p.Total > 0 {
		text += fmt.Sprintf(" %s %d of %d events, %.0f/s", bar(int64(p.Done), int64(p.Total)), p.Done, p.Total, p.Rate)
	}
	if p.Left > 0 {
		text += fmt.Sprintf(", %s left", (time.Duration(p.Left * float64(time.Second))).Round(time.Second))
	}
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	return text
}
