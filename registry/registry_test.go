package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func note(body string) registry.Draft {
	return registry.Draft{Actor: "ada", Kind: "note", Body: []byte(body)}
}

func TestPutVerifies(t *testing.T) {
	t.Parallel()
	r := registry.New(memregistry.New(), &registry.Options{MaxBlobBytes: 8})
	hello := registry.DigestOf([]byte("hello"))
	for _, tt := range []struct {
		name   string
		digest freshet.Digest
		data   string
		code   freshet.Code
	}{
		{"right", hello, "hello", ""},
		{"other bytes", hello, "hullo", freshet.Unprocessable},
		{"too short", hello, "hell", freshet.Unprocessable},
		{"too long", hello, "hellos", freshet.Unprocessable},
		{"over the bound", registry.DigestOf([]byte("123456789")), "123456789", freshet.TooLarge},
		{"at the bound", registry.DigestOf([]byte("12345678")), "12345678", ""},
		{"no digest", "hello", "hello", freshet.InvalidArgument},
		{"upper case", freshet.Digest(strings.ToUpper(string(hello))), "hello", freshet.InvalidArgument},
		{"a path", "sha256:../../../etc/passwd", "hello", freshet.InvalidArgument},
	} {
		for _, one := range []bool{false, true} { // the end may come with the last bytes or after them
			var from = iotest.DataErrReader(strings.NewReader(tt.data))
			if one {
				from = iotest.OneByteReader(strings.NewReader(tt.data))
			}
			size, err := r.Put(t.Context(), tt.digest, from)
			if freshet.CodeOf(err) != tt.code {
				t.Errorf("%s: %v; want %q", tt.name, err, tt.code)
			}
			if err == nil && size != int64(len(tt.data)) {
				t.Errorf("%s: size %d; want %d", tt.name, size, len(tt.data))
			}
		}
	}
	all, err := r.List(t.Context())
	must(t, err)
	if len(all) != 2 {
		t.Errorf("there are %v; want two", all)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Put(ctx, hello, strings.NewReader("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("put after the end of its context: %v", err)
	}
}

func TestAppendChecks(t *testing.T) {
	t.Parallel()
	r := registry.New(memregistry.New(), nil)
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name  string
		draft registry.Draft
		field string // "" if it is good
	}{
		{"good", registry.Draft{Actor: long(256), Reason: long(4096), Kind: "release.canary_step", Body: []byte(` {"a":1}`)}, ""},
		{"no actor", registry.Draft{Kind: "note", Body: []byte(`{}`)}, "actor"},
		{"long actor", registry.Draft{Actor: long(257), Kind: "note", Body: []byte(`{}`)}, "actor"},
		{"actor that is no text", registry.Draft{Actor: "\xff", Kind: "note", Body: []byte(`{}`)}, "actor"},
		{"long reason", registry.Draft{Actor: "a", Reason: long(4097), Kind: "note", Body: []byte(`{}`)}, "reason"},
		{"no kind", registry.Draft{Actor: "a", Body: []byte(`{}`)}, "kind"},
		{"odd kind", registry.Draft{Actor: "a", Kind: "Model.version", Body: []byte(`{}`)}, "kind"},
		{"no body", registry.Draft{Actor: "a", Kind: "note"}, "body"},
		{"list", registry.Draft{Actor: "a", Kind: "note", Body: []byte(`[]`)}, "body"},
		{"two objects", registry.Draft{Actor: "a", Kind: "note", Body: []byte(`{}{}`)}, "body"},
		{"large body", registry.Draft{Actor: "a", Kind: "note", Body: []byte(`{"a":"` + long(1<<20) + `"}`)}, "body"},
		{"body that is large in JSON", registry.Draft{Actor: "a", Kind: "note", Body: []byte(`{"a":"` + strings.Repeat("<", 1<<20-100) + `"}`)}, "body"},
	} {
		head, err := r.Head(t.Context())
		must(t, err)
		_, err = r.Append(t.Context(), head, tt.draft)
		if (err == nil) != (tt.field == "") || freshet.FieldOf(err) != tt.field {
			t.Errorf("%s: %v; want an error of field %q", tt.name, err, tt.field)
		}
	}
}

// TestFirstWins expects that a decision on an older state is refused and says what the newest is.
func TestFirstWins(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1000)
	r := registry.New(memregistry.New(), &registry.Options{Now: func() time.Time { return at }})
	e, err := r.Append(t.Context(), 0, note(`{"a":1}`))
	must(t, err)
	if e.Revision != 1 || e.At != 1000 {
		t.Errorf("the entry is %+v", e)
	}
	for _, expected := range []registry.Revision{0, 2, 1 << 62} {
		_, err = r.Append(t.Context(), expected, note(`{}`))
		if freshet.CodeOf(err) != freshet.PreconditionFailed || !strings.Contains(err.Error(), "at revision 1, not") {
			t.Errorf("append after revision %d: %v", expected, err)
		}
	}
	got, err := r.Read(t.Context(), nil, 0, 10)
	must(t, err)
	if len(got) != 1 || string(got[0].Body) != `{"a":1}` || got[0].Actor != "ada" {
		t.Errorf("the log is %+v", got)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memregistry.New()
		r := registry.New(d, &registry.Options{Poll: time.Minute})
		other := registry.New(d, nil) // as in another process
		start := time.Now()
		waited := make(chan error)
		wait := func(after registry.Revision) { waited <- r.Wait(t.Context(), after) }

		go wait(0)
		synctest.Wait()
		_, err := r.Append(t.Context(), 0, note(`{}`))
		must(t, err)
		must(t, <-waited)
		if passed := time.Since(start); passed != 0 {
			t.Errorf("an entry of this process was seen after %v", passed)
		}

		must(t, r.Wait(t.Context(), 0)) // it is there already

		go wait(1)
		synctest.Wait()
		_, err = other.Append(t.Context(), 1, note(`{}`))
		must(t, err)
		must(t, <-waited)
		if passed := time.Since(start); passed != time.Minute {
			t.Errorf("an entry of another process was seen after %v; want the poll's minute", passed)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Wait(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait beyond its context: %v", err)
		}
		must(t, r.Close())
		if err := r.Wait(t.Context(), 2); freshet.CodeOf(err) != freshet.Unavailable {
			t.Errorf("wait after Close: %v", err)
		}
	})
}

