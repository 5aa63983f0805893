package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/server"
)

// eraseCommand forgets a user, or proves that one was forgotten.
type eraseCommand struct {
	User []string `arg:"" help:"The user's id; with --entity its key, one argument for each key field."`

	Entity string `default:"user" placeholder:"KIND" help:"Kind of entity, if another than ${default} is to be forgotten."`
	Verify bool   `help:"Look through a data folder, of a server that does not run, for what is left. Changes nothing."`

	Project string `default:"." placeholder:"PATH" help:"For --verify: the project file, or the folder it is in (default: this folder)."`
	Data    string `default:"./data" placeholder:"DIR" help:"For --verify: the data folder (default ${default})."`
	Offline string `placeholder:"DIR" help:"For --verify: the folder of the offline store (default: offline in --data)."`
	remote
}

// Help is the long text of `freshet erase --help`.
func (eraseCommand) Help() string {
	return `Removes features, jobs, predictions and rows of push tables at once, then the user's events from the log and the offline store. Waits until
that is done; if it is interrupted, the server does it all the same.

Examples:

  freshet erase u1
  freshet erase --verify u1 --data /var/lib/freshet`
}

// Run forgets, or verifies.
func (c *eraseCommand) Run(ctx context.Context, sh *shell) error {
	if c.Verify {
		return c.verify(ctx, sh)
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	x, err := cl.Erase(ctx, client.Entity{Kind: freshet.EntityKind(c.Entity), Key: c.User})
	if err != nil {
		return err
	}
	for x.State != "done" {
		const look = 200 * time.Millisecond
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		if x, err = cl.GetErase(ctx, x.ID); err != nil {
			return err
		}
	}
	if sh.json {
		return sh.printJSON(x)
	}
	return sh.printTable([][]string{
		{"erase", x.ID + ", done"},
		{"events", fmt.Sprintf("%d gone, %d about others without the name", x.Events, x.Others)},
		{"jobs", fmt.Sprint(x.Jobs)},
		{"rows", fmt.Sprintf("%d of push tables", x.Rows)},
	})
}

// verify looks through a data folder.
func (c *eraseCommand) verify(ctx context.Context, sh *shell) error {
	p, err := project.Load(c.Project)
	if _, ok := errors.AsType[project.Errors](err); ok {
		return sh.printProblems(err)
	}
	if err != nil {
		return err
	}
	spec, ok := p.Entity(freshet.EntityKind(c.Entity))
	if !ok || len(c.User) != len(spec.KeyFields) {
		return freshet.FieldErrorf(freshet.InvalidArgument, "entity", "--entity %s: the project has no such entity of %d key fields", c.Entity, len(c.User))
	}
	found, err := server.Traces(ctx, c.Data, c.Offline, spec, freshet.JoinKey(c.User...))
	if err != nil {
		return err
	}
	if sh.json {
		if found == nil {
			found = []string{}
		}
		if err := sh.printJSON(map[string]any{"found": found}); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return freshet.Errorf(freshet.Conflict, "%s %q is still there: %v", c.Entity, freshet.JoinKey(c.User...), found)
	}
	if sh.json {
		return nil
	}
	_, err = fmt.Fprintf(sh.out, "nothing is left of %s %s\n", c.Entity, freshet.JoinKey(c.User...))
	return err
}
