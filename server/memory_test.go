package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/freshet-ml/freshet"
)

func TestMemoryIsDivided(t *testing.T) {
	t.Parallel()
	for memory, want := range map[int64]shares{
		MinMemory: {rows: 32 << 20, unsaved: 128 << 10, blocks: 20 << 20, memTable: 2 << 20, tail: 4 << 20, ids: 4 << 20, predictions: 4 << 20},
		2 << 30:   {rows: 512 << 20, unsaved: 2 << 20, blocks: 320 << 20, memTable: 32 << 20, tail: 32 << 20, ids: 64 << 20, predictions: 64 << 20}, // the disk takes 24 MB a memtable
		64 << 30:  {rows: 16 << 30, unsaved: 64 << 20, blocks: 10 << 30, memTable: 1 << 30, tail: 32 << 20, ids: 2 << 30, predictions: 2 << 30},
	} {
		if got := sharesOf(memory); got != want {
			t.Errorf("%d: %+v, want %+v", memory, got, want)
		}
	}
}

// TestSharesLeaveRoom: what lives in memory is half of it at most, or the collector would run all the time.
func TestSharesLeaveRoom(t *testing.T) {
	t.Parallel()
	for _, memory := range []int64{MinMemory, 200_000_001, 512 << 20, 2 << 30, 1 << 40} {
		s := sharesOf(memory)
		if lives := s.rows + s.blocks + s.tail + s.ids + s.predictions; lives > memory/2 {
			t.Errorf("%d: %d live", memory, lives)
		}
		if 4*s.memTable > s.blocks || s.unsaved*freshet.Partitions > s.rows/2 {
			t.Errorf("%d: %+v: memtables are a part of the blocks, unsaved rows of the rows", memory, s)
		}
		if limit := HeapLimit(memory); limit > memory-programBytes || limit < memory/2 {
			t.Errorf("%d: the collector's limit is %d", memory, limit)
		}
	}
}

func TestMachineMemory(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"MemTotal:       24683684 kB\nMemFree: 1 kB\n": 24683684 << 10,
		"MemTotal: many kB\n":                          assumedMemory,
		"":                                             assumedMemory,
	} {
		file := filepath.Join(t.TempDir(), "meminfo")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := memTotal(file); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if got := machineMemory(); got < 1<<20 {
		t.Errorf("this machine has %d bytes", got)
	}
}
