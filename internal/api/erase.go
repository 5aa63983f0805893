package api

import (
	"context"
	"net/http"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/erase"
)

// Eraser forgets entities (erase.Eraser).
type Eraser interface {
	Begin(ctx context.Context, e freshet.Entity) (erase.Request, error)
	Get(id string) (erase.Request, bool)
}

// shownErase is a request to forget somebody, as the API shows it: not whom.
type shownErase struct {
	ID      string             `json:"id"`
	Kind    freshet.EntityKind `json:"kind"`
	State   erase.State        `json:"state"`
	At      freshet.Timestamp  `json:"at"`
	EndedAt *freshet.Timestamp `json:"ended_at,omitempty"`
	Served  bool               `json:"served"` // what is served is gone already
	Events  int                `json:"events"`
	Others  int                `json:"others"`
	Jobs    int                `json:"jobs"`
	Rows    int                `json:"rows"`
	Error   string             `json:"error,omitempty"`
}

func shownRequest(r *erase.Request) shownErase {
	s := shownErase{ID: r.ID, Kind: r.Kind, State: r.State, At: r.At, Served: r.Forgotten, Events: r.Events, Others: r.Others, Jobs: r.Jobs, Rows: r.Rows, Error: r.Error}
	if r.EndedAt != 0 {
		s.EndedAt = &r.EndedAt
	}
	return s
}

// atOnce is how long an answer waits for what is served to be gone; it goes on in the background after that.
const atOnce = 10 * time.Second

// deleteEntity begins to forget an entity.
func (a *API) deleteEntity(w *response, r *http.Request) error {
	if a.deps.Eraser == nil {
		return freshet.Errorf(freshet.Unsupported, "this server cannot forget anybody")
	}
	if _, err := parseQuery(r); err != nil {
		return err
	}
	rel, entity, _, err := a.predictionsOf(r)
	if err != nil {
		return err
	}
	rel.Unpin() // the wait below is long, and needs none
	ctx, cancel := context.WithTimeout(r.Context(), atOnce)
	defer cancel()
	request, err := a.deps.Eraser.Begin(ctx, entity)
	if err != nil {
		return err
	}
	return w.value(http.StatusAccepted, shownRequest(&request))
}

// getErase tells how far an erase is.
func (a *API) getErase(w *response, r *http.Request) error {
	id := r.PathValue("id")
	if a.deps.Eraser != nil {
		if request, ok := a.deps.Eraser.Get(id); ok {
			return w.value(http.StatusOK, shownRequest(&request))
		}
	}
	return freshet.Errorf(freshet.NotFound, "there is no erase %.64q; the last 1,000 that are done are known", id)
}
