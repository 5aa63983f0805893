package cli

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
)

// sendCommand sends a file of events to a server.
type sendCommand struct {
	File string `arg:"" help:"NDJSON or CSV, also compressed by gzip; - is standard input."`

	Format string        `enum:"auto,ndjson,csv" default:"auto" help:"What the file holds: auto (by its name), ndjson or csv."`
	Text   []string      `placeholder:"COLUMN" help:"CSV columns that stay text although they look like numbers."`
	Rate   float64       `placeholder:"N" help:"Send N events a second at most."`
	Speed  speed         `placeholder:"10x" help:"Replay by event_time, this many times as fast as it happened."`
	Batch  int           `default:"500" help:"Events in one request, 1 to 10000 (default ${default})."`
	Retry  time.Duration `default:"1m" help:"How long to go on trying while the server does not answer or is behind (default ${default})."`
	remote
}

// Help is the long text of `freshet send --help`.
func (sendCommand) Help() string {
	return `Events without an event_id are given one, so that a request whose answer got lost can be sent again and counts
once. Requests that fail because the server is away or behind are repeated for --retry.

The first line of a CSV file names the fields. Its values become numbers and booleans where they look like such, nothing where
they are empty; the columns event_id and type, and those of --text, stay text.

Examples:

  freshet send events.jsonl.gz
  freshet send plays.csv --text category --rate 200
  freshet send events.jsonl --speed 10x
  tail -f app.log | freshet send -`
}

// Validate is called by kong.
func (c *sendCommand) Validate() error {
	if c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) {
		return fmt.Errorf("--rate %v: expected a positive number of events a second", c.Rate)
	}
	if c.Batch < 1 || c.Batch > 10_000 {
		return fmt.Errorf("--batch %d: expected 1 to 10000", c.Batch)
	}
	if c.Retry < 0 {
		return fmt.Errorf("--retry %s: expected a positive duration such as 1m", c.Retry)
	}
	return nil
}

// speed is how many times as fast as it happened; 0 is as fast as it goes.
type speed float64

// UnmarshalText reads "10x", "0.5x" or "10".
func (s *speed) UnmarshalText(b []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(string(b), "x"), 64)
	if err != nil || v <= 0 || math.IsInf(v, 0) {
		return fmt.Errorf("speed %q: expected a positive factor such as 10x", b)
	}
	*s = speed(v)
	return nil
}

// Run sends the file and prints what became of its events.
func (c *sendCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	in, err := openInput(c.File, sh.in)
	if err != nil {
		return err
	}
	defer in.Close()
	events, err := c.source(in)
	if err != nil {
		return err
	}
	s := &sending{
		to:    cl,
		pace:  pace{rate: c.Rate, speed: float64(c.Speed)},
		meter: newMeter(sh.err, in),
		limit: c.Batch,
		retry: c.Retry,
		ids:   newIDs(),
	}
	err = s.run(ctx, events)
	s.meter.close()
	if printErr := s.print(sh); printErr != nil && err == nil {
		err = printErr
	}
	if err != nil && s.sum.Through > 0 {
		return freshet.Errorf("", "%w (sent through line %d of %s, nothing after it)", err, s.sum.Through, in.name)
	}
	if err != nil {
		return err
	}
	if s.sum.Rejected > 0 {
		return freshet.Errorf(freshet.Unprocessable, "%d of %d events were rejected; %s",
			s.sum.Rejected, s.sum.Accepted+s.sum.Duplicates+s.sum.Rejected, s.advice())
	}
	return nil
}

// source chooses how to read the file.
func (c *sendCommand) source(in *input) (source, error) {
	format := c.Format
	if format == "auto" {
		format = "ndjson"
		if strings.HasSuffix(strings.TrimSuffix(strings.ToLower(in.name), ".gz"), ".csv") {
			format = "csv"
		}
	}
	if format == "csv" {
		return newCSVSource(in, c.Text)
	}
	if len(c.Text) > 0 {
		return nil, freshet.Errorf(freshet.InvalidArgument, "--text is for CSV, and %s is read as NDJSON; drop it or add --format csv", in.name)
	}
	return newNDJSONSource(in)
}

// advice says how to mend rejected events without counting others twice.
func (s *sending) advice() string {
	if s.ids.given > 0 {
		return "mend and send only those lines: the others had no event_id and would count again"
	}
	return "mend them and send the file again: what was accepted counts once"
}

// print writes the summary to stdout.
func (s *sending) print(sh *shell) error {
	if sh.json {
		return sh.printJSON(s.sum)
	}
	line := fmt.Sprintf("accepted %s, duplicates %s, rejected %s in %s",
		grouped(s.sum.Accepted), grouped(s.sum.Duplicates), grouped(s.sum.Rejected), s.meter.elapsed().Round(time.Millisecond))
	if s.sum.Retries > 0 {
		line += fmt.Sprintf(" (%s requests sent again)", grouped(s.sum.Retries))
	}
	if _, err := fmt.Fprintln(sh.out, line); err != nil {
		return err
	}
	if s.sum.Position != "" {
		if _, err := fmt.Fprintf(sh.out, "position %s\n", s.sum.Position); err != nil {
			return err
		}
	}
	rows := make([][]string, 0, len(s.sum.Reasons))
	for _, r := range s.sum.Reasons {
		rows = append(rows, []string{fmt.Sprintf("  line %d:", r.Line), string(r.EventID), r.Detail})
	}
	if more := s.sum.Rejected - len(s.sum.Reasons); more > 0 && len(rows) > 0 {
		rows = append(rows, []string{fmt.Sprintf("  and %s more", grouped(more))})
	}
	return sh.printTable(rows)
}
