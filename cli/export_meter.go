package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/freshet-ml/freshet/internal/trainingset"
)

// exportMeter shows how far an export is: a bar on a terminal, a line every five seconds elsewhere.
type exportMeter struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	start    time.Time

	mu    sync.Mutex // it is told by several goroutines
	last  time.Time
	shown bool
}

func newExportMeter(w io.Writer) *exportMeter {
	m := &exportMeter{w: w, every: 5 * time.Second, start: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.terminal, m.every = true, 100*time.Millisecond
	}
	m.last = m.start
	return m
}

func (m *exportMeter) elapsed() time.Duration { return time.Since(m.start) }

// show prints where it is, unless it has just done so.
func (m *exportMeter) show(p trainingset.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.last) < m.every {
		return
	}
	m.last = time.Now()
	if !m.terminal {
		fmt.Fprintln(m.w, exportLine(p))
		return
	}
	fmt.Fprintf(m.w, "\r%s\x1b[K", exportLine(p)) // back to the start, and clear what is left of the line before
	m.shown = true
}

// exportLine says what is under way: reading rows, whose number is not known; then events; then writing.
func exportLine(p trainingset.Progress) string {
	switch {
	case p.Total == 0:
		return grouped(int(p.Rows)) + " rows read"
	case p.Written > 0:
		return bar(p.Written, p.Rows) + fmt.Sprintf("  %s of %s rows written", grouped(int(p.Written)), grouped(int(p.Rows)))
	}
	return bar(p.Events, p.Total) + fmt.Sprintf("  %s of %s events", grouped(int(p.Events)), grouped(int(p.Total)))
}

func bar(done, total int64) string {
	const width = 24
	share := min(1, float64(done)/float64(max(total, 1)))
	full := int(share * width)
	return fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat("-", width-full), share*100)
}

// close removes the bar.
func (m *exportMeter) close() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}
