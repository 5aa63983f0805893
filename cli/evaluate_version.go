package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/evaluation"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
)

// named is what MODEL or MODEL@VERSION says; version is a number or an alias, "" for the files of the project's folder.
func (c *evaluateCommand) named() (model freshet.ModelName, version string) {
	name, version, _ := strings.Cut(c.Model, "@")
	return freshet.ModelName(name), version
}

// source gives the release its models and tables: all from the project's folder, but a version that is named from the server.
func (c *evaluateCommand) source(ctx context.Context, p *project.Project) (release.Source, error) {
	folder := release.Folder(p)
	name, version := c.named()
	if version == "" {
		return folder, nil
	}
	cl, err := c.client()
	if err != nil {
		return nil, err
	}
	v, err := cl.GetModelVersion(ctx, name, version)
	if err != nil {
		return nil, err
	}
	return versionSource{folder, cl, v}, nil
}

// versionSource has one model from the registry of a server.
type versionSource struct {
	release.Source
	client  *client.Client
	version client.ModelVersion
}

// Model implements release.Source.
func (s versionSource) Model(ctx context.Context, m project.Model) (*release.Artifact, error) {
	if m.Name != s.version.Model {
		return s.Source.Model(ctx, m)
	}
	sent, err := s.client.GetModelArtifact(ctx, m.Name, strconv.Itoa(s.version.Version))
	if err != nil {
		return nil, err
	}
	defer sent.Close()
	files, err := modelregistry.Unpack(sent, os.TempDir())
	if err != nil {
		return nil, freshet.Errorf("", "%s: %w", s.version.Label(), err)
	}
	digest, err := modelruntime.Digest(files)
	if err == nil && digest != s.version.Digest {
		err = freshet.Errorf(freshet.Unavailable, "%s came with digest %s; expected %s: try again", s.version.Label(), digest, s.version.Digest)
	}
	if err != nil {
		_ = files.Close() // err says more
		return nil, err
	}
	return &release.Artifact{FS: files, Closer: files, Digest: digest, Version: s.version.Version}, nil
}

func (c *evaluateCommand) stores() bool {
	_, version := c.named()
	return c.Store || version != "" && !c.NoStore
}

// store keeps the metrics with the version whose bytes were evaluated.
func (c *evaluateCommand) store(ctx context.Context, sh *shell, rel *release.Opened, r *evaluation.Report) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	name, _ := c.named()
	used, _ := rel.Model(name)
	number := used.Version
	if number == 0 {
		known, err := cl.GetModel(ctx, name)
		if err != nil {
			return err
		}
		for _, v := range known.Versions {
			if v.Digest == used.Digest {
				number = v.Version
			}
		}
		if number == 0 {
			return freshet.FieldErrorf(freshet.NotFound, "model", "no version of %s on %s has these bytes: freshet publish makes one", name, cl.URL())
		}
	}
	v, err := cl.AddModelMetrics(ctx, name, strconv.Itoa(number), client.Evaluation{Metrics: r.Metrics, Source: c.how(r), Actor: actor()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(sh.err, "kept with %s on %s\n", v.Label(), cl.URL())
	return err
}

// how says what the metrics were measured on.
func (c *evaluateCommand) how(r *evaluation.Report) string {
	text := fmt.Sprintf("freshet evaluate: pipeline %s, %s of %d users in %s", r.Pipeline, r.Target, r.Users, filepath.Base(c.Events))
	if r.Where != "" {
		text += ", where " + r.Where
	}
	if r.Label != "" {
		text += ", label " + r.Label
	}
	return text[:min(len(text), 2000)]
}
