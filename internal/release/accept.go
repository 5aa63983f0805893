package release

import (
	"errors"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Accepts tells whether the pipelines that use a model could use one with signature s in its place: each of them must give
// every input that it takes. The error joins what is missing where.
func (o *Opened) Accepts(name freshet.ModelName, s modelruntime.Signature) error {
	var problems []error
	for _, p := range o.pipelines {
		if p.Model.Name != name {
			continue
		}
		if _, err := p.Bind(s.Inputs); err != nil {
			problems = append(problems, freshet.FieldErrorf(freshet.Unprocessable, "pipelines."+string(p.Name), "%w", err))
		}
	}
	return errors.Join(problems...)
}
