// Package parquetfiletest makes Parquet files that lie, for tests of what reads them.
package parquetfiletest

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/freshet-ml/freshet/internal/parquetfile"
)

// Lie is a good file with another page for its first column, which must be one of texts: the page has one value, and says in its
// encoding to have 2³¹−1, which would take gigabytes.
func Lie(t testing.TB, file []byte) []byte {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	body := binary.AppendUvarint([]byte{0x80, 0x01, 4}, 1<<31-1) // blocks of 128 in four parts, and how many values
	body = append(body, 2, 'a')
	header := format.PageHeader{Type: format.DataPage, CompressedPageSize: int32(len(body)), UncompressedPageSize: int32(len(body))}
	header.DataPageHeader.Valid = true
	header.DataPageHeader.V = format.DataPageHeader{NumValues: 1, Encoding: format.DeltaLengthByteArray}
	page := append(Marshal(t, &header), body...)
	data := bytes.Clone(file[:len(file)-8-int(binary.LittleEndian.Uint32(file[len(file)-8:]))])
	meta := f.Metadata()
	chunk := &meta.RowGroups[0].Columns[0].MetaData
	chunk.Codec, chunk.DictionaryPageOffset, chunk.DataPageOffset, chunk.TotalCompressedSize = format.Uncompressed, 0, int64(len(data)), int64(len(page))
	return WithFooter(t, append(data, page...), meta)
}

// WithFooter is file and what ends a Parquet file: its metadata, their length and the magic bytes.
func WithFooter(t testing.TB, file []byte, meta *format.FileMetaData) []byte {
	t.Helper()
	footer := Marshal(t, meta)
	file = append(file, footer...)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(footer)))
	return append(file, parquetfile.Magic...)
}

// Marshal is a header of Parquet, such as a *format.PageHeader, as it stands in a file.
func Marshal(t testing.TB, v any) []byte {
	t.Helper()
	var protocol thrift.CompactProtocol
	data, err := thrift.Marshal(&protocol, v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Allocated is how many bytes do allocates, and everything beside it.
func Allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
