package diroffline

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/parquet-go/parquet-go"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// maxReadBytes of payload end a Next.
const maxReadBytes = 4 << 20

// cursor implements offlinestore.Cursor. It has one file open at a time, and of each of its columns one page.
type cursor struct {
	store     *Store
	partition freshet.Partition
	scan      eventlog.Scan
	next      freshet.Offset

	file    file
	open    *os.File // nil: none
	groups  []parquet.RowGroup
	first   freshet.Offset // of the row group at hand
	rows    int            // in it
	columns [columns]column
	wanted  []int32 // rows of it that are asked for; nil: all from row on
	row     int     // the next one; with wanted an index into it
	names   [2]name // of the last record: mostly the same, so that no copy is needed
}

// name is a text that comes again and again.
type name struct{ text string }

func (n *name) of(b []byte) string {
	if string(b) != n.text {
		n.text = string(b)
	}
	return n.text
}

// Offset implements offlinestore.Cursor.
func (c *cursor) Offset() freshet.Offset { return c.next }

// Next implements offlinestore.Cursor.
func (c *cursor) Next(ctx context.Context, dst []eventlog.Record, limit int) (out []eventlog.Record, err error) {
	// The library takes a broken file for a bug of its caller here and there.
	defer func() {
		if p := recover(); p != nil {
			out, err = dst, c.error(fmt.Errorf("the file is broken: %v", p))
		}
	}()
	for {
		if err := ctx.Err(); err != nil {
			return dst, err
		}
		out, err = c.take(dst, limit)
		if err != nil {
			return dst, c.error(err)
		}
		if len(out) > len(dst) {
			return out, nil
		}
		more, err := c.advance()
		if err != nil {
			return dst, c.error(err)
		}
		if !more {
			return dst, nil
		}
	}
}

// take appends records of the row group at hand.
func (c *cursor) take(dst []eventlog.Record, limit int) ([]eventlog.Record, error) {
	size := 0
	for n := 0; n < limit && size < maxReadBytes; n++ {
		row, ok := c.nextRow()
		if !ok {
			break
		}
		r, err := c.record(row)
		if err != nil {
			return dst, err
		}
		dst = append(dst, r)
		size += len(r.Event.Payload)
		c.next = r.Offset + 1
	}
	return dst, nil
}

func (c *cursor) nextRow() (row int, ok bool) {
	if c.scan.Match == nil {
		row = c.row
		ok = row < c.rows
	} else if ok = c.row < len(c.wanted); ok {
		row = int(c.wanted[c.row])
	}
	if ok {
		c.row++
	}
	return row, ok
}

func (c *cursor) record(row int) (eventlog.Record, error) {
	for i := range c.columns {
		if err := c.columns[i].to(row); err != nil {
			return eventlog.Record{}, err
		}
	}
	texts := func(i int) []byte { return c.columns[i].text(row) }
	number := func(i int) int64 { return c.columns[i].number(row) }
	r := eventlog.Record{
		Event: freshet.Event{
			ID:         freshet.EventID(texts(columnID)),
			Type:       freshet.EventType(c.names[0].of(texts(columnType))),
			EventTime:  freshet.Timestamp(number(columnEventTime)),
			IngestTime: freshet.Timestamp(number(columnIngestTime)),
			Payload:    bytes.Clone(texts(columnPayload)),
		},
		Entity: freshet.Entity{
			Kind: freshet.EntityKind(c.names[1].of(texts(columnKind))),
			Key:  freshet.Key(texts(columnKey)),
		},
		Offset:       freshet.Offset(number(columnOffset)),
		MaxEventTime: freshet.Timestamp(number(columnMaxEventTime)),
	}
	if want := c.first + freshet.Offset(row); r.Offset != want {
		return r, fmt.Errorf("offset %d stands where %d should", r.Offset, want)
	}
	return r, nil
}

