// Package cli is the command line of Freshet: one file a command. It parses flags, turns signals into the end of a
// context, and prints; the work is done by package server (freshet serve), by package client (whatever asks a running
// server) and by the kits of the project file. A team's own binary is a main that calls Main. The package never touches
// storage, and nothing in it exits the process but a second interrupt and a broken disk.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/server"
)

// Options of Main. The zero value is the freshet binary.
type Options struct {
	Args    []string // without the program's name. nil: os.Args[1:]
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string // "" is the version that the Go toolchain stamped into the binary
	// Runtimes are kinds of models beside those that come with Freshet: a team's own.
	Runtimes []modelruntime.Runtime
}

// Main runs one command and returns the exit code of the process. The first SIGINT or SIGTERM ends the command's
// context, a second one ends the process with 130.
func Main(o Options) int {
	if o.Args == nil {
		o.Args = os.Args[1:]
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	ctx, stop := interruptible(context.Background())
	defer stop()
	return run(ctx, o)
}

// run parses the arguments, runs the command and prints its error.
func run(ctx context.Context, o Options) int {
	sh := &shell{
		in: o.Stdin, out: o.Stdout, err: o.Stderr, version: o.Version,
		runtimes: append(server.Runtimes(), o.Runtimes...),
	}
	tree := &tree{}
	exited := -1 // set by kong when it has printed help
	parser, err := newParser(tree, sh, func(code int) { exited = code })
	if err != nil {
		fmt.Fprintf(o.Stderr, "freshet: the command tree is broken: %v\n", err)
		return exitFailed
	}
	parsed, err := parser.Parse(helpArgs(o.Args))
	if exited >= 0 {
		return exited
	}
	if err != nil {
		return sh.usage(err)
	}
	sh.json = tree.JSON
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(sh)
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil {
		fmt.Fprintf(o.Stderr, "freshet: interrupted: %v\n", err)
		return exitInterrupted
	}
	fmt.Fprintf(o.Stderr, "freshet: %v\n", err)
	return exitOf(err)
}

// newParser builds the grammar of the command tree. Every flag can also be set by its FRESHET_… variable.
func newParser(t *tree, sh *shell, exit func(int)) (*kong.Kong, error) {
	return kong.New(t,
		kong.Name("freshet"),
		kong.Description("Fresh features, one release per prediction: events in, what a model says now out."),
		kong.Writers(sh.out, sh.err),
		kong.Exit(exit),
		kong.DefaultEnvars("FRESHET"),
		kong.ExplicitGroups(groups()),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	)
}

// helpArgs makes no arguments, and "help COMMAND", ask for help.
func helpArgs(args []string) []string {
	if len(args) == 0 {
		return []string{"--help"}
	}
	if args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// usage prints what is wrong with the arguments and where the right ones stand.
func (sh *shell) usage(err error) int {
	command := "freshet"
	if pe, ok := errors.AsType[*kong.ParseError](err); ok && pe.Context.Selected() != nil {
		command = pe.Context.Selected().FullPath()
	}
	fmt.Fprintf(sh.err, "freshet: %v; see `%s --help`\n", err, command)
	return exitUsage
}
