package mlflow

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
)

// Model is what a URI means at the moment at which it was resolved: from there on nothing moves.
type Model struct {
	Name    string // of the registered model; "" if the URI names a run or a logged model
	Source  string // the URI that means the same for ever: "models:/ranker/7", "runs:/abc/model", "models:/m-…"
	RunID   string
	Metrics map[string]float64 // of the run, the finite ones
	root    string             // of its files, below the artifact routes
}

var loggedModel = regexp.MustCompile(`^m-[0-9a-f]{32}$`)

// Resolve says what a URI means: models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest, models:/NAME/STAGE,
// models:/m-ID or runs:/RUN/PATH.
func (c *Client) Resolve(ctx context.Context, uri string) (Model, error) {
	m, location, err := c.locate(ctx, uri)
	if err != nil {
		return m, err
	}
	if m.root, err = c.proxied(ctx, location, 0); err != nil {
		return m, err
	}
	if m.RunID != "" {
		if m.Metrics, err = c.metrics(ctx, m.RunID); err != nil {
			return m, err
		}
	}
	return m, nil
}

// locate pins the model and says where its files are, in MLflow's words.
func (c *Client) locate(ctx context.Context, uri string) (m Model, location string, err error) {
	if run, ok := strings.CutPrefix(uri, "runs:/"); ok {
		id, _, found := strings.Cut(run, "/")
		if !found || id == "" {
			return m, "", badURI(uri)
		}
		return Model{Source: uri, RunID: id}, uri, nil
	}
	rest, ok := strings.CutPrefix(uri, "models:/")
	rest = strings.TrimPrefix(rest, "/")
	if !ok || rest == "" {
		return m, "", badURI(uri)
	}
	if loggedModel.MatchString(rest) {
		info, err := c.logged(ctx, rest)
		return Model{Source: "models:/" + rest, RunID: info.RunID}, info.Artifacts, err
	}
	v, err := c.version(ctx, uri, rest)
	if err != nil {
		return m, "", err
	}
	var answer struct {
		URI string `json:"artifact_uri"`
	}
	q := url.Values{"name": {v.Name}, "version": {v.Version}}
	if err := c.get(ctx, "model-versions/get-download-uri", q, &answer); err != nil {
		return m, "", err
	}
	return Model{Name: v.Name, Source: "models:/" + v.Name + "/" + v.Version, RunID: v.RunID}, answer.URI, nil
}

func badURI(uri string) error {
	return freshet.FieldErrorf(freshet.InvalidArgument, "model",
		"%.200q is no model of MLflow: expected models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN/PATH", uri)
}

// version is a version of a registered model. MLflow writes its number as a text.
type version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	RunID   string `json:"run_id"`
}

func (c *Client) version(ctx context.Context, uri, rest string) (version, error) {
	var answer struct {
		Version version   `json:"model_version"`
		Newest  []version `json:"model_versions"`
	}
	if i := strings.LastIndexByte(rest, '@'); i > 0 && i+1 < len(rest) {
		err := c.get(ctx, "registered-models/alias", url.Values{"name": {rest[:i]}, "alias": {rest[i+1:]}}, &answer)
		return answer.Version, err
	}
	i := strings.LastIndexByte(rest, '/')
	if i <= 0 || i+1 == len(rest) {
		return version{}, badURI(uri)
	}
	name, wanted := rest[:i], rest[i+1:]
	if _, err := strconv.ParseUint(wanted, 10, 64); err == nil {
		err := c.get(ctx, "model-versions/get", url.Values{"name": {name}, "version": {wanted}}, &answer)
		return answer.Version, err
	}
	ask := map[string]any{"name": name}
	if !strings.EqualFold(wanted, "latest") {
		ask["stages"] = []string{wanted}
	}
	if err := c.post(ctx, "registered-models/get-latest-versions", ask, &answer); err != nil {
		return version{}, err
	}
	if len(answer.Newest) == 0 {
		return version{}, freshet.FieldErrorf(freshet.NotFound, "model", "MLflow at %s has no version of %s in %s", c.URI(), name, wanted)
	}
	return slices.MaxFunc(answer.Newest, func(a, b version) int { return number(a) - number(b) }), nil
}

