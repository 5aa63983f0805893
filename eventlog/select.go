package eventlog

import (
	"context"
	"iter"

	"github.com/freshet-ml/freshet"
)

// Match says whether records about an entity are wanted. The bytes are valid during the call only. nil wants all.
type Match func(kind, key []byte) bool

// Scan says which records of a partition to read.
type Scan struct {
	From  freshet.Offset // the first to look at. Below 1: the first
	Match Match          // which entities are wanted; nil wants all
	// NotBefore allows to pass over records that were ingested before it. It is a hint: some may come all the same.
	NotBefore freshet.Timestamp
}

// Want says whether records of an event type about an entity kind are wanted. The bytes are valid during the call only.
type Want func(t, kind []byte) bool

// Selector is a Driver that passes over records of other entities for less than it costs to read them.
type Selector interface {
	// Select is Read of those records whose entity match accepts; match is not nil. It goes through some MiB at most, and
	// next is the offset to go on from: beyond Head when it has seen all.
	Select(ctx context.Context, dst []Record, partition freshet.Partition, from freshet.Offset, limit int, match Match) (out []Record, next freshet.Offset, err error)
	// Pick is Read of those that want accepts of the next n records, fewer once they have some MiB. next is the offset after the
	// last record that was looked at.
	Pick(ctx context.Context, dst []Record, partition freshet.Partition, from freshet.Offset, n int, want Want) (out []Record, next freshet.Offset, err error)
}

// Sizer is a Driver that knows how much it keeps.
type Sizer interface {
	// Bytes is about how much room the records take that have not been trimmed.
	Bytes() (int64, error)
}

// Select appends to dst the durable records of partition from offset on whose entity match accepts, in order, at most limit
// of them; a nil match accepts all. next is the offset to go on from: there may be more although none was found, until next
// is beyond Head. Errors are those of Read.
func (l *Log) Select(ctx context.Context, dst []Record, partition freshet.Partition, from freshet.Offset, limit int, match Match) (out []Record, next freshet.Offset, err error) {
	from = max(from, 1)
	if err := checkPartition(partition); err != nil {
		return dst, from, err
	}
	if limit <= 0 {
		return dst, from, nil
	}
	if s, ok := l.d.(Selector); ok && match != nil {
		return s.Select(ctx, dst, partition, from, limit, match)
	}
	n := len(dst)
	if dst, err = l.d.Read(ctx, dst, partition, from, limit); err != nil || len(dst) == n {
		return dst, from, err
	}
	next = dst[len(dst)-1].Offset + 1
	return keep(dst, n, match), next, nil
}

// Pick appends to dst those of the next n durable records of partition, from offset on, that want accepts, in order. next is the offset
// after the last record that was looked at: from if there is none. Errors are those of Read.
func (l *Log) Pick(ctx context.Context, dst []Record, partition freshet.Partition, from freshet.Offset, n int, want Want) (out []Record, next freshet.Offset, err error) {
	from = max(from, 1)
	if err := checkPartition(partition); err != nil {
		return dst, from, err
	}
	if n <= 0 {
		return dst, from, nil
	}
	if s, ok := l.d.(Selector); ok {
		return s.Pick(ctx, dst, partition, from, n, want)
	}
	had := len(dst)
	if dst, err = l.d.Read(ctx, dst, partition, from, n); err != nil || len(dst) == had {
		return dst, from, err
	}
	next = dst[len(dst)-1].Offset + 1
	return want.Keep(dst, had), next, nil
}

// Keep drops those of records[n:] that are not wanted.
func (want Want) Keep(records []Record, n int) []Record {
	kept := records[:n]
	for _, r := range records[n:] {
		if want([]byte(r.Event.Type), []byte(r.Entity.Kind)) {
			kept = append(kept, r)
		}
	}
	return kept
}

// scanRecords is how many records a Scan reads at a time.
const scanRecords = 1024

// Scan gives the durable records of partition that s asks for, in order, through the head as it is at the beginning. A
// record is valid until the next one is asked for, its payload and texts beyond that. An error, such as ErrTrimmed or ctx's, is
// the last that is given.
func (l *Log) Scan(ctx context.Context, partition freshet.Partition, s Scan) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		var records []Record
		head := l.Head(partition)
		for next := max(s.From, 1); next <= head; {
			var err error
			from := next
			if records, next, err = l.Select(ctx, records[:0], partition, from, scanRecords, s.Match); err != nil {
				yield(nil, err)
				return
			}
			for i := range records {
				if records[i].Offset > head || !yield(&records[i], nil) {
					return
				}
			}
		}
	}
}

// keep drops those of records[n:] that match refuses.
func keep(records []Record, n int, match Match) []Record {
	if match == nil {
		return records
	}
	kept := records[:n]
	for _, r := range records[n:] {
		if match([]byte(r.Entity.Kind), []byte(r.Entity.Key)) {
			kept = append(kept, r)
		}
	}
	return kept
}

// Bytes is about how much room the records take that have not been trimmed; 0 for a driver that does not know.
func (l *Log) Bytes() (int64, error) {
	if s, ok := l.d.(Sizer); ok {
		return s.Bytes()
	}
	return 0, nil
}
