package release

import (
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/modelruntime"
)

// use makes model the one of the pipeline. What its columns of texts say of the candidates is looked up now, so that a
// prediction finds numbers.
func (p *Pipeline) use(model *Model) error {
	p.Model = model
	signature := model.Signature()
	p.Ties = slices.IndexFunc(signature.Inputs, func(c modelruntime.Column) bool { return c.BreaksTies })
	p.Codes = make([][]float64, len(p.Plan.Inputs))
	if !slices.ContainsFunc(p.Plan.Inputs, func(in project.Input) bool { return in.Text || in.List }) {
		return nil
	}
	texts, ok := model.Model.(modelruntime.Ranker)
	if !ok {
		return freshet.Errorf(freshet.Internal, "model %s has columns of texts and cannot be asked for their numbers", model.Name)
	}
	p.Texts = texts
	slots := make([]expression.Value, p.Plan.Slots)
	for j, in := range p.Plan.Inputs {
		if !in.Text || !in.Candidate {
			continue
		}
		codes := make([]float64, p.Ranked.Len())
		for row := range codes {
			if in.Program != nil {
				p.Candidate.Row(row, slots)
			}
			codes[row] = p.Code(j, p.Ranked.Key(row), slots)
		}
		p.Codes[j] = codes
	}
	return nil
}

// Code is the number that the model gives the text of input j: the key itself, or what the program makes of the slots. NaN if
// there is no text, or the model does not know it.
func (p *Pipeline) Code(j int, key freshet.Key, slots []expression.Value) float64 {
	text, ok := p.Text(j, key, slots)
	if !ok {
		return math.NaN()
	}
	return p.Texts.Encode(j, text)
}

// Text is the text of input j; ok is false if it has none.
func (p *Pipeline) Text(j int, key freshet.Key, slots []expression.Value) (text string, ok bool) {
	switch in := &p.Plan.Inputs[j]; {
	case in.Program != nil:
		return in.Program.Text(slots)
	case in.Of == modelruntime.Nobody:
		return "", false
	}
	return string(key), true
}
