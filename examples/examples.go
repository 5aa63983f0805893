// Package examples holds the example projects, embedded so that `freshet demo` needs nothing but the binary. Each folder
// is a project that runs as it is; the package only hands out its files.
package examples

import (
	"compress/gzip"
	"embed"
	"io"
	"io/fs"
	"os"
)

//go:embed calm/freshet.yaml calm/catalog.csv calm/users.csv calm/calm-ranker
var calm embed.FS

//go:embed calm/events.jsonl.gz
var calmEvents embed.FS

// UnpackCalm writes the project of the meditation app into dir, which is made if it is not there: project file, tables and
// model. A file that is there already is an error.
func UnpackCalm(dir string) error {
	files, err := fs.Sub(calm, "calm")
	if err != nil {
		return err
	}
	return os.CopyFS(dir, files)
}

// CalmCatalog is the text of the app's catalog: content_id, category, minutes, title.
func CalmCatalog() ([]byte, error) { return calm.ReadFile("calm/catalog.csv") }

// CalmEvents reads the two weeks of events of the app: one JSON object a line, in the order of their arrival, some of
// them twice. Close it after use.
func CalmEvents() (io.ReadCloser, error) {
	f, err := calmEvents.Open("calm/events.jsonl.gz")
	if err != nil {
		return nil, err
	}
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return unzipped, nil // closing an embedded file does nothing
}
