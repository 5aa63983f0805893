package api

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/feature/expression"
)

// frame is a data frame for mood_now with one row.
func frame(user, at, stress string) string {
	return fmt.Sprintf(`{"user_id":[%q],"event_timestamp":[%q],"created":[null],"stress":[%s],"level":[4.0],"calm":[true],`+
		`"note":["hm"],"since":[1772366400],"tags":[["a","b"]]}`, user, at, stress)
}

func (r *rig) push(body string) {
	r.t.Helper()
	if a := r.post("/push", `{"push_source_name":"mood_now","df":`+body+`,"to":"online"}`); a.status != 200 || len(a.body) != 0 {
		r.t.Fatalf("push: %d %s", a.status, a.body)
	}
}

func (r *rig) wantBody(a answer, status int, want string) {
	r.t.Helper()
	if a.status != status || string(a.body) != want {
		r.t.Errorf("got %d\n%s\nwant %d\n%s", a.status, a.body, status, want)
	}
}

func TestFeastColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.push(frame("u1", "2026-03-01T12:00:00.250000", "0.5"))
	r.push(`{"user_id":["u2"],"event_timestamp":["2026-03-01 13:00:00+01:00"],"stress":["NaN"],"level":[null],"calm":[false],"note":[""],"since":["2026-03-01T12:00:00"],"tags":[[]]}`)
	const epoch = `"1970-01-01T00:00:00Z"`
	column := func(values, statuses, times string) string {
		return `{"values":[` + values + `],"statuses":[` + statuses + `],"event_timestamps":[` + times + `]}`
	}
	times := `"2026-03-01T12:00:00.250Z","2026-03-01T12:00:00Z",` + epoch + `,"2026-03-01T12:00:00.250Z"`
	statuses := `"PRESENT","PRESENT","NOT_FOUND","PRESENT"`
	want := `{"results":[` + strings.Join([]string{
		column(`"u1","u2","nobody","u1"`, `"PRESENT","PRESENT","PRESENT","PRESENT"`, strings.Join([]string{epoch, epoch, epoch, epoch}, ",")),
		column(`0.5,null,null,0.5`, `"PRESENT","NULL_VALUE","NOT_FOUND","PRESENT"`, times),
		column(`4,null,null,4`, `"PRESENT","NULL_VALUE","NOT_FOUND","PRESENT"`, times),
		column(`true,false,null,true`, statuses, times),
		column(`"hm",null,null,"hm"`, `"PRESENT","NULL_VALUE","NOT_FOUND","PRESENT"`, times),
		column(`1772366400,1772366400,null,1772366400`, statuses, times),
		column(`["a","b"],null,null,["a","b"]`, `"PRESENT","NULL_VALUE","NOT_FOUND","PRESENT"`, times),
	}, ",") + `],"metadata":{"feature_names":["user_id","stress","level","calm","note","since","tags"]}}`
	refs := `["mood_now:stress","mood_now:level","mood_now:calm","mood_now:note","mood_now:since","mood_now:tags"]`
	r.wantBody(r.post("/get-online-features", `{"entities":{"user_id":["u1","u2","nobody","u1"],"other":[1,2,3,4]},"features":`+refs+`,"x":1}`), 200, want)
}

func TestFeastTwoViews(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.post("/v1/events", play("e1")).events(t)
	r.push(frame("u1", "2026-03-01T12:00:00Z", "1"))
	a := r.post("/get-online-features", `{"entities":{"content_id":["c1","nobody7"],"user_id":["u1","nobody5"]},"full_feature_names":true,`+
		`"include_feature_view_version_metadata":true,"features":["session:plays","mood_now:stress","session:recent","popularity:starts","profile:tenure_days"]}`)
	var got struct {
		Results []struct {
			Values   []any
			Statuses []string
			Times    []string `json:"event_timestamps"`
		}
		Metadata struct {
			Names []string         `json:"feature_names"`
			Views []map[string]any `json:"feature_view_metadata"`
		}
	}
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if want := "[content_id user_id session__plays session__recent mood_now__stress popularity__starts profile__tenure_days]"; fmt.Sprint(got.Metadata.Names) != want {
		t.Errorf("names are %v, want %s", got.Metadata.Names, want)
	}
	if want := "[map[name:session] map[name:mood_now] map[name:popularity] map[name:profile]]"; fmt.Sprint(got.Metadata.Views) != want {
		t.Errorf("views are %v, want %s", got.Metadata.Views, want)
	}
	for i, want := range []string{
		"[c1 nobody7] [PRESENT PRESENT]", "[u1 nobody5] [PRESENT PRESENT]", "[1 <nil>] [PRESENT NOT_FOUND]", "[[c1] <nil>] [PRESENT NOT_FOUND]",
		"[1 <nil>] [PRESENT NOT_FOUND]", "[1 <nil>] [PRESENT NOT_FOUND]", "[7 <nil>] [PRESENT NOT_FOUND]",
	} {
		if s := fmt.Sprint(got.Results[i].Values, " ", got.Results[i].Statuses); s != want {
			t.Errorf("column %d is %s, want %s", i, s, want)
		}
	}
	if s := fmt.Sprint(got.Results[2].Times); s != "[2025-03-03T12:01:00Z 1970-01-01T00:00:00Z]" {
		t.Errorf("times are %s", s)
	}
}

