package alloctest

import (
	"sync"
	"testing"
)

var kept []byte

func TestPerRun(t *testing.T) {
	if n := PerRun(100, func() { kept = make([]byte, 8) }); n != 1 {
		t.Errorf("%v allocations, expected 1", n)
	}
	pool := sync.Pool{New: func() any { return new([64]byte) }}
	if n := PerRun(100, func() { pool.Put(pool.Get()) }); n != 0 {
		t.Errorf("%v allocations of a pool that keeps, expected 0", n)
	}
}
