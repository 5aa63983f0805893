package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// modelsCommand lists models, or compares the versions of one.
type modelsCommand struct {
	Name string `arg:"" optional:"" help:"A model: its versions and their metrics side by side."`
	remote
}

// Run prints the models.
func (c *modelsCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if c.Name != "" {
		m, err := cl.GetModel(ctx, freshet.ModelName(c.Name))
		if err != nil {
			return err
		}
		if sh.json {
			return sh.printJSON(m)
		}
		return sh.printModel(m)
	}
	models, err := cl.ListModels(ctx)
	if err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(map[string]any{"models": models})
	}
	rows := [][]string{{"MODEL", "VERSIONS", "SERVES", "ALIASES", "INPUTS", "LATEST"}}
	for _, m := range models {
		serves := "-"
		if m.Serving > 0 {
			serves = fmt.Sprintf("%s@%d in %s", m.Name, m.Serving, m.Release)
		}
		rows = append(rows, []string{
			string(m.Name), strconv.Itoa(m.Versions), serves, aliasText(m.Aliases), strconv.Itoa(len(m.Latest.Signature.Inputs)),
			strings.TrimSpace(m.Latest.Label() + " " + metricsText(m.Latest.Metrics)),
		})
	}
	return sh.printTable(rows)
}

// printModel has a column for each version, newest first, and a line for each thing that they may differ in.
func (sh *shell) printModel(m client.Model) error {
	versions := slices.Clone(m.Versions)
	slices.Reverse(versions)
	versions = versions[:min(len(versions), maxCompared)]
	line := func(title string, of func(client.ModelVersion) string) []string {
		row := []string{title}
		for _, v := range versions {
			row = append(row, cmp.Or(of(v), "-"))
		}
		return row
	}
	names := map[string]bool{}
	for _, v := range versions {
		for name := range v.Metrics {
			names[name] = true
		}
	}
	rows := [][]string{
		line(string(m.Name), func(v client.ModelVersion) string { return "@" + strconv.Itoa(v.Version) }),
		line("aliases", func(v client.ModelVersion) string { return strings.Join(v.Aliases, ", ") }),
		line("release", func(v client.ModelVersion) string {
			if v.Removed {
				return "removed"
			}
			return string(v.Release)
		}),
		line("inputs", func(v client.ModelVersion) string { return strconv.Itoa(len(v.Signature.Inputs)) }),
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		rows = append(rows, line(name, func(v client.ModelVersion) string {
			if metric, ok := v.Metrics[name]; ok {
				return value(metric)
			}
			return ""
		}))
	}
	rows = append(rows, evaluatedRows(versions, line)...)
	rows = append(rows,
		line("source", func(v client.ModelVersion) string { return v.Lineage.Source }),
		line("run", func(v client.ModelVersion) string { return v.Lineage.RunID }),
		line("published", func(v client.ModelVersion) string { return v.PublishedAt.String() }),
		line("by", func(v client.ModelVersion) string { return v.PublishedBy }),
		line("digest", func(v client.ModelVersion) string { return strings.TrimPrefix(string(v.Digest), "sha256:")[:12] }),
	)
	if err := sh.printTable(rows); err != nil || len(m.History) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(sh.out); err != nil {
		return err
	}
	history := [][]string{{"ALIAS", "VERSION", "SINCE", "BY", "WHY"}}
	for _, h := range slices.Backward(m.History) {
		version := "removed"
		if h.Version > 0 {
			version = fmt.Sprintf("%s@%d", m.Name, h.Version)
		}
		history = append(history, []string{h.Alias, version, h.At.String(), h.Actor, h.Reason})
	}
	return sh.printTable(history)
}

// evaluatedRows are what was measured of the versions after they were published: of each metric the last value.
func evaluatedRows(versions []client.ModelVersion, line func(string, func(client.ModelVersion) string) []string) [][]string {
	last := map[int]map[string]float64{}
	names := map[string]bool{}
	for _, v := range versions {
		last[v.Version] = map[string]float64{}
		for _, e := range v.Evaluations {
			maps.Copy(last[v.Version], e.Metrics)
		}
		for name := range last[v.Version] {
			names[name] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	rows := [][]string{line("evaluated", func(v client.ModelVersion) string {
		if len(v.Evaluations) == 0 {
			return ""
		}
		e := v.Evaluations[len(v.Evaluations)-1]
		return e.At.String() + " by " + e.Actor
	})}
	for _, name := range slices.SortedFunc(maps.Keys(names), compareMetrics) {
		rows = append(rows, line("  "+name, func(v client.ModelVersion) string {
			if metric, ok := last[v.Version][name]; ok {
				return value(metric)
			}
			return ""
		}))
	}
	return rows
}

// maxCompared is how many versions stand side by side; --json has all.
const maxCompared = 6

func aliasText(aliases map[string]int) string {
	texts := make([]string, 0, len(aliases))
	for _, name := range slices.Sorted(maps.Keys(aliases)) {
		texts = append(texts, fmt.Sprintf("%s → @%d", name, aliases[name]))
	}
	return cmp.Or(strings.Join(texts, ", "), "-")
}

func metricsText(metrics map[string]float64) string {
	texts := make([]string, 0, len(metrics))
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		texts = append(texts, name+" "+value(metrics[name]))
	}
	return strings.Join(texts, ", ")
}

// aliasCommand moves or removes an alias of a model.
type aliasCommand struct {
	Model   string `arg:"" help:"Name of the model."`
	Alias   string `arg:"" help:"The alias, such as champion."`
	Version int    `arg:"" optional:"" help:"The version that it shall point at (without: print where it points)."`

	Remove bool   `help:"Remove the alias."`
	Reason string `placeholder:"TEXT" help:"Why, for the audit."`
	remote
}

// Validate is called by kong.
func (c *aliasCommand) Validate() error {
	if c.Remove && c.Version != 0 || c.Version < 0 {
		return fmt.Errorf("expected a version from 1, or --remove without one")
	}
	return nil
}

// Run changes the alias, or prints where it points.
func (c *aliasCommand) Run(ctx context.Context, sh *shell) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	name := freshet.ModelName(c.Model)
	var m client.Model
	if c.Remove || c.Version != 0 {
		m, err = cl.SetAlias(ctx, name, c.Alias, c.Version, &client.AliasOptions{Actor: actor(), Reason: c.Reason})
	} else {
		m, err = cl.GetModel(ctx, name)
	}
	if err != nil {
		return err
	}
	version, ok := m.Aliases[c.Alias]
	if !ok && !c.Remove {
		return freshet.Errorf(freshet.NotFound, "model %s has no alias %s", c.Model, c.Alias)
	}
	if sh.json {
		return sh.printJSON(m)
	}
	text := fmt.Sprintf("%s@%s → %s@%d", m.Name, c.Alias, m.Name, version)
	if !ok {
		text = fmt.Sprintf("%s has no alias %s any more", m.Name, c.Alias)
	}
	_, err = fmt.Fprintln(sh.out, text)
	return err
}
