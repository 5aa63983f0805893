package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/freshet-ml/freshet"
)

// ModelVersion is one version of a model. It never changes.
type ModelVersion struct {
	Model       freshet.ModelName  `json:"model"`
	Version     int                `json:"version"`
	Digest      freshet.Digest     `json:"digest"`
	Bytes       int64              `json:"bytes"`
	Signature   Signature          `json:"signature"`
	Metrics     map[string]float64 `json:"metrics"`
	Lineage     Lineage            `json:"lineage"`
	Aliases     []string           `json:"aliases"`           // that point at it
	Evaluations []Evaluation       `json:"evaluations"`       // what was measured after it was published, in order
	Release     freshet.ReleaseID  `json:"release,omitempty"` // that serves it now; "" if none does
	Removed     bool               `json:"removed,omitempty"` // its artifact, by CollectGarbage: it must be published again to be deployed
	PublishedAt freshet.Timestamp  `json:"published_at"`
	PublishedBy string             `json:"published_by"`
	Reason      string             `json:"reason,omitempty"`
}

// Label names the version in predictions: "ranker@7".
func (v ModelVersion) Label() string { return string(v.Model) + "@" + strconv.Itoa(v.Version) }

// Evaluation is what was measured of a version after it was published.
type Evaluation struct {
	Metrics map[string]float64 `json:"metrics"`
	Source  string             `json:"source,omitempty"` // on what they were measured, and how
	At      freshet.Timestamp  `json:"at"`
	Actor   string             `json:"actor"`
	Reason  string             `json:"reason,omitempty"`
}

// Signature is what a model takes and gives.
type Signature struct {
	Inputs     []Column `json:"inputs"`
	Outputs    []string `json:"outputs"`
	Positional bool     `json:"positional,omitempty"` // it was trained without column names
}

// Column is one input of a model.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"` // in MLflow's words; "" means double
	Required bool   `json:"required,omitempty"`
}

// Lineage says where a version comes from.
type Lineage struct {
	Source   string `json:"source,omitempty"`   // "models:/ranker/7", the name of a folder
	Tracking string `json:"tracking,omitempty"` // the MLflow server of Source
	RunID    string `json:"run_id,omitempty"`
}

// Publication is a model version to be.
type Publication struct {
	Model   freshet.ModelName
	Archive io.Reader // a tar, tar.gz or zip of the model's directory
	Metrics map[string]float64
	Lineage Lineage
	Actor   string // who publishes, for the audit; "" is anonymous
	Reason  string
	// NewInputs lets the model take inputs that the pipelines of the live release do not give yet.
	NewInputs bool
}

// Published is a version, and how its publication went.
type Published struct {
	ModelVersion
	Known  bool   `json:"known"`  // the same bytes were a version already
	Golden string `json:"golden"` // what the artifact was tried on
}

