// Package modelruntime is where kinds of models plug in: open an artifact, predict. A runtime reads files that others
// wrote and answers what the library that wrote them would answer; what changes the meaning of a model and is not
// understood is refused by name. It never trains and never reads outside the artifact's directory.
package modelruntime

import (
	"context"
	"io/fs"
)

// Column is one input of a model.
type Column struct {
	Name     string
	Required bool // a missing value (NaN) is refused, not passed on
	// Type is what the artifact says its values are, in MLflow's words: "double", "float", "long", "integer" or
	// "boolean". All are given to Predict as float64. "" if it says nothing, which means double.
	Type string
}

// Signature is what a model takes and gives.
type Signature struct {
	Inputs  []Column // in the model's order
	Outputs []string // at least one; the first is the score
	// Positional is true if the model was trained without column names: those of Inputs are placeholders ("Column_0"),
	// or the names that an MLflow signature gives to the columns in order.
	Positional bool
}

// Model is an opened artifact. It is immutable; Predict may be called concurrently.
type Model interface {
	// Signature is what Predict takes and gives. The caller must not change its slices.
	Signature() Signature
	// Predict answers rows: inputs holds len(Inputs) float64 for each row, row after row, a missing value is NaN; outputs
	// receives len(Outputs) for each row. One bad row is an InvalidArgument error that names the column. ctx bounds remote
	// runtimes; local ones look at it between batches.
	Predict(ctx context.Context, inputs, outputs []float64) error
	// Close frees what the model holds. No Predict may run or follow.
	Close() error
}

// Runtime opens one family of files.
type Runtime interface {
	Name() string // "lightgbm", "freshet.linear": the field's own word
	// Recognizes tells from a file's first bytes (up to 4 KiB), never from its name, whether Open should try it.
	Recognizes(head []byte) bool
	// Open reads the model in file name of dir. Unsupported names what is not understood and what to do instead;
	// InvalidArgument says what is broken and where.
	Open(dir fs.FS, name string) (Model, error)
}
