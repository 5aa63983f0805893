package api

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/ondemand"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/sweep"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/internal/telemetry"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/tablestore"
)

// Live knows the releases that are open (release.Live). What is pinned is given back with Unpin. All are nil before the first release.
type Live interface {
	Load() *release.Opened         // the live one, for what is said about it
	Pin() *release.Opened          // the live one
	PinCandidate() *release.Opened // the one that serves a share of the entities
	Set() *release.Set
}

// Log takes accepted events (eventlog.Log).
type Log interface {
	Append(ctx context.Context, entries []eventlog.Entry) ([]eventlog.Appended, error)
}

// Rows says how far the feature rows are (featurestore.Store).
type Rows interface {
	Applied(partition freshet.Partition) freshet.Offset
	Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error
}

// Values reads features (reader.Reader).
type Values interface {
	// Values appends to dst all features of views, in their order; the views are of one entity kind.
	Values(ctx context.Context, rel *release.Opened, views []*feature.View, key freshet.Key, at freshet.Timestamp, known bool,
		dst []expression.Value) ([]expression.Value, error)
	// RowInfo tells about the stored row; ok is false if there is none.
	RowInfo(ctx context.Context, view *feature.View, key freshet.Key) (last freshet.Timestamp, offset freshet.Offset, ok bool, err error)
}

// Jobs tells what became of jobs (jobqueue.Queue).
type Jobs interface {
	Wait(ctx context.Context, s jobqueue.Subject, through freshet.Offset) (jobqueue.State, error)
	DeadLetters(ctx context.Context, after freshet.JobID, limit int) ([]jobqueue.DeadLetter, error)
	Redrive(ctx context.Context, ids []freshet.JobID) (int, error)
	Drop(ctx context.Context, ids []freshet.JobID) (int, error)
	List(ctx context.Context, status jobqueue.Status, after string, limit int) (jobs []jobqueue.Info, next string, err error)
	Find(ctx context.Context, id freshet.JobID) (jobqueue.Info, error)
	Stats() jobqueue.Stats
	Full() bool
}

// Predictions keeps answers to pull (predictionstore.Store). An expired prediction is not returned.
type Predictions interface {
	Put(ctx context.Context, p freshet.Prediction) (stored bool, err error)
	Get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error)
	// GetExplained is Get with the Explanation, where one was kept.
	GetExplained(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error)
	List(ctx context.Context, e freshet.Entity) ([]freshet.Prediction, error)
}

// Predictor computes predictions (the orchestration layer).
type Predictor interface {
	Predict(ctx context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error)
	// Fallback is what a pipeline serves to those for whom nothing is stored. NotFound if it has none.
	Fallback(ctx context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error)
	// Again makes a stored prediction anew, of the event that caused it. It is not stored.
	Again(ctx context.Context, rel *release.Opened, was freshet.Prediction) (freshet.Prediction, error)
}

// Models runs models (the serving layer).
type Models interface {
	// Score answers rows: inputs and outputs are those of modelruntime.Model.Predict, checked against the signature.
	Score(ctx context.Context, m *release.Model, inputs, outputs []float64) error
}

// Tables reads and writes push tables (pushtable.Tables).
type Tables interface {
	Find(ctx context.Context, spec *table.Spec, key freshet.Key, dst []expression.Value) (row pushtable.Row, ok bool, err error)
	Put(ctx context.Context, spec *table.Spec, ties tablestore.Ties, rows ...pushtable.Row) (stored []bool, err error)
}

// Versions keeps the versions of models (modelregistry.Models).
type Versions interface {
	Now(ctx context.Context) (registry.Models, registry.Revision, error)
	Check(ctx context.Context, dir fs.FS) (modelregistry.Checked, error)
	PublishChecked(ctx context.Context, dir fs.FS, checked modelregistry.Checked, p modelregistry.Publication) (v registry.ModelVersion, fresh bool, err error)
	AddMetrics(ctx context.Context, e registry.Evaluation, actor, reason string) (*registry.Model, error)
	Open(ctx context.Context, v registry.ModelVersion) (*release.Artifact, error)
	SetAlias(ctx context.Context, expected registry.Revision, c registry.AliasChange, actor, reason string) (*registry.Model, error)
}

