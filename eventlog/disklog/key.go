package disklog

import (
	"encoding/binary"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
)

const blockKeyBytes = 1 + 1 + 8

// blockKey is the key of the block of partition p whose first record is at o.
func blockKey(p freshet.Partition, o freshet.Offset) []byte {
	return appendBlockKey(make([]byte, 0, blockKeyBytes), p, o)
}

func appendBlockKey(dst []byte, p freshet.Partition, o freshet.Offset) []byte {
	return binary.BigEndian.AppendUint64(append(dst, disk.PrefixEvents, byte(p)), uint64(o))
}

// blockKeyOffset is the offset in a block's key.
func blockKeyOffset(key []byte) (freshet.Offset, error) {
	if len(key) != blockKeyBytes || key[0] != disk.PrefixEvents {
		return 0, freshet.Errorf(freshet.Internal, "event log: %x is no key of a block", key)
	}
	return freshet.Offset(binary.BigEndian.Uint64(key[2:])), nil
}

// idDayKey is where the ids accepted on day begin.
func idDayKey(day uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{disk.PrefixEventIDs}, day)
}

const idKeyBytes = 1 + 4 + 16

// appendIDKey appends the key of the id with hash h that was accepted on day.
func appendIDKey(dst []byte, day uint32, h idHash) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, disk.PrefixEventIDs), day)
	dst = binary.BigEndian.AppendUint64(dst, h.Hi)
	return binary.BigEndian.AppendUint64(dst, h.Lo)
}

// splitIDKey is the inverse of appendIDKey; ok is false for another key.
func splitIDKey(key []byte) (day uint32, h idHash, ok bool) {
	if len(key) != idKeyBytes || key[0] != disk.PrefixEventIDs {
		return 0, idHash{}, false
	}
	h.Hi = binary.BigEndian.Uint64(key[5:])
	h.Lo = binary.BigEndian.Uint64(key[13:])
	return binary.BigEndian.Uint32(key[1:]), h, true
}
