// Package pushtable is a kit: push tables as typed columns over the bytes that a table store keeps. It knows how a row is
// written and what the clients' values mean; it holds no row, and which one is newer is the store's to say.
package pushtable

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/record"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/tablestore"
)

// Row is a row of a push table.
type Row struct {
	Key       freshet.Key
	EventTime tablestore.Moment
	ExpiresAt tablestore.Moment  // 0: never
	Deleted   bool               // a tombstone, without values
	Values    []expression.Value // one for each column of the table
}

// Tables reads and writes push tables. It may be used concurrently.
type Tables struct{ store *tablestore.Store }

// New returns the tables whose rows store keeps.
func New(store *tablestore.Store) *Tables { return &Tables{store} }

// Find returns the row of key in the table of spec, its values appended to dst; ok is false if there is none.
func (t *Tables) Find(ctx context.Context, spec *table.Spec, key freshet.Key, dst []expression.Value) (row Row, ok bool, err error) {
	kept, ok, err := t.store.Get(ctx, spec.Name, key)
	if err != nil || !ok {
		return Row{}, false, err
	}
	values, err := readRow(kept.Data, spec.Columns, dst)
	if err != nil {
		return Row{}, false, freshet.Errorf("", "table %s: row of %q: %w", spec.Name, key, err)
	}
	return Row{Key: key, EventTime: kept.EventTime, ExpiresAt: kept.ExpiresAt, Values: values}, true, nil
}

// Put keeps rows of the table of spec, durably, and says for each whether it did: not where the kept one is newer.
func (t *Tables) Put(ctx context.Context, spec *table.Spec, ties tablestore.Ties, rows ...Row) (stored []bool, err error) {
	written := make([]tablestore.Row, len(rows))
	for i, r := range rows {
		written[i] = tablestore.Row{Table: spec.Name, Key: r.Key, EventTime: r.EventTime, ExpiresAt: r.ExpiresAt, Deleted: r.Deleted}
		if !r.Deleted {
			written[i].Data = appendRow(nil, spec.Columns, r.Values)
		}
	}
	return t.store.Put(ctx, ties, written...)
}

// Digest names the definition of a push table: its rows are live data and no part of a release.
func Digest(spec *table.Spec) freshet.Digest {
	b := []byte("push")
	for _, k := range spec.KeyFields {
		b = record.AppendText(b, k)
	}
	b = append(b, 0)
	for _, c := range spec.Columns {
		b = append(record.AppendText(b, c.Name), kindByte(c.Kind))
		if c.Int {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return freshet.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(b)))
}
