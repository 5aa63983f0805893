package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/trainingset"
	"github.com/freshet-ml/freshet/server"
)

// exportCommand writes a training set.
type exportCommand struct {
	Project string `default:"." placeholder:"PATH" help:"The project file, or the folder it is in (default: this folder)."`
	Data    string `default:"./data" placeholder:"DIR" help:"The data folder of a server that does not run now (default ${default})."`
	Offline string `placeholder:"DIR" help:"Where events are that have left the log (default: offline in --data)."`

	Entities   string   `required:"" placeholder:"FILE" help:"The rows: a .csv or .parquet file with key columns and a time column."`
	TimeColumn string   `default:"event_time" placeholder:"NAME" help:"The column of the moment of each row (default ${default})."`
	Features   []string `required:"" placeholder:"NAME,…" help:"What to add: view.feature, view, table.column or table."`
	AsOf       string   `enum:"event,known" default:"event" help:"What a moment sees: all that had happened (event), or what the server knew by then (known)."`
	FullNames  bool     `help:"Call the columns view__feature, not feature."`
	Output     string   `short:"o" required:"" placeholder:"FILE" help:"The training set: a .csv or .parquet file."`

	Workers int       `placeholder:"N" help:"Partitions worked on at once (default: the cores)."`
	Memory  bytesFlag `placeholder:"SIZE" help:"Events that each worker holds; with less it reads them more often (default 256MB)."`
}

// Help is the long text of `freshet export --help`.
func (exportCommand) Help() string {
	return `Reads rows of keys and a time, and writes them again, in their order and with all their columns, each with the features as a
read of that key at that time gives them. With --as-of known it is what a prediction saw then, or would have seen.

Example:

  freshet export --entities labels.csv --features session,profile.locale --as-of known -o train.parquet`
}

// Validate is called by kong.
func (c *exportCommand) Validate() error {
	if c.Workers < 0 {
		return fmt.Errorf("--workers: expected a positive number")
	}
	return nil
}

// Run writes the file and prints what is in it.
func (c *exportCommand) Run(ctx context.Context, sh *shell) error {
	p, err := project.Load(c.Project)
	if err != nil {
		return sh.printProblems(err)
	}
	rel, err := release.Open(p, sh.runtimes)
	if err != nil {
		return sh.printProblems(err)
	}
	defer rel.Close()
	meter := newTaskMeter(sh.err)
	done, err := server.Export(ctx, c.Data, c.Offline, rel, trainingset.Options{
		Entities: c.Entities, TimeColumn: c.TimeColumn, Features: c.Features, Known: c.AsOf == "known", FullNames: c.FullNames,
		Output: c.Output, Workers: c.Workers, MaxBytes: int(c.Memory), Progress: func(p trainingset.Progress) { meter.show(func() string { return exportLine(p) }) },
	})
	meter.close()
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(done)
	}
	took := meter.elapsed()
	_, err = fmt.Fprintf(sh.out, "%s: %s rows of %d columns, from %s events, in %s (%s rows/s)\n", c.Output, grouped(int(done.Rows)), len(done.Columns),
		grouped(int(done.Events)), took.Round(time.Millisecond), grouped(int(float64(done.Rows)/took.Seconds())))
	return err
}

// exportLine says what is under way: reading rows, whose number is not known; then events; then writing.
func exportLine(p trainingset.Progress) string {
	switch {
	case p.Total == 0:
		return grouped(int(p.Rows)) + " rows read"
	case p.Written > 0:
		return bar(p.Written, p.Rows) + fmt.Sprintf("  %s of %s rows written", grouped(int(p.Written)), grouped(int(p.Rows)))
	}
	return bar(p.Events, p.Total) + fmt.Sprintf("  %s of %s events", grouped(int(p.Events)), grouped(int(p.Total)))
}
