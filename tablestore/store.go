package tablestore

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
)

// MaxRowBytes is the largest Data of a row.
const MaxRowBytes = 1 << 20

// maxKeyBytes bounds a key: the key fields of an entity, each escaped.
const maxKeyBytes = 8 << 10

// Options of New. The zero value is good.
type Options struct {
	Now func() time.Time // decides what has expired. Defaults to time.Now
}

// Stats counts since New.
type Stats struct {
	Written  uint64 // rows and tombstones kept
	Historic uint64 // not kept: the one that was there is newer
}

// Store keeps the rows of push tables. It may be used concurrently.
type Store struct {
	d                 Driver
	now               func() time.Time
	written, historic atomic.Uint64
}

// New returns the store over d, which it closes with Close.
func New(d Driver, o *Options) *Store {
	s := &Store{d: d, now: time.Now}
	if o != nil && o.Now != nil {
		s.now = o.Now
	}
	return s
}

// Put keeps each row that is newer than the one of its table and key, and says for each whether it did. When it returns, what
// is kept is durable. Returns InvalidArgument for a row without table or key or with a moment outside 1970 … 9999, and
// TooLarge for one over MaxRowBytes; then no row is kept.
func (s *Store) Put(ctx context.Context, ties Ties, rows ...Row) (stored []bool, err error) {
	for i := range rows {
		if err := check(&rows[i]); err != nil {
			return nil, err
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	stored, err = s.d.Put(ctx, ties, rows)
	if err != nil {
		return nil, err
	}
	for _, kept := range stored {
		if kept {
			s.written.Add(1)
		} else {
			s.historic.Add(1)
		}
	}
	return stored, nil
}

func check(r *Row) error {
	switch {
	case r.Table == "":
		return freshet.Errorf(freshet.InvalidArgument, "a row without a table")
	case r.Key == "" || len(r.Key) > maxKeyBytes:
		return freshet.Errorf(freshet.InvalidArgument, "row of table %s: a key of %d bytes; expected 1 to %d", r.Table, len(r.Key), maxKeyBytes)
	case r.EventTime < MinMoment || r.EventTime > MaxMoment:
		return freshet.Errorf(freshet.InvalidArgument, "row of table %s: event time %d µs is outside 1970 … 9999", r.Table, int64(r.EventTime))
	case r.ExpiresAt < MinMoment:
		return freshet.Errorf(freshet.InvalidArgument, "row of table %s: it expires before 1970", r.Table)
	case len(r.Data) > MaxRowBytes:
		return freshet.Errorf(freshet.TooLarge, "row of table %s: %d bytes; expected at most %d", r.Table, len(r.Data), MaxRowBytes)
	}
	return nil
}

// Get returns the row of key; ok is false if there is none, if it was deleted and if it has expired.
func (s *Store) Get(ctx context.Context, table freshet.TableName, key freshet.Key) (row Row, ok bool, err error) {
	row, ok, err = s.d.Get(ctx, table, key)
	if err != nil || !ok || row.Deleted || row.ExpiresAt != 0 && MomentOf(s.now()) >= row.ExpiresAt {
		return Row{}, false, err
	}
	return row, true, nil
}

// Erase forgets the rows of key in tables as if they had never been put, durably, and tells how many there were. An older row that comes
// later is kept then.
func (s *Store) Erase(ctx context.Context, tables []freshet.TableName, key freshet.Key) (int, error) {
	return s.d.Erase(ctx, tables, key)
}

// Stats is a snapshot of the counts.
func (s *Store) Stats() Stats {
	return Stats{Written: s.written.Load(), Historic: s.historic.Load()}
}

// Close closes the driver.
func (s *Store) Close() error { return s.d.Close() }
