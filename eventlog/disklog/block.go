package disklog

import (
	"encoding/binary"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// blockVersion is the first byte of every block; docs/formats/eventlog.md describes the rest.
const blockVersion = 1

// minRecordBytes is the size of a record of empty fields: two times and five lengths.
const minRecordBytes = 7

// appendBlock appends a block to dst: count records, encoded one after another by appendRecord with the same base.
func appendBlock(dst []byte, maxEventTime, base freshet.Timestamp, count int, records []byte) []byte {
	dst = append(dst, blockVersion)
	dst = binary.AppendUvarint(dst, uint64(count))
	dst = binary.AppendVarint(dst, int64(maxEventTime))
	dst = binary.AppendVarint(dst, int64(base))
	return append(dst, records...)
}

// appendRecord appends the event as it is stored for one of its entities. base is the ingest time of the block's first
// record.
func appendRecord(dst []byte, base freshet.Timestamp, e *freshet.Event, entity freshet.Entity) []byte {
	dst = binary.AppendVarint(dst, int64(e.IngestTime-base))
	dst = binary.AppendVarint(dst, int64(e.IngestTime-e.EventTime))
	dst = binary.AppendUvarint(dst, uint64(len(e.Type)))
	dst = append(dst, e.Type...)
	dst = binary.AppendUvarint(dst, uint64(len(entity.Kind)))
	dst = append(dst, entity.Kind...)
	dst = binary.AppendUvarint(dst, uint64(len(e.ID)))
	dst = binary.AppendUvarint(dst, uint64(len(entity.Key)))
	dst = append(dst, e.ID...)
	dst = append(dst, entity.Key...)
	dst = binary.AppendUvarint(dst, uint64(len(e.Payload)))
	return append(dst, e.Payload...)
}

// decodeBlock appends to dst the records of a block that begins at offset first: those from offset from on, at most
// limit. Payloads are parts of block, which the caller gives away; all else is copied. Returns Internal, and dst as it
// was, for anything that is not a whole block.
func decodeBlock(dst []eventlog.Record, block []byte, first, from freshet.Offset, limit int) ([]eventlog.Record, error) {
	d, err := newBlockDecoder(block)
	if err != nil {
		return dst, err
	}
	out := dst
	for o := first; d.left > 0; o++ {
		if len(out)-len(dst) == limit {
			return out, nil
		}
		if err := d.next(); err != nil {
			return dst, err
		}
		if o >= from {
			out = append(out, d.record(o))
		}
	}
	if err := d.end(); err != nil {
		return dst, err
	}
	return out, nil
}

// blockEnd is how many records a block has, and the largest event time in the partition up to its end.
func blockEnd(block []byte) (count int, maxEventTime freshet.Timestamp, err error) {
	d, err := newBlockDecoder(block)
	if err != nil {
		return 0, 0, err
	}
	count = d.left
	for d.left > 0 {
		if err := d.next(); err != nil {
			return 0, 0, err
		}
	}
	return count, max(d.maxEventTime, d.eventTime), d.end()
}

// blockDecoder goes through the records of a block. Its byte fields are parts of the block and hold the current record.
type blockDecoder struct {
	rest []byte
	left int // records not yet read
	base freshet.Timestamp

	maxEventTime          freshet.Timestamp // before the current record
	eventTime, ingestTime freshet.Timestamp
	typ, kind             []byte
	id, key, idAndKey     []byte
	payload               []byte

	// The names of the record before: mostly the same, so that no copy is needed.
	lastType freshet.EventType
	lastKind freshet.EntityKind
}

func newBlockDecoder(block []byte) (blockDecoder, error) {
	if len(block) == 0 || block[0] != blockVersion {
		return blockDecoder{}, freshet.Errorf(freshet.Internal, "no block of events of version %d", blockVersion)
	}
	d := blockDecoder{rest: block[1:]}
	count, ok1 := d.uvarint()
	maxEventTime, ok2 := d.varint()
	base, ok3 := d.varint()
	if !ok1 || !ok2 || !ok3 || count == 0 || count > uint64(len(d.rest)/minRecordBytes) {
		return blockDecoder{}, freshet.Errorf(freshet.Internal, "block of %d bytes: broken header", len(block))
	}
	d.left = int(count)
	d.base = freshet.Timestamp(base)
	// next makes it the maximum before the first record.
	d.maxEventTime = freshet.Timestamp(maxEventTime)
	d.eventTime = d.maxEventTime
	return d, nil
}

// next goes to the next record; there must be one left.
func (d *blockDecoder) next() error {
	d.maxEventTime = max(d.maxEventTime, d.eventTime)
	sinceBase, ok1 := d.varint()
	age, ok2 := d.varint()
	d.ingestTime = d.base + freshet.Timestamp(sinceBase)
	d.eventTime = d.ingestTime - freshet.Timestamp(age)
	var ok3, ok4, ok5, ok6 bool
	d.typ, ok3 = d.bytes()
	d.kind, ok4 = d.bytes()
	ok5 = d.nextIDAndKey()
	d.payload, ok6 = d.bytes()
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return freshet.Errorf(freshet.Internal, "block of events: broken record, %d before the last", d.left-1)
	}
	d.left--
	return nil
}

// nextIDAndKey reads the two that lie side by side, so that one string holds both.
func (d *blockDecoder) nextIDAndKey() bool {
	idLen, ok1 := d.uvarint()
	keyLen, ok2 := d.uvarint()
	if !ok1 || !ok2 || idLen > uint64(len(d.rest)) || keyLen > uint64(len(d.rest))-idLen {
		return false
	}
	d.idAndKey, d.rest = d.rest[:idLen+keyLen], d.rest[idLen+keyLen:]
	d.id, d.key = d.idAndKey[:idLen], d.idAndKey[idLen:]
	return true
}

// record is the current record, at offset o.
func (d *blockDecoder) record(o freshet.Offset) eventlog.Record {
	if string(d.typ) != string(d.lastType) {
		d.lastType = freshet.EventType(d.typ)
	}
	if string(d.kind) != string(d.lastKind) {
		d.lastKind = freshet.EntityKind(d.kind)
	}
	idAndKey := string(d.idAndKey)
	return eventlog.Record{
		Event: freshet.Event{
			ID:         freshet.EventID(idAndKey[:len(d.id)]),
			Type:       d.lastType,
			EventTime:  d.eventTime,
			IngestTime: d.ingestTime,
			Payload:    d.payload[:len(d.payload):len(d.payload)],
		},
		Entity:       freshet.Entity{Kind: d.lastKind, Key: freshet.Key(idAndKey[len(d.id):])},
		Offset:       o,
		MaxEventTime: d.maxEventTime,
	}
}

// end fails unless the whole block has been read.
func (d *blockDecoder) end() error {
	if len(d.rest) != 0 {
		return freshet.Errorf(freshet.Internal, "block of events: %d bytes after its last record", len(d.rest))
	}
	return nil
}

func (d *blockDecoder) uvarint() (uint64, bool) {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		return 0, false
	}
	d.rest = d.rest[n:]
	return v, true
}

func (d *blockDecoder) varint() (int64, bool) {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		return 0, false
	}
	d.rest = d.rest[n:]
	return v, true
}

func (d *blockDecoder) bytes() ([]byte, bool) {
	n, ok := d.uvarint()
	if !ok || n > uint64(len(d.rest)) {
		return nil, false
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, true
}
