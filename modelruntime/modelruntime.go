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
	// "boolean". All are given to Predict as float64. "" if it says nothing, which means double. A Ranker may also have
	// "string", and "strings" for a list of texts.
	Type string
	// Optional: a pipeline need not give it. It is then missing in every row, or an empty list.
	Optional bool
	// Of says whose id a column of texts holds. A pipeline that gives nothing for it gives that id.
	Of Subject
	// Breaks ties: rows of equal score are in ascending order of this column. At most one column does.
	BreaksTies bool
}

// Subject is who a text is the id of.
type Subject uint8

const (
	Nobody    Subject = iota // it is no id, or of nothing that every prediction has
	Entity                   // whom the prediction is about
	Candidate                // what is ranked
)

// The types of columns that hold texts.
const (
	TextType  = "string"
	TextsType = "strings"
)

// Signature is what a model takes and gives.
type Signature struct {
	Inputs  []Column // in the model's order
	Outputs []string // at least one; the first is the score
	// Positional is true if the model was trained without column names: those of Inputs are placeholders ("Column_0"),
	// or the names that an MLflow signature gives to the columns in order.
	Positional bool
	// Partial: an answer of NaN says that the model knows nothing of what the row is about, such as a new user. Of other
	// models it is a fault.
	Partial bool
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

// Ranker is a Model with columns of texts. It knows each text by a number, and its rows hold the numbers, so that a text is
// looked up once: those of a catalog when it is loaded, not in every prediction.
type Ranker interface {
	Model
	// Encode is the number of a text of the column at this index of Inputs; NaN if the model does not know the text. It
	// allocates nothing.
	Encode(column int, text string) float64
	// Rank is Predict for rows that share their lists. lists has one for each column of type "strings", in the order of
	// Inputs: the numbers of those of its texts that the model knows. In the rows such a column holds how many these are,
	// for whoever reads them; Rank does not look at it. Predict is Rank with empty lists.
	Rank(ctx context.Context, lists [][]float64, inputs, outputs []float64) error
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

// Bundle is a Runtime whose models are several files in one directory. Their names are part of the format.
type Bundle interface {
	Runtime
	// RecognizesFiles tells from the names of the files in a directory whether OpenFiles should try it.
	RecognizesFiles(names []string) bool
	// OpenFiles is Open for such a directory. The message of an error begins with the name of a file.
	OpenFiles(dir fs.FS) (Model, error)
}

// ClassOpener is a Runtime whose answers also depend on the Python class that an MLflow flavor names as model_class, such as
// "xgboost.sklearn.XGBClassifier".
type ClassOpener interface {
	// OpenAs is Open for a file that Python would load as an object of class.
	OpenAs(dir fs.FS, name, class string) (Model, error)
}
