package deployment

import "github.com/freshet-ml/freshet"

// Garbage is what the registry keeps and nothing needs.
type Garbage struct {
	Remove    []Waste `json:"remove"`
	Bytes     int64   `json:"bytes"`   // of these
	Removed   bool    `json:"removed"` // they are gone; else it was only looked
	Kept      int     `json:"kept"`    // artifacts that are needed
	KeptBytes int64   `json:"kept_bytes"`
}

// Waste is one artifact that nothing needs.
type Waste struct {
	Digest freshet.Digest    `json:"digest"`
	What   string            `json:"what"` // "model ranker@3", "table users of r2"
	Bytes  int64             `json:"bytes"`
	PutAt  freshet.Timestamp `json:"put_at"`
}
