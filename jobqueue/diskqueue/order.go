package diskqueue

import "github.com/freshet-ml/freshet"

// class is the part of the queue for one priority. It stands in the two highest bits of a job's sequence, so that a
// sequence alone says the place in the queue, and each class is one piece of the disk.
type class uint8

const (
	normal class = iota // 0: what was stored before there were priorities
	high
	low
	classes
)

// byRank are the classes as they are leased.
var byRank = [classes]class{high, normal, low}

const classShift = 62

func classOf(sequence uint64) class { return class(sequence >> classShift) }

func classFor(p freshet.Priority) class {
	switch {
	case p > freshet.NormalPriority:
		return high
	case p < freshet.NormalPriority:
		return low
	}
	return normal
}

// rank orders sequences as they are leased: high, normal, low, and within a class as they were enqueued.
func rank(sequence uint64) uint64 { return sequence ^ 1<<classShift }
