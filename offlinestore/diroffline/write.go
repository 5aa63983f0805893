package diroffline

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// row is a record as it is stored. The order of the fields is that of the columns.
type row struct {
	Partition    int32  `parquet:"partition"`
	Offset       int64  `parquet:"offset,delta"`
	EntityKind   string `parquet:"entity_kind,dict"`
	EntityKey    string `parquet:"entity_key,dict"`
	EventID      string `parquet:"event_id"`
	Type         string `parquet:"type,dict"`
	EventTime    int64  `parquet:"event_time,timestamp(millisecond),delta"`
	IngestTime   int64  `parquet:"ingest_time,timestamp(millisecond),delta"`
	MaxEventTime int64  `parquet:"max_event_time,timestamp(millisecond),delta"`
	Payload      []byte `parquet:"payload,string"`
}

// The numbers of the columns that are read.
const (
	columnOffset = iota + 1
	columnKind
	columnKey
	columnID
	columnType
	columnEventTime
	columnIngestTime
	columnMaxEventTime
	columnPayload
	columns
)

const (
	writeRows  = 256 // handed to the encoder at a time
	createdBy  = "freshet"
	filePerm   = 0o644
	dirPerm    = 0o755
	maxGroups  = 1 << 14 // of a file, half of what the format can count
	maxPending = 1 << 20 // bytes of payload handed to the encoder at a time
)

// Append implements offlinestore.Driver.
func (s *Store) Append(ctx context.Context, p freshet.Partition, records iter.Seq2[*eventlog.Record, error]) error {
	var w *writer
	defer func() {
		if w != nil {
			w.abandon()
		}
	}()
	day := s.lastDay(p)
	for r, err := range records {
		if err != nil {
			return err
		}
		// The clock may go back, days don't: files of a partition are in the order of its offsets.
		today := max(day, int64(r.Event.IngestTime)/dayMillis)
		if w != nil && (today != day || w.full()) {
			finishing := w
			w = nil
			if err := finishing.finish(ctx); err != nil {
				return err
			}
		}
		day = today
		if w == nil {
			if w, err = s.create(p, day, r.Offset); err != nil {
				return err
			}
		}
		if err := w.write(r); err != nil {
			return err
		}
	}
	if w == nil {
		return nil
	}
	finishing := w
	w = nil
	return finishing.finish(ctx)
}

// writer writes one file.
type writer struct {
	store     *Store
	partition freshet.Partition
	file      file // path is that of the unfinished one
	out       *os.File
	parquet   *parquet.GenericWriter[row]

	rows       []row // not yet handed over
	arena      []byte
	written    int
	groups     int
	groupRows  int
	groupBytes int
}

func (s *Store) create(p freshet.Partition, day int64, first freshet.Offset) (*writer, error) {
	dir := filepath.Join(s.dir, eventsDir, dayDir(day))
	if err := makeDir(dir); err != nil {
		return nil, writeError(p, err)
	}
	out, err := os.CreateTemp(dir, unfinished+"*")
	if err != nil {
		return nil, writeError(p, err)
	}
	return &writer{
		store: s, partition: p, out: out,
		file: file{path: out.Name(), first: first, last: first - 1, day: day},
		parquet: parquet.NewGenericWriter[row](out,
			parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
			parquet.PageBufferSize(s.o.PageBytes),
			parquet.CreatedBy(createdBy, "", ""),
			// Bounds of payloads and ids help nobody and cost room.
			parquet.SkipPageBounds("payload"), parquet.SkipPageBounds("event_id"),
		),
	}, nil
}

// makeDir makes a folder and those above it, durably: a file is only as durable as every name on the way to it.
func makeDir(dir string) error {
	err := os.Mkdir(dir, dirPerm)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirPerm)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (w *writer) full() bool {
	return w.written+len(w.rows) >= w.store.o.MaxFileRows || w.groups >= maxGroups
}

// write takes r, of which nothing is kept.
func (w *writer) write(r *eventlog.Record) error {
	start := len(w.arena)
	w.arena = append(w.arena, r.Event.Payload...)
	w.rows = append(w.rows, row{
		Partition:    int32(w.partition),
		Offset:       int64(r.Offset),
		EntityKind:   string(r.Entity.Kind),
		EntityKey:    string(r.Entity.Key),
		EventID:      string(r.Event.ID),
		Type:         string(r.Event.Type),
		EventTime:    int64(r.Event.EventTime),
		IngestTime:   int64(r.Event.IngestTime),
		MaxEventTime: int64(r.MaxEventTime),
		Payload:      w.arena[start:], // of the arena as it is now: it stays valid when the arena grows
	})
	w.file.last = r.Offset
	w.groupRows++
	w.groupBytes += len(r.Event.Payload)
	group := w.groupRows >= w.store.o.GroupRows || w.groupBytes >= w.store.o.GroupBytes
	if !group && len(w.rows) < writeRows && len(w.arena) < maxPending {
		return nil
	}
	if err := w.handOver(); err != nil {
		return err
	}
	if !group {
		return nil
	}
	w.groups++
	w.groupRows, w.groupBytes = 0, 0
	if err := w.parquet.Flush(); err != nil {
		return writeError(w.partition, err)
	}
	return nil
}

func (w *writer) handOver() error {
	if _, err := w.parquet.Write(w.rows); err != nil {
		return writeError(w.partition, err)
	}
	w.written += len(w.rows)
	w.rows, w.arena = w.rows[:0], w.arena[:0]
	return nil
}

// finish makes the file durable and then visible.
func (w *writer) finish(ctx context.Context) error {
	if err := w.complete(ctx); err != nil {
		w.abandon()
		return err
	}
	dir := filepath.Dir(w.file.path)
	path := filepath.Join(dir, fileName(w.partition, w.file.first, w.file.last))
	if err := os.Rename(w.file.path, path); err != nil {
		_ = os.Remove(w.file.path) // err says more
		return writeError(w.partition, err)
	}
	w.file.path = path
	if err := syncDir(dir); err != nil {
		_ = os.Remove(path) // a name that may not last must not be seen; err says more
		return writeError(w.partition, err)
	}
	w.store.add(w.partition, w.file)
	return nil
}

func (w *writer) complete(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.handOver(); err != nil {
		return err
	}
	if err := w.parquet.Close(); err != nil {
		return writeError(w.partition, err)
	}
	if err := w.out.Sync(); err != nil {
		return writeError(w.partition, err)
	}
	if err := w.out.Chmod(filePerm); err != nil {
		return writeError(w.partition, err)
	}
	if err := w.out.Close(); err != nil {
		return writeError(w.partition, err)
	}
	return nil
}

// abandon removes what was begun.
func (w *writer) abandon() {
	_ = w.out.Close()
	_ = os.Remove(w.file.path) // what stays is removed by the next Open
}

func writeError(p freshet.Partition, err error) error {
	return freshet.Errorf(freshet.Internal, "offline store: write partition %d: %w", p, err)
}
