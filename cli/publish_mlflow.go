package cli

import (
	"cmp"
	"context"
	"os"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/mlflow"
)

// fetch gets a model from an MLflow server. Credentials are those that MLflow's own client takes from the environment.
func (c *publishCommand) fetch(ctx context.Context) (artifact, error) {
	uri := cmp.Or(c.MLflow, os.Getenv("MLFLOW_TRACKING_URI"))
	if uri == "" {
		return artifact{}, freshet.FieldErrorf(freshet.InvalidArgument, "mlflow", "%s is of an MLflow server: say which with --mlflow URI, or MLFLOW_TRACKING_URI", c.Model)
	}
	m, err := mlflow.New(uri, mlflow.Options{
		Username: os.Getenv("MLFLOW_TRACKING_USERNAME"), Password: os.Getenv("MLFLOW_TRACKING_PASSWORD"), Token: os.Getenv("MLFLOW_TRACKING_TOKEN"),
	})
	if err != nil {
		return artifact{}, err
	}
	model, err := m.Resolve(ctx, c.Model)
	if err != nil {
		return artifact{}, err
	}
	if model.Name == "" && c.Name == "" {
		return artifact{}, freshet.FieldErrorf(freshet.InvalidArgument, "name", "%s says no name: give the model one with --name", c.Model)
	}
	files, err := m.Fetch(ctx, model, os.TempDir())
	if err != nil {
		return artifact{}, err
	}
	return artifact{
		files: files, name: model.Name, metrics: model.Metrics,
		lineage: client.Lineage{Source: model.Source, Tracking: m.URI(), RunID: model.RunID},
	}, nil
}
