// Package embed is where text embedders plug in: an Embedder makes a vector of a text, and a Cache in front of one embeds
// the same text once. It never reads a file, never trains, and never keeps a text longer than 32 bytes: it knows longer ones
// by their hash.
package embed

import "github.com/freshet-ml/freshet"

// Embedder makes vectors of texts such that texts of similar meaning have a large cosine. It is immutable and may be used
// concurrently. The vector is a function of the digest and the text alone, bit for bit, on every machine.
type Embedder interface {
	// Dim is the number of components of every vector, at least 1.
	Dim() int
	// Digest names everything the vectors depend on beside the text. It is part of the digest of a view that embeds.
	Digest() freshet.Digest
	// Embed fills dst, whose length must be Dim, with the vector of text: of length 1, or all zero if the text says
	// nothing (it is empty, or has no words). Any string is a text, invalid UTF-8 included. dst is not kept.
	Embed(text string, dst []float32)
}
