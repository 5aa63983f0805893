//go:build unix

package cli

import (
	"syscall"
	"time"
)

// ownCPU is the processor time that this process has taken.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
