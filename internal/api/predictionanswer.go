package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
)

// marks are what an answer says about a prediction besides the prediction itself.
type marks struct {
	stale   bool  // older than what was waited for
	explain bool  // with inputs
	stored  *bool // whether it was kept; nil where that was not asked for
}

func (a *API) answerPrediction(w *response, p *freshet.Prediction, spec feature.EntitySpec, m marks) {
	out := a.buffer()
	defer a.returnBuffer(out)
	*out = appendPrediction((*out)[:0], p, spec, m)
	w.json(http.StatusOK, *out)
}

func appendPrediction(b []byte, p *freshet.Prediction, spec feature.EntitySpec, m marks) []byte {
	b = append(b, `{"pipeline":`...)
	b = appendText(b, string(p.Pipeline))
	b = append(b, `,"entity":`...)
	b = appendEntity(b, spec, p.Entity.Key)
	b = append(b, `,"items":[`...)
	for i := range p.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendItem(b, p, i, m.explain)
	}
	b = append(b, ']')
	if p.Outputs != nil {
		b = append(b, `,"outputs":`...)
		b = appendOutputs(b, p.Outputs)
	}
	b = append(b, `,"release":`...)
	b = appendText(b, string(p.Release))
	b = append(b, `,"model":`...)
	b = appendText(b, p.Model)
	b = appendCause(b, p)
	b = append(b, `,"created_at":`...)
	b = appendTime(b, p.CreatedAt)
	if p.ExpiresAt != 0 {
		b = append(b, `,"expires_at":`...)
		b = appendTime(b, p.ExpiresAt)
	}
	b = append(b, `,"fallback":`...)
	b = strconv.AppendBool(b, p.Fallback)
	if p.FallbackCause != "" {
		b = append(b, `,"fallback_cause":`...)
		b = appendText(b, string(p.FallbackCause))
	}
	if m.explain && p.Explanation != nil {
		b = appendExplanation(b, p.Explanation)
	}
	if m.stale {
		b = append(b, `,"stale":true`...)
	}
	if m.stored != nil {
		b = append(b, `,"stored":`...)
		b = strconv.AppendBool(b, *m.stored)
	}
	return append(b, '}')
}

// appendCause writes the event that caused p, if one did.
func appendCause(b []byte, p *freshet.Prediction) []byte {
	if p.Cause.Offset == 0 {
		return b
	}
	b = append(b, `,"event_id":`...)
	b = appendText(b, string(p.EventID))
	b = append(b, `,"offset":{"partition":`...)
	b = strconv.AppendUint(b, uint64(p.Cause.Partition), 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendUint(b, uint64(p.Cause.Offset), 10)
	b = append(b, `},"event_time":`...)
	return appendTime(b, p.EventTime)
}

func appendItem(b []byte, p *freshet.Prediction, i int, explain bool) []byte {
	b = append(b, `{"id":`...)
	b = appendText(b, string(p.Items[i].ID))
	b = append(b, `,"score":`...)
	b = appendNumber(b, p.Items[i].Score)
	if explain && p.Explanation != nil && i < len(p.Explanation.Inputs) {
		b = append(b, `,"inputs":{`...)
		for j, x := range p.Explanation.Inputs[i] {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendText(b, p.Explanation.Names[j])
			b = append(b, ':')
			b = appendNumber(b, x)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendOutputs(b []byte, outputs map[string]float64) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(outputs)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
		b = append(b, ':')
		b = appendNumber(b, outputs[name])
	}
	return append(b, '}')
}

// appendNumber writes x in its shortest form, null if it is not finite.
func appendNumber(b []byte, x float64) []byte {
	return expression.Value{Kind: expression.Number, Num: x}.AppendJSON(b)
}

// appendExplanation writes what the items do not say: inputs that are texts, and why there is a fallback.
func appendExplanation(b []byte, x *freshet.Explanation) []byte {
	if x.Reason != "" {
		b = append(b, `,"fallback_reason":`...)
		b = appendText(b, x.Reason)
	}
	if len(x.Texts) == 0 {
		return b
	}
	b = append(b, `,"texts":{`...)
	for i, column := range slices.Sorted(maps.Keys(x.Texts)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, column)
		b = append(b, ':', '[')
		for j, text := range x.Texts[column] {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendText(b, text)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}