func number(v version) int {
	n, _ := strconv.Atoi(v.Version) // what is no number is the oldest
	return n
}

// loggedInfo is what is read of a logged model.
type loggedInfo struct {
	Artifacts string `json:"artifact_uri"`
	RunID     string `json:"source_run_id"`
}

func (c *Client) logged(ctx context.Context, id string) (loggedInfo, error) {
	var answer struct {
		Model struct {
			Info loggedInfo `json:"info"`
		} `json:"model"`
	}
	err := c.get(ctx, "logged-models/"+url.PathEscape(id), nil, &answer)
	return answer.Model.Info, err
}

// maxHops is how often a location may name another.
const maxHops = 4

// proxied is the path of a location below the artifact routes of this server.
func (c *Client) proxied(ctx context.Context, location string, hops int) (string, error) {
	if hops == maxHops {
		return "", freshet.Errorf(freshet.InvalidArgument, "MLflow: %.200q leads from one location to the next", location)
	}
	u, err := url.Parse(location)
	if err != nil {
		return "", freshet.Errorf(freshet.InvalidArgument, "MLflow: %.200q is no location of artifacts", location)
	}
	path := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "mlflow-artifacts":
		if u.Host != "" && u.Host != c.base.Host {
			return "", freshet.Errorf(freshet.Unsupported, "MLflow: the files are on another server, %s: name that one with --mlflow", u.Host)
		}
		return path, checkPath(path)
	case "http", "https":
		if rest, ok := strings.CutPrefix(u.Path, artifacts+"/"); ok && u.Host == c.base.Host {
			return strings.Trim(rest, "/"), checkPath(strings.Trim(rest, "/"))
		}
	case "models":
		if loggedModel.MatchString(path) {
			info, err := c.logged(ctx, path)
			if err != nil {
				return "", err
			}
			return c.proxied(ctx, info.Artifacts, hops+1)
		}
	case "runs":
		id, inside, _ := strings.Cut(path, "/")
		run, err := c.run(ctx, id)
		if err != nil {
			return "", err
		}
		return c.proxied(ctx, strings.TrimRight(run.Info.Artifacts, "/")+"/"+inside, hops+1)
	}
	return "", freshet.Errorf(freshet.Unsupported, "MLflow: the files are at %.200s, not behind the MLflow server: start it with --serve-artifacts, "+
		"or fetch them with mlflow artifacts download and publish the folder", location)
}

type run struct {
	Info struct {
		Artifacts string `json:"artifact_uri"`
	} `json:"info"`
	Data struct {
		Metrics []struct {
			Key   string          `json:"key"`
			Value json.RawMessage `json:"value"`
		} `json:"metrics"`
	} `json:"data"`
}

func (c *Client) run(ctx context.Context, id string) (run, error) {
	var answer struct {
		Run run `json:"run"`
	}
	err := c.get(ctx, "runs/get", url.Values{"run_id": {id}}, &answer)
	return answer.Run, err
}

// metrics are those of a run. A run that was deleted has none.
func (c *Client) metrics(ctx context.Context, id string) (map[string]float64, error) {
	r, err := c.run(ctx, id)
	if err != nil {
		if freshet.CodeOf(err) == freshet.NotFound {
			return nil, nil
		}
		return nil, err
	}
	metrics := map[string]float64{}
	for _, m := range r.Data.Metrics {
		v, err := strconv.ParseFloat(string(m.Value), 64) // what is not finite is a text
		if err == nil && !math.IsInf(v, 0) && !math.IsNaN(v) {
			metrics[m.Key] = v
		}
	}
	return metrics, nil
}

// list is what lies in a folder below the artifact routes.
func (c *Client) list(ctx context.Context, folder string) ([]entry, error) {
	body, err := c.open(ctx, http.MethodGet, artifacts, url.Values{"path": {folder}}, nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Files []entry `json:"files"`
	}
	return answer.Files, decode(body, "artifacts of "+folder, &answer)
}

// entry is a file or folder in a listing.
type entry struct {
	Path string `json:"path"` // relative to the folder
	Dir  bool   `json:"is_dir"`
}
