package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/freshet-ml/freshet"
)

// unpackers lend readers that unpack bodies; each holds some 100 KB that is worth keeping.
type unpackers struct {
	gzips, zstds, zlibs sync.Pool
	max                 int64
}

func (u *unpackers) init(maxUnpacked int64) {
	u.max = maxUnpacked
}

// maxWindow is what one zstd frame may ask to be remembered: what the format's own recommendation lets every reader
// expect.
const maxWindow = 8 << 20

// of gives the reader of the unpacked text and a function to call when it has been read.
func (u *unpackers) of(h http.Header, packed io.Reader) (io.Reader, func(), error) {
	encoding := strings.Join(h["Content-Encoding"], ",")
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return packed, func() {}, nil
	case "gzip", "x-gzip":
		return u.gzip(packed)
	case "zstd":
		return u.zstd(packed)
	case "deflate": // Triton's client: a zlib stream, as HTTP has it
		return u.zlib(packed)
	}
	return nil, nil, closing(freshet.FieldErrorf(freshet.Unsupported, "Content-Encoding",
		"Content-Encoding %q is not read; expected gzip, zstd, deflate or none", clip(encoding, 128)))
}

func (u *unpackers) gzip(packed io.Reader) (io.Reader, func(), error) {
	z, _ := u.gzips.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	done := func() { u.gzips.Put(z) }
	// The header is read at the first Read, so that its errors come where those of the rest come.
	return &lazy{open: func() error { return z.Reset(packed) }, r: z}, done, nil
}

func (u *unpackers) zlib(packed io.Reader) (io.Reader, func(), error) {
	l := &lazy{}
	l.open = func() (err error) {
		z, _ := u.zlibs.Get().(io.Reader)
		if z == nil {
			l.r, err = zlib.NewReader(packed)
			return err
		}
		l.r = z
		return z.(zlib.Resetter).Reset(packed, nil)
	}
	done := func() {
		if l.r != nil {
			u.zlibs.Put(l.r)
		}
	}
	return l, done, nil
}

func (u *unpackers) zstd(packed io.Reader) (io.Reader, func(), error) {
	z, _ := u.zstds.Get().(*zstd.Decoder)
	if z == nil {
		var err error
		// One goroutine's work at a time: a decoder that starts its own would let a few clients take all cores.
		z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(u.max)), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
	}
	done := func() {
		z.Reset(nil) // lets go of the request
		u.zstds.Put(z)
	}
	return &lazy{open: func() error { return z.Reset(packed) }, r: z}, done, nil
}

// lazy opens a reader when it is first read.
type lazy struct {
	open   func() error
	r      io.Reader
	opened bool
}

func (l *lazy) Read(p []byte) (int, error) {
	if !l.opened {
		l.opened = true
		if err := l.open(); err != nil {
			if err == io.EOF { // an empty body is no gzip stream
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	return l.r.Read(p)
}

func tooLargeToUnpack(err error) bool {
	return errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded)
}
