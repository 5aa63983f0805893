package skopsmodel

import (
	"archive/zip"
	"bytes"

	"github.com/freshet-ml/freshet/modelruntime"
)

// ParseSchema opens a schema with the given arrays beside it.
func ParseSchema(files map[string][]byte, schema []byte) (modelruntime.Model, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	write := func(name string, file []byte) {
		if f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store}); err == nil {
			_, _ = f.Write(file)
		}
	}
	for name, file := range files {
		write(name, file)
	}
	write(schemaName, schema)
	if err := w.Close(); err != nil {
		return nil, err
	}
	return parse(out.Bytes())
}
