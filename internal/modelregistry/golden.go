package modelregistry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Golden says which rows an artifact was tried on.
type Golden struct {
	File     string // "" if it brings none
	Rows     int
	Compared bool // with the answers that the file says
	// Skipped are the examples that the model could not be tried on, each with the reason.
	Skipped []string
}

func (g Golden) String() string {
	text := fmt.Sprintf("%d rows of %s run", g.Rows, g.File)
	switch {
	case g.File == "" && len(g.Skipped) == 0:
		text = "it brings no golden rows: it was opened, and not tried"
	case g.File == "":
		text = "it was opened, and not tried"
	case g.Compared:
		text = fmt.Sprintf("%d golden rows of %s agree", g.Rows, g.File)
	}
	return strings.Join(append([]string{text}, g.Skipped...), "; ")
}

const (
	goldenName     = "golden.json"
	maxGoldenRows  = 10_000
	maxGoldenBytes = 16 << 20
	// goldenTolerance is that of a file that says none: |got − want| ≤ tolerance · max(1, |want|).
	goldenTolerance = 1e-6
)

// examples are the files of rows in the order in which they are looked for. Those after the first are MLflow's: they are for
// whoever reads or calls the model in Python, so that one which says no rows of this model is passed over and named.
var examples = []string{goldenName, "serving_input_example.json", "input_example.json"}

// runGolden runs the rows that an artifact brings. Returns the error of a golden.json that cannot be read, and of rows that the model
// does not answer or answers otherwise.
func runGolden(ctx context.Context, dir fs.FS, m modelruntime.Model) (Golden, error) {
	golden := Golden{}
	for _, name := range examples {
		rows, err := readGolden(dir, name, m)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil && name != goldenName:
			golden.Skipped = append(golden.Skipped, fmt.Sprintf("%s was passed over: %v", name, err))
			continue
		case err == nil:
			err = rows.run(ctx, m)
		}
		if err != nil {
			return Golden{}, freshet.Errorf("", "%s: %w", name, err)
		}
		golden.File, golden.Rows, golden.Compared = name, rows.n, rows.want != nil
		return golden, nil
	}
	return golden, nil
}

// readGolden reads a file of rows as rows of m. Returns fs.ErrNotExist if there is none.
func readGolden(dir fs.FS, name string, m modelruntime.Model) (*goldenRows, error) {
	info, err := fs.Stat(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "%w", err)
	}
	if info.Size() > maxGoldenBytes {
		return nil, freshet.Errorf(freshet.TooLarge, "it has %d bytes; at most %d are read", info.Size(), maxGoldenBytes)
	}
	text, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	said, err := parseRows(text, name == goldenName)
	if err != nil {
		return nil, err
	}
	return said.of(m)
}
