package cli

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// getFeaturesCommand reads one view of one entity.
type getFeaturesCommand struct {
	View string   `arg:"" help:"Name of the feature view."`
	Key  []string `arg:"" help:"A user's id, or FIELD=VALUE for each key field of the view's entity."`

	At   moment      `placeholder:"TIME" help:"The moment to read at: RFC 3339 or epoch milliseconds (default: now)."`
	AsOf client.AsOf `enum:"event,known" default:"event" help:"What a read in the past sees: all that had happened (event), or what the server knew by then (known)."`
	waiting
	remote
}

// waiting are the flags that make a read wait for events.
type waiting struct {
	After string        `placeholder:"POSITION" help:"Wait until the events of this position count; freshet send prints it."`
	Wait  time.Duration `default:"5s" help:"How long to wait for --after, 30s at most (default ${default})."`
}

// Validate is called by kong.
func (w waiting) Validate() error {
	if w.Wait < 0 || w.Wait > 30*time.Second {
		return fmt.Errorf("--wait %s: expected 0s to 30s", w.Wait)
	}
	return nil
}

// bound is Wait, but nothing when there is nothing to wait for.
func (w waiting) bound() time.Duration {
	if w.After == "" {
		return 0
	}
	return w.Wait
}

// moment is a time on the command line. The zero moment is now.
type moment struct{ time.Time }

// UnmarshalText reads RFC 3339 or epoch milliseconds.
func (m *moment) UnmarshalText(b []byte) error {
	var t freshet.Timestamp
	if err := t.UnmarshalJSON(b); err != nil {
		if t, err = freshet.ParseTimestamp(string(b)); err != nil {
			return err
		}
	}
	m.Time = t.Time()
	return nil
}

// Help is the long text of `freshet get features --help`.
func (getFeaturesCommand) Help() string {
	return `Examples:

  freshet get features session u1
  freshet get features popularity content_id=c1 --at 2025-03-03T12:00:00Z`
}

// Run prints the values, aligned.
func (c *getFeaturesCommand) Run(ctx context.Context, sh *shell) error {
	entity, err := keyFields(c.Key)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	asOf := c.AsOf
	if asOf == client.AsOfEvent {
		asOf = ""
	}
	f, err := cl.GetFeatures(ctx, freshet.ViewName(c.View), entity, &client.FeatureOptions{
		At: c.At.Time, AsOf: asOf, After: c.After, Wait: c.bound(),
	})
	if freshet.FieldOf(err) == "user_id" && !strings.Contains(c.Key[0], "=") {
		return freshet.Errorf("", "%w; give the key as FIELD=VALUE", err) // user_id was our guess
	}
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(f)
	}
	head := fmt.Sprintf("%s of %s at %s, release %s", f.View, describe(f.Entity), f.At, f.Release)
	if f.Stale {
		head += " (does not see the events of --after yet)"
	}
	if _, err := fmt.Fprintln(sh.out, head); err != nil {
		return err
	}
	rows := make([][]string, 0, len(f.Features))
	for _, name := range slices.Sorted(maps.Keys(f.Features)) {
		rows = append(rows, []string{"  " + name, value(f.Features[name])})
	}
	return sh.printTable(rows)
}

var keyField = regexp.MustCompile(`^([a-z][a-z0-9_]{0,62})=(.+)$`)

// keyFields reads the key arguments. A single bare value is a user's id, the usual case.
func keyFields(args []string) (map[string]string, error) {
	entity := make(map[string]string, len(args))
	for _, arg := range args {
		field, v := "user_id", arg
		if m := keyField.FindStringSubmatch(arg); m != nil {
			field, v = m[1], m[2]
		} else if len(args) > 1 {
			return nil, freshet.Errorf(freshet.InvalidArgument,
				"key %q: of several key fields each is given as FIELD=VALUE, such as user_id=u1", arg)
		}
		if _, ok := entity[field]; ok {
			return nil, freshet.Errorf(freshet.InvalidArgument, "key field %s is given twice; give each once", field)
		}
		entity[field] = v
	}
	return entity, nil
}

// describe writes an entity's key fields: "user_id=u1".
func describe(entity map[string]string) string {
	parts := make([]string, 0, len(entity))
	for _, field := range slices.Sorted(maps.Keys(entity)) {
		parts = append(parts, field+"="+entity[field])
	}
	return strings.Join(parts, " ")
}
