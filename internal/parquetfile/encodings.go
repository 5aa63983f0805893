package parquetfile

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
)

var (
	errTooFew  = errors.New("a page has fewer values than it says")
	errTooMany = errors.New("a page has more values than it says")
)

// plainDictionary is what old writers call the encodings of dictionaries and of indexes into them.
const plainDictionary format.Encoding = 2

func checkDataPage(c *parquet.Column, h *format.DataPageHeader, data []byte) error {
	values := int(h.NumValues)
	if most := c.MaxDefinitionLevel(); most > 0 {
		levels, rest, err := cut(data)
		if err != nil {
			return err
		}
		if err := checkLevels(levels, h.DefinitionLevelEncoding, bits.Len(uint(most)), values); err != nil {
			return err
		}
		data = rest
	}
	return checkValues(c, h.Encoding, data, values)
}

func checkDataPageV2(c *parquet.Column, h *format.DataPageHeaderV2, levels, data []byte) error {
	if most := c.MaxDefinitionLevel(); most > 0 {
		if err := checkRuns(levels, bits.Len(uint(most)), int(h.NumValues)); err != nil {
			return err
		}
	}
	return checkValues(c, h.Encoding, data, int(h.NumValues))
}

func checkLevels(data []byte, encoding format.Encoding, width, values int) error {
	switch encoding {
	case format.RLE:
		return checkRuns(data, width, values)
	case format.BitPacked:
		if len(data)*8/width > values+maxPadding {
			return errTooMany
		}
		return nil
	}
	return freshet.Errorf(freshet.Unsupported, "encoding %s of nulls is not read", encoding)
}

// cut cuts off bytes after their length.
func cut(data []byte) (first, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	length := binary.LittleEndian.Uint32(data)
	if data = data[4:]; uint64(length) > uint64(len(data)) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return data[:length], data[length:], nil
}

// checkValues checks that encoded data is not of more values than the page says, nulls among them.
func checkValues(c *parquet.Column, encoding format.Encoding, data []byte, values int) error {
	switch encoding {
	case format.Plain, format.ByteStreamSplit:
		return nil // the values are there, one by one
	case plainDictionary, format.RLEDictionary:
		if len(data) == 0 {
			return nil
		}
		return checkRuns(data[1:], int(data[0]), values)
	case format.RLE:
		data, _, err := cut(data)
		if err != nil {
			return err
		}
		return checkRuns(data, 1, values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		d, err := readDeltas(data)
		if err == nil && d.count > values {
			err = errTooMany
		}
		return err
	case format.DeltaByteArray:
		return checkDeltaTexts(data, values)
	}
	return freshet.Errorf(freshet.Unsupported, "encoding %s of %s is not read: write it as a dictionary or plain", encoding, c.Type())
}

// maxPadding is how many values a run of packed ones may have in excess: writers fill the last one up, to as many as its header can
// say in a byte.
const maxPadding = 63 * 8

// checkRuns checks runs of values of a width in bits (RLE, packed or repeated).
func checkRuns(data []byte, width, values int) error {
	if width > 32 {
		return errors.New("values of more than 32 bits")
	}
	total := uint64(0)
	for len(data) > 0 {
		head, n := binary.Uvarint(data)
		if n <= 0 {
			return io.ErrUnexpectedEOF
		}
		data = data[n:]
		count, length := head>>1, uint64(width+7)/8
		if count > uint64(values)+maxPadding {
			return errTooMany
		}
		if head&1 != 0 { // so many groups of eight
			count, length = count*8, count*uint64(width)
		}
		if total += count; total > uint64(values)+maxPadding {
			return errTooMany
		}
		if length > uint64(len(data)) {
			return io.ErrUnexpectedEOF
		}
		data = data[length:]
	}
	return nil
}

// deltas is what a block of whole numbers says that are written as differences.
type deltas struct {
	count   int
	packs   int // of which a block is made
	packed  int // values in a pack
	content []byte
}

func readDeltas(data []byte) (d deltas, err error) {
	var head [4]uint64 // the last is the first value
	for i := range head {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return d, io.ErrUnexpectedEOF
		}
		head[i], data = v, data[n:]
	}
	size, packs, count := head[0], head[1], head[2]
	if packs == 0 || size == 0 || size > 1<<16 || packs > size || size/packs%32 != 0 || count > 1<<31-1 {
		return d, errors.New("a page of differences with sizes that make no sense")
	}
	return deltas{count: int(count), packs: int(packs), packed: int(size / packs), content: data}, nil
}

// after is what follows the differences.
func (d deltas) after() ([]byte, error) {
	data, left := d.content, d.count-1
	for left > 0 {
		_, n := binary.Uvarint(data) // the least difference
		if n <= 0 || len(data)-n < d.packs {
			return nil, io.ErrUnexpectedEOF
		}
		widths := data[n : n+d.packs]
		data = data[n+d.packs:]
		for _, width := range widths {
			length := d.packed * int(width) / 8
			if length > len(data) {
				return nil, io.ErrUnexpectedEOF
			}
			if data, left = data[length:], left-d.packed; left <= 0 {
				break
			}
		}
	}
	return data, nil
}

// checkDeltaTexts checks texts of which each says how much of the one before it begins with: a few bytes can make them very long.
func checkDeltaTexts(data []byte, values int) error {
	prefixes, rest, err := lengths(data, values)
	if err != nil {
		return err
	}
	suffixes, _, err := lengths(rest, values)
	if err != nil {
		return err
	}
	total := int64(0)
	for i := range min(len(prefixes), len(suffixes)) {
		if total += int64(prefixes[i]) + int64(suffixes[i]); prefixes[i] < 0 || suffixes[i] < 0 || total > maxPage {
			return errors.New("a page of texts that are too long together")
		}
	}
	return nil
}

func lengths(data []byte, values int) (all []int32, rest []byte, err error) {
	d, err := readDeltas(data)
	if err != nil {
		return nil, nil, err
	}
	if d.count > values {
		return nil, nil, errTooMany
	}
	if rest, err = d.after(); err != nil {
		return nil, nil, err
	}
	var packed delta.BinaryPackedEncoding
	all, err = packed.DecodeInt32(nil, data)
	return all, rest, err
}
