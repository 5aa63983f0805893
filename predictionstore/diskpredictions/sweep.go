package diskpredictions

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/record"
)

// Sweep implements predictionstore.Driver: from is the key after which to go on.
func (s *Store) Sweep(ctx context.Context, before freshet.Timestamp, from []byte, limit int) (next []byte, removed int, err error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return nil, 0, err
	}
	defer s.gate.Leave()
	low := []byte{disk.PrefixPredictions}
	if from != nil {
		low = append(bytes.Clone(from), 0)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: []byte{disk.PrefixPredictions + 1}})
	if err != nil {
		return nil, 0, storeError(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if limit--; limit < 0 {
			return next, removed, nil
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, removed, storeError(err)
		}
		next = append(next[:0], it.Key()...)
		expired, err := expiredBefore(value, before)
		if err != nil {
			return nil, removed, err
		}
		if !expired {
			continue
		}
		gone, err := s.removeExpired(next, before)
		if err != nil {
			return nil, removed, err
		}
		if gone {
			removed++
		}
	}
	return nil, removed, storeError(it.Error())
}

// removeExpired deletes what is at key, unless it has been replaced since. Nothing is synced: what a crash brings back expires
// no later.
func (s *Store) removeExpired(key []byte, before freshet.Timestamp) (bool, error) {
	stripe := s.stripe(entityPart(key))
	stripe.writing.Lock()
	defer stripe.writing.Unlock()
	value, closer, err := s.db.Get(key)
	if err == pebble.ErrNotFound {
		return false, nil
	}
	if err != nil {
		return false, storeError(err)
	}
	defer closer.Close()
	expired, err := expiredBefore(value, before)
	if err != nil || !expired {
		return false, err
	}
	if err := s.db.Delete(key, pebble.NoSync); err != nil {
		return false, storeError(err)
	}
	stripe.hot.remove(key)
	return true, nil
}

// entityPart is the part of a key that appendEntityKey has written: it ends with the second end of a text.
func entityPart(key []byte) []byte {
	end := 0
	for range 2 {
		i := bytes.Index(key[end:], []byte{0, 1})
		if i < 0 {
			return key
		}
		end += i + 2
	}
	return key[:end]
}

// expiredBefore tells whether the prediction in value had expired before a moment. It reads no more than that takes.
func expiredBefore(value []byte, before freshet.Timestamp) (bool, error) {
	h, rest, err := decodeHead(value)
	if err != nil {
		return false, err
	}
	const longest = 1 + 3*10
	r := record.NewReader(string(rest[:min(h.bodyBytes, longest)]))
	r.Byte()    // partition
	r.Uvarint() // offset
	r.Varint()  // event time
	at := freshet.Timestamp(r.Varint())
	if r.Bad() {
		return false, unreadable(value)
	}
	return at != 0 && at < before, nil
}
