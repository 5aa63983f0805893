package server

import (
	"encoding/json"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/erase"
)

// erasures keep requests to forget somebody: docs/formats/erasures.md.
type erasures struct{ db *pebble.DB }

func erasureKey(id string) []byte { return append([]byte{disk.PrefixErasures}, id...) }

// Put implements erase.Records. It is synced: a request that was answered is carried out.
func (e erasures) Put(r *erase.Request) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return e.db.Set(erasureKey(r.ID), b, pebble.Sync)
}

// Delete implements erase.Records.
func (e erasures) Delete(id string) error { return e.db.Delete(erasureKey(id), pebble.Sync) }

// All implements erase.Records.
func (e erasures) All() (all []erase.Request, err error) {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: erasureKey(""), UpperBound: []byte{disk.PrefixErasures + 1}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		var r erase.Request
		if err := json.Unmarshal(it.Value(), &r); err != nil {
			return nil, freshet.Errorf(freshet.Internal, "erase %s on disk cannot be read: %w", it.Key()[1:], err)
		}
		all = append(all, r)
	}
	return all, it.Error()
}
