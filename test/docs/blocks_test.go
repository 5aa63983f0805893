package docs_test

import (
	"regexp"
	"strings"
)

// block is one fenced block of a document.
type block struct {
	line int    // of the opening fence, from 1
	info string // "console", "console no-test", "sh"
	text []string
}

// blocks are the fenced blocks of a Markdown text.
func blocks(text string) []block {
	var found []block
	open := false
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open:
			open = false
		case fence:
			open = true
			found = append(found, block{line: i + 1, info: strings.TrimSpace(info)})
		case open:
			last := &found[len(found)-1]
			last.text = append(last.text, line)
		}
	}
	return found
}

// command is what a reader types after a prompt, and what the document shows as the answer.
type command struct {
	line   int // in the document
	text   string
	output []string // nil: not shown, hence not compared
}

// commands are those of a console block. A command goes on in the next line while a line ends with \ or |, or a quote is
// open; all other lines without a prompt are output.
func (b block) commands() []command {
	var found []command
	goesOn := false
	for i, line := range b.text {
		typed, prompt := strings.CutPrefix(line, "$ ")
		switch {
		case goesOn:
			last := &found[len(found)-1]
			last.text += "\n" + line
			goesOn = unfinished(last.text)
		case prompt:
			found = append(found, command{line: b.line + 1 + i, text: typed})
			goesOn = unfinished(typed)
		case len(found) > 0:
			last := &found[len(found)-1]
			last.output = append(last.output, line)
		}
	}
	return found
}

func unfinished(text string) bool {
	return strings.HasSuffix(text, `\`) || strings.HasSuffix(text, "|") || strings.Count(text, "'")%2 == 1
}

// number is what may differ from run to run: numbers with their separators, times, hashes.
var number = regexp.MustCompile(`\b[0-9a-f]{12,}\b|[0-9]+([.,:][0-9]+)*`)

// spaces are the columns of a table, as wide as their widest number.
var spaces = regexp.MustCompile(` +`)

// progress is a line that a long task prints every five seconds: a slow machine shows some, a fast one none.
var progress = regexp.MustCompile(`(?m)^(\[[#-]+\]|r[0-9]+ (fill views|verify|bake|shadow)\b).*\n`)

func normalised(text string) string {
	text = progress.ReplaceAllString(text, "")
	return spaces.ReplaceAllString(number.ReplaceAllString(text, "0"), " ")
}

// matches reports whether got is what the document shows. A shown line that is only … or ... stands for any number of
// lines, and … within a line for any text. Of a command in the background, only the beginning is compared.
func (c command) matches(got string) bool {
	if c.output == nil {
		return true
	}
	var pattern strings.Builder
	pattern.WriteString("^")
	for _, line := range c.output {
		if skip := strings.TrimSpace(line); skip == "…" || skip == "..." {
			pattern.WriteString("(?:.*\n)*?")
			continue
		}
		quoted := regexp.QuoteMeta(normalised(strings.TrimRight(line, " ")))
		pattern.WriteString(strings.ReplaceAll(quoted, "…", ".*") + " *\n")
	}
	if !c.background() {
		pattern.WriteString("$")
	}
	if !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	return regexp.MustCompile(pattern.String()).MatchString(normalised(got))
}

func (c command) background() bool { return strings.HasSuffix(c.text, " &") }
