package server

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
)

// MinMemory is the least that Options.Memory may be: a server without a user takes about 40 MB.
const MinMemory = 128 << 20

// programBytes is what the kernel counts as the process's memory and Go's runtime does not: the binary's own pages.
const programBytes = 32 << 20

// shares are the parts of Options.Memory, in bytes.
type shares struct {
	rows     int64 // feature rows in memory, those included that wait for a checkpoint
	unsaved  int64 // rows of a partition that wait for its checkpoint
	blocks   int64 // read from disk, memtables included
	memTable int64 // one of four
	tail     int64 // the newest events of the log
	ids      int64 // the filter of event ids

	predictions int64 // in memory, in front of the disk
}

// sharesOf divides memory. All parts together are half of it: the collector lets the heap grow to twice what lives in it, and with
// less room than that it would run all the time. What requests, models and tables take comes out of that room: the collector
// runs the more often, up to the limit (see HeapLimit), the more they take. Rows are a quarter, because whoever was just active is asked for
// next; blocks, which are packed denser and serve what is cold, five thirty-seconds.
func sharesOf(memory int64) shares {
	return shares{
		rows: memory / 4, unsaved: memory / 16 / freshet.Partitions,
		blocks: memory / 32 * 5, memTable: memory / 64,
		tail: min(memory/32, 32<<20), ids: memory / 32,
		predictions: memory / 32,
	}
}

// HeapLimit is the soft limit for Go's runtime (runtime/debug.SetMemoryLimit) of a process whose server has memory bytes: what
// the kernel counts for the process then stays below memory. The limit belongs to the process and not to a server, so that whoever
// runs the process sets it.
func HeapLimit(memory int64) int64 {
	memory = max(memory, MinMemory)
	limit := memory - programBytes
	if disk.OffHeap {
		limit -= sharesOf(memory).blocks
	}
	return limit
}

// GCPercent is for Go's runtime (runtime/debug.SetGCPercent) of a process whose heap has a HeapLimit: how much garbage may come together, in
// percent of what lives, while the limit is far. On two cores a request that comes in during a cycle of the collector waits for
// milliseconds; with four times fewer cycles these are fewer than one in a hundred.
const GCPercent = 400

// DefaultMemory is a quarter of the machine's memory, or of its container's, and not more than a limit that was set for Go's
// runtime, such as by GOMEMLIMIT; but at least MinMemory.
func DefaultMemory() int64 {
	return max(min(machineMemory()/4, debug.SetMemoryLimit(-1)), MinMemory)
}

// assumedMemory is what a machine has that doesn't say.
const assumedMemory = 4 << 30

// machineMemory is how many bytes of memory this process may have: those of the machine, or of its container.
func machineMemory() int64 {
	total := memTotal("/proc/meminfo")
	// cgroup v2, then v1. Without a limit they say "max", or more than there is.
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				total = min(total, n)
			}
		}
	}
	return total
}

// memTotal reads Linux's meminfo; elsewhere there is none.
func memTotal(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return assumedMemory
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "MemTotal:" {
			continue
		}
		if kb, err := strconv.ParseInt(fields[1], 10, 64); err == nil && kb > 0 && kb < 1<<50 {
			return kb << 10
		}
	}
	return assumedMemory
}
