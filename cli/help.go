package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// printHelp prints the commands of the whole program in groups under one alignment; a command's own help is kong's.
func printHelp(o kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() != nil {
		return kong.DefaultHelpPrinter(o, ctx)
	}
	leaves := ctx.Model.Leaves(true)
	width := 0
	for _, leaf := range leaves {
		width = max(width, len(synopsis(leaf)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage: freshet <command> [flags]\n", ctx.Model.Help)
	for _, g := range groups() {
		title := "\n" + g.Title + "\n"
		for _, leaf := range leaves {
			if group := leaf.ClosestGroup(); group != nil && group.Key == g.Key {
				fmt.Fprintf(&b, "%s  %-*s  %s\n", title, width, synopsis(leaf), leaf.Help)
				title = ""
			}
		}
	}
	b.WriteString("\n`freshet <command> --help` tells more. Every flag is also an environment variable: --server is FRESHET_SERVER.\n")
	b.WriteString("Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 unavailable, 130 interrupted.\n")
	_, err := fmt.Fprint(ctx.Stdout, b.String())
	return err
}

// synopsis is a command with its arguments, such as "get features VIEW KEY...".
func synopsis(n *kong.Node) string {
	words := []string{n.Path()}
	for _, p := range n.Positional {
		word := strings.ToUpper(p.Name)
		if p.IsCumulative() {
			word += "..."
		}
		if !p.Required {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
