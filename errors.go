package freshet

import (
	"errors"
	"fmt"
)

// Code says what kind of failure an error is. The list is closed: clients branch on it, and each door has one table that
// turns a Code into its own status (HTTP status, exit code).
type Code string

const (
	InvalidArgument    Code = "invalid_argument"    // the request is wrong whatever the state of the server
	Unauthenticated    Code = "unauthenticated"     // no key, or an unknown one
	PermissionDenied   Code = "permission_denied"   // the key's scope does not allow this
	NotFound           Code = "not_found"           // the named thing is not there
	Conflict           Code = "conflict"            // it is there already, or somebody else was first
	PreconditionFailed Code = "precondition_failed" // the state is not the one the caller expected
	TooLarge           Code = "too_large"           // over a size limit
	Unsupported        Code = "unsupported"         // a media type, encoding, format or operator that is not read
	Unprocessable      Code = "unprocessable"       // readable, but nothing in it could be accepted
	ResourceExhausted  Code = "resource_exhausted"  // over a rate or backlog bound; try later
	Internal           Code = "internal"            // a fault of the server; its detail is not shown outside
	Unavailable        Code = "unavailable"         // not ready, or going down; try again
	DeadlineExceeded   Code = "deadline_exceeded"   // it took longer than allowed
)

// Error is an error with a Code and, where one is at fault, the name of the field.
type Error struct {
	Code  Code
	Field string // the field, key or column at fault; "" if none
	err   error
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap gives the cause that was formatted with %w, if any.
func (e *Error) Unwrap() error { return errors.Unwrap(e.err) }

// Errorf makes an error of the given code. The format is fmt.Errorf's; %w keeps the cause and, if code is "", its code
// and field.
func Errorf(code Code, format string, args ...any) error {
	return FieldErrorf(code, "", format, args...)
}

// FieldErrorf is Errorf for an error that one field is to blame for. The message should name the field as well.
func FieldErrorf(code Code, field, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if code == "" {
		code = CodeOf(err)
	}
	if field == "" {
		field = FieldOf(err)
	}
	return &Error{Code: code, Field: field, err: err}
}

// CodeOf is the code of the outermost Error in err's chain; Internal if there is none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}

// FieldOf is the field of the outermost Error in err's chain that names one; "" if none does.
func FieldOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Field != "" {
			return e.Field
		}
		err = e.Unwrap()
	}
	return ""
}
