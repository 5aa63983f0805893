package project

import (
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/embed"
	"github.com/freshet-ml/freshet/embed/wordtable"
)

// builtin is the word table in the binary behind a cache, opened when the first view of the project embeds a text: most
// projects do not.
type builtin struct{ open func() *embed.Cache }

var _ embed.Embedder = builtin{}

func newBuiltin() builtin {
	return builtin{open: sync.OnceValue(func() *embed.Cache { return embed.Cached(wordtable.Builtin(), embed.DefaultEntries) })}
}

func (b builtin) Dim() int                         { return b.open().Dim() }
func (b builtin) Digest() freshet.Digest           { return b.open().Digest() }
func (b builtin) Embed(text string, dst []float32) { b.open().Embed(text, dst) }
