// Package parquetfile opens Parquet files that users give. The library that decodes them believes the sizes that a file says: a few
// bytes can ask it for gigabytes of memory, or keep it busy for ever. Here these sizes are held against what is really there, before
// the library sees them, so that a file of nonsense costs no more than a good one.
package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
)

// Magic begins and ends every Parquet file.
const Magic = "PAR1"

// What a file may say.
const (
	maxFooter  = 16 << 20  // bytes: a thousand columns in a hundred row groups
	maxMemory  = 256 << 20 // bytes that the footer, or the header of a page, takes as values of Go
	maxColumns = 1 << 15   // leaves and groups of the schema; the library counts leaves in 16 bits
	maxDepth   = 32        // of groups in groups
)

// File is an opened Parquet file of which the footer has been checked.
type File struct {
	*parquet.File
	r      io.ReaderAt
	size   int64
	buffer []byte        // of a decompressed page
	zstd   *zstd.Decoder // nil until it is needed
}

// Open opens a file of size bytes. It does not read indexes of pages and Bloom filters. Returns InvalidArgument for one that is broken,
// TooLarge for one with a footer of more than 16 MiB, and errors of r.
//
// What is opened here may make the library panic still, and who reads values has to recover. Check comes before reading a column.
func Open(r io.ReaderAt, size int64) (f *File, err error) {
	defer recoverBroken(&err)
	footer, err := readFooter(r, size)
	if err != nil {
		return nil, err
	}
	s := skimmer{data: footer, memory: maxMemory}
	if err := s.structure(0); err != nil {
		return nil, Broken(err)
	}
	var (
		protocol thrift.CompactProtocol
		meta     format.FileMetaData
	)
	if err := thrift.Unmarshal(&protocol, footer[:s.at], &meta); err != nil {
		return nil, Broken(err)
	}
	if err := checkShape(&meta); err != nil {
		return nil, err
	}
	opened, err := parquet.OpenFile(r, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, Broken(err)
	}
	return &File{File: opened, r: r, size: size}, nil
}

// Broken is the error for a file that cannot be read.
func Broken(err error) error {
	return freshet.Errorf(freshet.InvalidArgument, "the Parquet file is broken: %w", err)
}

// recoverBroken makes an error of a panic of the library, which panics on some broken files.
func recoverBroken(err *error) {
	if p := recover(); p != nil {
		*err = Broken(fmt.Errorf("%v", p))
	}
}

func readFooter(r io.ReaderAt, size int64) ([]byte, error) {
	const around = 2*len(Magic) + 4 // both marks and the footer's length
	if size < int64(around) {
		return nil, Broken(io.ErrUnexpectedEOF)
	}
	var end [8]byte
	if _, err := r.ReadAt(end[:], size-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(end[:]))
	if string(end[4:]) != Magic || length > size-int64(around) {
		return nil, Broken(errors.New("it does not end as one; it may be cut off"))
	}
	if length > maxFooter {
		return nil, freshet.Errorf(freshet.TooLarge, "the footer of the Parquet file has %d bytes; at most %d are read: write fewer columns or larger row groups", length, maxFooter)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-int64(len(end))-length); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return footer, nil
}

// checkShape checks what the library multiplies: depth by columns, and columns by row groups.
func checkShape(meta *format.FileMetaData) error {
	if len(meta.Schema) > maxColumns {
		return freshet.Errorf(freshet.TooLarge, "the Parquet file has %d columns; at most %d are read", len(meta.Schema), maxColumns)
	}
	leaves := 0
	var open []int32 // how many children are to come, of each group around
	for i := range meta.Schema {
		e := &meta.Schema[i]
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			open[len(open)-1]--
		}
		switch {
		case e.Type.Valid && e.NumChildren.V != 0, e.NumChildren.V < 0:
			return Broken(fmt.Errorf("column %q has values and columns in it", e.Name))
		case e.Type.Valid:
			leaves++
		default:
			open = append(open, e.NumChildren.V)
		}
		if len(open) > maxDepth {
			return Broken(fmt.Errorf("its columns lie in each other more than %d deep", maxDepth))
		}
	}
	for i := range meta.RowGroups {
		if n := len(meta.RowGroups[i].Columns); n != leaves {
			return Broken(fmt.Errorf("row group %d has %d columns, and the schema %d", i+1, n, leaves))
		}
	}
	return nil
}
