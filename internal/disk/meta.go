package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
)

// formatVersion is that of the whole key space. It rises when a driver changes what its keys or values mean.
const formatVersion = 1

// metaKey holds formatVersion (4 bytes, big endian) and the store's seed (8 bytes, big endian).
var metaKey = []byte{PrefixMeta, 's', 't', 'o', 'r', 'e'}

const metaBytes = 4 + 8

// readOrWriteMeta checks the format of the store, or stamps an empty one, and returns its seed.
func readOrWriteMeta(db *pebble.DB) (seed uint64, err error) {
	value, closer, err := db.Get(metaKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return writeMeta(db)
	}
	if err != nil {
		return 0, freshet.Errorf(freshet.Internal, "read its format: %w", err)
	}
	defer closer.Close()
	if len(value) < metaBytes {
		return 0, freshet.Errorf(freshet.PreconditionFailed, "it is no store of Freshet: its format mark has %d bytes", len(value))
	}
	if v := binary.BigEndian.Uint32(value); v != formatVersion {
		return 0, freshet.Errorf(freshet.PreconditionFailed,
			"its format is version %d and this server reads version %d; use the server that wrote it, or another folder", v, formatVersion)
	}
	return binary.BigEndian.Uint64(value[4:]), nil
}

func writeMeta(db *pebble.DB) (seed uint64, err error) {
	if err := refuseForeign(db); err != nil {
		return 0, err
	}
	var value [metaBytes]byte
	binary.BigEndian.PutUint32(value[:], formatVersion)
	if _, err := rand.Read(value[4:]); err != nil {
		return 0, freshet.Errorf(freshet.Internal, "make a seed: %w", err)
	}
	if err := db.Set(metaKey, value[:], pebble.Sync); err != nil {
		return 0, freshet.Errorf(freshet.Internal, "write its format: %w", err)
	}
	return binary.BigEndian.Uint64(value[4:]), nil
}

// refuseForeign fails if the store has keys although it has no meta key: then somebody else's data is in it.
func refuseForeign(db *pebble.DB) error {
	it, err := db.NewIter(nil)
	if err != nil {
		return freshet.Errorf(freshet.Internal, "look into it: %w", err)
	}
	defer it.Close()
	if it.First() {
		return freshet.Errorf(freshet.PreconditionFailed, "it is no store of Freshet; use another folder")
	}
	if err := it.Error(); err != nil {
		return freshet.Errorf(freshet.Internal, "look into it: %w", err)
	}
	return nil
}
