package deployment

import (
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

// Request asks for a release. What it leaves out is taken from the live release.
type Request struct {
	Release freshet.ReleaseID                    // an earlier one whose content goes live again; the rest is then left out
	Project string                               // the project file's text
	Tables  map[freshet.TableName]freshet.Digest // of files that are blobs already
	// Embedder is the digest of the word table that the project file names, a blob already.
	Embedder freshet.Digest
	// Models says which versions: a number or an alias. Of others the version last published.
	Models map[freshet.ModelName]string

	Shadow float64       // share of the jobs that it only runs beside first; 0: none
	Canary float64       // share of the users whom it serves first; 0: everybody at once
	Bake   time.Duration // how long it is a canary
	Accept []Guard       // what may change
}

// By says who decides, why, and on which state.
type By struct {
	Actor  string
	Reason string
	// Revision is that of the log of decisions on which it was decided; if another was taken since, PreconditionFailed. 0 does
	// not look.
	Revision registry.Revision
}

// Bounds of a Request.
const (
	MaxBake = 7 * 24 * time.Hour
)

// Check returns InvalidArgument, naming the field, for a request that no server could follow.
func (r *Request) Check() error {
	for field, share := range map[string]float64{"canary": r.Canary, "shadow": r.Shadow} {
		if !(share >= 0 && share <= 1) { // also NaN
			return freshet.FieldErrorf(freshet.InvalidArgument, field, "%s: %v is no share; expected 0%% to 100%%", field, share)
		}
	}
	if r.Canary == 1 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "canary", "canary: 100%% leaves nobody to compare it with; expected less, or 0 for everybody at once")
	}
	if r.Bake < 0 || r.Bake > MaxBake {
		return freshet.FieldErrorf(freshet.InvalidArgument, "bake", "bake: %v; expected 0s to %v", r.Bake, MaxBake)
	}
	if r.Release != "" && (r.Project != "" || len(r.Tables) > 0 || len(r.Models) > 0 || r.Embedder != "") {
		return freshet.FieldErrorf(freshet.InvalidArgument, "release", "release: what an earlier release was goes live as a whole: leave out project, tables, embedder and models")
	}
	return CheckGuards(r.Accept)
}

// Progress is how far a release is on its way.
type Progress struct {
	Step   string  `json:"step"`             // what is being done: "fill views", "bake"
	Done   uint64  `json:"done,omitempty"`   // events of the past, of Total
	Total  uint64  `json:"total,omitempty"`  //
	Rate   float64 `json:"rate,omitempty"`   // events a second
	Left   float64 `json:"left_seconds"`     // 0: not known
	Detail string  `json:"detail,omitempty"` // what was found so far
}
