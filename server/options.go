package server

import (
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/api"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/endpointmodel"
	"github.com/freshet-ml/freshet/modelruntime/factormodel"
	"github.com/freshet-ml/freshet/modelruntime/itemmodel"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/modelruntime/onnxmodel"
	"github.com/freshet-ml/freshet/modelruntime/skopsmodel"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

// Options say how a server runs. What it serves stands in the project file.
type Options struct {
	Project string // the project file, or the folder it is in; required
	Data    string // the folder for everything durable; required, made if it is not there
	Listen  string // host:port. Defaults to 127.0.0.1:8787; port 0 takes a free one, see Addr

	// Profiles is a loopback host:port for Go's runtime profiles (net/http/pprof). Defaults to none.
	Profiles string

	API api.Options // limits of the door

	DedupeHorizon time.Duration // how long an event id is remembered. Defaults to 24 h
	// LogRetention is how long the log keeps events before they are moved to the offline store. Defaults to 7 d; negative:
	// it keeps all.
	LogRetention time.Duration
	LogBytes     int64  // size of the log above which younger events are moved, too. Defaults to none
	Offline      string // folder of the offline store. Defaults to "offline" in Data

	// IdleTimeout is how long a partition may be without an event before its watermark goes on with the clock. Defaults to 1 min.
	IdleTimeout time.Duration
	// CheckEvery is the shortest time between two checks of a read against the events in the log. Defaults to 1 s;
	// negative: nothing is checked.
	CheckEvery time.Duration

	// Memory is what the process may take, in bytes: half of it is divided between rows, blocks of the disk, and the log's newest events and ids
	// (see shares), the other half is for requests, models, tables, and the collector. It holds for the process with
	// HeapLimit set, unless models and tables alone take more than their half. Defaults to DefaultMemory; at least MinMemory.
	Memory     int64
	Visibility time.Duration // after which a job whose worker died is given to another. Defaults to 15 s
	Attempts   int           // at a job before it becomes a dead letter. Defaults to 5
	Backlog    int           // events or jobs that may wait before the door answers 429. Defaults to 1,000,000
	// Workers is how many jobs are in work at once. Defaults to half the cores, at least one: the other half keeps
	// the door and the features fresh while there is more to predict than time.
	Workers int
	// LoadedModels is how many versions of models are kept open that somebody has asked for by number. Defaults to 8.
	LoadedModels int

	// KeepFormer is how long the release that was live before is kept ready for a rollback. Defaults to 1 h.
	KeepFormer time.Duration

	// PushPrivate lets senders go to plain http and private addresses: for providers in the operator's own network, and for tests. Who may register a
	// browser's subscription can then make the server call any address that it can reach.
	PushPrivate bool

	Runtimes []modelruntime.Runtime // kinds of models. Defaults to all that come with Freshet
	Now      func() time.Time       // the server's clock. Defaults to time.Now
	Logger   *slog.Logger           // Defaults to slog.Default()
	// OnFatal is called when the disk failed in a way after which nothing may be acknowledged. It must end the process.
	// Defaults to a panic.
	OnFatal func(error)

	fs       vfs.FS           // that Data lies in; nil: the operating system's. Tests make it fail and forget
	receiver receiver.Options // sizes of batches and checkpoints. Tests make them small
	hotBytes int64            // of rows in memory; 0: the share of Memory. Tests want none
}

// Runtimes are the kinds of models that come with Freshet.
func Runtimes() []modelruntime.Runtime {
	return []modelruntime.Runtime{
		treemodel.LightGBM{}, treemodel.XGBoost{}, linearmodel.Linear{}, skopsmodel.Skops{}, factormodel.Factors{}, itemmodel.Items{},
		onnxmodel.ONNX{}, endpointmodel.New(),
	}
}

// withDefaults fills in what is not set and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	if o.Project == "" {
		return o, freshet.FieldErrorf(freshet.InvalidArgument, "project", "no project: name a project file or its folder with --project")
	}
	if o.Data == "" {
		return o, freshet.FieldErrorf(freshet.InvalidArgument, "data", "no data folder: name one with --data")
	}
	if err := o.API.Validate(); err != nil {
		return o, err
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:8787"
	}
	if o.Backlog == 0 {
		o.Backlog = 1_000_000
	}
	if o.LogRetention == 0 {
		o.LogRetention = 7 * 24 * time.Hour
	}
	if o.Offline == "" {
		o.Offline = filepath.Join(o.Data, offlineFolder)
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory()
	}
	if o.Memory < MinMemory {
		return o, freshet.FieldErrorf(freshet.InvalidArgument, "memory", "memory of %d bytes: expected at least %d; --memory 256MB is a small server's", o.Memory, MinMemory)
	}
	if o.Workers == 0 {
		o.Workers = halfTheCores()
	}
	if o.Runtimes == nil {
		o.Runtimes = Runtimes()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
