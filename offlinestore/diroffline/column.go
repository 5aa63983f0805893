package diroffline

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// column reads one column of a row group, a page at a time. Its values are parts of the page: valid until the next call of
// to.
type column struct {
	chunk parquet.ColumnChunk // nil: this column is not read
	pages parquet.Pages       // nil until the first row is asked for
	page  parquet.Page        // nil before the first
	begin int                 // its rows: begin ≤ row < end
	end   int

	numbers []int64
	codes   []int32 // with a dictionary: of each row its entry in it
	bytes   []byte  // texts, or the dictionary's
	ends    []uint32
}

// to makes row readable. Forwards it reads each page once; a step back costs a page.
func (c *column) to(row int) error {
	if c.chunk == nil || row >= c.begin && row < c.end {
		return nil
	}
	if c.pages == nil {
		c.pages = c.chunk.Pages()
	}
	// The pages between hold nothing that is asked for.
	if err := c.pages.SeekToRow(int64(row)); err != nil {
		return err
	}
	page, err := c.pages.ReadPage()
	if err == io.EOF {
		return fmt.Errorf("column %d ends before row %d", c.chunk.Column(), row)
	}
	if err != nil {
		return err
	}
	c.release()
	c.page, c.begin, c.end = page, row, row+int(page.NumRows())
	return c.load()
}

func (c *column) load() error {
	c.numbers, c.codes, c.bytes, c.ends = nil, nil, nil, nil
	n := c.end - c.begin
	if d := c.page.Dictionary(); d != nil {
		data := c.page.Data()
		c.codes = data.Int32()
		words := d.Page().Data()
		c.bytes, c.ends = words.ByteArray()
		if len(c.codes) != n {
			return fmt.Errorf("column %d: %d values in a page of %d rows", c.chunk.Column(), len(c.codes), n)
		}
		for _, code := range c.codes {
			if code < 0 || int(code)+1 >= len(c.ends) {
				return fmt.Errorf("column %d: the dictionary has no entry %d", c.chunk.Column(), code)
			}
		}
		return nil
	}
	data := c.page.Data()
	values := 0
	switch c.chunk.Type().Kind() {
	case parquet.Int64:
		c.numbers = data.Int64()
		values = len(c.numbers)
	case parquet.ByteArray:
		c.bytes, c.ends = data.ByteArray()
		values = len(c.ends) - 1
	}
	if values != n {
		return fmt.Errorf("column %d: %d values in a page of %d rows", c.chunk.Column(), values, n)
	}
	return nil
}

func (c *column) number(row int) int64 { return c.numbers[row-c.begin] }

func (c *column) text(row int) []byte {
	i := row - c.begin
	if c.codes != nil {
		i = int(c.codes[i])
	}
	return c.bytes[c.ends[i]:c.ends[i+1]]
}

// code is the same for rows of the row group with the same text; −1 if that is not known.
func (c *column) code(row int) int32 {
	if c.codes == nil {
		return -1
	}
	return c.codes[row-c.begin]
}

func (c *column) release() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
}

func (c *column) close() {
	c.release()
	if c.pages != nil {
		_ = c.pages.Close() // it was only read
	}
	*c = column{}
}
