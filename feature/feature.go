// Package feature is the feature language of Freshet: it turns definitions (event types, views, windows, expressions) into
// values of an entity at a moment T, and into the rows that make reading such values cheap.
//
// A Schema decodes events; a View applies them to the bytes of a row (Apply), reads values from those bytes (Read), and
// computes the same values from the events themselves for any T (Compute). All three are pure functions over what they are given:
// the package never looks at a clock, does no I/O, keeps no state between calls and logs nothing. What a value means is
// laid down in the feature contract; Read and Compute agree on it bit for bit.
package feature

import (
	"errors"
	"fmt"
)

// ErrHistory is returned by Read when the row has forgotten what the value was at the moment asked for, as a rule because
// it lies before the last event in the row: Compute must answer from the events.
var ErrHistory = errors.New("feature: the row does not know the moment")

// DefinitionError is one thing that is wrong with a schema or a view. NewSchema and NewView return all of them, joined by
// errors.Join.
type DefinitionError struct {
	// Element says where: "keys[0]" and "fields.NAME" of an event ("events.TYPE.keys[0]" from NewSchema), "entity", "from",
	// "from[1]", "where", "window", "window[1]", "features.NAME".
	Element string
	// Offset is the place in the text of an expression, in bytes; 0 where the element as a whole is wrong.
	Offset int
	Err    error
}

func (e *DefinitionError) Error() string { return fmt.Sprintf("%s: %v", e.Element, e.Err) }

// Unwrap is the problem without the place.
func (e *DefinitionError) Unwrap() error { return e.Err }
