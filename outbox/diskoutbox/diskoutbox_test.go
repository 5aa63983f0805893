package diskoutbox_test

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/diskoutbox"
	"github.com/freshet-ml/freshet/outbox/outboxtest"
)

func openDisk(t testing.TB, fs vfs.FS) *disk.DB {
	t.Helper()
	db, err := disk.Open("data", &disk.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestSuite(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	systems := map[outbox.Driver]*vfs.MemFS{}
	outboxtest.Run(t, outboxtest.Harness{
		Open: func(t testing.TB) outbox.Driver {
			fs := vfs.NewCrashableMem()
			d := diskoutbox.New(openDisk(t, fs))
			mu.Lock()
			defer mu.Unlock()
			systems[d] = fs
			return d
		},
		Reopen: func(t testing.TB, d outbox.Driver) outbox.Driver {
			mu.Lock()
			defer mu.Unlock()
			return diskoutbox.New(openDisk(t, systems[d].CrashClone(vfs.CrashCloneCfg{}))) // only what was synced
		},
	})
}

// TestGolden: what was stored once is read by every later version (docs/formats/outbox.md).
func TestGolden(t *testing.T) {
	t.Parallel()
	d := diskoutbox.New(openDisk(t, vfs.NewMem()))
	b, err := outbox.New(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Add(t.Context(), outbox.Message{ID: "p-3-9", User: "u\x00", Pipeline: "p", Category: "c", Title: "T", CreatedAt: 1000, ExpiresAt: 2000, DueAt: 1000}, 1000); err != nil {
		t.Fatal(err)
	}
	if err := b.PutDevice(t.Context(), "u\x00", outbox.Device{ID: "d", Channel: "apns", Token: "ab", RegisteredAt: 5}); err != nil {
		t.Fatal(err)
	}
	if err := b.PutPreferences(t.Context(), "u\x00", outbox.Preferences{QuietHours: "off"}); err != nil {
		t.Fatal(err)
	}
	err = b.Decide(t.Context(), "p-3-9", func(tx *outbox.Tx) (bool, error) {
		tx.Show([]byte(`{}`))
		tx.Recent.Sent = map[string][]freshet.Timestamp{"apns c": {1000}}
		return false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"mp-3-9":                                 `{"id":"p-3-9","user":"u\u0000","pipeline":"p","category":"c","title":"T","cause_at":"1970-01-01T00:00:00.000Z","created_at":"1970-01-01T00:00:01.000Z","expires_at":"1970-01-01T00:00:02.000Z","policy":{"channels":null},"state":"waiting","due_at":"1970-01-01T00:00:01.000Z","seq":1}`,
		"q\x00\x00\x00\x00\x00\x00\x03\xe8p-3-9": "",
		"uu\x00\xff\x00\x01p-3-9":                "",
		"du\x00\xff\x00\x01d":                    `{"id":"d","channel":"apns","token":"ab","registered_at":"1970-01-01T00:00:00.005Z"}`,
		"pu\x00\xff\x00\x01":                     `{"opt_out":{},"quiet_hours":"off"}`,
		"cu\x00\xff\x00\x01":                     `{"sent":{"apns c":["1970-01-01T00:00:01.000Z"]},"seq":1}`,
		"su\x00\xff\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01": `{"seq":1,"message":"p-3-9","expires_at":"1970-01-01T00:00:02.000Z","data":{}}`,
	}
	n := 0
	err = d.Scan(t.Context(), []byte{0}, []byte{0xff}, func(key, value []byte) bool {
		n++
		if string(value) != want[string(key)] {
			t.Errorf("%q is %s, want %s", key, value, want[string(key)])
		}
		return true
	})
	if err != nil || n != len(want) {
		t.Errorf("%d keys, %v; want %d", n, err, len(want))
	}
}
