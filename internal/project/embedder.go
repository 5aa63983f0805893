package project

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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

// MaxEmbedderBytes is the largest word table that is read: it is kept in memory.
const MaxEmbedderBytes = 2 << 30

// setEmbedder opens the word table that the file names. Its digest and its dimensions are part of what views are, so that it
// is read here, not with tables and models. Without the section, or with a wrong one, which is reported, there is the built-in table.
func (r *reader) setEmbedder(n *node) {
	if n == nil {
		return
	}
	s, ok := r.section(n, "embedder", []string{"file"}, nil)
	if !ok || s.need("file") == nil {
		return
	}
	file := s.text("file")
	at := s.get("file")
	before := len(r.issues)
	r.localPath(at, "embedder: file", file)
	if file == "" || len(r.issues) > before {
		return
	}
	if r.dir == "" {
		r.issue(at, "embedder: file: %s: this project was not read from a folder, so that there are no files beside it", file)
		return
	}
	table, err := openWordTable(r.dir, file)
	if err != nil {
		r.issue(at, "embedder: file: %s: %v", file, err)
		return
	}
	r.embedder = embed.Cached(table, embed.DefaultEntries)
}

// openWordTable reads a file below dir.
func openWordTable(dir, file string) (*wordtable.Table, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, freshet.Errorf(freshet.NotFound, "there is no such file; `freshet embedder convert` makes one of GloVe or word2vec text")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxEmbedderBytes {
		return nil, freshet.Errorf(freshet.TooLarge, "it has %d bytes, at most %d are read; convert fewer words", info.Size(), int64(MaxEmbedderBytes))
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	table, err := wordtable.Open(data)
	if freshet.CodeOf(err) == freshet.InvalidArgument {
		return nil, freshet.Errorf("", "%w; `freshet embedder convert` makes one of GloVe or word2vec text", err)
	}
	return table, err
}
