// Package registry is the hand-off between those who decide what is served and those who serve it: artifacts by the digest of
// their bytes, and one log of decisions. A model version, an alias, a release, a rollback is an entry of the log; whoever
// folds the log from its first entry comes to the same state, and the log is the audit.
//
// A Registry validates, hashes and waits; a Driver stores bytes. The package never opens a model and never decides anything.
package registry

import (
	"context"
	"io"

	"github.com/freshet-ml/freshet"
)

// Driver stores blobs and entries as bytes. It does not validate, hash or log. Its methods may be called concurrently, and
// several processes may have one store open at once.
type Driver interface {
	// Put stores what r gives under digest. If r fails, nothing is stored and the error is r's. When Put returns, all of it
	// is durable and becomes visible in one step; what stood under the digest before is replaced.
	Put(ctx context.Context, digest freshet.Digest, r io.Reader) error
	// Open gives the blob of digest. Returns NotFound if there is none.
	Open(ctx context.Context, digest freshet.Digest) (Blob, error)
	// Stat describes the blob of digest. Returns NotFound if there is none.
	Stat(ctx context.Context, digest freshet.Digest) (Info, error)
	// List describes all blobs in the order of their digests.
	List(ctx context.Context) ([]Info, error)
	// Delete removes the blob of digest, durably. It is no error if there is none. Who has it open reads on.
	Delete(ctx context.Context, digest freshet.Digest) error

	// Append stores data, at most MaxStoredBytes, as the entry of revision (≥ 1), durably. stored is false, and nothing
	// happens, if there is an entry of revision already or none of the revision before: of several callers, in whatever
	// process, one is first. After an error the entry may be there or not.
	Append(ctx context.Context, revision Revision, data []byte) (stored bool, err error)
	// Read is the entry of revision. Returns NotFound if there is none.
	Read(ctx context.Context, revision Revision) ([]byte, error)
	// Head is the newest revision, 0 if there is none. An entry that Append has stored is seen at once by every process.
	Head(ctx context.Context) (Revision, error)

	// Close ends the use of the driver; it waits for calls under way. Closing twice is no error, any other call after it
	// returns Unavailable. Blobs that are open are closed by those who opened them.
	Close() error
}

// Blob is an artifact that is open for reading, at any place and by several readers at once.
type Blob interface {
	io.ReaderAt
	io.Closer
	// Size is the number of bytes.
	Size() int64
	// Name says where it lies, for a message to the one who must mend it.
	Name() string
}

// Info describes a blob.
type Info struct {
	Digest freshet.Digest
	Size   int64             // bytes
	PutAt  freshet.Timestamp // when it was last put
}

// Revision counts the entries of the log: the first entry has revision 1. 0 is the state before it.
type Revision uint64
