package modelruntime

import (
	"io/fs"
	"path/filepath"
	"strings"

	freshet "github.com/freshet-ml/freshet"
)

// Open opens the model of an artifact: an MLflow model directory (it holds a file MLmodel), a directory with the files of
// a Bundle, or one in which one file is of a format that a runtime recognises: there the content decides, never the name. Returns Unsupported
// for a known format that is not read, saying what to do instead, and InvalidArgument, NotFound or TooLarge for what
// is broken; the message begins with the name of the file.
func Open(dir fs.FS, runtimes []Runtime) (Model, error) {
	_, err := fs.Stat(dir, mlmodelName)
	if err == nil {
		return openMLflow(dir, runtimes)
	}
	names, err := topFiles(dir)
	if err != nil {
		return nil, err
	}
	if b := bundle(names, runtimes); b != nil {
		return b.OpenFiles(dir)
	}
	found, err := find(dir, names, runtimes)
	if err != nil {
		return nil, err
	}
	return found.open(dir)
}

// OpenPath is Open for a directory or a single file on disk, confined to it.
func OpenPath(path string, runtimes []Runtime) (Model, error) {
	files, err := FilesAt(path)
	if err != nil {
		return nil, err
	}
	defer files.Close() // a model holds what it needs in memory
	m, err := Open(files, runtimes)
	if err != nil && files.directory() { // of a single file the message speaks already
		return nil, freshet.Errorf("", "%s: %w", filepath.Base(filepath.Clean(path)), err)
	}
	return m, err
}

// modelFile is a file and the runtime that recognises it.
type modelFile struct {
	name    string
	runtime Runtime
	class   string // the Python class that MLmodel names; "" if none
}

func (f modelFile) open(dir fs.FS) (Model, error) {
	open := f.runtime.Open
	if c, ok := f.runtime.(ClassOpener); ok && f.class != "" {
		open = func(dir fs.FS, name string) (Model, error) { return c.OpenAs(dir, name, f.class) }
	}
	m, err := open(dir, f.name)
	if err != nil {
		return nil, freshet.Errorf("", "%s: %w", f.name, err)
	}
	return m, nil
}

// topFiles lists the files that may be the model: those directly in dir and not hidden.
func topFiles(dir fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fileError(".", err)
	}
	if len(entries) > MaxFiles {
		return nil, freshet.Errorf(freshet.TooLarge, "more than %d files in one artifact", MaxFiles)
	}
	var names []string
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		info, err := fs.Stat(dir, e.Name()) // follows a symbolic link that stays inside
		if err != nil {
			return nil, fileError(e.Name(), err)
		}
		if info.Mode().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// find is the one file of names that a runtime recognises. If there is none, the error is about the file that is most
// likely meant: the first one of a known foreign format, else the first one.
func find(dir fs.FS, names []string, runtimes []Runtime) (modelFile, error) {
	var found []modelFile
	var foreign, unknown error
	for _, name := range names {
		head, err := readHead(dir, name)
		if err != nil {
			return modelFile{}, err
		}
		if r := recognize(head, runtimes); r != nil {
			found = append(found, modelFile{name: name, runtime: r})
			continue
		}
		if f, ok := foreignFormat(head); ok && foreign == nil {
			foreign = freshet.Errorf(freshet.Unsupported, "%s: %s", name, f.refusal())
		}
		if unknown == nil {
			unknown = unrecognized(name, head, runtimes)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return modelFile{}, freshet.Errorf(freshet.InvalidArgument,
			"%s and %s are both models: leave one of them in the directory, or open the file itself", found[0].name, found[1].name)
	case foreign != nil:
		return modelFile{}, foreign
	case unknown != nil:
		return modelFile{}, unknown
	}
	return modelFile{}, freshet.Errorf(freshet.InvalidArgument, "the directory holds no model: expected an MLmodel file or one model file")
}

// bundle is the runtime that knows a directory by the names of its files; nil if there is none.
func bundle(names []string, runtimes []Runtime) Bundle {
	for _, r := range runtimes {
		if b, ok := r.(Bundle); ok && b.RecognizesFiles(names) {
			return b
		}
	}
	return nil
}

func recognize(head []byte, runtimes []Runtime) Runtime {
	for _, r := range runtimes {
		if r.Recognizes(head) {
			return r
		}
	}
	return nil
}

func unrecognized(name string, head []byte, runtimes []Runtime) error {
	if len(head) == 0 {
		return freshet.Errorf(freshet.InvalidArgument, "%s is empty: it is no model", name)
	}
	words := make([]string, len(runtimes))
	for i, r := range runtimes {
		words[i] = r.Name()
	}
	return freshet.Errorf(freshet.Unsupported, "%s is no model of a known format: it is read as %s", name, strings.Join(words, " or "))
}
