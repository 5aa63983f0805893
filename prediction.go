package freshet

// Prediction is one answer: what one release said about one entity at one moment. It names everything needed to compute
// it again to the same bytes.
type Prediction struct {
	Pipeline  PipelineName
	Entity    Entity
	Items     []Item             // best first; without candidates one item: the entity itself
	Outputs   map[string]float64 // all outputs of the model, for a pipeline without candidates
	Release   ReleaseID
	Model     string // "ranker@1"
	EventID   EventID
	Cause     Place     // of the event that caused it; the zero Place for one that was asked for by /v1/predict
	EventTime Timestamp // of that event
	CreatedAt Timestamp // the one moment T at which all its features were read
	ExpiresAt Timestamp // zero: never
	Fallback  bool
	// Explanation holds the inputs and the features used for each item; nil unless kept.
	Explanation *Explanation
}

// Item is one thing that was ranked.
type Item struct {
	ID    Key     `json:"id"`
	Score float64 `json:"score"`
}

// Explanation says what the model saw. Inputs are those shared by all items; each of Items has its own in the order of
// Prediction.Items. A missing input is NaN here and null in JSON.
type Explanation struct {
	Names  []string    // model columns, in the model's order
	Inputs [][]float64 // per item, one value per name
}
