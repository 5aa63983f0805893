package server

import (
	"os"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
)

// minMemory is the least that is divided: below it every part would be too small to be of use.
const minMemory = 64 << 20

// shares are the parts of Options.Memory.
type shares struct {
	rows     int64 // feature rows in memory
	cache    int64 // blocks read from disk
	memTable int64 // one of four
	unsaved  int64 // rows of a partition that were changed since its checkpoint
}

// sharesOf divides memory. Rows take three eighths, because the garbage collector lets the heap grow to about twice what
// lives in it; blocks, which are packed denser and serve what is cold, an eighth; memtables a sixteenth as long as they are small; rows that wait for the
// checkpoint of their partition an eighth at most. What is left is for requests and jobs.
func sharesOf(memory int64) shares {
	memory = max(memory, minMemory)
	return shares{rows: memory / 8 * 3, cache: memory / 8, memTable: memory / 64, unsaved: memory / 8 / freshet.Partitions}
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
