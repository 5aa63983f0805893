package cli

import (
	"context"
	"fmt"
)

// gcCommand removes artifacts that nothing needs.
type gcCommand struct {
	Keep   int  `default:"10" placeholder:"N" help:"Releases whose artifacts are kept, whatever became of them (default ${default})."`
	Remove bool `help:"Remove them (default: only say what would be removed)."`
	remote
}

// Help is the long text of `freshet gc --help`.
func (gcCommand) Help() string {
	return `Says which artifacts of the registry nothing needs: neither the releases that are live, former or on their way, nor the last of the
others, nor an alias; the newest version of a model and what came in within a day are kept, too. The log of decisions is never touched.

Examples:

  freshet gc
  freshet gc --keep 3 --remove`
}

// Validate is called by kong.
func (c *gcCommand) Validate() error {
	if c.Keep < 0 {
		return fmt.Errorf("--keep %d: expected 0 or more", c.Keep)
	}
	return nil
}

// Run looks, or removes.
func (c *gcCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	g, err := cl.CollectGarbage(ctx, c.Keep, c.Remove)
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(g)
	}
	if len(g.Remove) > 0 {
		rows := [][]string{{"ARTIFACT", "BYTES", "SINCE", "DIGEST"}}
		for _, w := range g.Remove {
			rows = append(rows, []string{w.What, grouped(int(w.Bytes)), w.PutAt.String(), string(w.Digest)[len("sha256:"):][:12]})
		}
		if err := sh.printTable(rows); err != nil {
			return err
		}
	}
	would := "would be removed (--remove does it)"
	if g.Removed {
		would = "removed"
	}
	_, err = fmt.Fprintf(sh.out, "%s of %s bytes %s; %s of %s bytes kept\n",
		plural(len(g.Remove), "artifact"), grouped(int(g.Bytes)), would, plural(g.Kept, "artifact"), grouped(int(g.KeptBytes)))
	return err
}
