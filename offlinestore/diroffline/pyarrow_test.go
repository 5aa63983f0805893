package diroffline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// readEvents is Python that reads the folder as a data scientist would and checks what it sees.
const readEvents = `
import datetime, sys
import pyarrow as pa, pyarrow.dataset as ds
events = ds.dataset(sys.argv[1], partitioning="hive")
t = events.to_table().sort_by([("partition", "ascending"), ("offset", "ascending")])
utc = pa.timestamp("ms", tz="UTC")
for name, kind in dict(partition=pa.int32(), offset=pa.int64(), entity_kind=pa.string(), entity_key=pa.string(), event_id=pa.string(),
        type=pa.string(), event_time=utc, ingest_time=utc, max_event_time=utc, payload=pa.string()).items():
    assert t.schema.field(name).type == kind, (name, t.schema.field(name).type)
assert t.num_rows == 96, t.num_rows
first = t.slice(0, 1).to_pylist()[0]
assert first["offset"] == 1 and first["payload"] == '{"n":1}' and first["entity_key"] == "k1" and first["partition"] == 3, first
assert first["ingest_time"] == datetime.datetime(2025, 3, 4, tzinfo=datetime.timezone.utc), first
day = events.to_table(filter=ds.field("day") == "2025-03-05")
assert day.num_rows == 24, day.num_rows
`

// TestPyArrow reads the files with Apache Arrow. It needs a Python with pyarrow, named by FRESHET_PYTHON.
func TestPyArrow(t *testing.T) {
	t.Parallel()
	python := os.Getenv("FRESHET_PYTHON")
	if python == "" {
		t.Skip("set FRESHET_PYTHON to a Python that has pyarrow (python3 -m venv V && V/bin/pip install pyarrow)")
	}
	dir := t.TempDir()
	fill(t, dir)
	if out, err := exec.CommandContext(t.Context(), python, "-c", readEvents, filepath.Join(dir, "events")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
