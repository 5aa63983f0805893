package registry

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet"
)

// Kinds of entries about models. Other kinds are folded elsewhere, by the same log.
const (
	KindVersion = "model.version" // ModelVersion
	KindAlias   = "model.alias"   // AliasChange
	KindMetrics = "model.metrics" // Evaluation
)

// ModelVersion is one version of a model. It never changes: another artifact is another version.
type ModelVersion struct {
	Model  freshet.ModelName `json:"model"`
	Number int               `json:"version"` // 1, 2, … of the model
	// Digest is that of the artifact (modelruntime.Digest) and names the blob that holds it packed.
	Digest    freshet.Digest     `json:"digest"`
	Bytes     int64              `json:"bytes"`
	Signature Signature          `json:"signature"`
	Metrics   map[string]float64 `json:"metrics,omitempty"`
	Lineage   Lineage            `json:"lineage"`

	// The rest is that of the entry.
	PublishedAt freshet.Timestamp `json:"-"`
	PublishedBy string            `json:"-"`
	Reason      string            `json:"-"`
}

// Label names the version in predictions: "ranker@7".
func (v ModelVersion) Label() string { return string(v.Model) + "@" + strconv.Itoa(v.Number) }

// Signature is what a model takes and gives, as it was found when it was published.
type Signature struct {
	Inputs     []Column `json:"inputs"`
	Outputs    []string `json:"outputs"`
	Positional bool     `json:"positional,omitempty"`
}

// Column is one input of a model.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"` // in MLflow's words; "" means double
	Required bool   `json:"required,omitempty"`
}

// Lineage says where an artifact comes from.
type Lineage struct {
	Source string `json:"source,omitempty"` // "models:/ranker/7", a folder's or file's name, "freshet.yaml"
	// Tracking is the MLflow server that Source is of. A version that comes from Tracking and Source is pinned: its bytes
	// never change.
	Tracking string `json:"tracking,omitempty"`
	RunID    string `json:"run_id,omitempty"`
}

// Pinned reports that the source names one artifact for ever.
func (l Lineage) Pinned() bool { return l.Tracking != "" }

// AliasChange moves an alias of a model to a version, or removes it.
type AliasChange struct {
	Model   freshet.ModelName `json:"model"`
	Alias   string            `json:"alias"`
	Version int               `json:"version"` // 0: the alias is removed
}

// AliasMove is one change in the history of an alias.
type AliasMove struct {
	AliasChange
	At     freshet.Timestamp
	Actor  string
	Reason string
}

// Model is a model with all its versions.
type Model struct {
	Name     freshet.ModelName
	Versions []ModelVersion // by number, from 1 without a gap
	Aliases  map[string]int // alias → version
	History  []AliasMove    // of all aliases, in order
	// Evaluations are what was measured of versions after they were published, in order: the last 1,000.
	Evaluations []Evaluation
}

// Version finds a version by number.
func (m *Model) Version(number int) (ModelVersion, bool) {
	if m == nil || number < 1 || number > len(m.Versions) {
		return ModelVersion{}, false
	}
	return m.Versions[number-1], true
}

// ByDigest finds the version with the artifact of digest.
func (m *Model) ByDigest(digest freshet.Digest) (ModelVersion, bool) {
	if m == nil {
		return ModelVersion{}, false
	}
	i := slices.IndexFunc(m.Versions, func(v ModelVersion) bool { return v.Digest == digest })
	if i < 0 {
		return ModelVersion{}, false
	}
	return m.Versions[i], true
}

