package server

import (
	"io"

	"github.com/freshet-ml/freshet/embed/wordtable"
)

// WordTableOptions say what ConvertWordTable takes of a file; see wordtable.Options.
type WordTableOptions = wordtable.Options

// WordTable is what is in the table that ConvertWordTable has made.
type WordTable = wordtable.Converted

// ConvertWordTable reads word vectors as text, as GloVe and word2vec write them, and writes the word table that a project
// names as its embedder. Nothing is written before all is read. Returns InvalidArgument naming the line for a file that is not so.
func ConvertWordTable(r io.Reader, w io.Writer, o WordTableOptions) (WordTable, error) {
	return wordtable.Convert(r, w, &o)
}
