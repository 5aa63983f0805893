package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// taskMeter shows how far a long task is: a bar on a terminal, a line every five seconds elsewhere.
type taskMeter struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	start    time.Time

	mu    sync.Mutex // it is told by several goroutines
	last  time.Time
	shown bool
}

func newTaskMeter(w io.Writer) *taskMeter {
	m := &taskMeter{w: w, every: 5 * time.Second, start: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.terminal, m.every = true, 100*time.Millisecond
	}
	m.last = m.start
	return m
}

func (m *taskMeter) elapsed() time.Duration { return time.Since(m.start) }

// show prints the line that says where it is, unless it has just done so.
func (m *taskMeter) show(line func() string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.last) < m.every {
		return
	}
	m.last = time.Now()
	if !m.terminal {
		fmt.Fprintln(m.w, line())
		return
	}
	fmt.Fprintf(m.w, "\r%s\x1b[K", line()) // back to the start, and clear what is left of the line before
	m.shown = true
}

func bar(done, total int64) string {
	const width = 24
	share := min(1, float64(done)/float64(max(total, 1)))
	full := int(share * width)
	return fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat("-", width-full), share*100)
}

// close removes the bar.
func (m *taskMeter) close() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}
