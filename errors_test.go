package freshet_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/freshet-ml/freshet"
)

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := freshet.FieldErrorf(freshet.InvalidArgument, "seconds", "seconds: expected a float, got %q", "x")
	for _, c := range []struct {
		name  string
		err   error
		code  freshet.Code
		field string
		text  string
		is    error
	}{
		{"nil", nil, "", "", "", nil},
		{"foreign", io.EOF, freshet.Internal, "", "EOF", io.EOF},
		{"own", cause, freshet.InvalidArgument, "seconds", `seconds: expected a float, got "x"`, cause},
		{"keeps code and field", freshet.Errorf("", "event 3: %w", cause), freshet.InvalidArgument, "seconds", `event 3: seconds: expected a float, got "x"`, cause},
		{"other code, same field", freshet.Errorf(freshet.Unprocessable, "event 3: %w", cause), freshet.Unprocessable, "seconds", "", cause},
		{"other field", freshet.FieldErrorf("", "event", "event: %w", cause), freshet.InvalidArgument, "event", "", cause},
		{"through fmt", fmt.Errorf("outer: %w", cause), freshet.InvalidArgument, "seconds", "", cause},
		{"foreign cause", freshet.Errorf(freshet.NotFound, "model: %w", io.EOF), freshet.NotFound, "", "model: EOF", io.EOF},
		{"foreign cause without a code", freshet.Errorf("", "model: %w", io.EOF), freshet.Internal, "", "model: EOF", io.EOF},
		{"no cause", freshet.Errorf(freshet.Conflict, "there"), freshet.Conflict, "", "there", nil},
	} {
		if got := freshet.CodeOf(c.err); got != c.code {
			t.Errorf("%s: code is %q, expected %q", c.name, got, c.code)
		}
		if got := freshet.FieldOf(c.err); got != c.field {
			t.Errorf("%s: field is %q, expected %q", c.name, got, c.field)
		}
		if c.text != "" && c.err.Error() != c.text {
			t.Errorf("%s: text is %q, expected %q", c.name, c.err, c.text)
		}
		if c.is != nil && !errors.Is(c.err, c.is) {
			t.Errorf("%s: the cause is lost", c.name)
		}
	}
}
