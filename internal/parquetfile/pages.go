package parquetfile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
)

// What a page may say.
const (
	maxPage   = 256 << 20 // bytes, before and after compression
	maxHeader = 1 << 20   // bytes
	maxValues = 1 << 24
)

// Check reads the pages of columns in a row group, the first is 0, and holds what they say against what is in them. The columns are
// leaves that are not repeated. Beside the file it takes the memory of the largest page, of at most 256 MiB.
//
// Returns InvalidArgument for pages that are broken, TooLarge for too large ones and Unsupported for encodings that are not known; all
// name the column.
func (f *File) Check(group int, columns ...*parquet.Column) (err error) {
	defer recoverBroken(&err)
	for _, c := range columns {
		if err := f.checkColumn(group, c); err != nil {
			return freshet.FieldErrorf("", c.Name(), "column %q: %w", c.Name(), err)
		}
	}
	return nil
}

func (f *File) checkColumn(group int, c *parquet.Column) error {
	m := &f.Metadata().RowGroups[group].Columns[c.Index()].MetaData
	if used := c.Compression().CompressionCodec(); used != m.Codec {
		return Broken(fmt.Errorf("a row group is compressed as %s, and others as %s", m.Codec, used))
	}
	at := m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		at = m.DictionaryPageOffset
	}
	if at < 0 || m.TotalCompressedSize < 0 || at > f.size || m.TotalCompressedSize > f.size-at {
		return Broken(errors.New("its pages lie outside the file"))
	}
	end := at + m.TotalCompressedSize
	header := make([]byte, 4<<10)
	begins := at == end // a data page begins where the library begins with them
	for at < end {
		h, length, err := f.pageHeader(at, end, &header)
		if err != nil {
			return err
		}
		begins = begins || at == m.DataPageOffset
		at += length
		if h.CompressedPageSize < 0 || int64(h.CompressedPageSize) > end-at {
			return Broken(errors.New("a page is longer than the column"))
		}
		if err := f.checkPage(c, h, at); err != nil {
			return err
		}
		at += int64(h.CompressedPageSize)
	}
	if !begins {
		return Broken(errors.New("no page begins where the first should"))
	}
	return nil
}

// pageHeader reads the header that begins at a place; it is length bytes long. It may make buffer larger.
func (f *File) pageHeader(at, end int64, buffer *[]byte) (h *format.PageHeader, length int64, err error) {
	for {
		data := (*buffer)[:min(int64(len(*buffer)), end-at)]
		if _, err := f.r.ReadAt(data, at); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		s := skimmer{data: data, memory: maxMemory}
		err := s.structure(0)
		if errors.Is(err, io.ErrUnexpectedEOF) && len(data) == len(*buffer) && len(data) < maxHeader {
			*buffer = make([]byte, 4*len(data))
			continue
		}
		h := new(format.PageHeader)
		if err == nil {
			var protocol thrift.CompactProtocol
			err = thrift.Unmarshal(&protocol, data[:s.at], h)
		}
		if err != nil {
			return nil, 0, Broken(err)
		}
		return h, int64(s.at), nil
	}
}

// checkPage checks the page whose body begins at a place.
func (f *File) checkPage(c *parquet.Column, h *format.PageHeader, at int64) error {
	v1, v2, dictionary := &h.DataPageHeader.V, &h.DataPageHeaderV2.V, &h.DictionaryPageHeader.V
	values := max(v1.NumValues, v2.NumValues, dictionary.NumValues)
	switch {
	case h.CompressedPageSize > maxPage || h.UncompressedPageSize > maxPage:
		return freshet.Errorf(freshet.TooLarge, "a page of %d bytes; at most %d are read: write smaller pages", max(h.CompressedPageSize, h.UncompressedPageSize), maxPage)
	case values > maxValues:
		return freshet.Errorf(freshet.TooLarge, "a page of %d values; at most %d are read: write smaller pages", values, maxValues)
	case min(v1.NumValues, v2.NumValues, dictionary.NumValues, v2.NumNulls, v2.RepetitionLevelsByteLength, v2.DefinitionLevelsByteLength, h.UncompressedPageSize) < 0,
		v2.NumNulls > v2.NumValues:
		return Broken(errors.New("a page has sizes that make no sense"))
	}
	data := make([]byte, h.CompressedPageSize)
	if _, err := f.r.ReadAt(data, at); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	codec := c.Compression().CompressionCodec()
	switch h.Type {
	case format.DictionaryPage:
		if dictionary.Encoding != format.Plain && dictionary.Encoding != plainDictionary {
			return freshet.Errorf(freshet.Unsupported, "encoding %s of a dictionary is not read", dictionary.Encoding)
		}
		data, err := f.decompress(codec, data, int(h.UncompressedPageSize))
		if err == nil && int(values) > len(data) {
			err = errTooFew
		}
		return broken(err)
	case format.DataPage:
		data, err := f.decompress(codec, data, int(h.UncompressedPageSize))
		if err != nil {
			return broken(err)
		}
		return broken(checkDataPage(c, v1, data))
	case format.DataPageV2:
		levels := int64(v2.RepetitionLevelsByteLength) + int64(v2.DefinitionLevelsByteLength)
		if levels > int64(len(data)) || levels > int64(h.UncompressedPageSize) {
			return Broken(io.ErrUnexpectedEOF)
		}
		definition, body := data[v2.RepetitionLevelsByteLength:levels], data[levels:]
		if !v2.IsCompressed.Valid || v2.IsCompressed.V {
			var err error
			if body, err = f.decompress(codec, body, int(int64(h.UncompressedPageSize)-levels)); err != nil {
				return broken(err)
			}
		}
		return broken(checkDataPageV2(c, v2, definition, body))
	}
	return Broken(fmt.Errorf("a page of type %s", h.Type))
}

// broken says of an error that the file is broken, if it does not say yet what to do.
func broken(err error) error {
	if err == nil || freshet.CodeOf(err) == freshet.Unsupported {
		return err
	}
	return Broken(err)
}
