package eventlog

import "github.com/freshet-ml/freshet"

// Stats counts what went through a Log since it was made.
type Stats struct {
	Calls      uint64 // of Append that succeeded
	Appended   uint64 // events accepted, each once however many entities it has
	Duplicates uint64 // events that were known already
	Groups     uint64 // that a driver with group commit made durable with one sync each; 0 for one without
	Heads      [freshet.Partitions]freshet.Offset
}

// EventsPerGroup is how many events shared one sync on average; 0 if none did.
func (s Stats) EventsPerGroup() float64 {
	if s.Groups == 0 {
		return 0
	}
	return float64(s.Appended) / float64(s.Groups)
}

// GroupCommitter is a Driver that makes several calls of Append durable at once.
type GroupCommitter interface {
	// Groups is the number of groups since it was opened.
	Groups() uint64
}

// Stats is a snapshot; counts that change meanwhile may differ by the calls under way.
func (l *Log) Stats() Stats {
	s := Stats{Calls: l.calls.Load(), Appended: l.appended.Load(), Duplicates: l.duplicates.Load()}
	if g, ok := l.d.(GroupCommitter); ok {
		s.Groups = g.Groups()
	}
	for p := range s.Heads {
		s.Heads[p] = l.d.Head(freshet.Partition(p))
	}
	return s
}
