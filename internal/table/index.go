package table

import (
	"hash/maphash"
	"math/bits"
)

// index finds rows by key: an open hash table of row numbers, at most three quarters full, so that it costs 5⅓ bytes a row. A slot
// has some bits of its key's hash beside the row: without a look at the keys, which lie anywhere, all but one in 256 of
// those that are others are passed over.
type index struct {
	seed  maphash.Seed
	slots []uint32 // tag in the upper byte, row + 1 below it; 0: none
}

const rowBits = 24 // of a slot

// Every row + 1 fits into a slot.
const _ = uint(1<<rowBits - 1 - MaxRows)

// newIndex indexes keys. If a key is there twice, first and again are its rows and ok is false.
func newIndex(keys *texts) (x index, first, again int, ok bool) {
	x = index{seed: maphash.MakeSeed(), slots: make([]uint32, keys.len()+keys.len()/3+2)} // there is always a free one
	for row := range keys.len() {
		key := keys.at(row)
		slot, found := x.probe(keys, key)
		if found {
			return x, int(x.slots[slot]&(1<<rowBits-1)) - 1, row, false
		}
		x.slots[slot] = tag(x.hash(key)) | uint32(row+1)
	}
	return x, 0, 0, true
}

func (x *index) find(keys *texts, key string) (row int, ok bool) {
	slot, ok := x.probe(keys, key)
	if !ok {
		return 0, false
	}
	return int(x.slots[slot]&(1<<rowBits-1)) - 1, true
}

func (x *index) hash(key string) uint64 { return maphash.String(x.seed, key) }

// tag is made of other bits of the hash than the place of the slot.
func tag(hash uint64) uint32 { return uint32(hash) << rowBits }

// probe is the slot of key, or the free one where it belongs.
func (x *index) probe(keys *texts, key string) (slot int, found bool) {
	hash := x.hash(key)
	// The upper bits of the product are the hash scaled to the number of slots, which need be no power of two.
	at, _ := bits.Mul64(hash, uint64(len(x.slots)))
	for slot = int(at); x.slots[slot] != 0; {
		s := x.slots[slot]
		if s&^(1<<rowBits-1) == tag(hash) && keys.at(int(s&(1<<rowBits-1))-1) == key {
			return slot, true
		}
		if slot++; slot == len(x.slots) {
			slot = 0
		}
	}
	return slot, false
}