// Loaded gives versions that the live release does not have (ondemand.Pool). What Pin gives is given back with Unpin.
type Loaded interface {
	Pin(ctx context.Context, name freshet.ModelName, number int) (ondemand.Pinned, error)
	// Unload frees a version, 0 all of a model, and reports how many there were.
	Unload(name freshet.ModelName, number int) int
	List() []ondemand.Status
}

// Blobs keeps artifacts by digest (registry.Registry).
type Blobs interface {
	Put(ctx context.Context, digest freshet.Digest, from io.Reader) (size int64, err error)
	Stat(ctx context.Context, digest freshet.Digest) (registry.Info, error)
}

// Streams tells how far the receiver is.
type Streams interface {
	Streams() []StreamStatus
	// Backlogged says whether so much is accepted and not worked off that no more may be taken, and why.
	Backlogged() (reason string, yes bool)
}

// StreamStatus is the state of one partition, as GET /v1/streams shows it.
type StreamStatus struct {
	Partition         freshet.Partition `json:"partition"`
	Head              freshet.Offset    `json:"head"`       // the last event in the log
	Applied           freshet.Offset    `json:"applied"`    // the last event in the rows
	Checkpoint        freshet.Offset    `json:"checkpoint"` // the last event in the rows on disk
	Lag               uint64            `json:"lag"`        // events in the log and not yet in the rows
	Watermark         freshet.Timestamp `json:"watermark"`
	Idle              bool              `json:"idle"` // the watermark goes with the clock: no event has come for the idle timeout
	MaxEventTime      freshet.Timestamp `json:"max_event_time"`
	Events            uint64            `json:"events"`           // applied since the start
	Behind            uint64            `json:"behind_watermark"` // came behind the watermark since the start, whether they could be counted or not
	Unseen            uint64            `json:"unseen"`           // older than any window of a view sees, by view, since the start
	Late              uint64            `json:"late"`             // dropped from a session view since the start
	Unreadable        uint64            `json:"unreadable"`
	LastError         string            `json:"last_error,omitempty"`
	EventsPerSecond   float64           `json:"events_per_second"`
	CheckpointAge     time.Duration     `json:"-"`
	CheckpointAgeSecs float64           `json:"checkpoint_age_seconds"` // filled from CheckpointAge
}

// Sizes tells how much the rows of a view are, as the background sweep counted them (sweep.Sweeper).
type Sizes interface {
	Size(view freshet.ViewID) sweep.Size
}

// Ready tells why the server cannot serve yet; nothing if it can.
type Ready interface {
	Ready() (reasons []string)
	// Degraded tells what does not work although the server serves.
	Degraded() []string
}

// People keeps devices, preferences and messages of users (outbox.Outbox).
type People interface {
	Devices(ctx context.Context, user freshet.Key) ([]outbox.Device, error)
	PutDevice(ctx context.Context, user freshet.Key, d outbox.Device) error
	DeleteDevice(ctx context.Context, user freshet.Key, id string) error
	Preferences(ctx context.Context, user freshet.Key) (outbox.Preferences, error)
	PutPreferences(ctx context.Context, user freshet.Key, p outbox.Preferences) error
	Message(ctx context.Context, id freshet.JobID) (outbox.Message, error)
	Messages(ctx context.Context, user freshet.Key, after freshet.JobID, limit int) ([]outbox.Message, error)
	InApp(ctx context.Context, user freshet.Key, after uint64, now freshet.Timestamp, limit int) ([]outbox.InApp, error)
	Ack(ctx context.Context, user freshet.Key, seq uint64) error
}

// Deliveries is the delivery layer.
type Deliveries interface {
	CheckDevice(d outbox.Device) error
	// Outcome records what a person did with a message.
	Outcome(ctx context.Context, id freshet.JobID, user freshet.Key, outcome string) error
}

func (d *Deps) check() {
	if d.Live == nil || d.Log == nil || d.Past == nil || d.Rows == nil || d.Values == nil || d.Tables == nil || d.Jobs == nil || d.Predictions == nil ||
		d.Predictor == nil || d.Models == nil || d.Versions == nil || d.Loaded == nil || d.Releases == nil || d.Blobs == nil || d.Streams == nil || d.Sizes == nil || d.Ready == nil ||
		d.People == nil || d.Deliveries == nil || d.Hub == nil || d.Refused == nil {
		panic("api: a dependency is missing")
	}
}

func (d Deps) withDefaults() Deps {
	if d.Metrics == nil {
		d.Metrics = telemetry.NewRegistry()
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}
