package server

import "runtime"

// enoughThreads is how many threads of Go code are enough for one that must run at once to find one.
const enoughThreads = 4

// Threads is for Go's runtime (runtime.GOMAXPROCS) of a process that has a server: on a machine of fewer than four cores twice as many
// as these, otherwise as many as there are. With two threads, a flush and a compaction or a cycle of the collector hold both, and a request waits
// until Go takes one from them, up to 10 ms; with four, the operating system divides two cores between them, and lets whoever has just woken go first.
// Where the process may use only a part of the machine (a quota), more threads would use that up at once and then all have to wait: there the
// number stays. It belongs to the process, so that whoever runs the process sets it.
func Threads() int { return threads(runtime.GOMAXPROCS(0), runtime.NumCPU()) }

func threads(now, cores int) int {
	if now < cores {
		return now
	}
	return max(cores, min(2*cores, enoughThreads))
}

// halfTheCores is half as many as this process may use, at least one: what works through a backlog leaves the other half to the door and to fresh features.
func halfTheCores() int { return max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())/2) }
