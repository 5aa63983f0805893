package diskpredictions

import "sync"

// hot are predictions of one stripe's entities in memory, in front of the disk: what is pulled again and again costs neither a
// search of the disk's levels nor a copy. It holds what the disk holds or nothing. The zero hot is empty.
type hot struct {
	mu      sync.RWMutex
	kept    map[string]hotPrediction // by key
	bytes   int64
	changes uint64 // how often a prediction was put or removed: see remember
}

// hotPrediction is a record without its explanation, which few ask for. It is never changed.
type hotPrediction struct {
	head head
	body string
}

// hotOverhead is what a prediction costs in memory beside its key and body: head, headers, map slot, allocator rounding.
const hotOverhead = 176

func (p *hotPrediction) size(key string) int64 { return int64(len(key)+len(p.body)) + hotOverhead }

// get returns what is known of key and, if that is nothing, the mark that remember wants.
func (h *hot) get(key []byte) (p hotPrediction, found bool, mark uint64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	p, found = h.kept[string(key)]
	return p, found, h.changes
}

// put notes what a write has brought to disk.
func (h *hot) put(key []byte, p hotPrediction, most int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes++
	h.keep(string(key), p, most)
}

// remember notes what a read has found on disk, unless something has changed since it got its mark: what it found may be
// the past.
func (h *hot) remember(key []byte, p hotPrediction, mark uint64, most int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changes == mark {
		h.keep(string(key), p, most)
	}
}

// keep drops others while there is too much. A map's order is as good as random: one that is asked for comes back with
// its next read.
func (h *hot) keep(key string, p hotPrediction, most int64) {
	h.drop(key)
	size := p.size(key)
	if size > most {
		return
	}
	if h.bytes+size > most {
		for other := range h.kept {
			if h.bytes+size <= most*7/8 {
				break
			}
			h.drop(other)
		}
	}
	if h.kept == nil {
		h.kept = map[string]hotPrediction{}
	}
	h.kept[key] = p
	h.bytes += size
}

// remove notes that the disk has nothing of key any more.
func (h *hot) remove(key []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes++
	h.drop(string(key))
}

func (h *hot) drop(key string) {
	if p, ok := h.kept[key]; ok {
		h.bytes -= p.size(key)
		delete(h.kept, key)
	}
}

// HotBytes is how much memory predictions take, keys and bookkeeping included.
func (s *Store) HotBytes() int64 {
	n := int64(0)
	for i := range s.stripes {
		h := &s.stripes[i].hot
		h.mu.RLock()
		n += h.bytes
		h.mu.RUnlock()
	}
	return n
}
