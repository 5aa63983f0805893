package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/freshet-ml/freshet/modelruntime"
)

// shell is where a command runs: its three streams and how it shall answer.
type shell struct {
	in      io.Reader
	out     io.Writer // answers
	err     io.Writer // progress and errors
	json    bool
	version string

	runtimes []modelruntime.Runtime // kinds of models
}

// fatal ends the process when the disk can no longer be trusted: nothing may be acknowledged after that.
func (sh *shell) fatal(err error) {
	fmt.Fprintf(sh.err, "freshet: the disk failed, nothing more can be kept: %v; look at the disk and start again\n", err)
	os.Exit(exitFailed)
}

// printJSON writes v to stdout, indented.
func (sh *shell) printJSON(v any) error {
	enc := json.NewEncoder(sh.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printTable writes rows with aligned columns, two spaces apart.
func (sh *shell) printTable(rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(sh.out, b.String())
	return err
}

// value writes a feature's value as JSON, numbers in their shortest decimal form.
func value(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
