package freshet

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// Partitions is the number of partitions of every event log: fixed, because it decides where a key's events are.
const Partitions = 64

// Partition is one of the ordered lanes of the event log, 0 … Partitions−1. All events of an entity are in one.
type Partition uint8

// Offset is the place of an event in its partition, from 1. Zero means "before the first".
type Offset uint64

// Epoch counts the owners of a partition. A write under an older epoch than the last is refused: its owner lost the
// partition and does not know it yet.
type Epoch uint64

// Place is where an event lies in the log.
type Place struct {
	Partition Partition `json:"partition"`
	Offset    Offset    `json:"offset"`
}

// PartitionOf is the partition of an entity key: murmur2 of its bytes as Kafka's Java client computes it, so that the
// embedded log and a Kafka topic of 64 partitions agree.
func PartitionOf(k Key) Partition { return Partition((murmur2(string(k)) & 0x7fffffff) % Partitions) }

// murmur2 is the 32-bit hash of Kafka's DefaultPartitioner (org.apache.kafka.common.utils.Utils.murmur2): seed
// 0x9747b28c, little-endian words.
func murmur2(s string) uint32 {
	const (
		seed uint32 = 0x9747b28c
		m    uint32 = 0x5bd1e995
		r           = 24
	)
	h := seed ^ uint32(len(s))
	for len(s) >= 4 {
		k := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
		s = s[4:]
	}
	switch len(s) {
	case 3:
		h ^= uint32(s[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(s[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(s[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

// Position says how far an answer must have come to cover all events of one request: for each partition that the
// request touched, the last offset. The zero Position covers nothing.
type Position struct {
	through [Partitions]Offset
}

// Cover widens p so that it covers the event at pl.
func (p *Position) Cover(pl Place) {
	p.through[pl.Partition] = max(p.through[pl.Partition], pl.Offset)
}

// Through is the last offset of partition that p covers; zero if it touches none of it.
func (p *Position) Through(partition Partition) Offset { return p.through[partition] }

// String is p as opaque URL-safe text, empty for the zero Position.
func (p Position) String() string {
	var b []byte
	for i, o := range p.through {
		if o != 0 {
			b = append(b, byte(i))
			b = binary.AppendUvarint(b, uint64(o))
		}
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParsePosition reads what String wrote. Returns InvalidArgument with field "after" for any other text.
func ParsePosition(s string) (Position, error) {
	var p Position
	bad := FieldErrorf(InvalidArgument, "after", "after: %.80q is no position; take it from the answer to POST /v1/events", s)
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Position{}, bad
	}
	seen := -1
	for len(b) > 0 {
		partition := int(b[0])
		o, n := binary.Uvarint(b[1:])
		if n <= 0 || o == 0 || partition >= Partitions || partition <= seen {
			return Position{}, bad
		}
		seen = partition
		p.through[partition] = Offset(o)
		b = b[1+n:]
	}
	return p, nil
}

// ComparePlaces orders places by partition, then offset.
func ComparePlaces(a, b Place) int {
	return slices.Compare([]uint64{uint64(a.Partition), uint64(a.Offset)}, []uint64{uint64(b.Partition), uint64(b.Offset)})
}
