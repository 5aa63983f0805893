package embed_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/embed"
	"github.com/freshet-ml/freshet/embed/embedtest"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

// counting is an embedder that counts its calls: the first component is 1 for a text that is not blank.
type counting struct {
	calls atomic.Int64
	begin func(text string) // if set, called before each embedding
}

func (c *counting) Dim() int { return 4 }

func (c *counting) Digest() freshet.Digest {
	return freshet.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("counting"))))
}

func (c *counting) Embed(text string, dst []float32) {
	c.calls.Add(1)
	if c.begin != nil {
		c.begin(text)
	}
	clear(dst)
	if strings.TrimSpace(text) != "" {
		dst[len(text)%4] = 1
	}
}

func TestCacheIsAnEmbedder(t *testing.T) {
	t.Parallel()
	for _, entries := range []int{0, 1, 5, 1000} {
		embedtest.Run(t, func(*testing.T) embed.Embedder { return embed.Cached(&counting{}, entries) })
	}
}

func TestSameTextIsEmbeddedOnce(t *testing.T) {
	t.Parallel()
	e := &counting{}
	c := embed.Cached(e, 10)
	long := strings.Repeat("long ", 100)
	texts := []string{"", "\x00", "a", "a\x00", long[:31], long[:32], long[:33], long, long + "er"}
	for range 3 {
		for _, text := range texts {
			got, want := make([]float32, 4), make([]float32, 4)
			c.Embed(text, got)
			(&counting{}).Embed(text, want)
			if !slices.Equal(got, want) {
				t.Errorf("%.20q of %d bytes: %v, expected %v", text, len(text), got, want)
			}
		}
	}
	if got := e.calls.Load(); got != int64(len(texts)) {
		t.Errorf("%d texts were embedded %d times", len(texts), got)
	}
	want := embed.Stats{Hits: 2 * uint64(len(texts)), Misses: uint64(len(texts)), Entries: len(texts)}
	if got := c.Stats(); got != want {
		t.Errorf("stats %+v, expected %+v", got, want)
	}
}

// TestOnlyTheSameTextWaits: while one text is slow, its other callers wait for that one embedding and no other text does.
func TestOnlyTheSameTextWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := &counting{begin: func(text string) {
			if text == "slow" {
				<-release
			}
		}}
		c := embed.Cached(e, 10) // one shard: every text meets the slow one there
		var first sync.WaitGroup
		first.Go(func() { c.Embed("slow", make([]float32, 4)) })
		synctest.Wait()
		for _, text := range []string{"quick", "brown", "quick"} {
			c.Embed(text, make([]float32, 4))
		}
		var others sync.WaitGroup
		for range 3 {
			others.Go(func() { c.Embed("slow", make([]float32, 4)) })
		}
		close(release)
		first.Wait()
		others.Wait()
		if got := e.calls.Load(); got != 3 {
			t.Errorf("3 texts were embedded %d times", got)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	for _, entries := range []int{1, 7, 100, 1000} {
		c := embed.Cached(&counting{}, entries)
		v := make([]float32, 4)
		for i := range 5 * entries {
			c.Embed(fmt.Sprint("text ", i), v)
		}
		if got := c.Stats().Entries; got > entries || got < entries/2 {
			t.Errorf("%d entries are held of at most %d", got, entries)
		}
	}
}

func TestTextsInUseAreKept(t *testing.T) {
	t.Parallel()
	e := &counting{}
	c := embed.Cached(e, 4)
	v := make([]float32, 4)
	for i := range 100 {
		c.Embed("often asked", v)
		c.Embed(fmt.Sprint("asked once ", i), v)
	}
	if got := e.calls.Load(); got != 101 {
		t.Errorf("%d embeddings, expected one of the text that is asked for all the time and 100 others", got)
	}
}

// TestPanicIsNotRemembered: a fault of an embedder stays its caller's.
func TestPanicIsNotRemembered(t *testing.T) {
	t.Parallel()
	broken := true
	c := embed.Cached(&counting{begin: func(string) {
		if broken {
			panic("broken")
		}
	}}, 4)
	v := make([]float32, 4)
	func() {
		defer func() { _ = recover() }()
		c.Embed("abcd", v)
	}()
	broken = false
	if c.Embed("abcd", v); v[0] != 1 {
		t.Errorf("%v, expected the vector of the text", v)
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	c := embed.Cached(&counting{}, 100)
	v := make([]float32, 4)
	for _, text := range []string{"short", strings.Repeat("long ", 1000)} {
		if n := alloctest.PerRun(100, func() { c.Embed(text, v) }); n != 0 {
			t.Errorf("%.10q: %v allocations", text, n)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	c := embed.Cached(&counting{}, 1000)
	for name, text := range map[string]string{"short": "preparing for big exam", "long": strings.Repeat("preparing for big exam ", 10)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				v := make([]float32, 4)
				for pb.Next() {
					c.Embed(text, v)
				}
			})
		})
	}
}

func BenchmarkMiss(b *testing.B) {
	c := embed.Cached(&counting{}, 1000)
	texts := make([]string, 4096)
	for i := range texts {
		texts[i] = fmt.Sprint("preparing for exam ", i)
	}
	v := make([]float32, 4)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Embed(texts[i%len(texts)], v)
	}
}
