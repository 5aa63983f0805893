package skopsmodel

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/npy"
)

const (
	schemaName  = "schema.json"
	maxEntries  = 1000
	maxUnpacked = 16 << 20 // of all entries that are read
)

// archive is the zip of a skops file. Entries are read into memory and nowhere else, whatever they are called.
type archive struct {
	entries map[string]*zip.File
	left    int64 // how much may still be unpacked
}

func openArchive(file []byte) (*archive, error) {
	r, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // nothing is written to any path
		return nil, invalid("it is no zip, or was cut off: %w", err)
	}
	if len(r.File) > maxEntries {
		return nil, freshet.Errorf(freshet.TooLarge, "more than %d entries in the zip", maxEntries)
	}
	a := &archive{entries: make(map[string]*zip.File, len(r.File)), left: maxUnpacked}
	for _, f := range r.File {
		if a.entries[f.Name] != nil {
			return nil, invalid("the zip has the entry %.60q twice", f.Name)
		}
		a.entries[f.Name] = f
	}
	return a, nil
}

func (a *archive) entry(name string) (*zip.File, error) {
	f := a.entries[name]
	if f == nil {
		return nil, invalid("the zip has no entry %.60q", name)
	}
	if f.Flags&1 != 0 {
		return nil, freshet.Errorf(freshet.Unsupported, "the entry %.60q is encrypted", name)
	}
	return f, nil
}

// read unpacks an entry, no further than it says and the limit allows.
func (a *archive) read(name string) ([]byte, error) {
	f, err := a.entry(name)
	if err != nil {
		return nil, err
	}
	if f.UncompressedSize64 > uint64(a.left) {
		return nil, freshet.Errorf(freshet.TooLarge, "the zip unpacks to more than %d bytes", maxUnpacked)
	}
	a.left -= int64(f.UncompressedSize64)
	r, err := f.Open()
	if err != nil {
		return nil, invalid("the entry %.60q: %w", name, err)
	}
	defer r.Close()
	b := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, invalid("the entry %.60q: %w", name, err)
	}
	var more [1]byte
	if n, err := r.Read(more[:]); n > 0 || !errors.Is(err, io.EOF) { // reading on to the end also checks the sum
		return nil, invalid("the entry %.60q is longer than the zip says, or damaged", name)
	}
	return b, nil
}

func (a *archive) array(name string) (npy.Array, error) {
	b, err := a.read(name)
	if err != nil {
		return npy.Array{}, err
	}
	array, err := npy.Parse(b)
	if err != nil {
		return npy.Array{}, freshet.Errorf("", "%.60s: %w", name, err)
	}
	return array, nil
}

// checkArrays checks that the arrays a schema names are there and what they say to be, also those that no answer depends on: a file
// that scikit-learn could not load is no model. Of each only the header is unpacked: some are large, and not needed.
func (a *archive) checkArrays(schema []byte) error {
	names, err := arrayNames(schema)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := a.checkArray(name); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) checkArray(name string) error {
	f, err := a.entry(name)
	if err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return invalid("the entry %.60q: %w", name, err)
	}
	defer r.Close()
	head := make([]byte, min(f.UncompressedSize64, npy.HeadBytes))
	if _, err := io.ReadFull(r, head); err != nil {
		return invalid("the entry %.60q: %w", name, err)
	}
	if err := npy.Check(head, int64(f.UncompressedSize64)); err != nil {
		return freshet.Errorf("", "%.60s: %w", name, err)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, format, args...)
}
