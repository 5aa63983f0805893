package diskfeatures

import (
	"encoding/binary"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/featurestore"
)

// Key prefixes of this driver in the shared store (internal/disk lists all).
const (
	rowPrefix        = 'f'
	checkpointPrefix = 'c'
)

// appendRowKey: 'f', partition (1 byte), view id (8 bytes, big endian), entity key.
func appendRowKey(dst []byte, p freshet.Partition, k rowKey) []byte {
	dst = append(dst, rowPrefix, byte(p))
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.view))
	return append(dst, k.key...)
}

// appendRow: offset (uvarint), data.
func appendRow(dst []byte, offset freshet.Offset, data []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(offset)), data...)
}

func decodeRow(b []byte, r *freshet.Row) error {
	offset, n := binary.Uvarint(b)
	if n <= 0 {
		return freshet.Errorf(freshet.Internal, "row of view %016x: damaged offset", r.View)
	}
	r.Offset = freshet.Offset(offset)
	r.Data = append(make([]byte, 0, len(b)-n), b[n:]...)
	return nil
}

// checkpointKey: 'c', partition (1 byte).
func checkpointKey(p freshet.Partition) []byte { return []byte{checkpointPrefix, byte(p)} }

// removedKey: 'c', partition (1 byte), view id (8 bytes, big endian). Its value is the moment of the last sweep that removed a row
// of the view (uvarint).
func removedKey(p freshet.Partition, v freshet.ViewID) []byte {
	return binary.BigEndian.AppendUint64(checkpointKey(p), uint64(v))
}

// filledKey: 'c', partition (1 byte), 'f'.
func filledKey(p freshet.Partition) []byte { return []byte{checkpointPrefix, byte(p), 'f'} }

// rowsOf are the bounds of the keys of a view's rows.
func rowsOf(p freshet.Partition, v freshet.ViewID) (from, to []byte) {
	from = appendRowKey(nil, p, rowKey{view: v})
	return from, after(from)
}

// viewOf is the view of a row's key.
func viewOf(key []byte) (freshet.ViewID, bool) {
	if len(key) < 10 {
		return 0, false
	}
	return freshet.ViewID(binary.BigEndian.Uint64(key[2:])), true
}

// checkpoint is what a partition's rows on disk amount to.
type checkpoint struct {
	epoch freshet.Epoch
	featurestore.Saved
}

// encodeFilled: for each view its id (8 bytes, big endian) and the offset through which it is filled (8 bytes, big endian).
func encodeFilled(filled []featurestore.Filled) []byte {
	var b []byte
	for _, f := range filled {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(f.View)), uint64(f.Through))
	}
	return b
}

func decodeFilled(b []byte) ([]featurestore.Filled, error) {
	if len(b)%16 != 0 {
		return nil, freshet.Errorf(freshet.Internal, "damaged list of filled views: %d bytes", len(b))
	}
	var filled []featurestore.Filled
	for ; len(b) > 0; b = b[16:] {
		filled = append(filled, featurestore.Filled{
			View: freshet.ViewID(binary.BigEndian.Uint64(b)), Through: freshet.Offset(binary.BigEndian.Uint64(b[8:])),
		})
	}
	return filled, nil
}

// encodeCheckpoint: epoch (uvarint), offset (uvarint), ids of the views (8 bytes each, big endian).
func encodeCheckpoint(c checkpoint) []byte {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(c.epoch)), uint64(c.Through))
	for _, v := range c.Views {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

func decodeCheckpoint(b []byte) (checkpoint, error) {
	damaged := freshet.Errorf(freshet.Internal, "damaged checkpoint: % x", b)
	epoch, n := binary.Uvarint(b)
	if n <= 0 {
		return checkpoint{}, damaged
	}
	b = b[n:]
	offset, n := binary.Uvarint(b)
	if n <= 0 || (len(b)-n)%8 != 0 {
		return checkpoint{}, damaged
	}
	c := checkpoint{freshet.Epoch(epoch), featurestore.Saved{Through: freshet.Offset(offset)}}
	for b = b[n:]; len(b) > 0; b = b[8:] {
		c.Views = append(c.Views, freshet.ViewID(binary.BigEndian.Uint64(b)))
	}
	return c, nil
}