// advance goes to the next row group that may have something; false at the end of what is stored.
func (c *cursor) advance() (bool, error) {
	if c.rows > 0 { // all of it has been looked at
		c.first += freshet.Offset(c.rows)
		c.next, c.rows = max(c.next, c.first), 0
	}
	for {
		if len(c.groups) == 0 {
			if more, err := c.nextFile(); !more || err != nil {
				return false, err
			}
		}
		g := c.groups[0]
		c.groups = c.groups[1:]
		rows := int(g.NumRows())
		if end := c.first + freshet.Offset(rows); end <= c.next {
			c.first = end // before what is asked for
			continue
		}
		return true, c.enter(g, rows)
	}
}

// nextFile opens the file that has the next offset.
func (c *cursor) nextFile() (bool, error) {
	c.closeFile()
	f, ok := c.store.fileAt(c.partition, c.next, c.scan.NotBefore)
	if !ok {
		c.next = max(c.next, c.store.Through(c.partition)+1)
		return false, nil
	}
	c.file, c.next = f, max(c.next, f.first)
	open, err := os.Open(f.path)
	if err != nil {
		return false, err
	}
	c.open = open
	info, err := open.Stat()
	if err != nil {
		return false, err
	}
	p, err := parquet.OpenFile(open, info.Size(), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(32<<10))
	if err != nil {
		return false, err
	}
	if err := checkSchema(p); err != nil {
		return false, err
	}
	if want := int64(f.last - f.first + 1); p.NumRows() != want {
		return false, fmt.Errorf("%d rows, expected %d", p.NumRows(), want)
	}
	c.groups, c.first = p.RowGroups(), f.first
	return true, nil
}

// checkSchema refuses a file of other columns.
func checkSchema(p *parquet.File) error {
	want, got := parquet.SchemaOf(row{}), p.Schema()
	if !parquet.EqualNodes(want, got) {
		return fmt.Errorf("the columns are %s, expected %s", got, want)
	}
	return nil
}

// enter makes g the row group at hand.
func (c *cursor) enter(g parquet.RowGroup, rows int) error {
	c.closeColumns()
	c.rows, c.row = rows, int(c.next-c.first)
	for i, chunk := range g.ColumnChunks() {
		if i > 0 { // the partition is known
			c.columns[i].chunk = chunk
		}
	}
	if c.scan.Match == nil {
		return nil
	}
	from := c.row
	c.row, c.wanted = 0, c.wanted[:0]
	return c.match(from)
}

// match finds the rows from from on whose entity is wanted. It looks at kinds and keys only, and at each of them once for
// a row group where they are in a dictionary.
func (c *cursor) match(from int) error {
	kind, key := &c.columns[columnKind], &c.columns[columnKey]
	type pair struct{ kind, key int32 }
	known := map[pair]bool{}
	for row := from; row < c.rows; row++ {
		if err := kind.to(row); err != nil {
			return err
		}
		if err := key.to(row); err != nil {
			return err
		}
		at := pair{kind.code(row), key.code(row)}
		if at.kind < 0 || at.key < 0 {
			if c.scan.Match(kind.text(row), key.text(row)) {
				c.wanted = append(c.wanted, int32(row))
			}
			continue
		}
		yes, asked := known[at]
		if !asked {
			yes = c.scan.Match(kind.text(row), key.text(row))
			known[at] = yes
		}
		if yes {
			c.wanted = append(c.wanted, int32(row))
		}
	}
	return nil
}

// Close implements offlinestore.Cursor.
func (c *cursor) Close() error {
	c.closeFile()
	return nil
}

func (c *cursor) closeFile() {
	c.closeColumns()
	c.groups, c.rows = nil, 0
	if c.open != nil {
		_ = c.open.Close() // it was only read
		c.open = nil
	}
}

func (c *cursor) closeColumns() {
	for i := range c.columns {
		c.columns[i].close()
	}
}

func (c *cursor) error(err error) error {
	if c.file.path == "" {
		return freshet.Errorf(freshet.Internal, "offline store: partition %d: %w", c.partition, err)
	}
	return freshet.Errorf(freshet.Internal, "offline store: %s: %w", c.file.path, err)
}
