package parquetfile

import (
	"bytes"
	"errors"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
)

var errSize = errors.New("a page does not have the size that it says")

// decompress decompresses a page that says to have size bytes then, and never makes more of it. What it returns is valid until it is
// called again. The library's own decompression has no bound.
func (f *File) decompress(codec format.CompressionCodec, data []byte, size int) ([]byte, error) {
	if codec == format.Uncompressed {
		return data, nil
	}
	if cap(f.buffer) < size {
		f.buffer = make([]byte, size)
	}
	page := f.buffer[:size]
	n := 0
	var err error
	switch codec {
	case format.Snappy:
		if n, err = snappy.DecodedLen(data); err == nil && n == size {
			_, err = snappy.Decode(page, data)
		}
	case format.Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			n, err = fill(page, r)
		}
	case format.Brotli:
		n, err = fill(page, brotli.NewReader(bytes.NewReader(data)))
	case format.Zstd:
		n, err = f.decompressZstd(page, data)
	default: // with LZ4 the library gives what lies in memory: it makes a larger buffer and goes on with the one that it began with
		return nil, freshet.Errorf(freshet.Unsupported, "compression %s is not read: write it with zstd or snappy", codec)
	}
	if err == nil && n != size {
		err = errSize
	}
	return page, err
}

// fill reads a page and sees that nothing follows.
func fill(page []byte, r io.Reader) (int, error) {
	n, err := io.ReadFull(r, page)
	if err != nil {
		return n, err
	}
	var more [1]byte
	if k, err := io.ReadFull(r, more[:]); k > 0 || !errors.Is(err, io.EOF) {
		return n + k, errSize
	}
	return n, nil
}

func (f *File) decompressZstd(page, data []byte) (int, error) {
	if f.zstd == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxPage))
		if err != nil {
			return 0, err
		}
		f.zstd = d
	}
	decoded, err := f.zstd.DecodeAll(data, page[:0:len(page)])
	return len(decoded), err
}
