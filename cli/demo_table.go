package cli

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// demoTable redraws the snapshot in place: it goes back up over its own lines and writes them anew, so that what was on
// the terminal before stays.
type demoTable struct {
	out    *os.File
	host   *demoHost
	colour bool
	lines  int // that the last frame took
}

func (d *demoTable) interval() time.Duration { return 250 * time.Millisecond }

func (d *demoTable) begin() { fmt.Fprint(d.out, "\r\x1b[K\x1b[?25l") } // clear the note, hide the cursor

func (d *demoTable) end() { fmt.Fprint(d.out, "\x1b[?25h") }

func (d *demoTable) draw(s demoSnapshot) error {
	width, height, err := term.GetSize(int(d.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	if line := d.host.log.String(); line != "" {
		s.Trouble = line
	}
	lines := demoFrame(s, d.host.describe(), width, height, d.colour)
	lines = lines[:min(len(lines), max(height-1, 1))] // a frame that scrolls cannot be drawn over
	var b strings.Builder
	if d.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.lines)
	}
	for _, line := range lines {
		b.WriteString("\r" + line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J") // what a longer frame left below
	d.lines = len(lines)
	_, err = d.out.WriteString(b.String())
	return err
}

// Styles by SGR number.
const (
	bold  = "1"
	faint = "2"
	green = "32"
	red   = "31"
)

// demoFrame is the table, a line each, none wider than width. A low terminal shows fewer users.
func demoFrame(s demoSnapshot, where string, width, height int, colour bool) []string {
	const others = 15 // lines beside those of the users, with one for trouble
	users := min(max((height-1-others)/2, 1), demoShown)
	p := painter{width: width, colour: colour}
	p.line(p.text(bold, "freshet demo"), p.text("", "  meditation app, 2,000 users, 300 titles  "), p.text(faint, "up "+clock(s.Uptime)))
	p.line()
	label := func(name string) span { return p.text(faint, fmt.Sprintf("  %-20s", name)) }
	p.line(label("events"), p.text(bold, fmt.Sprintf("%6s /s", grouped(round(s.EventsPerSecond)))), p.text(faint, fmt.Sprintf("   %s accepted", grouped(s.Accepted))))
	p.line(label("predictions"), p.text(bold, fmt.Sprintf("%6s /s", grouped(round(s.PredictionsPerSecond)))), p.text(faint, fmt.Sprintf("   %s stored", grouped(s.Predictions))))
	latency := []span{label("event → prediction"), p.text("", "     …")}
	if s.Samples > 0 {
		latency = []span{label("event → prediction"), p.text("", "p50 "), p.text(bold, fmt.Sprintf("%.1f ms", s.P50)), p.text("", "   p99 "), p.text(bold, fmt.Sprintf("%.1f ms", s.P99)),
			p.text(faint, fmt.Sprintf("   newest %d samples", s.Samples))}
	}
	p.line(latency...)
	p.line(label("backlog"), p.text("", fmt.Sprintf("%s events, %s jobs", grouped(s.BacklogEvents), grouped(s.BacklogJobs))))
	if s.WatermarkBehind > 0 {
		p.line(label("watermark"), p.text("", behind(s.WatermarkBehind)+" behind"), p.text(faint, "   (lateness 12 h)"))
	} else {
		p.line(label("watermark"), p.text("", "…"))
	}
	p.line(label("release"), p.text("", firstOr(string(s.Release), "…")), p.text("", "   "+s.Model))
	p.line()
	for i := range users {
		if i < len(s.Users) {
			p.user(s.Users[i])
		} else {
			p.line(p.text(faint, "  …"))
			p.line()
		}
	}
	p.line()
	user := demoFirstUser
	if len(s.Users) > 0 {
		user = s.Users[0].User
	}
	p.line(p.text(faint, "  server   "), p.text("", where))
	p.line(p.text(faint, "  look at  "), p.text("", s.URL+"/v1/status  "+s.URL+"/metrics"))
	p.line(p.text(faint, "  or       "), p.text("", fmt.Sprintf("curl -s %s/v1/users/%s/predictions/%s", s.URL, user, demoPipeline)))
	if s.Trouble != "" {
		p.line(p.text(red, "  trouble  "+s.Trouble))
	}
	p.line(p.text(faint, "  + new, ↑ higher, ↓ lower than in the prediction before      Ctrl-C ends it"))
	return p.lines
}

// user draws two lines: what the user did, and what is recommended since.
func (p *painter) user(u demoUserShown) {
	ago := fmt.Sprintf("%.0f s ago", u.Ago)
	const indent, room = 9, 34 // of the titles' line; the times stand where its third title may end
	did := cut(u.Did, p.width-indent-len(ago)-3)
	fill := min(p.width-1, indent+demoTop*room) - indent - utf8.RuneCountInString(did) - len(ago)
	fresh := faint
	if u.Ago < 1.5 {
		fresh = bold
	}
	p.line(p.text(fresh, fmt.Sprintf("  %-7s", u.User)), p.text(fresh, did), p.text("", strings.Repeat(" ", max(fill, 1))), p.text(faint, ago))
	// The titles share the width that is left, so that all scores can be seen.
	const score, mark = 5, 2
	each := min((p.width-indent)/demoTop, room)
	spans := []span{p.text("", strings.Repeat(" ", indent))}
	for _, item := range u.Items {
		style := ""
		if item.Mark != "" {
			style = green
		}
		title := cut(item.Title, min(max(each-score-mark-1, 4), 26))
		text := fmt.Sprintf("%1s %s %.2f", item.Mark, title, item.Score)
		spans = append(spans, p.text(style, text), p.text("", strings.Repeat(" ", max(each-utf8.RuneCountInString(text), 1))))
	}
	p.line(spans...)
}

// painter gathers lines that fit the width.
type painter struct {
	width  int
	colour bool
	lines  []string
}

// span is a piece of a line and how it looks.
type span struct{ style, text string }

func (p *painter) text(style, text string) span { return span{style, text} }

// line adds a line, cut at the width: styles take no room.
func (p *painter) line(spans ...span) {
	var b strings.Builder
	room := p.width - 1 // the last column would wrap on some terminals
	for _, s := range spans {
		text := cut(s.text, room)
		room -= utf8.RuneCountInString(text)
		if p.colour && s.style != "" && text != "" {
			text = "\x1b[" + s.style + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	p.lines = append(p.lines, strings.TrimRight(b.String(), " "))
}

// cut shortens text to width runes, the last one a "…" if something is missing.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width <= 0 {
		return ""
	}
	runes := []rune(text)
	return string(runes[:width-1]) + "…"
}

func round(v float64) int { return int(v + 0.5) }

func firstOr(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
