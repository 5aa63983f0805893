package loadgen

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm sleeps exact to some tens of microseconds. It is a timer of the kernel that Go's poller watches as it watches
// connections: a timer of Go's own is up to a millisecond late, and a thread that sleeps in the kernel keeps its
// processor from the goroutines that read answers until the runtime notices. Either would count as latency of the server.
type alarm struct {
	fd   int
	file *os.File // of fd; nil: the kernel gave none
}

func newAlarm() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return alarm{}
	}
	return alarm{fd, os.NewFile(uintptr(fd), "timer")}
}

// sleep blocks the goroutine for d. It may end early.
func (a alarm) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	var expirations [8]byte
	if a.file == nil || unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil) != nil {
		time.Sleep(d)
	} else if _, err := a.file.Read(expirations[:]); err != nil {
		return // the caller looks at the clock again
	}
}

func (a alarm) close() {
	if a.file != nil {
		a.file.Close()
	}
}
