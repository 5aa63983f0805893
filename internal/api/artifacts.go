package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/registry"
)

// maxUploads is how many artifacts may come at once: each is opened, and so in memory, before it is stored.
const maxUploads = 2

// upload lets f read a request's body as an artifact: within its own bounds of size and time, which are larger than those of
// other bodies, and never as a whole in memory.
func (a *API) upload(w *response, r *http.Request, f func(io.Reader) error) error {
	if r.Header.Get("Content-Encoding") != "" {
		return closing(freshet.FieldErrorf(freshet.Unsupported, "Content-Encoding", "Content-Encoding: an artifact is sent as it is; a model may be a tar.gz"))
	}
	tooLarge := closing(freshet.Errorf(freshet.TooLarge, "the artifact is over %d bytes; the server's flag --max-artifact sets the bound", a.o.MaxArtifact))
	if r.ContentLength > a.o.MaxArtifact {
		return tooLarge
	}
	select {
	case a.uploads <- struct{}{}:
		defer func() { <-a.uploads }()
	default:
		return closing(freshet.Errorf(freshet.ResourceExhausted, "%d artifacts are being sent already; try again", maxUploads))
	}
	w.startBody(time.Now().Add(a.o.ArtifactTimeout))
	sent := &limited{r: r.Body, left: a.o.MaxArtifact}
	err := f(sent)
	switch {
	case err == nil:
		return nil
	case errors.Is(sent.err, errBodyTooLarge):
		return tooLarge
	case errors.Is(sent.err, os.ErrDeadlineExceeded):
		return &statusError{status: http.StatusRequestTimeout, close: true, err: freshet.Errorf(freshet.InvalidArgument,
			"the artifact did not come within %v; send it from nearer by", a.o.ArtifactTimeout)}
	case sent.err != nil && sent.err != io.EOF:
		return closing(freshet.Errorf(freshet.InvalidArgument, "the body ended early: %w", sent.err))
	}
	return closing(err)
}

// postModelVersion publishes a model: the body is an archive of its directory.
func (a *API) postModelVersion(w *response, r *http.Request) error {
	q, err := parseQuery(r, "metrics", "source", "tracking", "run_id", "reason", "new_inputs")
	if err != nil {
		return err
	}
	p := modelregistry.Publication{
		Model: freshet.ModelName(r.PathValue("name")), Actor: actorOf(r), Reason: q["reason"],
		Lineage: registry.Lineage{Source: q["source"], Tracking: q["tracking"], RunID: q["run_id"]},
	}
	if err := registry.CheckModelName(p.Model); err != nil {
		return err
	}
	if s, ok := q["metrics"]; ok {
		if err := json.Unmarshal([]byte(s), &p.Metrics); err != nil {
			return invalid("metrics", "expected a JSON object of numbers: %w", err)
		}
	}
	newInputs, err := q.flag("new_inputs")
	if err != nil {
		return err
	}
	return a.upload(w, r, func(body io.Reader) error { return a.publish(w, r, body, p, newInputs) })
}

func (a *API) publish(w *response, r *http.Request, body io.Reader, p modelregistry.Publication, newInputs bool) (err error) {
	files, err := modelregistry.Unpack(body, a.o.Scratch)
	if err != nil {
		return err
	}
	defer func() {
		if closed := files.Close(); err == nil {
			err = closed
		}
	}()
	w.bodyRead()
	checked, err := a.deps.Versions.Check(r.Context(), files)
	if err != nil {
		return err
	}
	if rel := a.deps.Live.Load(); rel != nil && !newInputs {
		if err := rel.Accepts(p.Model, checked.Signature); err != nil {
			return freshet.Errorf(freshet.Unprocessable, "the pipelines of release %s do not give what the model takes: %w; "+
				"publish with new_inputs if the release that takes this version brings them", rel.ID(), err)
		}
	}
	v, fresh, err := a.deps.Versions.PublishChecked(r.Context(), files, checked, p)
	if err != nil {
		return err
	}
	state, _, err := a.deps.Versions.Now(r.Context())
	if err != nil {
		return err
	}
	status := http.StatusOK
	if fresh {
		status = http.StatusCreated
	}
	return w.value(status, struct {
		modelVersion
		Known  bool   `json:"known"` // the same bytes were a version already
		Golden string `json:"golden"`
	}{shownVersion(state.Model(v.Model), v, a.deps.Live.Load()), !fresh, checked.Golden.String()})
}

// putBlob stores an artifact that a later request names by its digest: a table, a project file.
func (a *API) putBlob(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	digest := freshet.Digest(r.PathValue("digest"))
	if err := registry.CheckDigest(digest); err != nil {
		return err
	}
	return a.upload(w, r, func(body io.Reader) error {
		size, err := a.deps.Blobs.Put(r.Context(), digest, body)
		if err != nil {
			return err
		}
		w.bodyRead()
		return w.value(http.StatusOK, blobAnswer{digest, size})
	})
}

// getBlob tells whether an artifact is there.
func (a *API) getBlob(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	info, err := a.deps.Blobs.Stat(r.Context(), freshet.Digest(r.PathValue("digest")))
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, blobAnswer{info.Digest, info.Size})
}

type blobAnswer struct {
	Digest freshet.Digest `json:"digest"`
	Bytes  int64          `json:"bytes"`
}
