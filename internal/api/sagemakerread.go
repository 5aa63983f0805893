package api

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// getRecord answers one record of a feature group: an object without Record if there is none.
func (a *API) getRecord(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	w.of(rel)
	q, err := sageMakerQuery(r, "RecordIdentifierValueAsString", "FeatureName", "ExpirationTimeResponse")
	if err != nil {
		return err
	}
	g, err := groupOf(rel, r.PathValue("name"))
	if err != nil {
		return err
	}
	names, err := g.asked(q["FeatureName"])
	if err != nil {
		return err
	}
	expiry, err := wantsExpiry(q.Get("ExpirationTimeResponse"))
	if err != nil {
		return err
	}
	key, err := g.identifier(q)
	if err != nil {
		return err
	}
	row, ok, err := a.groupRow(r.Context(), rel, &g, key)
	if err != nil {
		return err
	}
	out := a.buffer()
	defer a.returnBuffer(out)
	b := append((*out)[:0], '{')
	if ok {
		b = appendRecord(b, g.entity, &row, names, expiry)
	}
	*out = append(b, '}')
	w.json(http.StatusOK, *out)
	return nil
}

// sageMakerQuery reads a query whose parameters may be repeated. One that the service does not know is refused.
func sageMakerQuery(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "the query cannot be read: %w", err)
	}
	for name := range q {
		if !slices.Contains(known, name) {
			return nil, unknownParameter(name, known)
		}
	}
	return q, nil
}

// identifier is the key that a query names.
func (g *featureGroup) identifier(q url.Values) (freshet.Key, error) {
	const name = "RecordIdentifierValueAsString"
	if len(q[name]) != 1 {
		return "", invalid(name, "given %d times; expected once", len(q[name]))
	}
	return g.key(q[name][0])
}

func wantsExpiry(s string) (bool, error) {
	switch s {
	case "", "Disabled":
		return false, nil
	case "Enabled":
		return true, nil
	}
	return false, invalid("ExpirationTimeResponse", "%.64q: expected Enabled or Disabled", s)
}

// appendRecord writes the members Record and ExpiresAt. A feature without a value is left out.
func appendRecord(b []byte, entity feature.EntitySpec, row *groupRow, names []string, expiry bool) []byte {
	b = append(b, `"Record":[`...)
	first := len(b)
	for _, name := range names {
		before := len(b)
		if before > first {
			b = append(b, ',')
		}
		var ok bool
		if b, ok = appendFeatureValue(b, entity, row, name); !ok {
			b = b[:before]
		}
	}
	b = append(b, ']')
	if expiry && row.expiresAt != 0 {
		b = appendMoment(append(b, `,"ExpiresAt":`...), row.expiresAt)
	}
	return b
}

// appendFeatureValue writes one feature; ok is false if it has no value.
func appendFeatureValue(b []byte, entity feature.EntitySpec, row *groupRow, name string) (_ []byte, ok bool) {
	b = append(appendText(append(b, `{"FeatureName":`...), name), ',')
	if i := slices.Index(row.names, name); i >= 0 {
		if b, ok = appendValueAsString(b, row.values[i]); !ok {
			return b, false
		}
		return append(b, '}'), true
	}
	b = append(b, `"ValueAsString":`...)
	if i := slices.Index(entity.KeyFields, name); i >= 0 {
		values, err := row.key.Split(len(entity.KeyFields))
		if err != nil {
			return b, false
		}
		return append(appendText(b, values[i]), '}'), true
	}
	if row.at == 0 { // the row of a file has no event time
		return b, false
	}
	return append(appendMoment(b, row.at), '}'), true
}

// appendValueAsString writes a value as text, or a list as a list of texts; ok is false for null.
func appendValueAsString(b []byte, v expression.Value) (_ []byte, ok bool) {
	switch v.Kind {
	case expression.Null:
		return b, false
	case expression.List:
		b = append(b, `"ValueAsStringList":[`...)
		for i, e := range v.List {
			b = appendText(comma(b, i), textOf(e))
		}
		return append(b, ']'), true
	case expression.Vector:
		b = append(b, `"ValueAsStringList":[`...)
		for i, x := range v.Vec {
			b = appendText(comma(b, i), textOf(expression.Value{Kind: expression.Number, Num: x}))
		}
		return append(b, ']'), true
	}
	return appendText(append(b, `"ValueAsString":`...), textOf(v)), true
}

