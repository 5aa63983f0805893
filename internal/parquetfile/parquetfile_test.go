package parquetfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/parquetfile"
	"github.com/freshet-ml/freshet/internal/parquetfile/parquetfiletest"
)

type line struct {
	Item   string   `parquet:"item,dict"`
	Other  string   `parquet:"other,delta"`
	Title  *string  `parquet:"title,optional"`
	Count  int64    `parquet:"count,delta"`
	Weight *float64 `parquet:"weight,optional"`
	Fresh  bool     `parquet:"fresh"`
}

func lines(n int) []line {
	rows := make([]line, n)
	for i := range rows {
		title, weight := fmt.Sprint("title ", i), float64(i)
		rows[i] = line{Item: fmt.Sprint("item ", i%50), Other: fmt.Sprint("other ", i), Count: int64(i * i), Fresh: i%7 == 0}
		if i%3 != 0 {
			rows[i].Title, rows[i].Weight = &title, &weight
		}
	}
	return rows
}

// check opens a file and checks all of it.
func check(file []byte) error {
	f, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	for i := range f.RowGroups() {
		if err := f.Check(i, f.Root().Columns()...); err != nil {
			return err
		}
	}
	return nil
}

// TestGoodFiles: files of all compressions that are read and both kinds of pages are what they say.
func TestGoodFiles(t *testing.T) {
	t.Parallel()
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Brotli, &parquet.Zstd} {
		for version := 1; version <= 2; version++ {
			for _, n := range []int{0, 1, 700} {
				var b bytes.Buffer
				w := parquet.NewGenericWriter[line](&b, parquet.Compression(codec), parquet.DataPageVersion(version), parquet.MaxRowsPerRowGroup(500), parquet.PageBufferSize(1<<10))
				if _, err := w.Write(lines(n)); err != nil {
					t.Fatal(err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if err := check(b.Bytes()); err != nil {
					t.Errorf("%s, pages of version %d, %d rows: %v", codec, version, n, err)
				}
			}
		}
	}
}

// page is one page of a file of one column.
type page struct {
	kind     format.Type
	optional bool
	codec    format.CompressionCodec
	encoding format.Encoding
	values   int32
	size     int32 // after decompression; 0: that of body
	body     []byte
}

func (p page) file(t testing.TB) []byte {
	if p.size == 0 {
		p.size = int32(len(p.body))
	}
	header := format.PageHeader{Type: format.DataPage, CompressedPageSize: int32(len(p.body)), UncompressedPageSize: p.size}
	header.DataPageHeader.Valid = true
	header.DataPageHeader.V = format.DataPageHeader{NumValues: p.values, Encoding: p.encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE}
	file := append([]byte(parquetfile.Magic), parquetfiletest.Marshal(t, &header)...)
	file = append(file, p.body...)
	element := format.SchemaElement{Name: "item", Type: thrift.New(p.kind), RepetitionType: thrift.New(format.Required)}
	if p.optional {
		element.RepetitionType.V = format.Optional
	}
	meta := format.FileMetaData{Version: 1, NumRows: int64(p.values)}
	meta.Schema = []format.SchemaElement{{Name: "root", NumChildren: thrift.New(int32(1))}, element}
	chunk := format.ColumnChunk{MetaData: format.ColumnMetaData{Type: p.kind, PathInSchema: []string{"item"}, Codec: p.codec, NumValues: int64(p.values),
		TotalUncompressedSize: int64(len(file) - 4), TotalCompressedSize: int64(len(file) - 4), DataPageOffset: 4}}
	meta.RowGroups = []format.RowGroup{{NumRows: int64(p.values), Columns: []format.ColumnChunk{chunk}}}
	return parquetfiletest.WithFooter(t, file, &meta)
}

// run is a run of the same value, of up to eight bits.
func run(count uint64, value byte) []byte {
	return append(binary.AppendUvarint(nil, count<<1), value)
}

func withLength(data []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(data))), data...)
}

