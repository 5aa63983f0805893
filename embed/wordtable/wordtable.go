// Package wordtable is the embedder by word vectors: the vector of a text is the weighted sum of the vectors of its words,
// rare words weighing more. It reads tables of one documented format (docs/formats/words.md), holds a built-in one of 26,665
// English words, and makes tables of GloVe and word2vec text files. It never downloads, never trains, and never changes the
// bytes it was given.
package wordtable

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/embed"
)

var _ embed.Embedder = (*Table)(nil)

// Table is an opened word table. It is immutable and may be used concurrently.
type Table struct {
	layout
	digest  freshet.Digest
	scratch sync.Pool // of *scratch
}

//go:embed words.bin
var builtin []byte

// builtinDigest is written down so that opening the built-in table need not read all of it; a test keeps it true.
const builtinDigest freshet.Digest = "sha256:2b473c4c208954cc109b7cc315592a104d19958f029c3e953715636ab0f7e785"

//go:embed NOTICES.md
var notices string

// Builtin opens the table in the binary: 26,665 words, 100 dimensions. It takes about half a millisecond and 116 KB of memory;
// the vectors stay in the binary's file until a word needs them.
func Builtin() *Table {
	l, err := parse(builtin)
	if err != nil {
		panic(fmt.Sprintf("wordtable: the table in the binary: %v", err)) // the binary itself is broken
	}
	return newTable(l, builtinDigest)
}

// Notices are the copyright and permission notices of the works the built-in table is made from (Markdown). They have to
// go with every copy of it, hence of the binary.
func Notices() string { return notices }

// Open reads a table of the format of docs/formats/words.md. It keeps data, which must not change any more, and needs 4
// bytes a word beside it. Returns InvalidArgument, naming the part at fault, if data is not such a table, Unsupported if
// it is one of another version.
func Open(data []byte) (*Table, error) {
	l, err := parse(data)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return newTable(l, freshet.Digest("sha256:"+hex.EncodeToString(sum[:]))), nil
}

func newTable(l layout, digest freshet.Digest) *Table {
	t := &Table{layout: l, digest: digest}
	t.scratch.New = func() any {
		return &scratch{sum: make([]float64, l.dim), gram: make([]int32, l.dim)}
	}
	return t
}

// Dim is the number of dimensions, 1 to MaxDim.
func (t *Table) Dim() int { return t.dim }

// Len is the number of words.
func (t *Table) Len() int { return t.count }

// Digest is the SHA-256 of the table's bytes.
func (t *Table) Digest() freshet.Digest { return t.digest }

// Has says whether word stands in the table as it is: lower case, no other spelling tried.
func (t *Table) Has(word string) bool { return t.find([]byte(word)) >= 0 }
