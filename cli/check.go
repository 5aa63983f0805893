package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
)

// checkCommand checks a project as a server would before it starts.
type checkCommand struct {
	Project string `default:"." placeholder:"PATH" help:"The project file, or the folder it is in (default: this folder)."`
}

// Help is the long text of `freshet check --help`.
func (checkCommand) Help() string {
	return `Compiles the project file and opens the tables and models that it names, exactly as a server does before it starts. Every
mistake is one line: the file, line and column, what is wrong, and the nearest valid name.`
}

// Run prints what the project holds, or everything that is wrong with it.
func (c *checkCommand) Run(sh *shell) error {
	p, err := sh.openProject(c.Project)
	if err != nil {
		return sh.printProblems(err)
	}
	s := summarize(p)
	if sh.json {
		return sh.printJSON(s)
	}
	return s.print(sh)
}

// openProject compiles a project and opens what it names; the tables and models are closed again.
func (sh *shell) openProject(path string) (*project.Project, error) {
	p, err := project.Load(path)
	if err != nil {
		return nil, err
	}
	opened, err := release.Open(p, sh.runtimes)
	if err != nil {
		return nil, err
	}
	return p, opened.Close()
}

// printProblems writes one line a problem and returns their number as the error.
func (sh *shell) printProblems(err error) error {
	if freshet.CodeOf(err) == freshet.NotFound && !strings.Contains(err.Error(), "\n") {
		return err // there is no project file
	}
	lines := strings.Split(err.Error(), "\n")
	if sh.json {
		if err := sh.printJSON(map[string]any{"ok": false, "errors": lines}); err != nil {
			return err
		}
	} else if _, err := io.WriteString(sh.err, err.Error()+"\n"); err != nil {
		return err
	}
	if len(lines) == 1 {
		return freshet.Errorf(freshet.Unprocessable, "1 problem in the project; mend it and check again")
	}
	return freshet.Errorf(freshet.Unprocessable, "%d problems in the project; mend them and check again", len(lines))
}

// overview is what `freshet check` answers for a project without problems.
type overview struct {
	OK        bool           `json:"ok"`
	Project   string         `json:"project"`
	Digest    freshet.Digest `json:"digest"`
	Entities  []named        `json:"entities"`
	Events    []named        `json:"events"`
	Views     []named        `json:"views"`
	Tables    []named        `json:"tables"`
	Models    []named        `json:"models"`
	Pipelines []named        `json:"pipelines"`
}

// named is one thing of a project and what to know about it.
type named struct {
	Name string `json:"name"`
	What string `json:"what"`
}

func summarize(p *project.Project) overview {
	o := overview{OK: true, Project: p.Name, Digest: p.Digest}
	for _, e := range p.Entities {
		o.Entities = append(o.Entities, named{string(e.Kind), "key " + strings.Join(e.KeyFields, ", ")})
	}
	for _, e := range p.Events {
		o.Events = append(o.Events, named{string(e.Type), plural(len(e.Fields), "field")})
	}
	for _, v := range p.Views {
		names := make([]string, 0, len(v.Features()))
		for _, f := range v.Features() {
			names = append(names, fmt.Sprintf("%s %s", f.Name, f.Type))
		}
		o.Views = append(o.Views, named{string(v.Name()), fmt.Sprintf("of %s: %s", v.Entity(), strings.Join(names, ", "))})
	}
	for _, t := range p.Tables {
		from := "from " + t.File
		if t.Push {
			from = "by push"
		}
		o.Tables = append(o.Tables, named{string(t.Name), fmt.Sprintf("of %s: %s %s", t.Entity, plural(len(t.Spec.Columns), "column"), from)})
	}
	for _, m := range p.Models {
		o.Models = append(o.Models, named{string(m.Name), m.Path})
	}
	for _, l := range p.Pipelines {
		what := "model " + string(l.Model)
		if l.Candidates != "" {
			what += ", ranks " + string(l.Candidates)
		}
		o.Pipelines = append(o.Pipelines, named{string(l.Name), what})
	}
	return o
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (o overview) print(sh *shell) error {
	rows := [][]string{{"project", o.Project, string(o.Digest)}}
	for _, section := range []struct {
		title string
		items []named
	}{
		{"entity", o.Entities}, {"event", o.Events}, {"view", o.Views},
		{"table", o.Tables}, {"model", o.Models}, {"pipeline", o.Pipelines},
	} {
		for _, item := range section.items {
			rows = append(rows, []string{section.title, item.Name, item.What})
		}
	}
	return sh.printTable(append(rows, []string{"ok"}))
}
