package project

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"weak"

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

// Embedder is the word table that a project file names.
type Embedder struct {
	File   string         // relative to the project file, with slashes; never outside its folder
	Digest freshet.Digest // of its bytes
}

// Words opens the word table in file, which a project file names as its embedder.
type Words func(file string) (embed.Embedder, error)

// setEmbedder opens the word table that the file names. Its digest and its dimensions are part of what views are, so that it
// is read here, not with tables and models. Without the section, or with a wrong one, which is reported, there is the built-in table.
func (r *reader) setEmbedder(p *Project, n *node) {
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
	words, err := r.words(file)
	if err != nil {
		r.issue(at, "embedder: file: %s: %v", file, err)
		return
	}
	r.embedder, p.Embedder = words, &Embedder{File: file, Digest: words.Digest()}
}

// noWords are the word tables of a project that stands in memory.
func noWords(string) (embed.Embedder, error) {
	return nil, freshet.Errorf(freshet.NotFound, "this project was not read from a folder, so that there are no files beside it")
}

// wordsBelow are those in a folder.
func wordsBelow(dir string) Words {
	return func(file string) (embed.Embedder, error) {
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
		return readWordTable(f, info.Size())
	}
}

func readWordTable(r io.ReaderAt, size int64) (*embed.Cache, error) {
	if size > MaxEmbedderBytes {
		return nil, freshet.Errorf(freshet.TooLarge, "it has %d bytes, at most %d are read; convert fewer words", size, int64(MaxEmbedderBytes))
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), data); err != nil {
		return nil, err
	}
	table, err := wordtable.Open(data)
	if freshet.CodeOf(err) == freshet.InvalidArgument {
		return nil, freshet.Errorf("", "%w; `freshet embedder convert` makes one of GloVe or word2vec text", err)
	}
	if err != nil {
		return nil, err
	}
	return embed.Cached(table, embed.DefaultEntries), nil
}

// WordTables opens word tables by their digest. One is in memory once, however many projects that are in use name it. The zero
// WordTables is ready to use, concurrently.
type WordTables struct {
	mu   sync.Mutex
	open map[freshet.Digest]weak.Pointer[embed.Cache]
}

// WordFile is the file of a word table, open for reading.
type WordFile interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Stored are the Words of a project whose word table, if it names one, is the file of that digest; open is called if it is not in memory yet.
func (t *WordTables) Stored(digest freshet.Digest, open func() (WordFile, error)) Words {
	return func(string) (embed.Embedder, error) {
		t.mu.Lock() // also while one is read: another project may want the same
		defer t.mu.Unlock()
		if words := t.open[digest].Value(); words != nil {
			return words, nil
		}
		f, err := open()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		words, err := readWordTable(f, f.Size())
		if err != nil {
			return nil, err
		}
		if words.Digest() != digest {
			return nil, freshet.Errorf(freshet.Internal, "the bytes of %s are others", digest)
		}
		if t.open == nil {
			t.open = map[freshet.Digest]weak.Pointer[embed.Cache]{}
		}
		maps.DeleteFunc(t.open, func(_ freshet.Digest, words weak.Pointer[embed.Cache]) bool { return words.Value() == nil })
		t.open[digest] = weak.Make(words)
		return words, nil
	}
}
