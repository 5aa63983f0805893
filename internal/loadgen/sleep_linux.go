package loadgen

import (
	"syscall"
	"time"
)

// sleep blocks the thread for d, exact to some tens of microseconds. It may end early.
func sleep(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	if err := syscall.Nanosleep(&t, nil); err != nil {
		return // interrupted by a signal: the caller looks at the clock again
	}
}
