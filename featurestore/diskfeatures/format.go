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
func appendRow(dst []byte, r freshet.Row) []byte {
	return append(binary.AppendUvarint(dst, uint64(r.Offset)), r.Data...)
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

// encodeOwnership: epoch (uvarint), offset (uvarint).
func encodeOwnership(o featurestore.Ownership) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(o.Epoch)), uint64(o.Checkpoint))
}

func decodeOwnership(b []byte) (featurestore.Ownership, error) {
	epoch, n := binary.Uvarint(b)
	if n > 0 {
		if offset, m := binary.Uvarint(b[n:]); m > 0 && n+m == len(b) {
			return featurestore.Ownership{Epoch: freshet.Epoch(epoch), Checkpoint: freshet.Offset(offset)}, nil
		}
	}
	return featurestore.Ownership{}, freshet.Errorf(freshet.Internal, "damaged checkpoint: % x", b)
}
