package project

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
)

// Issue is one thing that is wrong with a project file.
type Issue struct {
	File    string
	Line    int // from 1
	Column  int // from 1, in code points
	Message string
}

func (i Issue) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", i.File, i.Line, i.Column, i.Message)
}

// Errors is all that is wrong with a project file, in the order of the file. Its code is freshet.InvalidArgument.
type Errors []Issue

// maxIssues bounds the answer to a file that is no project file at all.
const maxIssues = 100

// Error has one line for each issue.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, issue := range e {
		lines[i] = issue.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the code.
func (e Errors) Unwrap() error {
	return freshet.Errorf(freshet.InvalidArgument, "%d problems in the project file", len(e))
}

func (r *reader) issue(n *node, format string, args ...any) {
	r.issueAt(n.line, n.column, format, args...)
}

func (r *reader) issueAt(line, column int, format string, args ...any) {
	r.issues = append(r.issues, Issue{File: r.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...)})
}

// reported says whether something is wrong at n already, so that one mistake is not told twice.
func (r *reader) reported(n *node) bool {
	return slices.ContainsFunc(r.issues, func(i Issue) bool { return i.Line == n.line && i.Column == n.column })
}

// reportedIn says whether something is wrong with a name in the map n.
func (r *reader) reportedIn(n *node) bool {
	return slices.ContainsFunc(n.entries, func(e entry) bool { return r.reported(e.key) })
}

// result is nil if there is nothing wrong.
func (r *reader) result() error {
	if len(r.issues) == 0 {
		return nil
	}
	slices.SortStableFunc(r.issues, func(a, b Issue) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	issues := slices.Compact(r.issues)
	if len(issues) > maxIssues {
		issues = issues[:maxIssues]
	}
	return issues
}