// Publish makes an artifact the next version of a model. Nothing that serves changes. Returns Unprocessable if its golden
// rows do not agree or a pipeline cannot give what it takes, Unsupported for a format that is not read, and Conflict for a
// version of an MLflow registry whose bytes have changed.
func (c *Client) Publish(ctx context.Context, p Publication) (Published, error) {
	q := url.Values{}
	for name, value := range map[string]string{
		"source": p.Lineage.Source, "tracking": p.Lineage.Tracking, "run_id": p.Lineage.RunID, "reason": p.Reason,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(p.Metrics) > 0 {
		b, err := json.Marshal(p.Metrics)
		if err != nil {
			return Published{}, freshet.FieldErrorf(freshet.InvalidArgument, "metrics", "metrics: %w", err)
		}
		q.Set("metrics", string(b))
	}
	if p.NewInputs {
		q.Set("new_inputs", "true")
	}
	var v Published
	err := c.call(ctx, request{
		method: http.MethodPost, path: modelPath(p.Model) + "/versions", query: q, contentType: "application/x-tar", stream: p.Archive, actor: p.Actor,
	}, &v)
	return v, err
}

// ModelSummary is a model in a list.
type ModelSummary struct {
	Name     freshet.ModelName `json:"name"`
	Versions int               `json:"versions"` // how many
	Aliases  map[string]int    `json:"aliases"`
	Serving  int               `json:"serving,omitempty"` // the version of the live release; 0 if it has none
	Release  freshet.ReleaseID `json:"release,omitempty"`
	Latest   ModelVersion      `json:"latest"`
}

// ListModels are all models in the order of their names.
func (c *Client) ListModels(ctx context.Context) ([]ModelSummary, error) {
	var answer struct {
		Models []ModelSummary `json:"models"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/models"}, &answer)
	return answer.Models, err
}

// Model is a model with all its versions.
type Model struct {
	Name     freshet.ModelName `json:"name"`
	Versions []ModelVersion    `json:"versions"`
	Aliases  map[string]int    `json:"aliases"`
	History  []AliasMove       `json:"alias_history"`
	Revision uint64            `json:"revision"` // of the log of decisions
}

// AliasMove is a change of an alias.
type AliasMove struct {
	Alias   string            `json:"alias"`
	Version int               `json:"version"` // 0: it was removed
	At      freshet.Timestamp `json:"at"`
	Actor   string            `json:"actor"`
	Reason  string            `json:"reason,omitempty"`
}

// GetModel shows a model. Returns NotFound if there is none of that name.
func (c *Client) GetModel(ctx context.Context, name freshet.ModelName) (Model, error) {
	var m Model
	err := c.call(ctx, request{method: http.MethodGet, path: modelPath(name)}, &m)
	return m, err
}

// GetModelVersion shows one version, by number ("7") or alias.
func (c *Client) GetModelVersion(ctx context.Context, name freshet.ModelName, version string) (ModelVersion, error) {
	var v ModelVersion
	err := c.call(ctx, request{method: http.MethodGet, path: modelPath(name) + "/versions/" + segment(version)}, &v)
	return v, err
}

// GetModelArtifact gives the files of a version as a tar; the caller closes it. version is a number or an alias.
func (c *Client) GetModelArtifact(ctx context.Context, name freshet.ModelName, version string) (io.ReadCloser, error) {
	res, err := c.open(ctx, request{method: http.MethodGet, path: modelPath(name) + "/versions/" + segment(version) + "/artifact"})
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// AddModelMetrics keeps what was measured of a version beside it: Metrics, Source, Actor and Reason of e are sent. version is a
// number or an alias.
func (c *Client) AddModelMetrics(ctx context.Context, name freshet.ModelName, version string, e Evaluation) (ModelVersion, error) {
	body := map[string]any{"metrics": e.Metrics, "source": e.Source, "reason": e.Reason}
	r, err := post(modelPath(name)+"/versions/"+segment(version)+"/metrics", nil, body)
	if err != nil {
		return ModelVersion{}, err
	}
	r.actor = e.Actor
	var v ModelVersion
	err = c.call(ctx, r, &v)
	return v, err
}

// AliasOptions of a change of an alias.
type AliasOptions struct {
	Actor  string // for the audit; "" is anonymous
	Reason string
	// Revision is that of the Model on which the decision was made: if another was made since, PreconditionFailed. 0 does
	// not look.
	Revision uint64
}

// SetAlias moves an alias to a version, or removes it if version is 0. Returns NotFound if there is no such version.
func (c *Client) SetAlias(ctx context.Context, name freshet.ModelName, alias string, version int, o *AliasOptions) (Model, error) {
	if o == nil {
		o = &AliasOptions{}
	}
	r := request{method: http.MethodDelete, path: modelPath(name) + "/aliases/" + segment(alias), actor: o.Actor}
	if version != 0 {
		b, err := json.Marshal(map[string]any{"version": version, "reason": o.Reason})
		if err != nil {
			return Model{}, err
		}
		r.method, r.contentType, r.body = http.MethodPut, "application/json", b
	} else if o.Reason != "" {
		r.query = url.Values{"reason": {o.Reason}}
	}
	if o.Revision != 0 {
		r.ifMatch = `"` + strconv.FormatUint(o.Revision, 10) + `"`
	}
	var m Model
	err := c.call(ctx, r, &m)
	return m, err
}

// PutBlob stores an artifact that another request names by its digest. Returns Unprocessable if from has another digest.
func (c *Client) PutBlob(ctx context.Context, digest freshet.Digest, from io.Reader) error {
	return c.call(ctx, request{
		method: http.MethodPut, path: "/v1/blobs/" + segment(string(digest)), contentType: "application/octet-stream", stream: from,
	}, nil)
}

// HasBlob tells whether the server has an artifact.
func (c *Client) HasBlob(ctx context.Context, digest freshet.Digest) (bool, error) {
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/blobs/" + segment(string(digest))}, nil)
	if freshet.CodeOf(err) == freshet.NotFound {
		return false, nil
	}
	return err == nil, err
}

func modelPath(name freshet.ModelName) string { return "/v1/models/" + segment(string(name)) }
