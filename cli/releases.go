package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// releasesCommand lists releases, or shows one.
type releasesCommand struct {
	Name   string `arg:"" optional:"" help:"A release: what it consists of, and who decided what about it, and why."`
	Follow bool   `help:"Show its way until it serves everybody, or was taken back, which is exit code 1 (default: what is so far)."`
	remote
}

// Help is the long text of `freshet releases --help`.
func (releasesCommand) Help() string {
	return `Lists the releases, the newest first, and what was decided about each last; of one, what it consists of and all that was decided.
If what was asked for is not what serves, the last line says so.

Examples:

  freshet releases
  freshet releases r7
  freshet releases r7 --follow`
}

// Validate is called by kong.
func (c *releasesCommand) Validate() error {
	if c.Follow && c.Name == "" {
		return fmt.Errorf("--follow: expected the name of a release, such as freshet releases r7 --follow")
	}
	return nil
}

// Run prints the releases.
func (c *releasesCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if c.Name != "" {
		rel, err := cl.GetRelease(ctx, freshet.ReleaseID(c.Name))
		if err != nil {
			return err
		}
		switch {
		case c.Follow:
			return sh.followToEnd(ctx, cl, rel, true)
		case sh.json:
			return sh.printJSON(rel)
		}
		return sh.printRelease(rel)
	}
	all, err := cl.ListReleases(ctx)
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(all)
	}
	rows := [][]string{{"RELEASE", "STATE", "MODELS", "SINCE", "BY", "WHY"}}
	for _, rel := range all.Releases {
		last := rel.Last()
		state := rel.State
		if rel.Share > 0 {
			state += fmt.Sprintf(" %.4g %%", 100*rel.Share)
		}
		rows = append(rows, []string{string(rel.ID), state, versionsText(rel), last.At.String(), last.Actor, shortened(last.Reason)})
	}
	if err := sh.printTable(rows); err != nil {
		return err
	}
	if all.Requested != all.Serving {
		_, err = fmt.Fprintf(sh.out, "\n%s\n", servingText(all))
	}
	return err
}

// maxShort is how much of a reason a list shows; all of it stands with the release itself.
const maxShort = 72

func shortened(reason string) string {
	if runes := []rune(reason); len(runes) > maxShort {
		return string(runes[:maxShort-1]) + "…"
	}
	return reason
}

func servingText(all client.Releases) string {
	return fmt.Sprintf("requested %s, serving %s", all.Requested, all.Serving)
}

func versionsText(rel client.Release) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(rel.Versions)) {
		texts = append(texts, fmt.Sprintf("%s@%d", name, rel.Versions[name]))
	}
	return strings.Join(texts, ", ")
}

func (sh *shell) printRelease(rel client.Release) error {
	rows := [][]string{{string(rel.ID), rel.State}}
	if rel.Progress != nil {
		rows = append(rows, []string{"now", strings.TrimPrefix(progressText(rel), string(rel.ID)+" ")})
	}
	short := func(d freshet.Digest) string { return strings.TrimPrefix(string(d), "sha256:")[:12] }
	rows = append(rows, []string{"digest", short(rel.Manifest.Digest)}, []string{"project", short(rel.Manifest.Project)}, []string{"models", versionsText(rel)})
	for _, name := range slices.Sorted(maps.Keys(rel.Manifest.Views)) {
		rows = append(rows, []string{"view", fmt.Sprintf("%s %s", name, short(rel.Manifest.Views[name]))})
	}
	for _, name := range slices.Sorted(maps.Keys(rel.Manifest.Tables)) {
		rows = append(rows, []string{"table", fmt.Sprintf("%s %s", name, short(rel.Manifest.Tables[name]))})
	}
	if err := sh.printTable(rows); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(sh.out); err != nil {
		return err
	}
	steps := [][]string{{"STATE", "SINCE", "BY", "WHY"}}
	for _, h := range rel.History {
		steps = append(steps, []string{h.State, h.At.String(), h.Actor, h.Reason})
	}
	return sh.printTable(steps)
}

// decided are the flags of a decision.
type decided struct {
	Reason   string `placeholder:"TEXT" help:"Why, for the audit."`
	Revision uint64 `placeholder:"N" help:"Refuse if the log of decisions is not at this revision any more (default: do not look)."`
	remote
}

func (d *decided) decision() client.Decision {
	return client.Decision{Actor: actor(), Reason: d.Reason, Revision: d.Revision}
}

// promoteCommand has a release go its next step now.
type promoteCommand struct {
	Name string `arg:"" optional:"" help:"The release (default: the one on its way)."`
	decided
}

// Run promotes.
func (c *promoteCommand) Run(ctx context.Context, sh *shell) error {
	return sh.decide(ctx, c.decided, c.Name, (*client.Client).Promote)
}

// abortCommand takes a release back.
type abortCommand struct {
	Name string `arg:"" optional:"" help:"The release (default: the one on its way)."`
	decided
}

// Run aborts.
func (c *abortCommand) Run(ctx context.Context, sh *shell) error {
	return sh.decide(ctx, c.decided, c.Name, (*client.Client).Abort)
}

// rollbackCommand goes back to the former release.
type rollbackCommand struct {
	decided
}

// Help is the long text of `freshet rollback --help`.
func (rollbackCommand) Help() string {
	return `Has the release that was live before serve everybody again, at once: it is kept ready, with its views fed, for an hour (freshet serve
--keep-former). The one that was live is then the one that is kept ready. To go back further: freshet deploy --release NAME.

Example:

  freshet rollback --reason 'fewer plays'`
}

// Run rolls back.
func (c *rollbackCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	rel, err := cl.Rollback(ctx, c.decision())
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(rel)
	}
	all, err := cl.ListReleases(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(sh.out, "%s is live again, %s is kept ready\n", rel.ID, all.Former)
	return err
}

// decide takes a decision about the release with a name, or about the one on its way.
func (sh *shell) decide(ctx context.Context, d decided, name string,
	how func(*client.Client, context.Context, freshet.ReleaseID, client.Decision) (client.Release, error)) error {
	cl, err := d.client()
	if err != nil {
		return err
	}
	id := freshet.ReleaseID(name)
	if id == "" {
		all, err := cl.ListReleases(ctx)
		if err != nil {
			return err
		}
		if id = all.Candidate; id == "" {
			return freshet.Errorf(freshet.Conflict, "no release is on its way; %s is live", all.Serving)
		}
	}
	rel, err := how(cl, ctx, id, d.decision())
	if err != nil {
		return err
	}
	return sh.printDecided(rel)
}

func (sh *shell) printDecided(rel client.Release) error {
	if sh.json {
		return sh.printJSON(rel)
	}
	_, err := fmt.Fprintf(sh.out, "%s %s\n", rel.ID, stateText(rel, rel.State))
	return err
}
