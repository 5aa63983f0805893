package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/server"
)

// embedderConvertCommand makes a word table of a text file of word vectors.
type embedderConvertCommand struct {
	File     string `arg:"" help:"Word vectors as text, as GloVe and word2vec write them, the most frequent word first."`
	Output   string `short:"o" required:"" placeholder:"FILE" help:"The word table to write."`
	MaxWords int    `default:"100000" placeholder:"N" help:"Words to take from the beginning of the file (default ${default})."`
	Center   bool   `help:"Take away the direction that all vectors share: texts are told apart better."`
}

// Help is the long text of `freshet embedder convert --help`.
func (embedderConvertCommand) Help() string {
	return `Makes a compact word table of a text file of word vectors: lower case, unit length, a byte a component. A project uses it in the place of the
built-in one with

  embedder: { file: data/glove.bin }

Example:

  freshet embedder convert glove.6B.100d.txt -o data/glove.bin`
}

// Run writes the table and says what is in it.
func (c *embedderConvertCommand) Run(ctx context.Context, sh *shell) error {
	in, err := os.Open(c.File)
	if err != nil {
		return freshet.Errorf(freshet.NotFound, "word vectors: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return freshet.Errorf(freshet.Internal, "word vectors: %w", err)
	}
	meter := newTaskMeter(sh.err)
	source := &countedReader{ctx: ctx, r: in, read: func(n int64) {
		meter.show(func() string { return fmt.Sprintf("%s %s MB read", bar(n, info.Size()), grouped(int(n>>20))) })
	}}
	var done server.WordTable
	err = writeFile(c.Output, func(w io.Writer) (err error) {
		done, err = server.ConvertWordTable(source, w, server.WordTableOptions{MaxWords: c.MaxWords, Center: c.Center})
		return err
	})
	meter.close()
	if err != nil {
		return freshet.Errorf("", "%s: %w", c.File, err)
	}
	if sh.json {
		return sh.printJSON(map[string]any{"output": c.Output, "dim": done.Dim, "words": done.Words, "skipped": done.Skipped})
	}
	_, err = fmt.Fprintf(sh.out, "%s: %s words of %d dimensions, %s lines left out, in %s\n", c.Output, grouped(done.Words), done.Dim,
		grouped(done.Skipped), meter.elapsed().Round(time.Millisecond))
	return err
}

// countedReader tells how much has been read, and ends with its context.
type countedReader struct {
	ctx  context.Context
	r    io.Reader
	n    int64
	read func(n int64)
}

func (c *countedReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.read(c.n)
	return n, err
}

// writeFile makes a file of what write writes, all of it or, if that fails, none: what was there before stays.
func writeFile(path string, write func(w io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return freshet.Errorf(freshet.InvalidArgument, "output: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // err says more
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return freshet.Errorf(freshet.Internal, "output: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return freshet.Errorf(freshet.Internal, "output: %w", err)
	}
	return nil
}
