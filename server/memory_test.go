package server

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryIsDivided(t *testing.T) {
	t.Parallel()
	for memory, want := range map[int64]shares{
		2 << 30: {rows: 768 << 20, cache: 256 << 20, memTable: 32 << 20, unsaved: 4 << 20}, // of which the disk takes 24 MB
		0:       {rows: 24 << 20, cache: 8 << 20, memTable: 1 << 20, unsaved: 128 << 10},
	} {
		if got := sharesOf(memory); got != want {
			t.Errorf("%d: %+v, want %+v", memory, got, want)
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