func TestFeastService(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	a := r.post("/get-online-features?status=false", `{"entities":{"user_id":["nobody"]},"feature_service":"today","features":["zz:zz"]}`)
	r.wantBody(a, 200, `{"results":[{"values":["nobody"]},{"values":[null]},{"values":[null]}],"metadata":{"feature_names":["user_id","plays","recent"]}}`)
	a = r.post("/get-online-features", `{"entities":{"user_id":["u1"]},"feature_service":"zz"}`)
	r.wantBody(a, 404, `"{\"module\": \"feast.errors\", \"class\": \"FeatureServiceNotFoundException\", \"message\": \"Feature service zz does not exist in project calm\"}"`)
}

func TestFeastMistakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.check = false // most requests are wrong on purpose, which openapi.yaml says too
	raised := func(class, message string) string {
		inner := `{"module": "feast.errors", "class": "` + class + `", "message": ` + string(appendText(nil, message)) + `}`
		return string(appendText(nil, inner))
	}
	get := func(body string) answer { return r.post("/get-online-features", body) }
	for name, c := range map[string]struct {
		got    answer
		status int
		want   string // the body, or a part of it after …
	}{
		"no features":     {get(`{"entities":{"user_id":["u1"]}}`), 422, `"No features specified for retrieval"`},
		"unknown feature": {get(`{"entities":{"user_id":["u1"]},"features":["session:zz"]}`), 422, `"'Feature zz not found in projection session'"`},
		"unknown view":    {get(`{"entities":{"user_id":["u1"]},"features":["zz:a"]}`), 404, raised("FeatureViewNotFoundException", "Feature view zz does not exist in project calm")},
		"version":         {get(`{"entities":{"user_id":["u1"]},"features":["session@v2:plays"]}`), 404, raised("FeatureViewNotFoundException", "Feature view session@v2 does not exist in project calm")},
		"no colon":        {get(`{"entities":{"user_id":["u1"]},"features":["plays"]}`), 422, `…Invalid feature reference 'plays'`},
		"no key":          {get(`{"entities":{"content_id":["u1"]},"features":["session:plays"]}`), 422, `"Missing join key values for keys: ['user_id']. Each needs a column in entities."`},
		"half a key":      {get(`{"entities":{"hall":["h"]},"features":["seats:sold"]}`), 422, `…keys: ['row']`},
		"unequal":         {get(`{"entities":{"user_id":["u1","u2"],"x":[1]},"features":["session:plays"]}`), 422, `"All entity rows must have the same columns."`},
		"null key":        {get(`{"entities":{"user_id":[null]},"features":["session:plays"]}`), 422, `…user_id`},
		"collision":       {get(`{"entities":{"user_id":["u1"]},"features":["session:plays","session:plays"]}`), 422, `…Duplicate features named plays found`},
		"no entities":     {get(`{"features":["session:plays"]}`), 422, `{"detail":[{"type":"missing","loc":["body","entities"],"msg":"Field required","input":null}]}`},
		"no list":         {get(`{"entities":{"user_id":"u1"},"features":["session:plays"]}`), 422, `…"loc":["body","entities","user_id"]`},
		"wrong type":      {get(`{"entities":{"user_id":["u1"]},"features":"session:plays"}`), 422, `…"loc":["body","features"]`},
		"no JSON":         {get(`hm`), 422, `…"type":"model_attributes_type","loc":["body"]`},
		"no body":         {get(` `), 422, `…"type":"model_attributes_type"`},
		"empty key array": {get(`{"entities":{"user_id":[]},"features":["session:plays"]}`), 200,
			`{"results":[{"values":[],"statuses":[],"event_timestamps":[]},{"values":[],"statuses":[],"event_timestamps":[]}],"metadata":{"feature_names":["user_id","plays"]}}`},

		"push without source": {r.post("/push", `{"df":{}}`), 422, `…"loc":["body","push_source_name"]`},
		"push without df":     {r.post("/push", `{"push_source_name":"mood_now"}`), 422, `…"loc":["body","df"]`},
		"unknown source":      {r.post("/push", `{"push_source_name":"zz","df":{}}`), 422, raised("PushSourceNotFoundException", "Unable to find push source 'zz'.")},
		"push to a view":      {r.post("/push", `{"push_source_name":"session","df":{}}`), 422, `…computed from events`},
		"push nowhere":        {r.post("/push", `{"push_source_name":"mood_now","df":{},"to":"zz"}`), 422, `…not a supported push format`},
		"push offline":        {r.post("/push", `{"push_source_name":"mood_now","df":{},"to":"offline"}`), 422, `…no offline store`},
		"write unknown":       {r.post("/write-to-online-store", `{"feature_view_name":"zz","df":{}}`), 404, raised("FeastObjectNotFoundException", "Can't recognize feast object with a name zz")},
		"write to a file":     {r.post("/write-to-online-store", `{"feature_view_name":"profile","df":{}}`), 422, `…comes from a file`},
		"frame is no map":     {r.post("/push", `{"push_source_name":"mood_now","df":[]}`), 422, `…"loc":["body","df"]`},
		"unequal frame":       {r.post("/push", `{"push_source_name":"mood_now","df":{"user_id":["u"],"stress":[]}}`), 422, `…same length`},
		"missing columns":     {r.post("/push", `{"push_source_name":"mood_now","df":{"user_id":["u"],"stress":[1]}}`), 422, `…'level', 'calm', 'note', 'since', 'tags', 'event_timestamp'`},
		"wrong value":         {r.post("/push", `{"push_source_name":"mood_now","df":`+frame("u1", "2026-03-01T12:00:00", `"much"`)+`}`), 422, `…stress[0]`},
		"wrong time":          {r.post("/push", `{"push_source_name":"mood_now","df":`+frame("u1", "yesterday", `1`)+`}`), 422, `…event_timestamp[0]`},
	} {
		if part, ok := strings.CutPrefix(c.want, "…"); c.got.status != c.status || ok && !strings.Contains(string(c.got.body), part) || !ok && string(c.got.body) != c.want {
			t.Errorf("%s: got %d\n%s\nwant %d\n%s", name, c.got.status, c.got.body, c.status, c.want)
		}
		if !json.Valid(c.got.body) {
			t.Errorf("%s: %s is no JSON, which the SDK cannot read", name, c.got.body)
		}
	}
}

