package api

import (
	"cmp"
	"crypto/tls"
	"os"
	"time"

	"github.com/freshet-ml/freshet"
)

// Options bound what a client may ask for. The zero value of each means its default.
type Options struct {
	MaxBody     int64 // bytes of a body as sent. Defaults to 8 MiB
	MaxUnpacked int64 // bytes of a body unpacked. Defaults to 16 MiB
	// MaxInflight bounds the bytes of all bodies that are being read or answered at once, beyond the first 64 KiB of each.
	// Over it a body is refused with 429. Defaults to 256 MiB, and is at least MaxUnpacked.
	MaxInflight int64
	MaxArtifact int64 // bytes of a model's archive or a blob as sent. Defaults to 1 GiB
	MaxDepth    int   // nesting of JSON. Defaults to 64
	MaxEvents   int   // events of one request. Defaults to 10,000

	MaxHeaderBytes int // of a request's headers. Defaults to 64 KiB
	MaxTarget      int // bytes of path and query. Defaults to 16 KiB
	MaxConns       int // open connections; more wait to be accepted. Defaults to 8,192

	HeaderTimeout time.Duration // for a request's headers. Defaults to 10 s
	BodyTimeout   time.Duration // for a request's body, once its headers are there. Defaults to 60 s
	// ArtifactTimeout is BodyTimeout for an artifact. Defaults to 10 min.
	ArtifactTimeout time.Duration
	IdleTimeout     time.Duration // between two requests on a connection. Defaults to 2 min
	// DrainTimeout is how long requests under way may go on when Serve's context ends. Defaults to 10 s.
	DrainTimeout time.Duration

	// DefaultModel is the model that POST /invocations asks. Defaults to the only model of the live release.
	DefaultModel string
	// Scratch is the folder in which artifacts are unpacked; made if it is not there. Defaults to the operating system's for
	// such files.
	Scratch string

	// AllowedOrigins are the web apps whose pages may call the API from a browser, such as "https://app.example.com"; "*"
	// allows all. None by default: then no page of another origin can.
	AllowedOrigins []string

	TLS *tls.Config // nil: HTTP in clear
}

// maxWait is the longest that a client may have an answer wait for what its events caused.
const maxWait = 30 * time.Second

func (o Options) withDefaults() Options {
	o.MaxBody = cmp.Or(o.MaxBody, 8<<20)
	o.MaxUnpacked = cmp.Or(o.MaxUnpacked, 16<<20)
	o.MaxInflight = max(cmp.Or(o.MaxInflight, 256<<20), o.MaxUnpacked)
	o.MaxArtifact = cmp.Or(o.MaxArtifact, 1<<30)
	o.ArtifactTimeout = cmp.Or(o.ArtifactTimeout, 10*time.Minute)
	o.Scratch = cmp.Or(o.Scratch, os.TempDir())
	o.MaxDepth = cmp.Or(o.MaxDepth, 64)
	o.MaxEvents = cmp.Or(o.MaxEvents, 10_000)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 64<<10)
	o.MaxTarget = cmp.Or(o.MaxTarget, 16<<10)
	o.MaxConns = cmp.Or(o.MaxConns, 8192)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.BodyTimeout = cmp.Or(o.BodyTimeout, time.Minute)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 2*time.Minute)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 10*time.Second)
	return o
}

// Validate returns InvalidArgument, naming the option, for a value that cannot work.
func (o Options) Validate() error {
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"max_body", o.MaxBody}, {"max_unpacked", o.MaxUnpacked}, {"max_inflight", o.MaxInflight},
		{"max_artifact", o.MaxArtifact}, {"artifact_timeout", int64(o.ArtifactTimeout)},
		{"max_depth", int64(o.MaxDepth)}, {"max_events", int64(o.MaxEvents)}, {"max_header_bytes", int64(o.MaxHeaderBytes)},
		{"max_target", int64(o.MaxTarget)}, {"max_conns", int64(o.MaxConns)}, {"header_timeout", int64(o.HeaderTimeout)},
		{"body_timeout", int64(o.BodyTimeout)}, {"idle_timeout", int64(o.IdleTimeout)}, {"drain_timeout", int64(o.DrainTimeout)},
	} {
		if n.value < 0 {
			return freshet.FieldErrorf(freshet.InvalidArgument, n.name, "%s: expected a positive value, or 0 for the default", n.name)
		}
	}
	return checkOrigins(o.AllowedOrigins)
}
