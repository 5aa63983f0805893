package modelruntime_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// TestPackGolden pins the bytes of docs/formats/registry.md.
func TestPackGolden(t *testing.T) {
	t.Parallel()
	dir := fstest.MapFS{"a": {Data: []byte("xy")}, "b/c": {}, ".hidden": {Data: []byte("no")}}
	var packed bytes.Buffer
	if err := modelruntime.Pack(&packed, dir); err != nil {
		t.Fatal(err)
	}
	const want = "0000000000000001" + "61" + "0000000000000002" + "7879" + "0000000000000003" + "622f63" + "0000000000000000"
	if got := hex.EncodeToString(packed.Bytes()); got != want {
		t.Errorf("packed as %s; want %s", got, want)
	}
	digest, err := modelruntime.Digest(dir)
	if want := freshet.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(packed.Bytes()))); err != nil || digest != want {
		t.Errorf("digest %s, %v; want %s", digest, err, want)
	}
	if size, err := modelruntime.PackedSize(dir); err != nil || size != int64(packed.Len()) {
		t.Errorf("size %d, %v; want %d", size, err, packed.Len())
	}
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	dir := fstest.MapFS{"MLmodel": {Data: []byte("flavors: {}")}, "data/deep/x": {Data: []byte("x")}, "data-1": {}, "data/y": {Data: bytes.Repeat([]byte("y"), 10_000)}}
	var packed bytes.Buffer
	if err := modelruntime.Pack(&packed, dir); err != nil {
		t.Fatal(err)
	}
	files, err := modelruntime.Unpack(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(files, "MLmodel", "data/deep/x", "data-1", "data/y"); err != nil {
		t.Error(err)
	}
	for name, f := range dir {
		got, err := fs.ReadFile(files, name)
		if err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("%s holds %.40q, %v", name, got, err)
		}
	}
	// Cut anywhere, it is refused or is what was packed up to there.
	for n := range 200 {
		files, err := modelruntime.Unpack(bytes.NewReader(packed.Bytes()[:n]), int64(n))
		if err == nil {
			var again bytes.Buffer
			if err := modelruntime.Pack(&again, files); err != nil || !bytes.Equal(again.Bytes(), packed.Bytes()[:n]) {
				t.Errorf("cut at %d: packed again it has %d bytes, %v", n, again.Len(), err)
			}
		}
	}
}

// TestUnpackRefuses gives it what Pack never writes.
func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	file := func(name, content string) string {
		return fmt.Sprintf("\x00\x00\x00\x00\x00\x00\x00%c%s\x00\x00\x00\x00\x00\x00\x00%c%s", len(name), name, len(content), content)
	}
	for name, packed := range map[string]string{
		"parent":             file("../a", "x"),
		"absolute":           file("/a", "x"),
		"hidden":             file(".a", "x"),
		"dot":                file(".", "x"),
		"out of order":       file("b", "x") + file("a", "x"),
		"twice":              file("a", "x") + file("a", "x"),
		"file and directory": file("a", "x") + file("a/b", "x"),
		"no name":            file("", "x"),
		"large name":         "\x00\x00\x00\x7f\x00\x00\x00\x00",
		"negative length":    "\xff\x00\x00\x7f\x00\x00\x00\x00",
		"long content":       "\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x02x",
	} {
		_, err := modelruntime.Unpack(bytes.NewReader([]byte(packed)), int64(len(packed)))
		if freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s: %v; want invalid_argument", name, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		files, err := modelruntime.Unpack(bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := modelruntime.Pack(&again, files); err != nil || !bytes.Equal(again.Bytes(), packed) {
			t.Errorf("packed again it has %d bytes, %v; want %d", again.Len(), err, len(packed))
		}
	})
}
