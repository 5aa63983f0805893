package project_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/sharedtest"
)

// The definitions of the feature contract that must be refused, and their neighbours that must load.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(sharedtest.Path(t, "cases/features/errors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases struct {
		Definitions struct {
			Refused, Valid []struct {
				Name    string
				Words   []string
				Project json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases.Definitions.Refused) < 60 || len(cases.Definitions.Valid) < 9 {
		t.Fatalf("%d refused, %d valid", len(cases.Definitions.Refused), len(cases.Definitions.Valid))
	}
	for _, c := range cases.Definitions.Refused {
		t.Run("refused/"+c.Name, func(t *testing.T) {
			t.Parallel()
			_, err := project.Parse("freshet.yaml", c.Project)
			issues, ok := errors.AsType[project.Errors](err)
			if !ok {
				t.Fatalf("error %v, want Errors", err)
			}
			for _, word := range c.Words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v\nwants the word %q", err, word)
				}
			}
			for _, i := range issues {
				if i.File != "freshet.yaml" || i.Line < 1 || i.Column < 1 || i.Message == "" {
					t.Errorf("%+v", i)
				}
			}
			if freshet.CodeOf(err) != freshet.InvalidArgument {
				t.Errorf("code %s", freshet.CodeOf(err))
			}
			t.Log(err)
		})
	}
	for _, c := range cases.Definitions.Valid {
		t.Run("valid/"+c.Name, func(t *testing.T) {
			t.Parallel()
			loads(t, c.Project)
		})
	}
}

// The projects of all worked examples load, with their views and features in the order of the file.
func TestCasesLoad(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(sharedtest.Path(t, "cases/features"), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if filepath.Base(file) == "errors.json" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c struct{ Project json.RawMessage }
			if err := json.Unmarshal(b, &c); err != nil {
				t.Fatal(err)
			}
			loads(t, c.Project)
		})
	}
}

func loads(t *testing.T, text []byte) {
	t.Helper()
	if _, err := project.Parse("freshet.yaml", text); err != nil {
		t.Error(err)
	}
}

// The app of the fixtures loads and gives its model every column.
func TestCalm(t *testing.T) {
	t.Parallel()
	path := sharedtest.Path(t, "fixtures/data/calm.yaml")
	p, err := project.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "calm" || p.Dir != filepath.Dir(path) || len(p.Views) != 4 || len(p.Tables) != 2 || len(p.Models) != 1 {
		t.Errorf("%s in %s: %d views, %d tables, %d models", p.Name, p.Dir, len(p.Views), len(p.Tables), len(p.Models))
	}
	b, err := os.ReadFile(sharedtest.Path(t, "fixtures/data/calm-ranker/golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Columns []string }
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	today, _ := p.Pipeline("today")
	plan, err := today.Bind(doubles(golden.Columns...))
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Inputs) != len(golden.Columns) || len(plan.Views) != 4 || len(plan.Tables) != 2 || plan.Event != -1 || plan.Now < 0 || plan.Keep != nil {
		t.Errorf("%+v", plan)
	}
	ofCandidate := map[string]bool{"share_same_5": true, "content_rate_24h": true, "content_plays_24h": true, "minutes": true, "category": true}
	for i, in := range plan.Inputs {
		if in.Column != golden.Columns[i] || in.Candidate != ofCandidate[in.Column] {
			t.Errorf("input %d: %s, of the candidate: %v", i, in.Column, in.Candidate)
		}
	}
	for _, u := range plan.Views {
		if u.Candidate != (u.View.Name() == "popularity") || u.Candidate != (u.Base >= plan.Shared) {
			t.Errorf("view %s at %d, of the candidate: %v", u.View.Name(), u.Base, u.Candidate)
		}
	}
}
