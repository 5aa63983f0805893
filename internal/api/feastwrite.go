package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/tablestore"
)

// feastPush is the body of POST /push.
type feastPush struct {
	Source *string         `json:"push_source_name"`
	Frame  json.RawMessage `json:"df"`
	To     *string         `json:"to"`
}

// postFeastPush takes rows for a push table. The answer is empty.
func (a *API) postFeastPush(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	var sent feastPush
	if err := a.readFeast(w, r, &sent); err != nil {
		return err
	}
	if sent.Source == nil {
		return feastMissing("push_source_name")
	}
	if err := sent.checkTo(); err != nil {
		return err
	}
	t, ok, why := pushTable(rel, *sent.Source)
	if !ok {
		message := "Unable to find push source '" + clip(*sent.Source, 64) + "'."
		if why != "" {
			message += " " + why + "."
		}
		return feastRaised(http.StatusUnprocessableEntity, "PushSourceNotFoundException", "%s", message)
	}
	if err := a.feastWrite(r.Context(), t, sent.Frame); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// checkTo: there is no offline store to push to. What asks for both gets the one there is.
func (p *feastPush) checkTo() error {
	if p.To == nil {
		return nil
	}
	switch *p.To {
	case "online", "online_and_offline":
		return nil
	case "offline":
		return feastText("to: this server keeps no offline store; push to online")
	}
	return feastText("%s is not a supported push format. Please specify one of these ['online', 'offline', 'online_and_offline'].", clip(*p.To, 64))
}

// feastStore is the body of POST /write-to-online-store.
type feastStore struct {
	View  *string         `json:"feature_view_name"`
	Frame json.RawMessage `json:"df"`
}

// postFeastStore takes rows for a push table by its name as a feature view. The answer is null.
func (a *API) postFeastStore(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	var sent feastStore
	if err := a.readFeast(w, r, &sent); err != nil {
		return err
	}
	if sent.View == nil {
		return feastMissing("feature_view_name")
	}
	t, ok, why := pushTable(rel, *sent.View)
	if !ok && why == "" {
		return feastRaised(http.StatusNotFound, "FeastObjectNotFoundException", "Can't recognize feast object with a name %s", clip(*sent.View, 64))
	}
	if !ok {
		return feastText("%s", why)
	}
	if err := a.feastWrite(r.Context(), t, sent.Frame); err != nil {
		return err
	}
	w.json(http.StatusOK, []byte("null"))
	return nil
}

// feastWrite puts the rows of a data frame, all or none of it.
func (a *API) feastWrite(ctx context.Context, t project.Table, frame json.RawMessage) error {
	if frame == nil {
		return feastMissing("df")
	}
	columns, rows, err := feastFrame(frame)
	if err != nil {
		return err
	}
	if rows == 0 {
		return nil
	}
	if err := checkFeastColumns(t, columns); err != nil {
		return err
	}
	written := make([]pushtable.Row, rows)
	empty := true
	for i := range written {
		if written[i], err = feastRowOf(t, columns, i); err != nil {
			return err
		}
		empty = empty && !slices.ContainsFunc(written[i].Values, func(v expression.Value) bool { return v.Kind != expression.Null })
	}
	if empty { // as Feast has it: a frame without any value changes nothing
		return nil
	}
	_, err = a.deps.Tables.Put(ctx, &t.Spec, tablestore.TakeLast, written...)
	return err
}

// feastFrame reads a data frame: columns of the same length by name.
func feastFrame(frame []byte) (columns map[string][][]byte, rows int, err error) {
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(frame, &sent); err != nil || sent == nil {
		return nil, 0, feastInvalid("dict_type", "Input should be a valid dictionary", "df")
	}
	columns = make(map[string][][]byte, len(sent))
	rows = -1
	for name, raw := range sent {
		list, err := feastList(raw)
		if err != nil {
			return nil, 0, feastInvalid("list_type", "Input should be a valid list", "df", name)
		}
		if rows >= 0 && len(list) != rows {
			return nil, 0, feastText("All arrays must be of the same length")
		}
		columns[name], rows = list, len(list)
	}
	return columns, max(rows, 0), nil
}

// eventTimestamp is the column of a frame that says when its rows were true.
const eventTimestamp = "event_timestamp"

func checkFeastColumns(t project.Table, columns map[string][][]byte) error {
	var missing []string
	for _, name := range slices.Concat(t.Spec.KeyFields, columnNames(t.Spec.Columns), []string{eventTimestamp}) {
		if columns[name] == nil {
			missing = append(missing, "'"+name+"'")
		}
	}
	if missing != nil {
		return feastText("df: missing columns [%s] of table %s", strings.Join(missing, ", "), t.Name)
	}
	return nil
}

func feastRowOf(t project.Table, columns map[string][][]byte, i int) (row pushtable.Row, err error) {
	fail := func(name string, err error) (pushtable.Row, error) {
		return row, feastText("df: %s[%d]: %w", name, i, err)
	}
	values := make([]string, len(t.Spec.KeyFields))
	for k, name := range t.Spec.KeyFields {
		if values[k], err = keyValue(name, columns[name][i]); err != nil {
			return fail(name, err)
		}
	}
	row.Key = freshet.JoinKey(values...)
	if row.EventTime, err = feastMoment(columns[eventTimestamp][i]); err != nil {
		return fail(eventTimestamp, err)
	}
	row.Values = make([]expression.Value, len(t.Spec.Columns))
	for k, c := range t.Spec.Columns {
		if row.Values[k], err = pushtable.ParseJSON(c, columns[c.Name][i]); err != nil {
			return fail(c.Name, err)
		}
	}
	return row, nil
}

func feastMoment(raw []byte) (tablestore.Moment, error) {
	if raw[0] != '"' {
		return pushtable.ParseSeconds(string(raw))
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return 0, freshet.Errorf(freshet.InvalidArgument, "%.64s: expected a time", raw)
	}
	return pushtable.ParseMoment(s)
}
