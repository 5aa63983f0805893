package expression

import (
	"errors"

	"github.com/freshet-ml/freshet"
)

// Error is what is wrong with an expression and where. Every error of Parse and Compile holds one; its code is
// freshet.InvalidArgument unless the cause brings another.
type Error struct {
	Offset int // in bytes from the start of the source, for a caller that maps it to line and column
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func errorAt(offset int, format string, args ...any) *Error {
	return &Error{Offset: offset, Err: freshet.Errorf(freshet.InvalidArgument, format, args...)}
}

// placed makes an Error of what an environment said about the call at offset. Where that already knows a place inside
// the call, the narrower place stays.
func placed(offset int, err error) *Error {
	if outer, ok := err.(*Error); ok {
		return outer
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		return &Error{Offset: inner.Offset, Err: err}
	}
	if freshet.CodeOf(err) == freshet.Internal {
		err = freshet.Errorf(freshet.InvalidArgument, "%w", err)
	}
	return &Error{Offset: offset, Err: err}
}
