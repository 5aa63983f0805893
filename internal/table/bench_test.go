package table_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/table"
)

const benchRows = 1_000_000

var idMap = table.Spec{Name: "user_index", KeyFields: []string{"user_id"}, Columns: []table.Column{{Name: "sequence", Kind: expression.Number, Int: true}}}

func idMapCSV() []byte {
	var b bytes.Buffer
	b.WriteString("user_id,sequence\n")
	for i := range benchRows {
		fmt.Fprintf(&b, "user-%07d,%d\n", i, i)
	}
	return b.Bytes()
}

// BenchmarkReadCSV loads an id map of a million rows.
func BenchmarkReadCSV(b *testing.B) {
	text := idMapCSV()
	b.SetBytes(int64(len(text)))
	var tab *table.Table
	for b.Loop() {
		var err error
		if tab, err = table.ReadCSV(bytes.NewReader(text), idMap); err != nil {
			b.Fatal(err)
		}
	}
	with := heap()
	runtime.KeepAlive(tab)
	tab = nil
	b.ReportMetric(float64(with-heap())/benchRows, "B/row")
}

// BenchmarkReadParquet loads the same id map.
func BenchmarkReadParquet(b *testing.B) {
	type row struct {
		UserID   string `parquet:"user_id"`
		Sequence int64  `parquet:"sequence"`
	}
	rows := make([]row, benchRows)
	for i := range rows {
		rows[i] = row{fmt.Sprintf("user-%07d", i), int64(i)}
	}
	file := parquetOf(b, rows, parquet.Compression(&zstd.Codec{}))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := open(file, idMap); err != nil {
			b.Fatal(err)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkFind(b *testing.B) {
	tab, err := table.ReadCSV(bytes.NewReader(idMapCSV()), idMap)
	if err != nil {
		b.Fatal(err)
	}
	keys := make([]freshet.Key, 1024)
	for i := range keys {
		keys[i] = freshet.Key(fmt.Sprintf("user-%07d", i*977%benchRows))
	}
	values := make([]expression.Value, 1)
	i := 0
	for b.Loop() {
		row, ok := tab.Find(keys[i%len(keys)])
		if !ok {
			b.Fatal(keys[i%len(keys)])
		}
		tab.Fill(row, values)
		i++
	}
}
