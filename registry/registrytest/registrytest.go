// Package registrytest is the contract of registry.Driver as tests: every driver runs it. It is imported by tests only.
package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

// Harness makes drivers for the suite.
type Harness struct {
	// Open makes an empty store, which the suite closes.
	Open func(t testing.TB) registry.Driver
	// Reopen closes d and opens what it has kept. Nil for a driver that keeps nothing.
	Reopen func(t testing.TB, d registry.Driver) registry.Driver
	// Second opens what d keeps a second time, as another process would. Nil for a driver that nobody else can open.
	Second func(t testing.TB, d registry.Driver) registry.Driver
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"Blob", testBlob},
		{"BlobAgain", testBlobAgain},
		{"BlobThatFails", testBlobThatFails},
		{"BlobLarge", testBlobLarge},
		{"BlobsAtOnce", testBlobsAtOnce},
		{"List", testList},
		{"Delete", testDelete},
		{"Log", testLog},
		{"LogRace", testLogRace},
		{"LogBounds", testLogBounds},
		{"Second", testSecond},
		{"Reopen", testReopen},
		{"Context", testContext},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, h)
		})
	}
}

func open(t *testing.T, h Harness) registry.Driver {
	t.Helper()
	d := h.Open(t)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, what string, err error, code freshet.Code) {
	t.Helper()
	if freshet.CodeOf(err) != code {
		t.Errorf("%s: error is %v; want code %q", what, err, code)
	}
}

// put stores data under its digest.
func put(t testing.TB, d registry.Driver, data string) freshet.Digest {
	t.Helper()
	digest := registry.DigestOf([]byte(data))
	must(t, d.Put(t.Context(), digest, strings.NewReader(data)))
	return digest
}

func wantBlob(t testing.TB, d registry.Driver, digest freshet.Digest, want string) {
	t.Helper()
	b, err := d.Open(t.Context(), digest)
	must(t, err)
	defer b.Close()
	if b.Size() != int64(len(want)) || b.Name() == "" {
		t.Errorf("blob %q has %d bytes; want %d", b.Name(), b.Size(), len(want))
	}
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	must(t, err)
	if string(got) != want {
		t.Errorf("blob %s holds %.80q; want %.80q", digest, got, want)
	}
}

func testBlob(t *testing.T, h Harness) {
	d := open(t, h)
	none := registry.DigestOf([]byte("none"))
	_, err := d.Open(t.Context(), none)
	wantCode(t, "open of none", err, freshet.NotFound)
	_, err = d.Stat(t.Context(), none)
	wantCode(t, "stat of none", err, freshet.NotFound)
	for _, data := range []string{"", "a", "line\n\x00\xff"} {
		digest := put(t, d, data)
		wantBlob(t, d, digest, data)
		info, err := d.Stat(t.Context(), digest)
		must(t, err)
		if info.Digest != digest || info.Size != int64(len(data)) || info.PutAt == 0 {
			t.Errorf("stat of %q is %+v", data, info)
		}
	}
	b, err := d.Open(t.Context(), registry.DigestOf([]byte("line\n\x00\xff")))
	must(t, err)
	defer b.Close()
	two := make([]byte, 2)
	if n, err := b.ReadAt(two, 3); n != 2 || err != nil || string(two) != "e\n" {
		t.Errorf("read of two bytes at 3: %q, %d, %v", two, n, err)
	}
	if n, err := b.ReadAt(two, 6); n != 1 || err != io.EOF {
		t.Errorf("read at the end: %d, %v; want 1, EOF", n, err)
	}
}

func testBlobAgain(t *testing.T, h Harness) {
	d := open(t, h)
	digest := put(t, d, "same")
	before, err := d.Open(t.Context(), digest)
	must(t, err)
	defer before.Close()
	// The driver does not look at digests: other bytes under the same one show that it replaces, as it must where a blob
	// is damaged.
	must(t, d.Put(t.Context(), digest, strings.NewReader("mended")))
	wantBlob(t, d, digest, "mended")
	got, err := io.ReadAll(io.NewSectionReader(before, 0, before.Size()))
	must(t, err)
	if string(got) != "same" {
		t.Errorf("who had the blob open before reads %q; want same", got)
	}
}

var errSource = errors.New("the source fails")

