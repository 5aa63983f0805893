package disktables

import (
	"encoding/binary"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/record"
	"github.com/freshet-ml/freshet/tablestore"
)

// Keys and values are described in docs/formats/tables.md.

const rowVersion = 1

const (
	flagDeleted = 1 << 0
	flagExpires = 1 << 1
	allFlags    = flagDeleted | flagExpires
)

func appendKey(dst []byte, table freshet.TableName, key freshet.Key) []byte {
	dst = append(dst, disk.PrefixTables)
	dst = record.AppendKeyText(dst, table)
	return append(dst, key...)
}

func appendRow(dst []byte, r *tablestore.Row) []byte {
	var flags byte
	if r.Deleted {
		flags |= flagDeleted
	}
	if r.ExpiresAt != 0 {
		flags |= flagExpires
	}
	dst = append(dst, rowVersion, flags)
	dst = binary.AppendUvarint(dst, uint64(r.EventTime))
	if r.ExpiresAt != 0 {
		dst = binary.AppendUvarint(dst, uint64(r.ExpiresAt))
	}
	return append(dst, r.Data...)
}

// decodeRow reads what appendRow wrote; table and key stand in the key of the record. Data is a part of value.
func decodeRow(value []byte) (tablestore.Row, error) {
	const longest = 2 + 2*binary.MaxVarintLen64
	front := value[:min(len(value), longest)]
	r := record.NewReader(string(front))
	version, flags := r.Byte(), r.Byte()
	row := tablestore.Row{Deleted: flags&flagDeleted != 0, EventTime: tablestore.Moment(r.Uvarint())}
	if flags&flagExpires != 0 {
		row.ExpiresAt = tablestore.Moment(r.Uvarint())
	}
	row.Data = value[len(front)-len(r.Rest()):]
	if r.Bad() || version != rowVersion || flags&^allFlags != 0 || row.EventTime < 0 || row.ExpiresAt < 0 ||
		row.Deleted && len(row.Data) > 0 || flags&flagExpires != 0 && row.ExpiresAt == 0 {
		return tablestore.Row{}, freshet.Errorf(freshet.Internal, "stored row of %d bytes: not readable as version %d", len(value), rowVersion)
	}
	return row, nil
}
