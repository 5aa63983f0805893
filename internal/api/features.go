package api

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// getFeatures answers one view for one entity.
func (a *API) getFeatures(w *response, r *http.Request) error {
	var view *feature.View
	var spec feature.EntitySpec
	var key freshet.Key
	var q query
	rel, err := a.serving(func(rel *release.Opened) (freshet.Key, error) {
		var err error
		if view, spec, err = viewOf(rel, freshet.ViewName(r.PathValue("view"))); err != nil {
			return "", err
		}
		if q, err = parseQuery(r, append(slices.Clone(spec.KeyFields), "at", "as_of", "after", "wait")...); err != nil {
			return "", err
		}
		key, err = q.key(spec)
		return key, err
	})
	if err != nil {
		return err
	}
	defer rel.Unpin()
	read, err := a.featureRead(q)
	if err != nil {
		return err
	}
	stale, err := a.awaitRows(r.Context(), read.barrier, key)
	if err != nil {
		return err
	}
	// The row's place first: the values that are read after it cannot be older than it says.
	last, offset, stored, err := a.deps.Values.RowInfo(r.Context(), view, key)
	if err != nil {
		return err
	}
	values, err := a.deps.Values.Values(r.Context(), rel, []*feature.View{view}, key, read.moment(a), read.known, nil)
	if err != nil {
		return err
	}
	out := a.buffer()
	defer a.returnBuffer(out)
	b := append((*out)[:0], `{"view":`...)
	b = appendText(b, string(view.Name()))
	b = append(b, `,"entity":`...)
	b = appendEntity(b, spec, key)
	b = append(b, `,"at":`...)
	b = appendTime(b, read.at)
	b = append(b, `,"features":`...)
	b = appendFeatures(b, view.Features(), values)
	if stored {
		b = append(b, `,"event_time":`...)
		b = appendTime(b, last)
		b = append(b, `,"offset":`...)
		b = strconv.AppendUint(b, uint64(offset), 10)
	}
	b = append(b, `,"release":`...)
	b = appendText(b, string(rel.ID()))
	if stale {
		b = append(b, `,"stale":true`...)
	}
	*out = append(b, '}')
	w.json(http.StatusOK, *out)
	return nil
}

// viewOf finds a view and the declaration of its entity.
func viewOf(rel *release.Opened, name freshet.ViewName) (*feature.View, feature.EntitySpec, error) {
	view, ok := rel.View(name)
	if !ok {
		var names []string
		for _, v := range rel.Project().Views {
			names = append(names, string(v.Name()))
		}
		return nil, feature.EntitySpec{}, freshet.FieldErrorf(freshet.NotFound, "view", "there is no view %.64q%s", name,
			expression.Hint(clip(string(name), 64), names))
	}
	spec, err := entitySpec(rel, view.Entity())
	return view, spec, err
}

// featureRead is when and how features are read.
type featureRead struct {
	at      freshet.Timestamp
	given   bool // at was asked for
	known   bool
	barrier barrier
}

func (a *API) featureRead(q query) (featureRead, error) {
	var read featureRead
	var err error
	if read.at, err = q.at(0); err != nil {
		return read, err
	}
	_, read.given = q["at"]
	if read.known, err = q.known(); err != nil {
		return read, err
	}
	read.barrier, err = q.barrier()
	return read, err
}

// moment is the moment to read at. Without one in the request it is the server's now, taken after all waiting: what was
// waited for lies before it.
func (read *featureRead) moment(a *API) freshet.Timestamp {
	if !read.given {
		read.at = a.now()
		read.given = true
	}
	return read.at
}

func appendFeatures(b []byte, features []feature.Feature, values []expression.Value) []byte {
	b = append(b, '{')
	for i, f := range features {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, string(f.Name))
		b = append(b, ':')
		b = values[i].AppendJSON(b)
	}
	return append(b, '}')
}

func appendTime(b []byte, t freshet.Timestamp) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b)
	return append(b, '"')
}
