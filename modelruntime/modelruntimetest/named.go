package modelruntimetest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// inOrder puts rows that are recorded by name, as those of ONNX graphs with several inputs or outputs are, into the order of
// the model's columns and outputs. What the model does not answer, such as labels beside probabilities, is left out.
func (g Golden) inOrder(t *testing.T, inputs, outputs []string) Golden {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.Dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct{ Inputs, Outputs []json.RawMessage }
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	g.Inputs = named(t, g.Inputs, recorded.Inputs, inputs)
	g.Outputs = named(t, g.Outputs, recorded.Outputs, outputs)
	return g
}

// named are the rows, those that are objects as lists of the values of the names.
func named(t *testing.T, rows []row, recorded []json.RawMessage, names []string) []row {
	t.Helper()
	all := make([]row, len(rows))
	for i, text := range recorded {
		if text[0] != '{' {
			all[i] = rows[i]
			continue
		}
		known := make(map[string]value)
		collect(t, "", text, known)
		for _, name := range names {
			v, ok := known[name]
			if !ok {
				t.Fatalf("row %d: nothing is recorded for %q", i, name)
			}
			all[i] = append(all[i], v)
		}
	}
	return all
}

// collect names the values of an object: x is a single one, x_0 the first of a list, x_k what an object x calls k.
func collect(t *testing.T, name string, text json.RawMessage, to map[string]value) {
	t.Helper()
	if text[0] == '{' {
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(text, &inner); err != nil {
			t.Fatal(err)
		}
		for key, v := range inner {
			if name != "" {
				key = name + "_" + key
			}
			collect(t, key, v, to)
		}
		return
	}
	var list row
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for i, v := range list {
		to[name+"_"+strconv.Itoa(i)] = v
	}
	if len(list) == 1 {
		to[name] = list[0]
	}
}
