package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/tablestore"
)

// The SageMaker door is the Feature Store runtime as boto3 and the other SDKs of AWS speak it: a feature group is a view or a
// table of a file, which can be read, or a push table, which can be written too.

// sageMaker makes a route's function of one that answers errors as the service does.
func (a *API) sageMaker(handle func(*response, *http.Request) error) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) error {
		w.Header().Set("X-Amzn-Requestid", w.id)
		if err := handle(w, r); err != nil {
			a.failSageMaker(w, r, err)
		}
		return nil
	}
}

// sageMakerError is an error with the service's own name for it.
type sageMakerError struct {
	status int
	name   string
}

// The errors of the Feature Store runtime.
var (
	validationError = sageMakerError{http.StatusBadRequest, "ValidationError"}
	resourceMissing = sageMakerError{http.StatusNotFound, "ResourceNotFound"}
	accessForbidden = sageMakerError{http.StatusForbidden, "AccessForbidden"}
	internalFailure = sageMakerError{http.StatusInternalServerError, "InternalFailure"}
	throttled       = sageMakerError{http.StatusTooManyRequests, "ThrottlingException"}
	notAvailable    = sageMakerError{http.StatusServiceUnavailable, "ServiceUnavailable"}
)

func sageMakerErrorOf(code freshet.Code) sageMakerError {
	switch code {
	case freshet.NotFound:
		return resourceMissing
	case freshet.Unauthenticated, freshet.PermissionDenied:
		return accessForbidden
	case freshet.ResourceExhausted:
		return throttled
	case freshet.Unavailable, freshet.DeadlineExceeded:
		return notAvailable
	case freshet.Internal:
		return internalFailure
	}
	return validationError
}

// failSageMaker answers err in the service's form: the type in a header and in the body, because SDKs look at either.
func (a *API) failSageMaker(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	e := sageMakerErrorOf(v.code)
	if s, ok := errors.AsType[*statusError](err); ok { // a body that was not read to the end
		e.status = s.status
	}
	w.Header().Set("X-Amzn-Errortype", e.name)
	b := append([]byte(`{"__type":"`), e.name...)
	b = append(b, `","Message":`...)
	b = append(appendText(b, clip(v.detail, maxDetail)), '}')
	w.json(e.status, b)
}

// eventTime is the feature of every record that says when it was true.
const eventTime = "event_time"

// featureGroup is a view or table as the SageMaker door shows it.
type featureGroup struct {
	name   string
	entity feature.EntitySpec
	view   *feature.View // or
	file   *table.Table  // or
	pushed *table.Spec
}

// groupOf finds a feature group by its name, or by the ARN that ends with it.
func groupOf(rel *release.Opened, name string) (g featureGroup, err error) {
	if strings.HasPrefix(name, "arn:") {
		_, name, _ = strings.Cut(name, ":feature-group/")
	}
	g.name = name
	if view, ok := rel.View(freshet.ViewName(name)); ok {
		g.view = view
		g.entity, err = entitySpec(rel, view.Entity())
		return g, err
	}
	t, ok := rel.Project().Table(freshet.TableName(name))
	if !ok {
		var names []string
		for _, v := range rel.Project().Views {
			names = append(names, string(v.Name()))
		}
		for _, t := range rel.Project().Tables {
			names = append(names, string(t.Name))
		}
		return g, freshet.FieldErrorf(freshet.NotFound, "FeatureGroupName", "there is no feature group %.64q%s", name, expression.Hint(clip(name, 64), names))
	}
	if t.Push {
		g.pushed = &t.Spec
	} else if g.file, ok = rel.Table(t.Name); !ok {
		return g, freshet.Errorf(freshet.Internal, "table %s is declared and not opened", name)
	}
	g.entity, err = entitySpec(rel, t.Entity)
	return g, err
}

// writable is the table behind a group that takes records.
func (g *featureGroup) writable() (*table.Spec, error) {
	switch {
	case g.pushed != nil:
		return g.pushed, nil
	case g.view != nil:
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "FeatureGroupName", "feature group %s is a view, computed from events; only a table with push: true takes records", g.name)
	}
	return nil, freshet.FieldErrorf(freshet.InvalidArgument, "FeatureGroupName", "feature group %s is a table of a file; only a table with push: true takes records", g.name)
}

// key reads a record identifier: the key field, or, of a composite key, its values in declared order, each percent-encoded,
// joined by commas.
func (g *featureGroup) key(identifier string) (freshet.Key, error) {
	const field = "RecordIdentifierValueAsString"
	values, err := freshet.Key(identifier).Split(len(g.entity.KeyFields))
	if err != nil {
		return "", invalid(field, "%.64q: expected the values of %s, each percent-encoded, joined by commas", identifier, strings.Join(g.entity.KeyFields, ", "))
	}
	for _, v := range values {
		if err := checkKeyValue(field, v); err != nil {
			return "", err
		}
	}
	return freshet.JoinKey(values...), nil
}

// features are the names of the features beside key and event time.
func (g *featureGroup) features() (names []string) {
	switch {
	case g.view != nil:
		for _, f := range g.view.Features() {
			names = append(names, string(f.Name))
		}
	case g.file != nil:
		for _, name := range columnNames(g.file.Columns()) {
			if !slices.Contains(g.entity.KeyFields, name) { // a candidates table has its key as a column too
				names = append(names, name)
			}
		}
	default:
		names = columnNames(g.pushed.Columns)
	}
	return names
}

// asked checks the names of the features that a request asks for; none means all, key and event time included.
func (g *featureGroup) asked(names []string) ([]string, error) {
	all := slices.Concat(g.entity.KeyFields, []string{eventTime}, g.features())
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, "FeatureNames", "FeatureNames: feature group %s has no feature %.64q%s", g.name, name, expression.Hint(clip(name, 64), all))
		}
	}
	return names, nil
}

// groupRow is a record as it is stored.
type groupRow struct {
	key       freshet.Key
	at        tablestore.Moment // 0: not known
	expiresAt tablestore.Moment // 0: never
	names     []string
	values    []expression.Value // of names
}

// groupRow reads the record of key; ok is false if there is none.
func (a *API) groupRow(ctx context.Context, rel *release.Opened, g *featureGroup, key freshet.Key) (row groupRow, ok bool, err error) {
	row.key = key
	switch {
	case g.view != nil:
		row.names = g.features()
		last, _, ok, err := a.deps.Values.RowInfo(ctx, g.view, key)
		if err != nil || !ok {
			return row, false, err
		}
		row.at = tablestore.Moment(last) * 1000
		row.values, err = a.deps.Values.Values(ctx, rel, []*feature.View{g.view}, key, max(a.now(), last), false, nil)
		return row, true, err
	case g.file != nil:
		at, ok := g.file.Find(key)
		for i, c := range g.file.Columns() {
			if ok {
				row.names, row.values = append(row.names, c.Name), append(row.values, g.file.Value(at, i))
			}
		}
		return row, ok, nil
	}
	kept, ok, err := a.deps.Tables.Find(ctx, g.pushed, key, nil)
	row.at, row.expiresAt, row.names, row.values = kept.EventTime, kept.ExpiresAt, columnNames(g.pushed.Columns), kept.Values
	return row, ok, err
}
