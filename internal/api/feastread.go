package api

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/tablestore"
)

// feastStatus says what a value is; the numbers are those of Feast's FieldStatus.
type feastStatus byte

const (
	feastPresent  feastStatus = 1
	feastNull     feastStatus = 2 // the entity is known, the value is not
	feastNotFound feastStatus = 3
)

func (s feastStatus) String() string {
	return [...]string{feastPresent: "PRESENT", feastNull: "NULL_VALUE", feastNotFound: "NOT_FOUND"}[s]
}

// feastColumn is one column of an answer.
type feastColumn struct {
	name     string
	typ      expression.Type
	values   []expression.Value
	statuses []feastStatus
	times    []tablestore.Moment // shared by the columns of a block; 0: none
}

// feastColumns reads what a plan asks for, at one moment.
func (a *API) feastColumns(ctx context.Context, rel *release.Opened, ask *feastAsk, p *feastPlan) ([]feastColumn, error) {
	at := a.now()
	keys := map[freshet.EntityKind][]freshet.Key{}
	var columns []feastColumn
	for _, b := range p.blocks {
		if keys[b.entity.Kind] == nil {
			of, err := p.keysOf(b.entity, ask.text)
			if err != nil {
				return nil, err
			}
			keys[b.entity.Kind] = of
		}
		read, err := a.feastBlock(ctx, rel, b, keys[b.entity.Kind], at)
		if err != nil {
			return nil, err
		}
		for i, name := range b.names {
			read[i].name = b.column(name, ask.full)
		}
		columns = append(columns, read...)
	}
	return columns, nil
}

// feastBlock reads the columns of one view or table.
func (a *API) feastBlock(ctx context.Context, rel *release.Opened, b *feastBlock, keys []freshet.Key, at freshet.Timestamp) ([]feastColumn, error) {
	columns := make([]feastColumn, len(b.picks))
	times := make([]tablestore.Moment, len(keys))
	values := make([]expression.Value, len(b.picks)*len(keys))
	statuses := make([]feastStatus, len(b.picks)*len(keys))
	for i := range columns {
		from, to := i*len(keys), (i+1)*len(keys)
		columns[i] = feastColumn{typ: b.typeOf(b.picks[i]), values: values[from:to], statuses: statuses[from:to], times: times}
	}
	var scratch []expression.Value
	for row, key := range keys {
		read, when, ok, err := a.feastRow(ctx, rel, b, key, at, scratch[:0])
		if err != nil {
			return nil, err
		}
		if !ok {
			for i := range columns {
				columns[i].statuses[row] = feastNotFound
			}
			continue
		}
		scratch, times[row] = read, when
		for i, pick := range b.picks {
			columns[i].values[row], columns[i].statuses[row] = read[pick], feastPresent
			if read[pick].Kind == expression.Null {
				columns[i].statuses[row] = feastNull
			}
		}
	}
	return columns, nil
}

// feastRow reads all features of one view or table for one key. An entity without a row has no values, not even counts.
func (a *API) feastRow(ctx context.Context, rel *release.Opened, b *feastBlock, key freshet.Key, at freshet.Timestamp, dst []expression.Value) (values []expression.Value, when tablestore.Moment, ok bool, err error) {
	switch {
	case b.view != nil:
		// The row's place first: the values that are read after it cannot be older than it says.
		last, _, ok, err := a.deps.Values.RowInfo(ctx, b.view, key)
		if err != nil || !ok {
			return nil, 0, false, err
		}
		values, err = a.deps.Values.Values(ctx, rel, []*feature.View{b.view}, key, max(at, last), false, dst)
		return values, tablestore.Moment(last) * 1000, true, err
	case b.file != nil:
		row, ok := b.file.Find(key)
		if !ok {
			return nil, 0, false, nil
		}
		for column := range b.file.Columns() {
			dst = append(dst, b.file.Value(row, column))
		}
		return dst, 0, true, nil
	}
	row, ok, err := a.deps.Tables.Find(ctx, b.pushed, key, dst)
	return row.Values, row.EventTime, ok, err
}

// feastGet is the body of POST /get-online-features.
type feastGet struct {
	Entities json.RawMessage `json:"entities"`
	Features []string        `json:"features"`
	Service  *string         `json:"feature_service"`
	Full     bool            `json:"full_feature_names"`
	Versions bool            `json:"include_feature_view_version_metadata"`
}

func (g *feastGet) ask() (*feastAsk, error) {
	if g.Entities == nil {
		return nil, feastMissing("entities")
	}
	entities, err := feastEntities(g.Entities)
	if err != nil {
		return nil, err
	}
	return &feastAsk{refs: g.Features, service: g.Service, full: g.Full, versions: g.Versions, entities: entities,
		text: func(field string, value []byte) (string, error) { return keyValue(field, value) }}, nil
}

// feastEntities are the columns of a JSON object, in its order: that of the answer's join keys.
func feastEntities(object []byte) ([]feastEntity, error) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if start, err := d.ReadToken(); err != nil || start.Kind() != '{' {
		return nil, feastInvalid("dict_type", "Input should be a valid dictionary", "entities")
	}
	var entities []feastEntity
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, feastInvalid("dict_type", err.Error(), "entities")
		}
		e := feastEntity{name: name.String()}
		raw, err := d.ReadValue()
		if err != nil {
			return nil, feastInvalid("dict_type", err.Error(), "entities")
		}
		if e.values, err = feastList(raw); err != nil {
			return nil, feastInvalid("list_type", "Input should be a valid list", "entities", e.name)
		}
		entities = append(entities, e)
	}
	return entities, nil
}