// differences says to have so many, and has one.
func differences(count uint64) []byte {
	data := binary.AppendUvarint(binary.AppendUvarint(nil, 128), 4)
	return append(binary.AppendUvarint(data, count), 2)
}

// longTexts are n texts of which each is the one before, of a MiB.
func longTexts(t testing.TB, n int) []byte {
	prefixes, suffixes := make([]int32, n), make([]int32, n)
	for i := range prefixes {
		prefixes[i] = 1 << 20
	}
	prefixes[0], suffixes[0] = 0, 1<<20
	var e delta.BinaryPackedEncoding
	first, err := e.EncodeInt32(nil, prefixes)
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.EncodeInt32(nil, suffixes)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(first, second...), make([]byte, 1<<20)...)
}

func gzipped(t testing.TB, size int) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, size int) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(make([]byte, size), nil)
}

// TestLies: a small file that says to be a large one is refused, and does not take the memory that it names.
func TestLies(t *testing.T) {
	const large = 16 << 20
	text, whole := format.ByteArray, format.Int64
	for _, test := range []struct {
		name string
		page page
		code freshet.Code
		says string
	}{
		{"values", page{kind: whole, values: 1 << 30, body: make([]byte, 8)}, freshet.TooLarge, "values"},
		{"size", page{kind: whole, codec: format.Zstd, values: 1, size: 1 << 30, body: zstandard(t, 8)}, freshet.TooLarge, "at most"},
		{"no such size", page{kind: whole, codec: format.Zstd, values: 1, size: 100, body: zstandard(t, 8)}, freshet.InvalidArgument, "size"},
		{"run of indexes", page{kind: text, encoding: format.RLEDictionary, values: 1, body: append([]byte{1}, run(1<<30, 0)...)}, freshet.InvalidArgument, "more values"},
		{"many runs", page{kind: text, encoding: format.RLEDictionary, values: 1000, body: append([]byte{1}, bytes.Repeat(run(900, 0), 1000)...)}, freshet.InvalidArgument, "more values"},
		{"packed indexes", page{kind: text, encoding: format.RLEDictionary, values: 1, body: append([]byte{0}, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F)}, freshet.InvalidArgument, "more values"},
		{"run of nulls", page{kind: text, optional: true, values: 1, body: withLength(run(1<<31-1, 0))}, freshet.InvalidArgument, "more values"},
		{"run of booleans", page{kind: format.Boolean, encoding: format.RLE, values: 1, body: withLength(run(1<<31-1, 1))}, freshet.InvalidArgument, "more values"},
		{"differences", page{kind: whole, encoding: format.DeltaBinaryPacked, values: 1, body: differences(1<<31 - 1)}, freshet.InvalidArgument, "more values"},
		{"lengths", page{kind: text, encoding: format.DeltaLengthByteArray, values: 1, body: differences(1<<31 - 1)}, freshet.InvalidArgument, "more values"},
		{"prefixes", page{kind: text, encoding: format.DeltaByteArray, values: 1, body: differences(1<<31 - 1)}, freshet.InvalidArgument, "more values"},
		{"texts", page{kind: text, encoding: format.DeltaByteArray, values: 300, body: longTexts(t, 300)}, freshet.InvalidArgument, "too long"},
		{"gzip", page{kind: whole, codec: format.Gzip, values: 1, size: 8, body: gzipped(t, large)}, freshet.InvalidArgument, "size"},
		{"zstd", page{kind: whole, codec: format.Zstd, values: 1, size: 8, body: zstandard(t, large)}, freshet.InvalidArgument, ""},
		{"snappy", page{kind: whole, codec: format.Snappy, values: 1, size: 8, body: []byte{0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0}}, freshet.InvalidArgument, "size"},
		{"lz4", page{kind: whole, codec: format.Lz4Raw, values: 1, size: 8, body: []byte{0x0F, 0xFF, 0xFF, 0xFF}}, freshet.Unsupported, "LZ4_RAW"},
		{"codec", page{kind: whole, codec: format.LZO, values: 1, body: make([]byte, 8)}, freshet.Unsupported, "LZO"},
		{"encoding", page{kind: whole, encoding: 77, values: 1, body: make([]byte, 8)}, freshet.Unsupported, "encoding"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := test.page.file(t)
			var err error
			if took := parquetfiletest.Allocated(func() { err = check(file) }); took > large/2 {
				t.Errorf("took %d MiB", took>>20)
			}
			if freshet.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) || freshet.FieldOf(err) != "item" {
				t.Errorf("%v (%s, field %q): expected %s of item with %q", err, freshet.CodeOf(err), freshet.FieldOf(err), test.code, test.says)
			}
		})
	}
}

