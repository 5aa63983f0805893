package modelregistry

import (
	"context"
	"io/fs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Checked is what is known of an artifact that was opened and tried.
type Checked struct {
	Digest    freshet.Digest
	Bytes     int64 // packed
	Signature modelruntime.Signature
	Golden    Golden
}

// Check opens an artifact as a server would and runs its golden rows. Returns the errors of modelruntime.Open, and
// Unprocessable, naming the row, if an answer differs from the one that the artifact says.
func Check(ctx context.Context, dir fs.FS, runtimes []modelruntime.Runtime) (Checked, error) {
	digest, err := modelruntime.Digest(dir)
	if err != nil {
		return Checked{}, err
	}
	size, err := modelruntime.PackedSize(dir)
	if err != nil {
		return Checked{}, err
	}
	model, err := modelruntime.Open(dir, runtimes)
	if err != nil {
		return Checked{}, err
	}
	golden, err := runGolden(ctx, dir, model)
	if closed := model.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return Checked{}, err
	}
	return Checked{Digest: digest, Bytes: size, Signature: model.Signature(), Golden: golden}, nil
}
