package table

import (
	"errors"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/parquetfile"
)

// valuesAtOnce is how many values of a column are taken from its page together.
const valuesAtOnce = 256

// parquetColumn reads one column of a row group, value by value, a page at a time.
type parquetColumn struct {
	name   string
	column *parquet.Column
	read   readValue
	pages  parquet.Pages
	page   parquet.Page // nil before the first
	values parquet.ValueReader
	buffer [valuesAtOnce]parquet.Value
	left   []parquet.Value // of buffer, not yet given
}

// errNoValue is the error for a column that ends before its row group.
var errNoValue = parquetfile.Broken(errors.New("the column has fewer values than there are rows"))

func (c *parquetColumn) open(chunk parquet.ColumnChunk) { c.pages = chunk.Pages() }

// next is the next value.
func (c *parquetColumn) next() (expression.Value, error) {
	for len(c.left) == 0 {
		if err := c.fill(); err != nil {
			return expression.Value{}, err
		}
	}
	v := c.left[0]
	c.left = c.left[1:]
	if v.IsNull() {
		return expression.Value{}, nil
	}
	return c.read(v)
}

// fill gets further values, if not from this page then from the next.
func (c *parquetColumn) fill() error {
	if c.page == nil {
		page, err := c.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return errNoValue
		}
		if err != nil {
			return parquetfile.Broken(err)
		}
		c.page, c.values = page, page.Values()
	}
	n, err := c.values.ReadValues(c.buffer[:])
	c.left = c.buffer[:n]
	if errors.Is(err, io.EOF) {
		if n == 0 { // else the values that are left may lie in the page
			c.release()
		}
		return nil
	}
	if err == nil && n == 0 {
		err = io.ErrNoProgress
	}
	if err != nil {
		return parquetfile.Broken(err)
	}
	return nil
}

func (c *parquetColumn) release() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page, c.values = nil, nil
	}
}

func (c *parquetColumn) close() {
	c.left = nil
	c.release()
	if c.pages != nil {
		_ = c.pages.Close() // it was only read
		c.pages = nil
	}
}
