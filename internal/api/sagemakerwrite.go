package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/tablestore"
)

// record is the body of PUT /FeatureGroup/{name}.
type recordPut struct {
	Record       []featureValue `json:"Record"`
	TargetStores []string       `json:"TargetStores"`
	TTL          *ttlDuration   `json:"TtlDuration"`
}

type featureValue struct {
	Name string    `json:"FeatureName"`
	Text *string   `json:"ValueAsString"`
	List *[]string `json:"ValueAsStringList"`
}

type ttlDuration struct {
	Unit  string `json:"Unit"`
	Value int64  `json:"Value"`
}

// putRecord replaces a record if its event time is later. The answer is empty either way, as the service's is.
func (a *API) putRecord(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	if _, err := sageMakerQuery(r); err != nil {
		return err
	}
	var sent recordPut
	if err := a.readForeign(w, r, &sent); err != nil {
		return err
	}
	g, err := groupOf(rel, r.PathValue("name"))
	if err != nil {
		return err
	}
	spec, err := g.writable()
	if err != nil {
		return err
	}
	if err := checkStores(sent.TargetStores); err != nil {
		return err
	}
	row, err := sent.row(spec)
	if err != nil {
		return err
	}
	if _, err := a.deps.Tables.Put(r.Context(), spec, tablestore.KeepFirst, row); err != nil {
		return err
	}
	w.json(http.StatusOK, nil)
	return nil
}

// checkStores: there is no offline store. A record for both goes to the one there is.
func checkStores(stores []string) error {
	for _, s := range stores {
		if s != "OnlineStore" && s != "OfflineStore" {
			return invalid("TargetStores", "%.64q: expected OnlineStore", s)
		}
	}
	if len(stores) > 0 && !slices.Contains(stores, "OnlineStore") {
		return invalid("TargetStores", "this server keeps no offline store; expected OnlineStore")
	}
	return nil
}

// row is the record as a row of the table of spec.
func (p *recordPut) row(spec *table.Spec) (row pushtable.Row, err error) {
	if len(p.Record) == 0 {
		return row, invalid("Record", "missing; expected a list of features")
	}
	row.Values = make([]expression.Value, len(spec.Columns))
	keys := make([]string, len(spec.KeyFields))
	seen := map[string]bool{}
	for _, f := range p.Record {
		if seen[f.Name] {
			return row, invalid(clip(f.Name, 64), "given twice")
		}
		seen[f.Name] = true
		if err := f.into(spec, keys, &row); err != nil {
			return row, freshet.FieldErrorf("", clip(f.Name, 64), "feature %.64q: %w", f.Name, err)
		}
	}
	for _, name := range append(slices.Clone(spec.KeyFields), eventTime) {
		if !seen[name] {
			return row, invalid(name, "missing; every record has %s", strings.Join(append(slices.Clone(spec.KeyFields), eventTime), ", "))
		}
	}
	row.Key = freshet.JoinKey(keys...)
	if p.TTL != nil {
		row.ExpiresAt, err = p.TTL.after(row.EventTime)
	}
	return row, err
}

// into takes one feature: a key field, the event time or a column.
func (f featureValue) into(spec *table.Spec, keys []string, row *pushtable.Row) (err error) {
	if (f.Text == nil) == (f.List == nil) {
		return freshet.Errorf(freshet.InvalidArgument, "expected one of ValueAsString and ValueAsStringList")
	}
	if i := slices.Index(spec.KeyFields, f.Name); i >= 0 {
		if f.Text == nil {
			return freshet.Errorf(freshet.InvalidArgument, "expected ValueAsString")
		}
		keys[i] = *f.Text
		return checkKeyValue(f.Name, keys[i])
	}
	if f.Name == eventTime {
		if f.Text == nil {
			return freshet.Errorf(freshet.InvalidArgument, "expected ValueAsString")
		}
		row.EventTime, err = eventTimeOf(*f.Text)
		return err
	}
	i := columnIndex(spec.Columns, f.Name)
	if i < 0 {
		return freshet.Errorf(freshet.InvalidArgument, "table %s has no such column%s", spec.Name, expression.Hint(clip(f.Name, 64), columnNames(spec.Columns)))
	}
	row.Values[i], err = f.value(spec.Columns[i])
	return err
}

func (f featureValue) value(c table.Column) (expression.Value, error) {
	if c.Kind == expression.List {
		if f.List == nil {
			return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "expected ValueAsStringList")
		}
		return pushtable.Texts(*f.List), nil
	}
	if f.Text == nil {
		return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "expected ValueAsString")
	}
	s := *f.Text
	if c.Kind == expression.Bool { // an Integral feature is how the service has truth
		switch s {
		case "1":
			s = "true"
		case "0":
			s = "false"
		}
	}
	return c.Parse(s)
}

// eventTimeOf reads an event time: ISO 8601, or seconds since 1970 with an optional fraction.
func eventTimeOf(s string) (tablestore.Moment, error) {
	if strings.Trim(s, "0123456789.") == "" && s != "" {
		return pushtable.ParseSeconds(s)
	}
	return pushtable.ParseMoment(s)
}

var ttlUnits = map[string]time.Duration{
	"Seconds": time.Second, "Minutes": time.Minute, "Hours": time.Hour, "Days": 24 * time.Hour, "Weeks": 7 * 24 * time.Hour,
}

// after is when a record with this event time expires.
func (t *ttlDuration) after(m tablestore.Moment) (tablestore.Moment, error) {
	unit, ok := ttlUnits[t.Unit]
	if !ok {
		return 0, invalid("TtlDuration", "unit %.64q: expected Seconds, Minutes, Hours, Days or Weeks", t.Unit)
	}
	const longest = 100 * 365 * 24 * time.Hour
	if t.Value < 1 || t.Value > int64(longest/unit) {
		return 0, invalid("TtlDuration", "value %d: expected 1 to %d %s", t.Value, int64(longest/unit), t.Unit)
	}
	return m + tablestore.Moment(time.Duration(t.Value)*unit/time.Microsecond), nil
}

// deleteRecord leaves a tombstone: only a record with a later event time shows again.
func (a *API) deleteRecord(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	q, err := sageMakerQuery(r, "RecordIdentifierValueAsString", "EventTime", "TargetStores", "DeletionMode")
	if err != nil {
		return err
	}
	g, err := groupOf(rel, r.PathValue("name"))
	if err != nil {
		return err
	}
	spec, err := g.writable()
	if err != nil {
		return err
	}
	if err := checkStores(q["TargetStores"]); err != nil {
		return err
	}
	mode := q.Get("DeletionMode")
	if mode != "" && mode != "SoftDelete" && mode != "HardDelete" {
		return invalid("DeletionMode", "%.64q: expected SoftDelete or HardDelete", mode)
	}
	row := pushtable.Row{Deleted: true}
	if row.Key, err = g.identifier(q); err != nil {
		return err
	}
	if len(q["EventTime"]) != 1 {
		return invalid("EventTime", "given %d times; expected once", len(q["EventTime"]))
	}
	if row.EventTime, err = eventTimeOf(q["EventTime"][0]); err != nil {
		return freshet.FieldErrorf("", "EventTime", "EventTime: %w", err)
	}
	stored, err := a.deps.Tables.Put(r.Context(), spec, tablestore.KeepFirst, row)
	if err != nil {
		return err
	}
	if mode == "HardDelete" && !stored[0] {
		return invalid("EventTime", "%s is not later than the event time of the record", row.EventTime)
	}
	w.json(http.StatusOK, nil)
	return nil
}
