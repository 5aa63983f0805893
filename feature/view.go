package feature

import (
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// FeatureSpec declares one feature.
type FeatureSpec struct {
	Name       freshet.FeatureName
	Expression string
}

// ViewSpec declares a feature view.
type ViewSpec struct {
	Name     freshet.ViewName
	Entity   freshet.EntityKind
	From     []freshet.EventType
	Where    string
	Windows  []string
	Lateness time.Duration
	Features []FeatureSpec
}

// Feature is one value of a view: with a list of windows there is one for each window.
type Feature struct {
	Name freshet.FeatureName
	Type expression.Type
}

// View is a compiled view. It is immutable and safe for concurrent use.
type View struct{}

// NewView checks and compiles a definition. The error joins one *DefinitionError per problem.
func NewView(s *Schema, spec ViewSpec) (*View, error) { return nil, nil }

func (v *View) Name() freshet.ViewName           { return "" }
func (v *View) Entity() freshet.EntityKind       { return "" }
func (v *View) Digest() freshet.Digest           { return "" }
func (v *View) ID() freshet.ViewID               { return 0 }
func (v *View) Listens(t freshet.EventType) bool { return false }
func (v *View) Features() []Feature              { return nil }

// Outcome says what an event did to a row.
type Outcome uint8

const (
	Applied  Outcome = iota // the row has changed
	Filtered                // not of the view's types, or where is not true for it
	Late                    // behind the watermark, and the session it belongs to is closed
	Unseen                  // older than any window of the view can see
)

// Scratch holds the buffers that Apply, Read and Compute reuse.
type Scratch struct{}

// NewScratch makes the scratch of this view; one per goroutine.
func (v *View) NewScratch() *Scratch { return nil }

// Apply adds an event to a row.
func (v *View) Apply(s *Scratch, data []byte, r *Record, maxEventTime freshet.Timestamp) (next []byte, outcome Outcome, err error) {
	return nil, 0, nil
}

// Read appends one value per feature.
func (v *View) Read(s *Scratch, data []byte, at freshet.Timestamp, dst []expression.Value) ([]expression.Value, error) {
	return nil, nil
}

// HistoricEvent is an event of the log.
type HistoricEvent struct {
	Record       *Record
	MaxEventTime freshet.Timestamp
}

// Compute appends one value per feature.
func (v *View) Compute(s *Scratch, events []HistoricEvent, at freshet.Timestamp, known bool, dst []expression.Value) ([]expression.Value, error) {
	return nil, nil
}