// TestShapes: footers whose parts the library would multiply.
func TestShapes(t *testing.T) {
	deep := format.FileMetaData{Schema: make([]format.SchemaElement, 10_000)}
	for i := range deep.Schema {
		deep.Schema[i] = format.SchemaElement{Name: "x", NumChildren: thrift.New(int32(1))}
	}
	wide := format.FileMetaData{Schema: make([]format.SchemaElement, 30_001), RowGroups: make([]format.RowGroup, 10_000)}
	for i := range wide.Schema {
		wide.Schema[i] = format.SchemaElement{Name: "x", Type: thrift.New(format.Int64)}
	}
	wide.Schema[0] = format.SchemaElement{Name: "root", NumChildren: thrift.New(int32(30_000))}
	both := format.FileMetaData{Schema: []format.SchemaElement{{Name: "x", Type: thrift.New(format.Int64), NumChildren: thrift.New(int32(1))}}}
	for name, meta := range map[string]*format.FileMetaData{"deep": &deep, "wide": &wide, "both": &both} {
		file := parquetfiletest.WithFooter(t, []byte(parquetfile.Magic), meta)
		var err error
		if took := parquetfiletest.Allocated(func() { err = check(file) }); freshet.CodeOf(err) != freshet.InvalidArgument || took > 32<<20 {
			t.Errorf("%s: %v, %d MiB", name, err, took>>20)
		}
	}
	// A list of 2³¹−1 schema elements, and one of as many row groups as there are bytes for empty ones.
	many := append([]byte{0x15, 0x02, 0x49, 0xFC}, binary.AppendUvarint(nil, 1<<20)...)
	for _, footer := range [][]byte{{0x15, 0x02, 0x19, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0}, append(many, make([]byte, 1<<20+1)...)} {
		file := append([]byte(parquetfile.Magic), footer...)
		file = append(binary.LittleEndian.AppendUint32(file, uint32(len(footer))), parquetfile.Magic...)
		if err := check(file); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%v", err)
		}
	}
}

// TestReadErrors: what the reader says is no fault of the file.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	if _, err := parquetfile.Open(failing{broken}, 1000); !errors.Is(err, broken) || freshet.CodeOf(err) == freshet.InvalidArgument {
		t.Errorf("%v: expected %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// FuzzCheck: what has been checked can be read to its end without much memory; the library may panic, and is recovered from.
func FuzzCheck(f *testing.F) {
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Zstd, &parquet.Lz4Raw} {
		for version := 1; version <= 2; version++ {
			var b bytes.Buffer
			if err := parquet.Write(&b, lines(20), parquet.Compression(codec), parquet.DataPageVersion(version)); err != nil {
				f.Fatal(err)
			}
			f.Add(b.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		opened, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		defer func() { _ = recover() }()
		buffer := make([]parquet.Row, 64)
		for i, group := range opened.RowGroups() {
			if err := opened.Check(i, opened.Root().Columns()...); err != nil {
				return
			}
			rows := group.Rows()
			defer rows.Close()
			for {
				n, err := rows.ReadRows(buffer)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil || n == 0 {
					return
				}
			}
		}
	})
}
