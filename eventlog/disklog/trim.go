package disklog

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
)

// Trim implements eventlog.Driver: it removes whole blocks. The last one stays, because it says where the partition ends,
// and so the first one that is left says where it begins. Nothing is synced: if a crash brings blocks back, they are
// trimmed again.
func (l *Log) Trim(ctx context.Context, partition freshet.Partition, through freshet.Offset) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-l.closing:
		return errClosed
	default:
	}
	p := &l.partitions[partition]
	p.trims.Lock()
	defer p.trims.Unlock()
	head := l.Head(partition)
	if head == 0 || through < l.Start(partition) {
		return nil
	}
	start, err := l.blockOf(ctx, partition, min(through+1, head))
	if err != nil || start <= l.Start(partition) {
		return err
	}
	// First it is said, then done: a reader that finds nothing looks here whether that is why.
	p.start.Store(uint64(start))
	if err := l.disk.Pebble().DeleteRange(blockKey(partition, 0), blockKey(partition, start), pebble.NoSync); err != nil {
		return partitionError(partition, err)
	}
	return nil
}

// Start implements eventlog.Driver.
func (l *Log) Start(partition freshet.Partition) freshet.Offset {
	return freshet.Offset(l.partitions[partition].start.Load())
}

// blockOf is the first offset of the block that has the record at o.
func (l *Log) blockOf(ctx context.Context, partition freshet.Partition, o freshet.Offset) (freshet.Offset, error) {
	it, err := l.disk.Pebble().NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: blockKey(partition, 0), UpperBound: blockKey(partition, o+1),
	})
	if err != nil {
		return 0, partitionError(partition, err)
	}
	defer it.Close()
	if !it.Last() {
		if err := it.Error(); err != nil {
			return 0, partitionError(partition, err)
		}
		return 0, freshet.Errorf(freshet.Internal, "event log: partition %d has no block with offset %d", partition, o)
	}
	return blockKeyOffset(it.Key())
}

// Bytes is about how much of the disk the blocks take: those in tables, which is nearly all, without what is trimmed.
func (l *Log) Bytes() (int64, error) {
	var total int64
	for p := range freshet.Partition(freshet.Partitions) {
		n, err := l.disk.Pebble().EstimateDiskUsage(blockKey(p, l.Start(p)), blockKey(p+1, 0))
		if err != nil {
			return 0, partitionError(p, err)
		}
		total += int64(n)
	}
	return total, nil
}
