package disklog

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// maxReadBytes of blocks end a Read, so that its memory is bounded whatever the limit.
const maxReadBytes = 4 << 20

// Read implements eventlog.Driver.
func (l *Log) Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	select {
	case <-l.closing:
		return dst, errClosed
	default:
	}
	from = max(from, 1)
	if start := l.Start(partition); from < start {
		return dst, eventlog.Trimmed(partition, from, start)
	}
	head := l.Head(partition)
	if from > head || limit <= 0 {
		return dst, nil
	}
	var few [16]block
	if blocks, ok := l.partitions[partition].appendTail(few[:0], from, limit); ok {
		return readTail(dst, partition, blocks, from, limit)
	}
	return l.readDisk(ctx, dst, partition, from, head, limit)
}

func readTail(dst []eventlog.Record, partition freshet.Partition, blocks []block, from freshet.Offset, limit int) ([]eventlog.Record, error) {
	out := dst
	size := 0
	for _, b := range blocks {
		more, err := decodeBlock(out, bytes.Clone(b.data), b.first, from, limit)
		if err != nil {
			return dst, blockError(partition, b.first, err)
		}
		limit -= len(more) - len(out)
		size += len(b.data)
		out = more
		if limit == 0 || size >= maxReadBytes {
			break
		}
	}
	return out, nil
}

// readDisk reads blocks from Pebble up to head: what lies behind it is visible there, but perhaps not durable yet.
func (l *Log) readDisk(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from, head freshet.Offset, limit int) ([]eventlog.Record, error) {
	it, err := l.disk.Pebble().NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: blockKey(partition, 0), UpperBound: blockKey(partition, head+1),
	})
	if err != nil {
		return dst, partitionError(partition, err)
	}
	defer it.Close()
	// Only now: what the iterator does not see any more was trimmed before it was made.
	if start := l.Start(partition); from < start {
		return dst, eventlog.Trimmed(partition, from, start)
	}
	out := dst
	size := 0
	for ok := it.SeekLT(blockKey(partition, from+1)); ok && limit > 0 && size < maxReadBytes; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return dst, err
		}
		first, err := blockKeyOffset(it.Key())
		if err != nil {
			return dst, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return dst, blockError(partition, first, err)
		}
		more, err := decodeBlock(out, bytes.Clone(value), first, from, limit)
		if err != nil {
			return dst, blockError(partition, first, err)
		}
		limit -= len(more) - len(out)
		size += len(value)
		out = more
	}
	if err := it.Error(); err != nil {
		return dst, partitionError(partition, err)
	}
	return out, nil
}

func partitionError(p freshet.Partition, err error) error {
	return freshet.Errorf(freshet.Internal, "event log: partition %d: %w", p, err)
}

func blockError(p freshet.Partition, first freshet.Offset, err error) error {
	return freshet.Errorf(freshet.Internal, "event log: partition %d, block at offset %d: %w", p, first, err)
}