func testBlobThatFails(t *testing.T, h Harness) {
	d := open(t, h)
	digest := registry.DigestOf([]byte("whole"))
	failing := io.MultiReader(strings.NewReader("who"), errReader{})
	if err := d.Put(t.Context(), digest, failing); !errors.Is(err, errSource) {
		t.Errorf("put: %v; want the source's error", err)
	}
	_, err := d.Open(t.Context(), digest)
	wantCode(t, "open after a put that failed", err, freshet.NotFound)
	put(t, d, "whole")
	if err := d.Put(t.Context(), digest, errReader{}); !errors.Is(err, errSource) {
		t.Errorf("put: %v; want the source's error", err)
	}
	wantBlob(t, d, digest, "whole")
	all, err := d.List(t.Context())
	must(t, err)
	if len(all) != 1 {
		t.Errorf("there are %v; want one blob", all)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errSource }

func testBlobLarge(t *testing.T, h Harness) {
	d := open(t, h)
	data := strings.Repeat("0123456789abcdef", 200_000)
	wantBlob(t, d, put(t, d, data), data)
}

func testBlobsAtOnce(t *testing.T, h Harness) {
	d := open(t, h)
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			data := strings.Repeat(fmt.Sprint(i%4), 10_000)
			wantBlob(t, d, put(t, d, data), data)
		})
	}
	group.Wait()
	all, err := d.List(t.Context())
	must(t, err)
	if len(all) != 4 {
		t.Errorf("there are %d blobs; want 4", len(all))
	}
}

func testList(t *testing.T, h Harness) {
	d := open(t, h)
	all, err := d.List(t.Context())
	must(t, err)
	if len(all) != 0 {
		t.Errorf("an empty store lists %v", all)
	}
	want := map[freshet.Digest]int64{}
	for i := range 20 {
		data := strings.Repeat("x", i)
		want[put(t, d, data)] = int64(i)
	}
	all, err = d.List(t.Context())
	must(t, err)
	if len(all) != len(want) {
		t.Fatalf("lists %d blobs; want %d", len(all), len(want))
	}
	for i, info := range all {
		if size, ok := want[info.Digest]; !ok || size != info.Size {
			t.Errorf("lists %+v", info)
		}
		if i > 0 && all[i-1].Digest >= info.Digest {
			t.Errorf("%s stands before %s", all[i-1].Digest, info.Digest)
		}
	}
}

func testDelete(t *testing.T, h Harness) {
	d := open(t, h)
	digest := put(t, d, "gone")
	other := put(t, d, "stays")
	b, err := d.Open(t.Context(), digest)
	must(t, err)
	defer b.Close()
	must(t, d.Delete(t.Context(), digest))
	must(t, d.Delete(t.Context(), digest))
	_, err = d.Open(t.Context(), digest)
	wantCode(t, "open of what was deleted", err, freshet.NotFound)
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	must(t, err)
	if string(got) != "gone" {
		t.Errorf("who has it open reads %q", got)
	}
	wantBlob(t, d, other, "stays")
}

// appendTo appends and expects it to be stored or not.
func appendTo(t testing.TB, d registry.Driver, r registry.Revision, data string, want bool) {
	t.Helper()
	stored, err := d.Append(t.Context(), r, []byte(data))
	must(t, err)
	if stored != want {
		t.Errorf("append of revision %d: stored is %t; want %t", r, stored, want)
	}
}

func wantLog(t testing.TB, d registry.Driver, want ...string) {
	t.Helper()
	head, err := d.Head(t.Context())
	must(t, err)
	if head != registry.Revision(len(want)) {
		t.Fatalf("head is %d; want %d", head, len(want))
	}
	for i, data := range want {
		got, err := d.Read(t.Context(), registry.Revision(i+1))
		must(t, err)
		if string(got) != data {
			t.Errorf("revision %d holds %.80q; want %.80q", i+1, got, data)
		}
	}
	_, err = d.Read(t.Context(), head+1)
	wantCode(t, "read after the head", err, freshet.NotFound)
}

func testLog(t *testing.T, h Harness) {
	d := open(t, h)
	wantLog(t, d)
	_, err := d.Read(t.Context(), 0)
	wantCode(t, "read of revision 0", err, freshet.NotFound)
	appendTo(t, d, 2, "too early", false)
	data := []byte("one")
	stored, err := d.Append(t.Context(), 1, data)
	must(t, err)
	if !stored {
		t.Fatal("the first entry is not stored")
	}
	data[0] = 'x' // the driver has its own
	appendTo(t, d, 1, "late", false)
	appendTo(t, d, 0, "never", false)
	appendTo(t, d, 2, "", true)
	appendTo(t, d, 3, "three\n\x00", true)
	appendTo(t, d, 5, "too early", false)
	wantLog(t, d, "one", "", "three\n\x00")
	got, err := d.Read(t.Context(), 1)
	must(t, err)
	got[0] = 'x'
	wantLog(t, d, "one", "", "three\n\x00")
}

