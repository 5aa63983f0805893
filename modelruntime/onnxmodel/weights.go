package onnxmodel

import (
	"encoding/binary"
	"io"
	"io/fs"
	"strconv"
	"strings"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// tensorProto is a constant as the file has it.
type tensorProto struct {
	name     string
	dims     []int64
	kind     dtype
	floats   []float32
	doubles  []float64
	integers []int64 // of int32_data, int64_data or uint64_data
	strings  []string
	raw      []byte // a part of the file
	hasRaw   bool
	external map[string]string // where the bytes are, if they are in another file
}

func decodeTensor(message []byte) (*tensorProto, error) {
	t := &tensorProto{}
	elsewhere := false
	err := fields(message, func(f field) (err error) {
		switch f.number {
		case 1:
			t.dims, err = f.appendIntegers(t.dims)
		case 2:
			var n int64
			n, err = f.integer()
			t.kind = dtype(n)
		case 3:
			err = unsupported("tensor %.60q is cut into segments: they are not read", t.name)
		case 4:
			t.floats, err = f.appendFloats(t.floats)
		case 5, 7, 11:
			t.integers, err = f.appendIntegers(t.integers)
		case 6:
			t.strings, err = appendText(t.strings, f, maxTexts)
		case 8:
			t.name, err = f.text()
		case 9:
			t.raw, err = f.message()
			t.hasRaw = true
		case 10:
			t.doubles, err = f.appendDoubles(t.doubles)
		case 13:
			err = t.addExternal(f)
		case 14:
			elsewhere = f.n == 1
			err = f.need(0)
		}
		return err
	})
	if !elsewhere {
		t.external = nil
	} else if t.external == nil {
		t.external = map[string]string{}
	}
	return t, err
}

func (t *tensorProto) addExternal(f field) error {
	message, err := f.message()
	if err != nil {
		return err
	}
	var key, value string
	err = fields(message, func(f field) (err error) {
		switch f.number {
		case 1:
			key, err = f.text()
		case 2:
			value, err = f.text()
		}
		return err
	})
	if t.external == nil {
		t.external = make(map[string]string)
	}
	if len(t.external) < 16 {
		t.external[key] = value
	}
	return err
}

// side reads weights from files beside the model.
type side struct {
	dir  fs.FS
	left int64 // bytes that may still be read: a file can be named many times
}

// constant makes a tensor of it.
func (t *tensorProto) constant(files *side) (*tensor, error) {
	shape, count, err := t.size()
	if err != nil {
		return nil, err
	}
	if !t.kind.read() {
		return nil, unsupported("tensor %.60q is of type %s: float, double, int64, int32, bool and the small integers are read; convert the model to float32", t.name, t.kind)
	}
	if t.external != nil {
		if t.raw, err = t.readExternal(files, count); err != nil {
			return nil, err
		}
		t.hasRaw = true
	}
	c := &tensor{name: t.name, kind: t.kind, shape: shape, count: count, constant: true}
	if t.hasRaw {
		err = t.fromRaw(c)
	} else {
		err = t.fromLists(c)
	}
	return c, err
}

// size checks the dimensions: whole, and their product no more than a file can hold.
func (t *tensorProto) size() (shape []int, count int, err error) {
	if len(t.dims) > maxRank {
		return nil, 0, invalid("tensor %.60q has %d dimensions: at most %d are read", t.name, len(t.dims), maxRank)
	}
	product := int64(1)
	for _, d := range t.dims {
		if d < 0 || d > modelruntime.MaxFileBytes || product*d > modelruntime.MaxFileBytes { // no overflow: both are below 2^30
			return nil, 0, invalid("tensor %.60q has dimensions %v: no file that is read holds so many numbers", t.name, t.dims[:min(8, len(t.dims))])
		}
		product *= d
		shape = append(shape, int(d))
	}
	return shape, int(product), nil
}

func (t *tensorProto) fromRaw(c *tensor) error {
	width := t.kind.width()
	if width == 0 || len(t.raw) != c.count*width {
		return invalid("tensor %.60q has dimensions %v of type %s and %d bytes: they do not match", t.name, t.dims, t.kind, len(t.raw))
	}
	switch {
	case t.kind == typeFloat:
		c.f32 = float32s(t.raw)
	case t.kind == typeDouble:
		c.f64 = float64s(t.raw)
	default:
		c.i64 = make([]int64, c.count)
		for i := range c.i64 {
			c.i64[i] = t.kind.wrap(littleEndian(t.raw[i*width : (i+1)*width]))
		}
	}
	return nil
}

func littleEndian(b []byte) int64 {
	var word [8]byte
	copy(word[:], b)
	return int64(binary.LittleEndian.Uint64(word[:]))
}

func (t *tensorProto) fromLists(c *tensor) error {
	var n int
	switch {
	case t.kind == typeFloat:
		c.f32, n = t.floats, len(t.floats)
	case t.kind == typeDouble:
		c.f64, n = t.doubles, len(t.doubles)
	case t.kind == typeString:
		c.texts, n = t.strings, len(t.strings)
	default:
		for i, v := range t.integers {
			t.integers[i] = t.kind.wrap(v)
		}
		c.i64, n = t.integers, len(t.integers)
	}
	if n != c.count {
		return invalid("tensor %.60q has dimensions %v and %d values of type %s: they do not match", t.name, t.dims, n, t.kind)
	}
	return nil
}

// readExternal reads the bytes of a tensor from another file of the model's directory.
func (t *tensorProto) readExternal(files *side, count int) ([]byte, error) {
	location := t.external["location"]
	if !fs.ValidPath(location) || strings.Contains(location, `\`) {
		return nil, invalid("tensor %.60q: external data in %.100q lies outside the model's directory: name a file inside it", t.name, location)
	}
	offset, err := t.externalNumber("offset", 0)
	if err != nil {
		return nil, err
	}
	want := int64(count) * int64(t.kind.width())
	length, err := t.externalNumber("length", want)
	if err != nil {
		return nil, err
	}
	if length != want {
		return nil, invalid("tensor %.60q: external data have length %d, and dimensions %v of type %s take %d bytes", t.name, length, t.dims, t.kind, want)
	}
	b, err := files.read(location, offset, length)
	if freshet.CodeOf(err) == freshet.NotFound {
		return nil, unsupported("tensor %.60q: external data: %w: they are read from the model's directory; open the directory, not the file alone", t.name, err)
	}
	if err != nil {
		return nil, freshet.Errorf("", "tensor %.60q: external data: %w", t.name, err)
	}
	return b, nil
}

func (t *tensorProto) externalNumber(key string, absent int64) (int64, error) {
	text, ok := t.external[key]
	if !ok {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("tensor %.60q: external data have %s %.40q: expected a number of bytes", t.name, key, text)
	}
	return n, nil
}

// read reads length bytes of a file from offset on.
func (s *side) read(name string, offset, length int64) ([]byte, error) {
	f, size, err := modelruntime.OpenFile(s.dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if offset > size || length > size-offset {
		return nil, invalid("%s has %d bytes: offset %d and length %d reach beyond", name, size, offset, length)
	}
	at, ok := f.(io.ReaderAt)
	if !ok { // as in an archive
		s.left -= offset
		_, err = io.CopyN(io.Discard, f, offset)
	}
	if s.left -= length; s.left < 0 {
		return nil, freshet.Errorf(freshet.TooLarge, "more than %d bytes", modelruntime.MaxFileBytes)
	}
	b := make([]byte, length)
	if ok {
		_, err = io.ReadFull(io.NewSectionReader(at, offset, length), b)
	} else if err == nil {
		_, err = io.ReadFull(f, b)
	}
	if err != nil {
		return nil, invalid("%s: %w", name, err)
	}
	return b, nil
}