// AliasesOf are the aliases that point at a version, sorted.
func (m *Model) AliasesOf(number int) []string {
	var names []string
	for name, n := range m.Aliases {
		if n == number {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Models is the state of all models: what the log amounts to so far. The zero Models has none. It is never changed: Apply
// gives a new one.
type Models struct {
	byName map[freshet.ModelName]*Model
}

// Model finds a model by name; nil if there is none.
func (m Models) Model(name freshet.ModelName) *Model { return m.byName[name] }

// All are the models in the order of their names.
func (m Models) All() []*Model {
	return slices.SortedFunc(maps.Values(m.byName), func(a, b *Model) int { return cmp.Compare(a.Name, b.Name) })
}

// ApplyModels gives the state after e, for Follow. Entries of other kinds change nothing.
func ApplyModels(m Models, e Entry) (Models, error) {
	switch e.Kind {
	case KindVersion:
		var v ModelVersion
		if err := e.Decode(&v); err != nil {
			return m, err
		}
		v.PublishedAt, v.PublishedBy, v.Reason = e.At, e.Actor, e.Reason
		return m.withVersion(v)
	case KindAlias:
		var c AliasChange
		if err := e.Decode(&c); err != nil {
			return m, err
		}
		return m.withAlias(AliasMove{c, e.At, e.Actor, e.Reason})
	case KindMetrics:
		var measured Evaluation
		if err := e.Decode(&measured); err != nil {
			return m, err
		}
		measured.At, measured.Actor, measured.Reason = e.At, e.Actor, e.Reason
		return m.withEvaluation(measured)
	}
	return m, nil
}

func (m Models) withVersion(v ModelVersion) (Models, error) {
	if err := v.Check(); err != nil {
		return m, err
	}
	old := m.byName[v.Model]
	if old == nil {
		old = &Model{Name: v.Model}
	}
	if want := len(old.Versions) + 1; v.Number != want {
		return m, freshet.FieldErrorf(freshet.InvalidArgument, "version", "model %s: version %d cannot follow %d", v.Model, v.Number, want-1)
	}
	// Clip: a state that somebody holds must never see what is appended to another.
	next := *old
	next.Versions = append(slices.Clip(old.Versions), v)
	return m.with(&next), nil
}

func (m Models) withAlias(move AliasMove) (Models, error) {
	old := m.byName[move.Model]
	if err := CheckAlias(move.Alias); err != nil {
		return m, err
	}
	if _, ok := old.Version(move.Version); !ok && (move.Version != 0 || old == nil) {
		return m, freshet.FieldErrorf(freshet.NotFound, "version", "model %s has no version %d", move.Model, move.Version)
	}
	aliases := maps.Clone(old.Aliases)
	if aliases == nil {
		aliases = map[string]int{}
	}
	aliases[move.Alias] = move.Version
	if move.Version == 0 {
		delete(aliases, move.Alias)
	}
	next := *old
	next.Aliases, next.History = aliases, append(slices.Clip(old.History), move)
	return m.with(&next), nil
}

func (m Models) with(changed *Model) Models {
	next := maps.Clone(m.byName)
	if next == nil {
		next = map[freshet.ModelName]*Model{}
	}
	next[changed.Name] = changed
	return Models{next}
}

// Bounds of a version.
const (
	maxNameBytes   = 63
	maxMetrics     = 200
	maxMetricBytes = 250
	maxSourceBytes = 2048
)

// Check returns InvalidArgument, naming the field, for a version that is not well-formed.
func (v ModelVersion) Check() error {
	if err := CheckModelName(v.Model); err != nil {
		return err
	}
	if err := CheckDigest(v.Digest); err != nil {
		return err
	}
	if err := checkMetrics(v.Metrics); err != nil {
		return err
	}
	for _, text := range []string{v.Lineage.Source, v.Lineage.Tracking, v.Lineage.RunID} {
		if len(text) > maxSourceBytes {
			return freshet.FieldErrorf(freshet.InvalidArgument, "lineage", "lineage: %d bytes; expected at most %d", len(text), maxSourceBytes)
		}
	}
	return nil
}

func checkMetrics(metrics map[string]float64) error {
	if len(metrics) > maxMetrics {
		return freshet.FieldErrorf(freshet.InvalidArgument, "metrics", "metrics: %d of them; expected at most %d", len(metrics), maxMetrics)
	}
	for name, value := range metrics {
		if name == "" || len(name) > maxMetricBytes || math.IsNaN(value) || math.IsInf(value, 0) {
			return freshet.FieldErrorf(freshet.InvalidArgument, "metrics", "metrics: %.80q is %v; expected a name of 1 to %d bytes and a finite number", name, value, maxMetricBytes)
		}
	}
	return nil
}

// CheckModelName returns InvalidArgument for a name that no project file could say: [a-z][a-z0-9_]{0,62}.
func CheckModelName(name freshet.ModelName) error {
	if !isName(string(name)) {
		return freshet.FieldErrorf(freshet.InvalidArgument, "model", "model: %.80q is no name; expected a lower-case letter, then up to 62 letters, digits and _", string(name))
	}
	return nil
}

// CheckAlias returns InvalidArgument for what cannot be an alias: names as those of models may, and "-" within.
func CheckAlias(alias string) error {
	if !isName(alias, '-') || alias == "latest" {
		return freshet.FieldErrorf(freshet.InvalidArgument, "alias",
			"alias: %.80q is none; expected a lower-case letter, then up to 62 letters, digits, _ and -, and not latest", alias)
	}
	return nil
}

func isName(s string, also ...byte) bool {
	if s == "" || len(s) > maxNameBytes || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && !slices.Contains(also, c) {
			return false
		}
	}
	return true
}