// race has writers append until the log has n entries, each at the head it sees, over the given drivers in turn.
func race(t *testing.T, n int, drivers ...registry.Driver) {
	var mu sync.Mutex
	first := map[registry.Revision]string{}
	var group sync.WaitGroup
	for writer := range 6 {
		d := drivers[writer%len(drivers)]
		group.Go(func() {
			for i := 0; ; i++ {
				head, err := d.Head(t.Context())
				if err != nil || head >= registry.Revision(n) {
					if err != nil {
						t.Error(err)
					}
					return
				}
				data := fmt.Sprintf("writer %d, call %d", writer, i)
				stored, err := d.Append(t.Context(), head+1, []byte(data))
				if err != nil {
					t.Error(err)
					return
				}
				if !stored {
					continue
				}
				mu.Lock()
				if other, taken := first[head+1]; taken {
					t.Errorf("revision %d was given to %q and to %q", head+1, other, data)
				}
				first[head+1] = data
				mu.Unlock()
			}
		})
	}
	group.Wait()
	want := make([]string, len(first))
	for r, data := range first {
		if int(r) > len(want) {
			t.Fatalf("revision %d is stored and one before it is not", r)
		}
		want[r-1] = data
	}
	for _, d := range drivers {
		wantLog(t, d, want...)
	}
}

func testLogRace(t *testing.T, h Harness) { race(t, 60, open(t, h)) }

func testLogBounds(t *testing.T, h Harness) {
	d := open(t, h)
	largest := strings.Repeat("x", registry.MaxStoredBytes)
	appendTo(t, d, 1, largest, true)
	wantLog(t, d, largest)
}

func testSecond(t *testing.T, h Harness) {
	if h.Second == nil {
		return // nobody else can open it
	}
	d := open(t, h)
	other := h.Second(t, d)
	appendTo(t, d, 1, "a", true)
	appendTo(t, other, 1, "b", false)
	appendTo(t, other, 2, "b", true)
	wantLog(t, d, "a", "b")
	wantLog(t, other, "a", "b")
	wantBlob(t, other, put(t, d, "blob"), "blob")
	e := open(t, h)
	race(t, 60, e, h.Second(t, e))
}

func testReopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		return // it keeps nothing
	}
	d := h.Open(t)
	digest := put(t, d, "blob")
	appendTo(t, d, 1, "one", true)
	appendTo(t, d, 2, "two", true)
	d = h.Reopen(t, d)
	wantBlob(t, d, digest, "blob")
	wantLog(t, d, "one", "two")
	appendTo(t, d, 2, "late", false)
	appendTo(t, d, 3, "three", true)
	must(t, d.Delete(t.Context(), digest))
	d = h.Reopen(t, d)
	defer d.Close()
	wantLog(t, d, "one", "two", "three")
	_, err := d.Stat(t.Context(), digest)
	wantCode(t, "stat of what was deleted", err, freshet.NotFound)
}

// calls are all methods that take a context.
func calls(ctx context.Context, d registry.Driver) map[string]error {
	digest := registry.DigestOf(nil)
	errs := map[string]error{}
	errs["Put"] = d.Put(ctx, digest, bytes.NewReader(nil))
	_, errs["Open"] = d.Open(ctx, digest)
	_, errs["Stat"] = d.Stat(ctx, digest)
	_, errs["List"] = d.List(ctx)
	errs["Delete"] = d.Delete(ctx, digest)
	_, errs["Append"] = d.Append(ctx, 1, []byte("x"))
	_, errs["Read"] = d.Read(ctx, 1)
	_, errs["Head"] = d.Head(ctx)
	return errs
}

func testContext(t *testing.T, h Harness) {
	d := open(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range calls(ctx, d) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s after the end of its context: %v", name, err)
		}
	}
	wantLog(t, d)
}

func testClose(t *testing.T, h Harness) {
	d := h.Open(t)
	must(t, d.Close())
	must(t, d.Close())
	for name, err := range calls(t.Context(), d) {
		wantCode(t, name+" after Close", err, freshet.Unavailable)
	}
}
