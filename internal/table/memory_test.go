package table_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/freshet-ml/freshet/internal/table"
)

// TestMemory holds an id map whose ids are UUIDs to 64 bytes a row. It is not parallel: it counts what is allocated.
func TestMemory(t *testing.T) {
	const rows = 200_000
	var text bytes.Buffer
	text.WriteString("user_id,sequence\n")
	for i := range rows {
		fmt.Fprintf(&text, "%08x-0000-4000-8000-%012x,%d\n", i*2654435761%(1<<32), i, i)
	}
	before := heap()
	tab, err := table.ReadCSV(bytes.NewReader(text.Bytes()), idMap)
	if err != nil {
		t.Fatal(err)
	}
	with := heap()
	if tab.Len() != rows {
		t.Fatalf("%d rows", tab.Len())
	}
	runtime.KeepAlive(text.Bytes())
	if perRow := float64(with-before) / rows; perRow > 64 {
		t.Errorf("%.1f bytes a row", perRow)
	} else {
		t.Logf("%.1f bytes a row", perRow)
	}
}
