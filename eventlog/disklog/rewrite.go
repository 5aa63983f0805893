package disklog

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// maxRewriteBytes of blocks are changed by one batch.
const maxRewriteBytes = 4 << 20

var _ eventlog.Rewriter = (*Log)(nil)

// Rewrite implements eventlog.Rewriter. It holds trims off: a block that were trimmed between its reading and its writing
// would come back alone.
func (l *Log) Rewrite(ctx context.Context, partition freshet.Partition, change eventlog.Change) (int, error) {
	p := &l.partitions[partition]
	p.trims.Lock()
	defer p.trims.Unlock()
	total := 0
	for from := l.Start(partition); from <= l.Head(partition); {
		next, n, err := l.rewriteSome(ctx, partition, from, change)
		if total += n; err != nil {
			return total, err
		}
		from = next
	}
	return total, nil
}

// rewriteSome goes through blocks from an offset on, until it has changed enough of them for a batch or is at the head, and
// gives the offset to go on from.
func (l *Log) rewriteSome(ctx context.Context, partition freshet.Partition, from freshet.Offset, change eventlog.Change) (freshet.Offset, int, error) {
	head := l.Head(partition)
	it, err := l.disk.Pebble().NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: blockKey(partition, from), UpperBound: blockKey(partition, head+1)})
	if err != nil {
		return from, 0, partitionError(partition, err)
	}
	defer it.Close()
	b := l.disk.Pebble().NewBatch()
	defer b.Close()
	var blocks []block
	changed := 0
	for ok := it.First(); ok && b.Len() < maxRewriteBytes; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return from, 0, err
		}
		first, err := blockKeyOffset(it.Key())
		if err != nil {
			return from, 0, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return from, 0, blockError(partition, first, err)
		}
		data, count, n, err := rewriteBlock(bytes.Clone(value), first, change)
		if err != nil {
			return from, 0, blockError(partition, first, err)
		}
		from = first + freshet.Offset(count)
		if n == 0 {
			continue
		}
		changed += n
		blocks = append(blocks, block{first: first, count: count, data: data})
		if err := b.Set(it.Key(), data, nil); err != nil {
			return from, 0, partitionError(partition, err)
		}
	}
	if err := it.Error(); err != nil {
		return from, 0, partitionError(partition, err)
	}
	if changed == 0 {
		return from, 0, nil
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return from, 0, partitionError(partition, err)
	}
	l.partitions[partition].replace(blocks)
	return from, changed, nil
}

// rewriteBlock gives the block anew if change alters one of its n records.
func rewriteBlock(data []byte, first freshet.Offset, change eventlog.Change) (again []byte, count, changed int, err error) {
	d, err := newBlockDecoder(data)
	if err != nil {
		return nil, 0, 0, err
	}
	before, base := d.maxEventTime, d.base
	count = d.left
	records, err := decodeBlock(nil, data, first, first, count)
	if err != nil {
		return nil, 0, 0, err
	}
	for i := range records {
		yes, err := change(&records[i])
		if err != nil {
			return nil, 0, 0, err
		}
		if yes {
			changed++
		}
	}
	if changed == 0 {
		return nil, count, 0, nil
	}
	var body []byte
	for i := range records {
		body = appendRecord(body, base, &records[i].Event, records[i].Entity)
	}
	return appendBlock(nil, before, base, count, body), count, changed, nil
}

// replace puts blocks in the place of those in memory.
func (p *partition) replace(blocks []block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range blocks {
		for i := range p.tail {
			if p.tail[i].first == b.first {
				p.tail[i] = b
			}
		}
	}
}
