// Package project reads the project file, freshet.yaml: what an app sends, what is remembered about whom, which model runs
// when, where the answer goes. It checks the file as a whole and compiles its views and pipelines; every problem is
// reported with line, column and the nearest valid name. It never opens the tables and models that the file names, only its
// embedder, and it knows nothing of how a server runs.
package project

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
)

// FileName is the usual name of a project file.
const FileName = "freshet.yaml"

// MaxBytes is the largest project file that is read.
const MaxBytes = 1 << 20

// DefaultLateness is how far event time may lag behind the newest event of a partition if the file does not say it.
const DefaultLateness = 10 * time.Minute

// Project is a checked and compiled project file. It is immutable.
type Project struct {
	Name      string
	Text      []byte         // as it was read
	Digest    freshet.Digest // of Text
	Dir       string         // folder of the file, to which the paths in it are relative; "" if parsed from memory
	Lateness  time.Duration
	Entities  []feature.EntitySpec
	Events    []feature.EventSpec
	Schema    *feature.Schema
	Views     []*feature.View
	Tables    []Table
	Models    []Model
	Pipelines []*Pipeline
	Embedder  *Embedder // nil: the built-in one
	Segment   Segment
	Push      *Push
}

// Model names a model and where its first version lies.
type Model struct {
	Name freshet.ModelName
	Path string // of a file or directory, relative to the project file, with slashes; never outside its folder
}

// Load reads the project file at path, or that of the folder at path: its freshet.yaml, or its only *.yaml. Returns
// NotFound if there is none, TooLarge, or Errors.
func Load(path string) (*Project, error) {
	file, err := find(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, freshet.Errorf(freshet.NotFound, "project file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "project file: %w", err)
	}
	dir := filepath.Dir(file)
	p, err := ParseWith(file, text, wordsBelow(dir))
	if err != nil {
		return nil, err
	}
	p.Dir = dir
	return p, nil
}

func find(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", freshet.Errorf(freshet.NotFound, "project file: %w; name it, or its folder, with --project", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	usual := filepath.Join(path, FileName)
	if _, err := os.Stat(usual); err == nil {
		return usual, nil
	}
	others, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	if err != nil || len(others) != 1 {
		return "", freshet.Errorf(freshet.NotFound, "project file: %s holds no %s; name the file with --project", path, FileName)
	}
	return others[0], nil
}

// Parse reads a project file that stands in memory; name is what errors call it. JSON is good too. Returns TooLarge or
// Errors. There are no files beside it: an embedder of a file is an error.
func Parse(name string, text []byte) (*Project, error) { return ParseWith(name, text, noWords) }

// ParseWith is Parse for a project whose word table words opens.
func ParseWith(name string, text []byte, words Words) (*Project, error) {
	if len(text) > MaxBytes {
		return nil, freshet.Errorf(freshet.TooLarge, "%s: a project file may have at most %d bytes", name, MaxBytes)
	}
	r := &reader{file: name, text: text, words: words, embedder: newBuiltin()}
	p := &Project{Text: slices.Clone(text), Digest: digest(text)}
	if root, ok := r.document(); ok {
		r.project(p, root)
	}
	if err := r.result(); err != nil {
		return nil, err
	}
	return p, nil
}

func digest(b []byte) freshet.Digest {
	return freshet.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(b)))
}

// Entity finds an entity by its kind.
func (p *Project) Entity(kind freshet.EntityKind) (feature.EntitySpec, bool) {
	return first(p.Entities, func(e feature.EntitySpec) bool { return e.Kind == kind })
}

// Event finds an event type by its name.
func (p *Project) Event(t freshet.EventType) (feature.EventSpec, bool) {
	return first(p.Events, func(e feature.EventSpec) bool { return e.Type == t })
}

// View finds a view by its name.
func (p *Project) View(name freshet.ViewName) (*feature.View, bool) {
	return first(p.Views, func(v *feature.View) bool { return v.Name() == name })
}

// Table finds a table by its name.
func (p *Project) Table(name freshet.TableName) (Table, bool) {
	return first(p.Tables, func(t Table) bool { return t.Name == name })
}

// Model finds a model by its name.
func (p *Project) Model(name freshet.ModelName) (Model, bool) {
	return first(p.Models, func(m Model) bool { return m.Name == name })
}

// Pipeline finds a pipeline by its name.
func (p *Project) Pipeline(name freshet.PipelineName) (*Pipeline, bool) {
	return first(p.Pipelines, func(l *Pipeline) bool { return l.Name == name })
}

func first[T any](list []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	var zero T
	return zero, false
}
