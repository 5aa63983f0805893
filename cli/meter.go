package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// meter shows how far sending has got: a bar on a terminal, a line every five seconds elsewhere.
type meter struct {
	w        io.Writer
	in       *input
	terminal bool
	every    time.Duration
	start    time.Time
	last     time.Time
	shown    bool
}

func newMeter(w io.Writer, in *input) *meter {
	m := &meter{w: w, in: in, every: 5 * time.Second, start: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		m.terminal, m.every = true, 100*time.Millisecond
	}
	m.last = m.start
	return m
}

func (m *meter) elapsed() time.Duration { return time.Since(m.start) }

// show prints where sending is, unless it has just done so.
func (m *meter) show(s summary) {
	if time.Since(m.last) < m.every {
		return
	}
	m.last = time.Now()
	line := m.line(s)
	if m.terminal {
		fmt.Fprintf(m.w, "\r%s\x1b[K", line) // back to the start, and clear what is left of the line before
		m.shown = true
		return
	}
	fmt.Fprintln(m.w, line)
}

func (m *meter) line(s summary) string {
	events := s.Accepted + s.Duplicates + s.Rejected
	line := fmt.Sprintf("%s events, %s/s", grouped(events), grouped(int(float64(events)/m.elapsed().Seconds())))
	if done := m.in.done(); done >= 0 {
		const width = 24
		full := int(done * width)
		line = fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", full), strings.Repeat("-", width-full), done*100, line)
	}
	if s.Rejected > 0 {
		line += ", rejected " + grouped(s.Rejected)
	}
	if s.Retries > 0 {
		line += ", sent again " + grouped(s.Retries)
	}
	return line
}

// close removes the bar.
func (m *meter) close() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
	}
}

// grouped writes n with commas: 12,500.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
