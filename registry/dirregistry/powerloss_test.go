package dirregistry_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/dirregistry"
)

// TestPowerLoss takes the power away before every operation on the file system and drops what was not synced: what was
// acknowledged is there and whole, what was not is there whole or not at all (promise P1, for decisions).
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewCrashableMem()
	var acked state
	var crashes []crash
	watched := errorfs.Wrap(fs, errorfs.InjectorFunc(func(errorfs.Op) error {
		for _, percent := range []int{0, 50} {
			crashes = append(crashes, crash{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), acked})
		}
		return nil
	}))
	r := registry.New(open(t, "registry", &dirregistry.Options{FS: watched}), nil)
	for i := range registry.Revision(4) {
		data := strings.Repeat("x", int(i)*1000)
		digest := registry.DigestOf([]byte(data))
		_, err := r.Put(t.Context(), digest, strings.NewReader(data))
		must(t, err)
		acked.blobs = append(acked.blobs[:len(acked.blobs):len(acked.blobs)], digest)
		_, err = r.Append(t.Context(), i, registry.Draft{Actor: "ada", Kind: "note", Body: []byte(`{}`)})
		must(t, err)
		acked.entries++
	}
	gone := acked.blobs[0]
	acked.blobs = acked.blobs[1:] // it may be gone from now on
	must(t, r.Delete(t.Context(), gone))
	acked.gone = gone
	crashes = append(crashes, crash{fs.CrashClone(vfs.CrashCloneCfg{}), acked})
	t.Logf("%d crashes", len(crashes))
	for _, c := range crashes {
		c.check(t)
	}
}

// state is what was acknowledged.
type state struct {
	entries int
	blobs   []freshet.Digest
	gone    freshet.Digest // deleted; "" if none is
}

// crash is a file system after a crash, and what had been acknowledged before it.
type crash struct {
	fs    *vfs.MemFS
	acked state
}

func (c crash) check(t *testing.T) {
	t.Helper()
	r := registry.New(open(t, "registry", &dirregistry.Options{FS: c.fs}), nil)
	got, err := r.Read(t.Context(), nil, 0, 100)
	must(t, err)
	if len(got) < c.acked.entries || len(got) > c.acked.entries+1 {
		t.Errorf("%d entries after a crash; %d were acknowledged", len(got), c.acked.entries)
	}
	for _, digest := range c.acked.blobs {
		wantWhole(t, r, digest)
	}
	all, err := r.List(context.Background())
	must(t, err)
	for _, info := range all {
		wantWhole(t, r, info.Digest)
		if info.Digest == c.acked.gone {
			t.Errorf("what was deleted is back after a crash")
		}
	}
	_, err = r.Append(t.Context(), registry.Revision(len(got)), registry.Draft{Actor: "ada", Kind: "note", Body: []byte(`{}`)})
	must(t, err)
}

func wantWhole(t *testing.T, r *registry.Registry, digest freshet.Digest) {
	t.Helper()
	b, err := r.Open(t.Context(), digest)
	must(t, err)
	must(t, b.Close())
}
