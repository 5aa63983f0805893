//go:build !linux

package loadgen

import "time"

// alarm sleeps.
type alarm struct{}

func newAlarm() alarm { return alarm{} }

// sleep blocks the goroutine for d. It may end early.
func (alarm) sleep(d time.Duration) { time.Sleep(d) }

func (alarm) close() {}
