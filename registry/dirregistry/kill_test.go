package dirregistry_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/dirregistry"
)

// childDir tells the test binary to be a writer that is going to be killed.
const childDir = "FRESHET_TEST_REGISTRY"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, write(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// write appends entries, each of which names a blob that it has put before, and tells on stdout what is acknowledged.
func write(dir string) error {
	d, err := dirregistry.Open(dir, nil)
	if err != nil {
		return err
	}
	r := registry.New(d, nil)
	f := registry.Follow(r, func(n int, e registry.Entry) (int, error) { return n + 1, nil })
	name := fmt.Sprint("w", rand.Uint64())
	for i := 0; ; i++ {
		data := strings.Repeat(fmt.Sprintf("%s-%d ", name, i), 1+i*37%4000)
		digest := registry.DigestOf([]byte(data))
		if _, err := r.Put(context.Background(), digest, strings.NewReader(data)); err != nil {
			return err
		}
		body := map[string]any{"digest": digest, "name": name, "i": i}
		_, at, err := f.Decide(context.Background(), func(int, registry.Revision) (registry.Draft, error) {
			return registry.NewDraft("note", name, "", body)
		})
		if err != nil {
			return err
		}
		if _, err := fmt.Println(name, i, at); err != nil {
			return err
		}
	}
}

// TestKill kills two writers on one folder again and again: every acknowledged decision is there, once, in each writer's
// order, and its artifact is whole.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	acked := map[string]int{} // writer → number of its last acknowledged entry
	for range 8 {
		a, b := startWriter(t, dir), startWriter(t, dir)
		// Acknowledgements, not time, say when: so that the kills come amid work on any machine.
		a.takeAcks(t, acked, 1+rng.IntN(12))
		b.takeAcks(t, acked, 1+rng.IntN(12))
		a.kill(t, acked)
		b.kill(t, acked)
		check(t, dir, acked)
	}
	if len(acked) != 16 {
		t.Errorf("%d writers have acknowledged something; want 16", len(acked))
	}
}

type writer struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startWriter(t *testing.T, dir string) *writer {
	t.Helper()
	w := &writer{cmd: exec.Command(os.Args[0])}
	w.cmd.Env = append(os.Environ(), childDir+"="+dir)
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	must(t, err)
	w.out = bufio.NewScanner(out)
	must(t, w.cmd.Start())
	return w
}

func (w *writer) takeAcks(t *testing.T, acked map[string]int, n int) {
	t.Helper()
	for range n {
		if !w.out.Scan() {
			t.Fatal("the writer has ended by itself")
		}
		w.ack(t, acked)
	}
}

func (w *writer) ack(t *testing.T, acked map[string]int) {
	t.Helper()
	fields := strings.Fields(w.out.Text())
	if len(fields) != 3 {
		return // cut by the kill
	}
	n, err := strconv.Atoi(fields[1])
	must(t, err)
	acked[fields[0]] = n
}

func (w *writer) kill(t *testing.T, acked map[string]int) {
	t.Helper()
	must(t, w.cmd.Process.Kill())
	for w.out.Scan() {
		w.ack(t, acked)
	}
	_ = w.cmd.Wait() // it says that it was killed
}

func check(t *testing.T, dir string, acked map[string]int) {
	t.Helper()
	r := registry.New(open(t, dir, nil), nil)
	entries, err := r.Read(t.Context(), nil, 0, 1<<20)
	must(t, err)
	next := map[string]int{}
	for _, e := range entries {
		var body struct {
			Digest string
			Name   string
			I      int
		}
		must(t, e.Decode(&body))
		if body.I != next[body.Name] {
			t.Fatalf("revision %d is entry %d of %s; want %d", e.Revision, body.I, body.Name, next[body.Name])
		}
		next[body.Name]++
	}
	for name, last := range acked {
		if next[name] <= last {
			t.Errorf("%s: entry %d was acknowledged, there are %d", name, last, next[name])
		}
	}
	blobs, err := r.List(t.Context())
	must(t, err)
	for _, info := range blobs {
		b, err := r.Open(t.Context(), info.Digest)
		must(t, err)
		must(t, b.Close())
	}
	if len(blobs) < len(entries) {
		t.Errorf("%d blobs for %d entries", len(blobs), len(entries))
	}
}