// textOf is a value as text: a text as it is, others as in JSON, without the quotes of a time.
func textOf(v expression.Value) string {
	switch v.Kind {
	case expression.String:
		return v.Str
	case expression.Time:
		return freshet.Timestamp(v.Num).String()
	}
	return string(v.AppendJSON(nil))
}

// Bounds of the service.
const (
	maxGroups  = 100 // of one BatchGetRecord
	maxRecords = 100 // of each
)

// batchGet is the body of POST /BatchGetRecord.
type batchGet struct {
	Identifiers            []batchIdentifier `json:"Identifiers"`
	ExpirationTimeResponse string            `json:"ExpirationTimeResponse"`
}

type batchIdentifier struct {
	FeatureGroupName               string   `json:"FeatureGroupName"`
	RecordIdentifiersValueAsString []string `json:"RecordIdentifiersValueAsString"`
	FeatureNames                   []string `json:"FeatureNames"`
}

func (g *batchGet) check() error {
	if n := len(g.Identifiers); n < 1 || n > maxGroups {
		return invalid("Identifiers", "%d of them; expected 1 to %d", n, maxGroups)
	}
	for _, id := range g.Identifiers {
		if n := len(id.RecordIdentifiersValueAsString); n < 1 || n > maxRecords {
			return invalid("RecordIdentifiersValueAsString", "%d of them; expected 1 to %d", n, maxRecords)
		}
	}
	return nil
}

// postBatchGet answers records of several feature groups. What is wrong with one of them hinders no other.
func (a *API) postBatchGet(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	w.of(rel)
	var asked batchGet
	if err := a.readForeign(w, r, &asked); err != nil {
		return err
	}
	if err := asked.check(); err != nil {
		return err
	}
	expiry, err := wantsExpiry(asked.ExpirationTimeResponse)
	if err != nil {
		return err
	}
	out := a.buffer()
	defer a.returnBuffer(out)
	b := append((*out)[:0], `{"Records":[`...)
	failed := []byte(`],"Errors":[`)
	records, failures := 0, 0
	for _, id := range asked.Identifiers {
		g, names, err := batchGroup(rel, id)
		for _, identifier := range id.RecordIdentifiersValueAsString {
			var row groupRow
			found := false
			if err == nil {
				var key freshet.Key
				var rowErr error
				if key, rowErr = g.key(identifier); rowErr == nil {
					row, found, rowErr = a.groupRow(r.Context(), rel, &g, key)
				}
				if rowErr != nil {
					if freshet.CodeOf(rowErr) != freshet.InvalidArgument {
						return rowErr
					}
					failed = appendBatchError(comma(failed, failures), id.FeatureGroupName, identifier, rowErr)
					failures++
				}
			} else {
				failed = appendBatchError(comma(failed, failures), id.FeatureGroupName, identifier, err)
				failures++
			}
			if !found {
				continue
			}
			b = append(comma(b, records), `{"FeatureGroupName":`...)
			b = append(appendText(b, id.FeatureGroupName), `,"RecordIdentifierValueAsString":`...)
			b = append(appendText(b, identifier), ',')
			b = append(appendRecord(b, g.entity, &row, names, expiry), '}')
			records++
		}
	}
	*out = append(append(b, failed...), `],"UnprocessedIdentifiers":[]}`...)
	w.json(http.StatusOK, *out)
	return nil
}

// batchGroup finds the feature group and features that one entry of a batch names.
func batchGroup(rel *release.Opened, id batchIdentifier) (featureGroup, []string, error) {
	g, err := groupOf(rel, id.FeatureGroupName)
	if err != nil {
		return g, nil, err
	}
	names, err := g.asked(id.FeatureNames)
	return g, names, err
}

func appendBatchError(b []byte, group, identifier string, err error) []byte {
	b = append(appendText(append(b, `{"FeatureGroupName":`...), group), `,"RecordIdentifierValueAsString":`...)
	b = append(appendText(b, identifier), `,"ErrorCode":"`...)
	b = append(append(b, sageMakerErrorOf(freshet.CodeOf(err)).name...), `","ErrorMessage":`...)
	return append(appendText(b, clip(err.Error(), maxDetail)), '}')
}
