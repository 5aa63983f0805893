package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// benchMeter says on stderr what a benchmark is doing: on a terminal in one line that is overwritten, elsewhere a line for
// each step and then one every five seconds.
type benchMeter struct {
	w        io.Writer
	terminal bool
	step     string
	last     time.Time
	shown    bool
}

func newBenchMeter(w io.Writer) *benchMeter {
	f, ok := w.(*os.File)
	return &benchMeter{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// say shows text; often called.
func (m *benchMeter) say(text string) {
	if m.terminal {
		if time.Since(m.last) < 50*time.Millisecond && m.step == stepOf(text) {
			return
		}
		fmt.Fprintf(m.w, "\r%s\x1b[K", text)
		m.shown = true
	} else {
		if time.Since(m.last) < 5*time.Second && m.step == stepOf(text) {
			return
		}
		fmt.Fprintln(m.w, text)
	}
	m.last, m.step = time.Now(), stepOf(text)
}

// clear removes the line, before something else is printed.
func (m *benchMeter) clear() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.shown = false
	}
}

// stepOf tells steps apart: the first two words of what is said.
func stepOf(text string) string {
	spaces := 0
	for i, r := range text {
		if r == ' ' {
			if spaces++; spaces == 2 {
				return text[:i]
			}
		}
	}
	return text
}
