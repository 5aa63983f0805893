package table

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
)

// The library believes the sizes that a file says. These are what it may say, so that a file of nonsense takes no more memory
// than a good one: the sizes are checked before the library sees them.
const (
	maxFooter   = 16 << 20  // bytes: a thousand columns in a hundred row groups
	maxElements = 1 << 20   // in lists of the footer, or of a page's header
	maxPage     = 256 << 20 // bytes of a page, before and after compression
	maxHeader   = 1 << 20   // bytes of a page's header
)

// checkFooter checks the sizes in the footer of a file.
func checkFooter(r io.ReaderAt, size int64) error {
	const around = 2*len(parquetMagic) + 4 // both marks and the footer's length
	if size < int64(around) {
		return brokenParquet(io.ErrUnexpectedEOF)
	}
	var end [8]byte
	if _, err := r.ReadAt(end[:], size-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(end[:]))
	if string(end[4:]) != parquetMagic || length > size-int64(around) {
		return brokenParquet(errors.New("it does not end as one; it may be cut off"))
	}
	if length > maxFooter {
		return freshet.Errorf(freshet.TooLarge, "the footer of the Parquet file has %d bytes; at most %d are read: write fewer columns or larger row groups", length, maxFooter)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-int64(len(end))-length); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	s := skimmer{data: footer, elements: maxElements}
	if err := s.structure(0); err != nil {
		return brokenParquet(err)
	}
	return nil
}

// checkPages checks the sizes in the headers of all pages of a column in a row group.
func checkPages(r io.ReaderAt, size int64, m *format.ColumnMetaData) error {
	at := m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		at = m.DictionaryPageOffset
	}
	if at < 0 || m.TotalCompressedSize < 0 || at > size || m.TotalCompressedSize > size-at {
		return brokenParquet(errors.New("its pages lie outside the file"))
	}
	end := at + m.TotalCompressedSize
	buffer := make([]byte, 4<<10)
	for at < end {
		header, length, err := pageHeader(r, at, end, &buffer)
		if err != nil {
			return err
		}
		at += length
		values := max(header.DataPageHeader.V.NumValues, header.DataPageHeaderV2.V.NumValues, header.DictionaryPageHeader.V.NumValues)
		switch {
		case header.CompressedPageSize < 0 || int64(header.CompressedPageSize) > end-at:
			return brokenParquet(errors.New("a page is longer than the column"))
		case header.CompressedPageSize > maxPage || header.UncompressedPageSize > maxPage:
			return freshet.Errorf(freshet.TooLarge, "a page of %d bytes; at most %d are read: write smaller pages", max(header.CompressedPageSize, header.UncompressedPageSize), maxPage)
		case values > MaxRows:
			return brokenParquet(errors.New("a page has more values than a table has rows"))
		}
		at += int64(header.CompressedPageSize)
	}
	return nil
}

// pageHeader reads the header that begins at a place; it is length bytes long. It may make buffer larger.
func pageHeader(r io.ReaderAt, at, end int64, buffer *[]byte) (h format.PageHeader, length int64, err error) {
	for {
		data := (*buffer)[:min(int64(len(*buffer)), end-at)]
		if _, err := r.ReadAt(data, at); err != nil && !errors.Is(err, io.EOF) {
			return h, 0, err
		}
		s := skimmer{data: data, elements: maxElements}
		err := s.structure(0)
		if errors.Is(err, io.ErrUnexpectedEOF) && len(data) == len(*buffer) && len(data) < maxHeader {
			*buffer = make([]byte, 4*len(data))
			continue
		}
		if err == nil {
			var protocol thrift.CompactProtocol
			err = thrift.Unmarshal(&protocol, data[:s.at], &h)
		}
		if err != nil {
			return h, 0, brokenParquet(err)
		}
		return h, int64(s.at), nil
	}
}
