package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/registry"
)

// publishCommand makes a model a version in a server's registry.
type publishCommand struct {
	Model string `arg:"" help:"A model directory or file, a .zip, .tar.gz or .tar of one, or models:/NAME@ALIAS and the like of an MLflow server."`

	Name      string             `placeholder:"NAME" help:"Name of the model in the project (default: the file's or folder's; the registered model's)."`
	MLflow    string             `name:"mlflow" placeholder:"URI" help:"Address of the MLflow server, for models:/ and runs:/ (default: MLFLOW_TRACKING_URI)."`
	Metrics   map[string]float64 `mapsep:"," placeholder:"NAME=VALUE" help:"Metrics to keep with the version, such as auc=0.91 (with --mlflow: beside those of the run)."`
	Reason    string             `placeholder:"TEXT" help:"Why, for the audit."`
	NewInputs bool               `help:"The model takes inputs that the live pipelines do not give yet."`
	remote
}

// Help is the long text of `freshet publish --help`.
func (publishCommand) Help() string {
	return `Opens the model here, runs its golden rows (golden.json, or MLflow's input example), and sends it to the server, which does the
same, holds its inputs against the pipelines that use it, and stores it by digest under the next version number. Nothing that serves
changes. The same bytes again are the same version.

Examples:

  freshet publish models/ranker --metrics auc=0.91,recall=0.4
  freshet publish ranker.tar.gz --name ranker
  freshet publish models:/ranker@champion --mlflow http://mlflow:5000`
}

// Run publishes and prints the version.
func (c *publishCommand) Run(ctx context.Context, sh *shell) error {
	a, err := c.artifact(ctx)
	if err != nil {
		return err
	}
	if c.Name == "" {
		err = checkDefaultName(a.name)
	}
	var v client.Published
	if err == nil {
		v, err = c.publish(ctx, sh, a)
	}
	if err := errors.Join(err, a.files.Close()); err != nil {
		return err
	}
	if sh.json {
		return sh.printJSON(v)
	}
	known := "published"
	if v.Known {
		known = "is there already, with the same bytes"
	}
	return sh.printTable([][]string{
		{v.Label(), known},
		{"digest", string(v.Digest)},
		{"signature", plural(len(v.Signature.Inputs), "input") + ", " + plural(len(v.Signature.Outputs), "output")},
		{"tried", v.Golden},
		{"source", lineageText(v.Lineage)},
	})
}

// artifact is a model to publish.
type artifact struct {
	files interface {
		fs.FS
		io.Closer
	}
	name    string // of the model, unless another is given
	lineage client.Lineage
	metrics map[string]float64
}

func (c *publishCommand) artifact(ctx context.Context) (artifact, error) {
	if strings.HasPrefix(c.Model, "models:/") || strings.HasPrefix(c.Model, "runs:/") {
		return c.fetch(ctx)
	}
	base := filepath.Base(filepath.Clean(c.Model))
	a := artifact{name: base, lineage: client.Lineage{Source: base}}
	kind := archiveKind(base)
	if kind == "" {
		files, err := modelruntime.FilesAt(c.Model)
		a.files = files
		if info, e := os.Stat(c.Model); e == nil && !info.IsDir() {
			a.name = strings.TrimSuffix(base, filepath.Ext(base))
		}
		return a, err
	}
	a.name = strings.TrimSuffix(base, kind)
	f, err := os.Open(c.Model)
	if err != nil {
		return a, freshet.Errorf(freshet.NotFound, "%w", err)
	}
	defer f.Close()
	a.files, err = modelregistry.Unpack(f, os.TempDir())
	if err != nil {
		return a, freshet.Errorf("", "%s: %w", c.Model, err)
	}
	return a, nil
}

// checkDefaultName says how to name a model whose file or folder has a name that no model can have.
func checkDefaultName(name string) error {
	err := registry.CheckModelName(freshet.ModelName(name))
	if err == nil {
		return nil
	}
	good := strings.TrimLeft(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(name)), "_0123456789")
	if good = strings.TrimRight(good[:min(len(good), 63)], "_"); good == "" {
		good = "ranker"
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, "name", "%w; say how the model is called in the project, such as --name %s", err, good)
}

// archiveKind is the ending of a name that says it is an archive of a directory; "" for others.
func archiveKind(name string) string {
	for _, ending := range []string{".tar.gz", ".tgz", ".tar", ".zip"} {
		if strings.HasSuffix(name, ending) {
			return ending
		}
	}
	return ""
}

// publish tries the model here, so that a mistake costs no upload, and sends it.
func (c *publishCommand) publish(ctx context.Context, sh *shell, a artifact) (client.Published, error) {
	if _, err := modelregistry.Check(ctx, a.files, sh.runtimes); err != nil {
		return client.Published{}, freshet.Errorf("", "%s: %w", c.Model, err)
	}
	cl, err := c.client()
	if err != nil {
		return client.Published{}, err
	}
	p := client.Publication{
		Model: freshet.ModelName(c.Name), Metrics: a.metrics, Lineage: a.lineage, Actor: actor(), Reason: c.Reason, NewInputs: c.NewInputs,
	}
	if p.Model == "" {
		p.Model = freshet.ModelName(a.name)
	}
	for name, value := range c.Metrics {
		if p.Metrics == nil {
			p.Metrics = map[string]float64{}
		}
		p.Metrics[name] = value
	}
	r, w := io.Pipe()
	p.Archive = r
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		w.CloseWithError(modelregistry.WriteTar(w, a.files))
	}()
	v, err := cl.Publish(ctx, p)
	_ = r.Close() // ends the packing, if the server did not want all of it
	<-packed
	return v, err
}

// actor is who runs this program.
func actor() string {
	if name := os.Getenv("FRESHET_ACTOR"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "freshet"
}

func lineageText(l client.Lineage) string {
	text := l.Source
	if l.Tracking != "" {
		text += " of " + l.Tracking
	}
	if l.RunID != "" {
		text += ", run " + l.RunID
	}
	return text
}
