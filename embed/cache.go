package embed

import (
	"crypto/sha256"
	"hash/maphash"
	"sync"
	"unsafe"

	"github.com/freshet-ml/freshet"
)

// DefaultEntries is how many texts a Cache holds if it is not told.
const DefaultEntries = 4096

// Cache is an Embedder that remembers the vectors of the texts it has seen lately. A text that several callers ask for at
// the same time is embedded by one of them, and only those who ask for that text wait. An entry takes about 4·Dim + 200
// bytes, however long its text is. A hit allocates nothing.
type Cache struct {
	embedder Embedder
	seed     maphash.Seed
	shards   []shard // their number is a power of two
}

// Stats says what a Cache has done since it was made.
type Stats struct {
	Hits    uint64 // the vector was there, or on its way
	Misses  uint64 // the text was embedded
	Entries int    // texts held now
}

const (
	maxShards       = 32 // more than cores of most machines: two callers seldom meet in one
	minShardEntries = 16 // with fewer, a shard would be full long before the cache is
)

// Cached puts a cache in front of e that holds at most that many texts; if entries is below 1, DefaultEntries.
func Cached(e Embedder, entries int) *Cache {
	if entries < 1 {
		entries = DefaultEntries
	}
	shards := 1
	for shards < maxShards && entries/(2*shards) >= minShardEntries {
		shards *= 2
	}
	c := &Cache{embedder: e, seed: maphash.MakeSeed(), shards: make([]shard, shards)}
	for i := range c.shards {
		c.shards[i].capacity = entries / shards
		if i < entries%shards {
			c.shards[i].capacity++
		}
		c.shards[i].entries = map[key]*entry{}
	}
	return c
}

// Dim is the embedder's.
func (c *Cache) Dim() int { return c.embedder.Dim() }

// Digest is the embedder's: a cache does not change a vector.
func (c *Cache) Digest() freshet.Digest { return c.embedder.Digest() }

// Embed is the embedder's Embed, remembered.
func (c *Cache) Embed(text string, dst []float32) {
	k := keyOf(text)
	s := &c.shards[maphash.Comparable(c.seed, k)&uint64(len(c.shards)-1)]
	e := s.find(k)
	// Outside the shard's lock: a slow text holds up only those who ask for it.
	e.once.Do(func() {
		vector := make([]float32, c.embedder.Dim())
		c.embedder.Embed(text, vector)
		e.vector = vector
	})
	if e.vector == nil { // the embedder panicked at the first caller: that is not an answer to remember
		c.embedder.Embed(text, dst)
		return
	}
	copy(dst[:len(e.vector)], e.vector)
}

// Stats adds up the shards; under load it is a moment's picture.
func (c *Cache) Stats() Stats {
	var sum Stats
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum.Hits += s.hits
		sum.Misses += s.misses
		sum.Entries += len(s.ring)
		s.mu.Unlock()
	}
	return sum
}

// key is a text of up to 32 bytes itself, or the SHA-256 of a longer one: of fixed size, so that the number of entries bounds
// the memory, and without pointers, so that the garbage collector need not look at the map's keys.
type key struct {
	length int8 // of a text that stands in bytes; hashed if it does not
	bytes  [sha256.Size]byte
}

const hashed = -1

func keyOf(text string) key {
	var k key
	if len(text) <= len(k.bytes) {
		k.length = int8(len(text))
		copy(k.bytes[:], text)
		return k
	}
	k.length = hashed
	// A conversion would copy a long text to the heap; Sum256 only reads.
	k.bytes = sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
	return k
}

type entry struct {
	key    key
	once   sync.Once
	vector []float32 // set once, then never changed: it is read without a lock
	used   bool      // since the hand passed; guarded by the shard
}

// shard holds a part of the texts. Its ring is the clock of the second-chance rule: close to least recently used, and a hit
// only sets a flag.
type shard struct {
	mu           sync.Mutex
	capacity     int
	entries      map[key]*entry
	ring         []*entry
	hand         int
	hits, misses uint64
	_            [40]byte // so that neighbours share no cache line of counters
}

// find gives the entry of k, a new one if there is none.
func (s *shard) find(k key) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[k]; e != nil {
		s.hits++
		e.used = true
		return e
	}
	s.misses++
	e := &entry{key: k}
	s.entries[k] = e
	if len(s.ring) < s.capacity {
		s.ring = append(s.ring, e)
		return e
	}
	for s.ring[s.hand].used {
		s.ring[s.hand].used = false
		s.hand = (s.hand + 1) % len(s.ring)
	}
	delete(s.entries, s.ring[s.hand].key)
	s.ring[s.hand] = e
	s.hand = (s.hand + 1) % len(s.ring)
	return e
}