// feastList are the values of a JSON list.
func feastList(raw []byte) ([][]byte, error) {
	if raw[0] != '[' {
		return nil, feastText("expected a list")
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	values := make([][]byte, len(items))
	for i, item := range items {
		values[i] = item
	}
	return values, nil
}

// postFeastGet answers features of several entities, a column each.
func (a *API) postFeastGet(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	w.of(rel)
	var sent feastGet
	if err := a.readFeast(w, r, &sent); err != nil {
		return err
	}
	ask, err := sent.ask()
	if err != nil {
		return err
	}
	p, err := ask.plan(rel)
	if err != nil {
		return err
	}
	columns, err := a.feastColumns(r.Context(), rel, ask, p)
	if err != nil {
		return err
	}
	out := a.buffer()
	defer a.returnBuffer(out)
	*out = appendFeastAnswer((*out)[:0], ask, p, columns, r.URL.Query().Get("status") != "false")
	w.json(http.StatusOK, *out)
	return nil
}

func appendFeastAnswer(b []byte, ask *feastAsk, p *feastPlan, columns []feastColumn, statuses bool) []byte {
	b = append(b, `{"results":[`...)
	for i, key := range p.keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFeastKey(b, key, statuses)
	}
	var stamps []byte // of the block that of is in: written once for all its columns
	var of *tablestore.Moment
	for _, c := range columns {
		if statuses && p.rows > 0 && of != &c.times[0] {
			stamps, of = appendStamps(stamps[:0], c.times), &c.times[0]
		}
		b = append(b, ',')
		b = appendFeastColumn(b, c, statuses, stamps)
	}
	b = append(b, `],"metadata":{"feature_names":[`...)
	for i, key := range p.keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, key.name)
	}
	for _, c := range columns {
		b = append(b, ',')
		b = appendText(b, c.name)
	}
	b = append(b, ']')
	if ask.versions { // a view has no version of its own: it is named by its digest in the release
		b = append(b, `,"feature_view_metadata":[`...)
		for i, block := range p.blocks {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(append(b, `{"name":`...), block.name), '}')
		}
		b = append(b, ']')
	}
	return append(b, `}}`...)
}

// appendFeastKey writes a join key as it was sent.
func appendFeastKey(b []byte, key feastEntity, statuses bool) []byte {
	b = append(b, `{"values":[`...)
	for i, v := range key.values {
		b = append(comma(b, i), v...)
	}
	b = append(b, ']')
	if statuses {
		b = append(b, `,"statuses":[`...)
		for i := range key.values {
			b = append(comma(b, i), `"PRESENT"`...)
		}
		b = append(b, `],"event_timestamps":[`...)
		for i := range key.values {
			b = appendMoment(comma(b, i), 0)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendFeastColumn writes a column. An empty list or map goes out as no value: Feast's SDK guesses the type of a value from
// its elements, and where there are none it fails at the whole answer.
func appendFeastColumn(b []byte, c feastColumn, statuses bool, stamps []byte) []byte {
	b = append(b, `{"values":[`...)
	for i, v := range c.values {
		if empty(v) {
			v = expression.Value{}
		}
		b = appendFeastValue(comma(b, i), v, c.typ)
	}
	b = append(b, ']')
	if statuses {
		b = append(b, `,"statuses":[`...)
		for i, s := range c.statuses {
			if empty(c.values[i]) {
				s = feastNull
			}
			b = append(append(append(comma(b, i), '"'), s.String()...), '"')
		}
		b = append(append(append(b, `],"event_timestamps":[`...), stamps...), ']')
	}
	return append(b, '}')
}

func appendStamps(b []byte, times []tablestore.Moment) []byte {
	for i, at := range times {
		b = appendMoment(comma(b, i), at)
	}
	return b
}

func empty(v expression.Value) bool {
	return (v.Kind == expression.List || v.Kind == expression.Map) && len(v.List) == 0 || v.Kind == expression.Vector && len(v.Vec) == 0
}

// comma separates element i of a list from the one before it.
func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

func appendMoment(b []byte, m tablestore.Moment) []byte {
	return append(m.AppendFormat(append(b, '"')), '"')
}

// appendFeastValue writes a value as Feast's server does: a time in seconds since 1970, a float with a point, which tells the
// SDK its type.
func appendFeastValue(b []byte, v expression.Value, typ expression.Type) []byte {
	switch v.Kind {
	case expression.Number:
		return appendFeastNumber(b, v.Num, typ.Int)
	case expression.Time:
		return strconv.AppendInt(b, int64(math.Floor(v.Num/1000)), 10)
	case expression.List:
		whole := !slices.ContainsFunc(v.List, func(e expression.Value) bool { return e.Num != math.Trunc(e.Num) })
		b = append(b, '[')
		for i, e := range v.List {
			b = appendFeastValue(comma(b, i), e, expression.Type{Kind: typ.Elem, Int: whole})
		}
		return append(b, ']')
	case expression.Vector:
		b = append(b, '[')
		for i, x := range v.Vec {
			b = appendFeastNumber(comma(b, i), x, false)
		}
		return append(b, ']')
	}
	return v.AppendJSON(b)
}

// appendFeastNumber writes a number; one that JSON does not know goes as a text.
func appendFeastNumber(b []byte, x float64, whole bool) []byte {
	switch {
	case math.IsNaN(x):
		return append(b, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(b, `"-Infinity"`...)
	}
	first := len(b)
	b = expression.Value{Kind: expression.Number, Num: x}.AppendJSON(b)
	if !whole && !bytes.ContainsAny(b[first:], ".e") {
		b = append(b, '.', '0')
	}
	return b
}