func (r *rig) wantStress(want string) {
	r.t.Helper()
	a := r.post("/get-online-features?status=false", `{"entities":{"user_id":["u1"]},"features":["mood_now:stress"]}`)
	r.wantBody(a, 200, `{"results":[{"values":["u1"]},{"values":[`+want+`]}],"metadata":{"feature_names":["user_id","stress"]}}`)
}

func TestFeastNewestStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	write := func(body string) {
		t.Helper()
		r.wantBody(r.post("/write-to-online-store", `{"feature_view_name":"mood_now","df":`+body+`,"allow_registry_cache":false}`), 200, "null")
	}
	write(frame("u1", "2026-03-01T12:00:00.250001", "1"))
	write(frame("u1", "2026-03-01T12:00:00.250000", "2")) // a microsecond older
	r.wantStress("1.0")
	write(frame("u1", "2026-03-01T12:00:00.250001", "3")) // corrected
	r.wantStress("3.0")
	write(`{}`)
	write(`{"user_id":["u1"],"event_timestamp":["2027-01-01"],"stress":[null],"level":[null],"calm":[null],"note":[null],"since":[null],"tags":[null]}`)
	r.wantStress("3.0")
	write(frame("u1", "2026-03-01T13:00:01+01:00", "4"))
	r.wantStress("4.0")
}

func TestPushedColumnsInTheNativeAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.push(frame("u1", "2026-03-01T12:00:00", "0.5"))
	a := r.post("/v1/features", `{"features":["mood_now.tags","profile.tenure_days","mood_now.stress"],"entities":[{"user_id":"u1"},{"user_id":"u2"}]}`)
	if want := `"columns":[[["a","b"],null],[7,null],[0.5,null]]`; !strings.Contains(string(a.body), want) {
		t.Errorf("got %s, want %s in it", a.body, want)
	}
}

func TestFeastValues(t *testing.T) {
	t.Parallel()
	number := func(x float64) expression.Value { return expression.Value{Kind: expression.Number, Num: x} }
	list := func(xs ...float64) expression.Value {
		v := expression.Value{Kind: expression.List}
		for _, x := range xs {
			v.List = append(v.List, number(x))
		}
		return v
	}
	float, whole := expression.Type{Kind: expression.Number}, expression.Type{Kind: expression.Number, Int: true}
	for _, c := range []struct {
		v    expression.Value
		typ  expression.Type
		want string
	}{
		{number(5), whole, `5`},
		{number(5), float, `5.0`},
		{number(1e300), float, `1e+300`},
		{number(1e20), float, `100000000000000000000.0`},
		{number(math.NaN()), float, `"NaN"`},
		{number(math.Inf(1)), float, `"Infinity"`},
		{number(math.Inf(-1)), float, `"-Infinity"`},
		{list(1, 2), expression.Type{Kind: expression.List, Elem: expression.Number}, `[1,2]`},
		{list(1, 2.5), expression.Type{Kind: expression.List, Elem: expression.Number}, `[1.0,2.5]`},
		{expression.Value{Kind: expression.Vector, Vec: []float64{0, -1}}, expression.Type{Kind: expression.Vector, Dim: 2}, `[0.0,-1.0]`},
		{expression.Value{Kind: expression.Map, List: []expression.Value{{Kind: expression.Number, Num: 2, Str: "a"}}}, expression.Type{Kind: expression.Map}, `{"a":2}`},
		{expression.Value{Kind: expression.Time, Num: 1999}, expression.Type{Kind: expression.Time}, `1`},
	} {
		if got := string(appendFeastValue(nil, c.v, c.typ)); got != c.want {
			t.Errorf("%+v is %s, want %s", c.v, got, c.want)
		}
	}
}

func TestFeastHealth(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.wantBody(r.get("/health"), 200, "\n")
	r.back.set(func(b *behind) { b.notReady = []string{"recovering"} })
	r.wantBody(r.get("/health"), 503, "\n")
	r.live.Store(nil)
	r.wantBody(r.post("/get-online-features", `{"entities":{"user_id":["u1"]},"features":["a:b"]}`), 503, `"no release is live yet; try again when /readyz answers 200"`)
}

// BenchmarkFeastGet reads 50 features of a push table, as design.md counts them.
func BenchmarkFeastGet(b *testing.B) {
	const width, users = 50, 100
	var columns, refs, values []string
	for i := range width {
		columns = append(columns, fmt.Sprintf("f%d: float", i))
		refs = append(refs, fmt.Sprintf(`"wide:f%d"`, i))
		values = append(values, fmt.Sprintf(`"f%d":[%s0.5]`, i, strings.Repeat("0.25,", users-1)))
	}
	names := make([]string, users)
	for i := range names {
		names[i] = fmt.Sprintf(`"u%d"`, i)
	}
	all := strings.Join(names, ",")
	r := newRigOf(b, strings.Replace(testProject, "tables:\n", "tables:\n  wide: { entity: user, push: true, columns: { "+strings.Join(columns, ", ")+" } }\n", 1), Options{})
	r.check = false
	frame := `{"user_id":[` + all + `],"event_timestamp":[` + strings.TrimSuffix(strings.Repeat(`"2026-03-01",`, users), ",") + `],` + strings.Join(values, ",") + `}`
	if a := r.post("/push", `{"push_source_name":"wide","df":`+frame+`}`); a.status != 200 {
		b.Fatalf("%d %s", a.status, a.body)
	}
	for name, asked := range map[string]string{"1 row": names[0], "100 rows": all} {
		body := `{"entities":{"user_id":[` + asked + `]},"features":[` + strings.Join(refs, ",") + `]}`
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := r.post("/get-online-features", body); a.status != 200 {
					b.Fatalf("%d %s", a.status, a.body)
				}
			}
		})
	}
}
