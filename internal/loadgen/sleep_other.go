//go:build !linux

package loadgen

import "time"

// sleep blocks for d. It may end early.
func sleep(d time.Duration) { time.Sleep(d) }
