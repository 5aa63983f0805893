package trainingset

import (
	"bufio"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// output takes the rows of the training set.
type output interface {
	write(cells []cell, values []expression.Value) error
	// end writes what is still held.
	end() error
}

func checkOutput(path string) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv", ".parquet":
		return nil
	}
	return freshet.FieldErrorf(freshet.Unsupported, "output", "output %q: expected a .csv or .parquet file", path)
}

// file is an output that gets its name when it is whole.
type file struct {
	output
	f    *os.File
	path string
	done bool
}

// create begins the output beside its place.
func (e *export) create(source source) (*file, error) {
	f, err := os.Create(filepath.Join(e.dir, "output"))
	if err != nil {
		return nil, outputError(e.o.Output, err)
	}
	out := &file{f: f, path: e.o.Output}
	if strings.EqualFold(filepath.Ext(e.o.Output), ".csv") {
		out.output, err = newCSVOutput(f, e.plan)
	} else {
		out.output = newParquetOutput(f, e.plan, e.types)
	}
	if err != nil {
		f.Close()
		return nil, outputError(e.o.Output, err)
	}
	return out, nil
}

func (o *file) finish() error {
	if err := o.end(); err != nil {
		return outputError(o.path, err)
	}
	if err := o.f.Sync(); err != nil {
		return outputError(o.path, err)
	}
	if err := o.f.Close(); err != nil {
		return outputError(o.path, err)
	}
	o.done = true
	if err := os.Rename(o.f.Name(), o.path); err != nil {
		return outputError(o.path, err)
	}
	return nil
}

func (o *file) abandon() {
	if !o.done {
		_ = o.f.Close() // it goes with its folder
	}
}

// csvOutput writes RFC 4180. Lists, vectors and maps are JSON; null is the empty field.
type csvOutput struct {
	buffer *bufio.Writer
	w      *csv.Writer
	record []string
	text   []byte
}

func newCSVOutput(f *os.File, p *plan) (*csvOutput, error) {
	o := &csvOutput{buffer: bufio.NewWriterSize(f, 256<<10)}
	o.w = csv.NewWriter(o.buffer)
	return o, o.w.Write(p.names())
}

func (o *csvOutput) write(cells []cell, values []expression.Value) error {
	o.record = o.record[:0]
	for _, c := range cells {
		o.text = c.appendText(o.text[:0])
		o.record = append(o.record, string(o.text))
	}
	for i := range values {
		o.record = append(o.record, o.field(&values[i]))
	}
	return o.w.Write(o.record)
}

func (o *csvOutput) field(v *expression.Value) string {
	switch v.Kind {
	case expression.Null:
		return ""
	case expression.String:
		return v.Str
	case expression.Time:
		return freshet.Timestamp(v.Num).String()
	}
	o.text = v.AppendJSON(o.text[:0])
	return string(o.text)
}

func (o *csvOutput) end() error {
	o.w.Flush()
	if err := o.w.Error(); err != nil {
		return err
	}
	return o.buffer.Flush()
}
