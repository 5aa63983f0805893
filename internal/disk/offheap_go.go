//go:build !cgo

package disk

// OffHeap tells whether blocks and memtables are in memory of C, which a limit of Go's runtime does not count.
const OffHeap = false
