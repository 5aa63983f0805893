package cli

import "github.com/freshet-ml/freshet"

// Exit codes: an API for scripts.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4 // the server is there and says no: a conflict, a precondition, a missing right
	exitUnavailable = 5 // trying again may help
	exitInterrupted = 130
)

// exitOf is the exit code of a failure.
func exitOf(err error) int {
	switch freshet.CodeOf(err) {
	case "":
		return exitDone
	case freshet.InvalidArgument:
		return exitUsage
	case freshet.NotFound:
		return exitNotFound
	case freshet.Conflict, freshet.PreconditionFailed, freshet.Unauthenticated, freshet.PermissionDenied:
		return exitRefused
	case freshet.Unavailable, freshet.ResourceExhausted, freshet.DeadlineExceeded:
		return exitUnavailable
	default: // too_large, unsupported, unprocessable, internal
		return exitFailed
	}
}
