package server_test

import (
	"fmt"
	"strings"

	"github.com/freshet-ml/freshet"
)

// trace are the last lines about what was done.
type trace struct{ lines []string }

func (t *trace) add(line string) {
	const most = 40
	t.lines = append(t.lines, line)
	t.lines = t.lines[max(0, len(t.lines)-most):]
}

// told tells with a failure what was done before it.
type told struct {
	simT
	*trace
}

func (t told) Fatalf(format string, args ...any) {
	t.Helper()
	t.simT.Fatalf("%s\nafter\n\t%s", fmt.Sprintf(format, args...), strings.Join(t.lines, "\n\t"))
}

// did notes what the simulation has done, and how far that has brought the partitions.
func (s *sim) did(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	for p := range freshet.Partition(freshet.Partitions) {
		if head := s.log.Head(p); head > 0 {
			line += fmt.Sprintf("; %d: head %d, applied %d, checkpoint %d, jobs of %d", p, head, s.features.Applied(p), s.receiver.Checkpoint(p), s.jobs.Emitted(p))
		}
	}
	s.t.add(line)
}
