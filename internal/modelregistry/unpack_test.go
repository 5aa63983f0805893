package modelregistry_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/modelruntime"
)

type file struct {
	name, content string
	kind          byte // a tar's; 0 is a file
}

func tarOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Size: int64(len(f.content)), Mode: 0o644, Typeflag: f.kind}
		if f.kind == tar.TypeSymlink || f.kind == tar.TypeLink {
			h.Linkname, h.Size = f.content, 0
		}
		must(t, w.WriteHeader(h))
		if h.Size > 0 {
			_, err := io.WriteString(w, f.content)
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

func zipOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if f.kind == tar.TypeSymlink {
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		out, err := w.CreateHeader(h)
		must(t, err)
		_, err = io.WriteString(out, f.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(b)
	must(t, err)
	must(t, w.Close())
	return packed.Bytes()
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	flat := []file{{name: "MLmodel", content: "m"}, {name: "data/model.txt", content: "tree"}, {name: ".DS_Store", content: "x"}}
	nested := []file{{name: "ranker/", kind: tar.TypeDir}, {name: "./ranker/MLmodel", content: "m"}, {name: "ranker/data/model.txt", content: "tree"}, {name: "._ranker", content: "x"}}
	want, err := modelruntime.Digest(fstest.MapFS{"MLmodel": {Data: []byte("m")}, "data/model.txt": {Data: []byte("tree")}})
	must(t, err)
	var tarred bytes.Buffer
	must(t, modelregistry.WriteTar(&tarred, fstest.MapFS{"MLmodel": {Data: []byte("m")}, "data/model.txt": {Data: []byte("tree")}, ".git/x": {}, ".y": {}}))
	for name, archive := range map[string][]byte{
		"tar": tarOf(t, flat...), "tar of a folder": tarOf(t, nested...), "tar.gz": gzipped(t, tarOf(t, nested...)),
		"zip": zipOf(t, flat...), "zip of a folder": zipOf(t, nested[1:]...), "our tar": tarred.Bytes(),
	} {
		scratch := t.TempDir()
		u, err := modelregistry.Unpack(bytes.NewReader(archive), filepath.Join(scratch, "new"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := modelruntime.Digest(u)
		if err != nil || got != want {
			t.Errorf("%s: digest %s, %v; want %s", name, got, err, want)
		}
		must(t, u.Close())
		wantEmpty(t, filepath.Join(scratch, "new"))
	}
}

// TestUnpackSkops expects that a zip which is a model is not taken apart.
func TestUnpackSkops(t *testing.T) {
	t.Parallel()
	scratch := t.TempDir()
	archive := zipOf(t, file{name: "schema.json", content: "{}"}, file{name: "1.npy", content: "x"})
	u, err := modelregistry.Unpack(bytes.NewReader(archive), scratch)
	must(t, err)
	got, err := modelruntime.ReadFile(u, "model.skops")
	if err != nil || !bytes.Equal(got, archive) {
		t.Errorf("the file has %d bytes, %v; want %d", len(got), err, len(archive))
	}
	must(t, u.Close())
	wantEmpty(t, scratch)
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	many := make([]file, modelruntime.MaxFiles+1)
	for i := range many {
		many[i] = file{name: strings.Repeat("d", 1+i/100) + "/" + strings.Repeat("f", 1+i%100)}
	}
	good := tarOf(t, file{name: "a", content: strings.Repeat("x", 2000)})
	for name, tt := range map[string]struct {
		archive []byte
		code    freshet.Code
	}{
		"parent":           {tarOf(t, file{name: "../a", content: "x"}), freshet.InvalidArgument},
		"parent inside":    {tarOf(t, file{name: "b/../../a", content: "x"}), freshet.InvalidArgument},
		"absolute":         {tarOf(t, file{name: "/etc/a", content: "x"}), freshet.InvalidArgument},
		"backslash":        {tarOf(t, file{name: `..\a`, content: "x"}), freshet.InvalidArgument},
		"link":             {tarOf(t, file{name: "a", content: "/etc/passwd", kind: tar.TypeSymlink}), freshet.InvalidArgument},
		"hard link":        {tarOf(t, file{name: "a", content: "/etc/passwd", kind: tar.TypeLink}), freshet.InvalidArgument},
		"device":           {tarOf(t, file{name: "a", kind: tar.TypeChar}), freshet.InvalidArgument},
		"twice":            {tarOf(t, file{name: "a"}, file{name: "a"}), freshet.InvalidArgument},
		"file and folder":  {tarOf(t, file{name: "a"}, file{name: "a/b"}), freshet.InvalidArgument},
		"many":             {tarOf(t, many...), freshet.TooLarge},
		"empty tar":        {tarOf(t), freshet.InvalidArgument},
		"cut tar":          {good[:1000], freshet.InvalidArgument},
		"cut gzip":         {gzipped(t, good)[:20], freshet.InvalidArgument},
		"zip parent":       {zipOf(t, file{name: "../a", content: "x"}), freshet.InvalidArgument},
		"zip link":         {zipOf(t, file{name: "a", content: "/etc/passwd", kind: tar.TypeSymlink}), freshet.InvalidArgument},
		"zip cut":          {zipOf(t, file{name: "a", content: "x"})[:30], freshet.InvalidArgument},
		"a bomb":           {gzipped(t, tarHeader(t, 600<<20)), freshet.InvalidArgument},
		"neither":          {[]byte("hello"), freshet.Unsupported},
		"nothing":          {nil, freshet.Unsupported},
		"a model's pickle": {[]byte("\x80\x04\x95"), freshet.Unsupported},
	} {
		scratch := t.TempDir()
		_, err := modelregistry.Unpack(bytes.NewReader(tt.archive), scratch)
		if freshet.CodeOf(err) != tt.code {
			t.Errorf("%s: %v; want code %q", name, err, tt.code)
		}
		wantEmpty(t, scratch)
	}
}

// tarHeader is a tar that says it has one file of size bytes, and ends.
func tarHeader(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "a", Size: size, Typeflag: tar.TypeReg}))
	return b.Bytes()
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, file{name: "a", content: "x"}))
	f.Add(zipOf(f, file{name: "a/b", content: "x"}))
	f.Add(gzipped(f, tarOf(f, file{name: "a", content: "x"})))
	f.Fuzz(func(t *testing.T, archive []byte) {
		u, err := modelregistry.Unpack(bytes.NewReader(archive), t.TempDir())
		if err != nil {
			if freshet.CodeOf(err) == freshet.Internal {
				t.Errorf("%v", err)
			}
			return
		}
		must(t, u.Close())
	})
}
