package diroffline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/offlinestore"
	"github.com/freshet-ml/freshet/offlinestore/diroffline"
	"github.com/freshet-ml/freshet/offlinestore/offlinestoretest"
)

func open(t *testing.T, dir string, o *diroffline.Options) *diroffline.Store {
	t.Helper()
	s, err := diroffline.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*diroffline.Options{
		"usual": nil,
		"small": {MaxFileRows: 70, GroupRows: 16, GroupBytes: 1 << 20},
		"pages": {GroupRows: 1000, PageBytes: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offlinestoretest.Run(t, func() offlinestoretest.Harness {
				dir := ""
				return offlinestoretest.Harness{
					Open: func(t *testing.T) offlinestore.Driver {
						dir = t.TempDir()
						return open(t, dir, o)
					},
					Reopen: func(t *testing.T) offlinestore.Driver { return open(t, dir, o) },
				}
			})
		})
	}
}

const hour freshet.Timestamp = 60 * 60 * 1000

// fill stores four days of partition 3 and returns the names of the files.
func fill(t *testing.T, dir string) (records []eventlog.Record, files []string) {
	t.Helper()
	records = offlinestoretest.Records(1, 96, hour)
	if err := offlinestore.New(open(t, dir, nil)).Append(t.Context(), 3, offlinestoretest.Sequence(records)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "events", "*", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	return records, files
}

func TestFilesOfDays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, files := fill(t, dir)
	want := []string{
		"events/day=2025-03-04/p03-00000000000000000001-00000000000000000024.parquet",
		"events/day=2025-03-05/p03-00000000000000000025-00000000000000000048.parquet",
		"events/day=2025-03-06/p03-00000000000000000049-00000000000000000072.parquet",
		"events/day=2025-03-07/p03-00000000000000000073-00000000000000000096.parquet",
	}
	for i, f := range files {
		if rest, _ := filepath.Rel(dir, f); filepath.ToSlash(rest) != want[i] {
			t.Errorf("file %d is %s, expected %s", i, rest, want[i])
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d files, expected %d", len(files), len(want))
	}
}

// TestLeftovers: what a crash leaves is never read, and goes.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	records, files := fill(t, dir)
	half, err := os.ReadFile(files[3])
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(files[3]), ".writing-123")
	if err := os.WriteFile(left, half[:len(half)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files[3]); err != nil { // it had not been renamed yet
		t.Fatal(err)
	}
	s := offlinestore.New(open(t, dir, nil))
	if s.Through(3) != 72 {
		t.Fatalf("the store is through %d, expected 72", s.Through(3))
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the unfinished file is still there")
	}
	if err := s.Append(t.Context(), 3, offlinestoretest.Sequence(records)); err != nil || s.Through(3) != 96 {
		t.Fatalf("Append again: %v, through %d", err, s.Through(3))
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, files := fill(t, dir)
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	_, err := diroffline.Open(dir, nil)
	if err == nil || !strings.Contains(err.Error(), "partition 3") || !strings.Contains(err.Error(), "put the missing file back") {
		t.Errorf("Open without a file: %v", err)
	}
}

// TestOtherFiles: what other tools leave in the folder is not ours.
func TestOtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir)
	for _, name := range []string{"_SUCCESS", "events/day=2025-03-04/notes.parquet", "events/day=x/p03-00000000000000000001-00000000000000000024.parquet",
		"events/day=2025-03-04/p99-00000000000000000001-00000000000000000024.parquet"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s := open(t, dir, nil); s.Through(3) != 96 {
		t.Errorf("the store is through %d, expected 96", s.Through(3))
	}
}

// TestBrokenFile: every cut and many flipped bytes give an error that names the file, or the right records; never a panic.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, files := fill(t, dir)
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte, mustFail bool) {
		t.Helper()
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := offlinestore.New(open(t, dir, nil)).Read(t.Context(), nil, 3, 1, 100)
		if err == nil && mustFail {
			t.Errorf("%s: no error", what)
		}
		if err != nil && (!strings.Contains(err.Error(), filepath.Base(files[0])) || freshet.CodeOf(err) != freshet.Internal) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := 0; n < len(whole); n += 197 {
		try("cut", whole[:n], true)
	}
	for i := 0; i < len(whole); i += 97 {
		b := append([]byte(nil), whole...)
		b[i] ^= 0x55
		try("flip", b, false)
	}
}

// TestSchema holds what other tools see: names, physical and logical types.
func TestSchema(t *testing.T) {
	t.Parallel()
	_, files := fill(t, t.TempDir())
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	const want = `message row {
	required int32 partition (INT(32,true));
	required int64 offset (INT(64,true));
	required binary entity_kind (STRING);
	required binary entity_key (STRING);
	required binary event_id (STRING);
	required binary type (STRING);
	required int64 event_time (TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS));
	required int64 ingest_time (TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS));
	required int64 max_event_time (TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS));
	required binary payload (STRING);
}`
	if got := p.Schema().String(); got != want {
		t.Errorf("schema is\n%s\nexpected\n%s", got, want)
	}
	for _, g := range p.Metadata().RowGroups {
		for _, c := range g.Columns {
			if c.MetaData.Codec.String() != "ZSTD" {
				t.Errorf("column %v is compressed with %v", c.MetaData.PathInSchema, c.MetaData.Codec)
			}
		}
	}
}
