package disklog

import (
	"bytes"
	"context"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// maxSelectBytes of blocks end a Select.
const maxSelectBytes = 16 << 20

// Select implements eventlog.Selector: of the records of other entities only the names are looked at.
func (l *Log) Select(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int, match eventlog.Match) ([]eventlog.Record, freshet.Offset, error) {
	return l.choose(ctx, dst, partition, from, choice{
		limit: limit, looked: math.MaxInt, wants: func(d *blockDecoder) bool { return match(d.kind, d.key) },
	})
}

// Pick implements eventlog.Selector.
func (l *Log) Pick(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, n int, want eventlog.Want) ([]eventlog.Record, freshet.Offset, error) {
	return l.choose(ctx, dst, partition, from, choice{
		limit: math.MaxInt, looked: n, wants: func(d *blockDecoder) bool { return want(d.typ, d.kind) },
	})
}

// choice says which records are wanted, and how many there may be and may be looked at.
type choice struct {
	limit, looked int
	wants         func(d *blockDecoder) bool
}

func (l *Log) choose(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, c choice) ([]eventlog.Record, freshet.Offset, error) {
	if err := ctx.Err(); err != nil {
		return dst, from, err
	}
	select {
	case <-l.closing:
		return dst, from, errClosed
	default:
	}
	from = max(from, 1)
	head := l.Head(partition)
	if from > head {
		return dst, from, nil
	}
	it, err := l.disk.Pebble().NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: blockKey(partition, 0), UpperBound: blockKey(partition, head+1),
	})
	if err != nil {
		return dst, from, partitionError(partition, err)
	}
	defer it.Close()
	if start := l.Start(partition); from < start {
		return dst, from, eventlog.Trimmed(partition, from, start)
	}
	out, next, size := dst, from, 0
	for ok := it.SeekLT(blockKey(partition, from+1)); ok && c.limit > 0 && c.looked > 0 && size < maxSelectBytes; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return dst, from, err
		}
		first, err := blockKeyOffset(it.Key())
		if err != nil {
			return dst, from, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return dst, from, blockError(partition, first, err)
		}
		if out, next, err = selectFrom(out, value, first, from, &c); err != nil {
			return dst, from, blockError(partition, first, err)
		}
		size += len(value)
	}
	if err := it.Error(); err != nil {
		return dst, from, partitionError(partition, err)
	}
	return out, next, nil
}

// selectFrom appends to dst those records of block, which begins at first, that lie at from or after and that c wants, as many as
// it still allows. next is the offset after the last one looked at. Nothing of block is kept.
func selectFrom(dst []eventlog.Record, block []byte, first, from freshet.Offset, c *choice) (out []eventlog.Record, next freshet.Offset, err error) {
	d, err := newBlockDecoder(block)
	if err != nil {
		return dst, from, err
	}
	out, o := dst, first
	for ; d.left > 0 && c.limit > 0 && c.looked > 0; o++ {
		if err := d.next(); err != nil {
			return dst, from, err
		}
		if o < from {
			continue
		}
		c.looked--
		if !c.wants(&d) {
			continue
		}
		c.limit--
		r := d.record(o)
		r.Event.Payload = bytes.Clone(r.Event.Payload)
		out = append(out, r)
	}
	return out, max(o, from), nil
}
