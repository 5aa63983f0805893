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
	Fallback  bool      // the pipeline's fallback answered, not its model
	// FallbackCause is why; "" if Fallback is false.
	FallbackCause FallbackCause
	// Explanation holds the inputs and the features used for each item; nil unless kept.
	Explanation *Explanation
}

// FallbackCause is why a pipeline's fallback answered.
type FallbackCause string

// The causes are a closed list.
const (
	NoPrediction   FallbackCause = "no_prediction"   // nothing is stored for whom it was asked
	FeaturesFailed FallbackCause = "features_failed" // a feature, a table or the causing event could not be read
	InputMissing   FallbackCause = "input_missing"   // an input that is required has no value
	ModelFailed    FallbackCause = "model_failed"    // the model failed
	NotANumber     FallbackCause = "not_a_number"    // the model's answer is no number
	NothingKnown   FallbackCause = "nothing_known"   // the model knows neither whom it is about nor what they did, or no candidate
	DeadlineMissed FallbackCause = "deadline_missed" // the pipeline's deadline passed first
)

// Item is one thing that was ranked.
type Item struct {
	ID    Key     `json:"id"`
	Score float64 `json:"score"`
}

// Explanation says what the model saw. Inputs are those shared by all items; each of Items has its own in the order of
// Prediction.Items. A missing input is NaN here and null in JSON.
type Explanation struct {
	Names  []string    // model columns, in the model's order
	Inputs [][]float64 // per item, one value per name; of a text the number that the model knows it by, of a list how many it knows
	// Texts are the inputs that are a text, or a list of texts, and the same for all items: by model column.
	Texts map[string][]string
	// Reason says of a fallback what went wrong; "" otherwise.
	Reason string
}
