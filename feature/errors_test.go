package feature

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/sharedtest"
)

type errorCases struct {
	Definitions struct {
		Refused, Valid []struct {
			Name    string
			Words   []string
			Project json.RawMessage
		}
	}
	Events struct {
		Project            projectCase
		Rejected, Accepted []struct {
			Name, Field, Raw string
			Event            json.RawMessage
		}
	}
}

func loadErrorCases(t *testing.T) (c errorCases) {
	b := sharedtest.Read(t, "cases/features/errors.json")
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// load does what a project parser does with the definitions.
func load(t *testing.T, raw []byte) error {
	var p projectCase
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	schema, err := p.schema()
	if err != nil {
		return err
	}
	var problems []error
	for _, spec := range p.viewSpecs(t) {
		_, err := NewView(schema, spec)
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func TestDefinitionCases(t *testing.T) {
	t.Parallel()
	c := loadErrorCases(t)
	// A key of a view that nobody knows is the business of the parser of project files.
	elsewhere := []string{"unknown key of a view"}
	for _, d := range c.Definitions.Refused {
		if slices.Contains(elsewhere, d.Name) {
			continue
		}
		err := load(t, d.Project)
		if err == nil {
			t.Errorf("%s: it loads", d.Name)
			continue
		}
		if _, ok := errors.AsType[*DefinitionError](err); !ok || freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s: %v is no DefinitionError of code invalid_argument", d.Name, err)
		}
		for _, w := range d.Words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not hold %q", d.Name, err, w)
			}
		}
		t.Logf("%s: %v", d.Name, err)
	}
	for _, d := range c.Definitions.Valid {
		if err := load(t, d.Project); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

func TestEventCases(t *testing.T) {
	t.Parallel()
	c := loadErrorCases(t)
	schema, err := c.Events.Project.schema()
	if err != nil {
		t.Fatal(err)
	}
	r := schema.NewRecord()
	for _, e := range c.Events.Rejected {
		raw := []byte(e.Event)
		if e.Raw != "" {
			raw = []byte(e.Raw)
		}
		err := schema.Decode(raw, freshet.MaxTimestamp, r)
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != e.Field || !strings.Contains(err.Error(), e.Field) {
			t.Errorf("%s: field %q of %v, want %q", e.Name, freshet.FieldOf(err), err, e.Field)
		}
		t.Logf("%s: %v", e.Name, err)
	}
	for _, e := range c.Events.Accepted {
		if err := schema.Decode(e.Event, freshet.MaxTimestamp, r); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
}
