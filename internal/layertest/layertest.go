// Package layertest is a kit for tests: it reads the import lines of every Go file of the module and reports what breaks
// the rules of the house (docs/architecture.md): who may import whom, that nothing hides in init functions, and where
// goroutines start. It parses files itself and runs no go command: what a child process reads, the cache of go test does
// not see.
package layertest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the module whose packages the rules are about.
const Module = "github.com/freshet-ml/freshet"

// Rules are the exceptions that the rules need; each has its reason beside it, for the reader.
type Rules struct {
	// ThirdParties are what vocabulary-only packages may import beyond the standard library, by package path.
	ThirdParties map[string]map[string]string
	// Siblings are hand-offs, extension points and drivers that a package may import beside what its kind may.
	Siblings map[string]map[string]string
	// Goroutines are the files outside server, drivers, cli and cmd that start goroutines.
	Goroutines map[string]string
}

// Breach is one line that breaks a rule.
type Breach struct {
	Position string // FILE:LINE
	Rule     string
}

func (b Breach) String() string { return b.Position + ": " + b.Rule }

// Check reads every Go file below the root of fsys, the module's folder. Returns an error if a file cannot be parsed.
func Check(fsys fs.FS, rules Rules) ([]Breach, error) {
	var breaches []Breach
	var problems []error
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && skipped(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		found, err := checkFile(fsys, name, rules)
		if err != nil {
			problems = append(problems, err)
		}
		breaches = append(breaches, found...)
		return nil
	})
	return breaches, errors.Join(append(problems, err)...)
}

// skipped leaves out what the go command leaves out, other modules, and folders without Go of ours.
func skipped(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func checkFile(fsys fs.FS, name string, rules Rules) ([]Breach, error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	from := place(path.Dir(name))
	test := strings.HasSuffix(name, "_test.go")
	var breaches []Breach
	breach := func(at token.Pos, format string, args ...any) {
		p := files.Position(at)
		breaches = append(breaches, Breach{fmt.Sprintf("%s:%d", p.Filename, p.Line), fmt.Sprintf(format, args...)})
	}
	if from.kind == unknown {
		breach(file.Package, "folder %s is none that the design knows: say in internal/layertest what it is", from.path)
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if reason := forbidden(from, imported, test, rules); reason != "" {
			breach(spec.Pos(), "%s imports %s: %s", from, imported, reason)
		}
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			breach(f.Pos(), "init function: wire it where it is used, import order is no place for behaviour")
		}
	}
	if !test && !mayStart(from) && rules.Goroutines[name] == "" {
		ast.Inspect(file, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				breach(g.Pos(), "starts a goroutine: give the work a Run(ctx) error and let server start it")
			}
			return true
		})
	}
	return breaches, nil
}

// mayStart says in which packages the word go may stand.
func mayStart(p pkg) bool {
	return slices.Contains([]kind{serverKind, driver, cliKind, cmd, example, suite}, p.kind)
}

// forbidden is why package from must not import the given path; "" if it may.
func forbidden(from pkg, imported string, test bool, rules Rules) string {
	if standard(imported) || imported == "C" {
		return ""
	}
	inside := imported == Module || strings.HasPrefix(imported, Module+"/")
	if !inside {
		return forbiddenThirdParty(from, imported, test, rules)
	}
	to := place(strings.TrimPrefix(strings.TrimPrefix(imported, Module), "/"))
	if to.path == from.path {
		return "" // an external test of the package itself
	}
	if to.kind == suite {
		if test || from.kind == suite {
			return ""
		}
		return "it is for tests only, and would be linked into the program"
	}
	if test || to.kind == vocabulary {
		return "" // tests wire what they need
	}
	return forbiddenInside(from, to, rules)
}

func forbiddenThirdParty(from pkg, imported string, test bool, rules Rules) string {
	if test {
		return ""
	}
	switch from.kind {
	case vocabulary, clientKind:
		return "it uses the standard library only"
	case handOff, extension:
		for allowed := range rules.ThirdParties[from.path] {
			if imported == allowed || strings.HasPrefix(imported, allowed+"/") {
				return ""
			}
		}
		return "what stands in front of drivers uses the standard library only, unless the table in internal/layertest says why"
	}
	return ""
}

// forbiddenInside judges an import of another package of the module that is not the vocabulary, outside tests.
func forbiddenInside(from, to pkg, rules Rules) string {
	switch from.kind {
	case vocabulary:
		return "the vocabulary imports the standard library only"
	case clientKind:
		return "the client imports the vocabulary only"
	case handOff, extension:
		part := to.kind == from.kind && to.parent == from.path
		if part || rules.Siblings[from.path][to.path] != "" {
			return ""
		}
		return "a hand-off or extension point imports the vocabulary only"
	case driver:
		if to.path == from.parent || to.kind == kit || rules.Siblings[from.path][to.path] != "" {
			return ""
		}
		return "a driver imports its parent, the vocabulary and kits"
	case suite:
		// Its parent's drivers too: a suite may hold one against another.
		if to.path == from.parent || to.parent == from.parent || to.kind == kit || rules.Siblings[from.path][to.path] != "" {
			return ""
		}
		return "a conformance suite imports its parent, its parent's drivers, the vocabulary and kits"
	case layer:
		if to.kind == layer && from.parent != to.parent {
			return "a layer never imports a layer; they meet at hand-offs"
		}
		switch to.kind {
		case driver:
			return "a layer never imports a driver; server plugs it in"
		case serverKind, cliKind, clientKind, cmd:
			return "a layer knows nothing above it"
		}
	case kit:
		if rules.Siblings[from.path][to.path] != "" {
			return ""
		}
		switch to.kind {
		case layer, driver, serverKind, cliKind, clientKind, cmd:
			return "a kit is small and pure: no layers, no drivers, nothing above them"
		}
	case serverKind:
		if to.kind == cliKind || to.kind == cmd {
			return "the command line starts the server, not the other way round"
		}
	case cliKind:
		if to.kind == layer || to.kind == driver || to.kind == cmd {
			return "the command line speaks with server and client; they know layers and drivers"
		}
	case cmd:
		if to.kind != cliKind {
			return "a main is ten lines that call package cli"
		}
	case example:
		if strings.HasPrefix(to.path, "internal/") {
			return "an example shows what users can do, and they cannot import internal packages"
		}
	}
	return ""
}

// standard reports whether imported is of the standard library: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}