// TestDecide has many decide at once: none is lost, and each was made in the state that it follows.
func TestDecide(t *testing.T) {
	t.Parallel()
	r := registry.New(memregistry.New(), nil)
	count := func(n int, e registry.Entry) (int, error) { return n + 1, nil }
	var group sync.WaitGroup
	for range 8 {
		f := registry.Follow(r, count)
		group.Go(func() {
			for range 20 {
				_, _, err := f.Decide(t.Context(), func(n int, at registry.Revision) (registry.Draft, error) {
					return registry.NewDraft("note", "ada", "", map[string]int{"after": n})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	entries, err := r.Read(t.Context(), nil, 0, 1000)
	must(t, err)
	if len(entries) != 160 {
		t.Errorf("%d decisions; want 160", len(entries))
	}
	for i, e := range entries {
		if want := fmt.Sprintf(`{"after":%d}`, i); string(e.Body) != want {
			t.Errorf("revision %d is %s; want %s", e.Revision, e.Body, want)
		}
	}
	n, at, err := registry.Follow(r, count).Now(t.Context())
	must(t, err)
	if n != 160 || at != 160 {
		t.Errorf("another follower is at %d, %d", n, at)
	}

	f := registry.Follow(r, count)
	_, at, err = f.Decide(t.Context(), func(int, registry.Revision) (registry.Draft, error) { return registry.Draft{}, nil })
	if err != nil || at != 160 {
		t.Errorf("a decision to do nothing: revision %d, %v", at, err)
	}
	refusal := errors.New("no")
	if _, _, err := f.Decide(t.Context(), func(int, registry.Revision) (registry.Draft, error) { return registry.Draft{}, refusal }); err != refusal {
		t.Errorf("a decision that is refused: %v", err)
	}
}

// TestFollowStops expects that a state is never built on an entry that makes no sense.
func TestFollowStops(t *testing.T) {
	t.Parallel()
	r := registry.New(memregistry.New(), nil)
	for i := range registry.Revision(3) {
		_, err := r.Append(t.Context(), i, note(`{}`))
		must(t, err)
	}
	f := registry.Follow(r, func(n int, e registry.Entry) (int, error) {
		if e.Revision == 2 {
			return 0, freshet.Errorf(freshet.InvalidArgument, "no sense")
		}
		return n + 1, nil
	})
	for range 2 {
		n, at, err := f.Now(t.Context())
		if n != 1 || at != 1 || err == nil || !strings.Contains(err.Error(), "revision 2 (note): no sense") {
			t.Errorf("state %d at %d, %v", n, at, err)
		}
	}
}
