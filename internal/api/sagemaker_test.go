package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func record(user, at, stress string) string {
	return fmt.Sprintf(`{"FeatureName":"user_id","ValueAsString":%q},{"FeatureName":"event_time","ValueAsString":%q},{"FeatureName":"stress","ValueAsString":%q}`, user, at, stress)
}

func (r *rig) put(group, body string) answer {
	r.t.Helper()
	return r.send("PUT", "/FeatureGroup/"+group, body)
}

func (r *rig) wantPut(body string) {
	r.t.Helper()
	r.wantBody(r.put("mood_now", body), 200, "")
}

func (r *rig) wantRecord(query, want string) {
	r.t.Helper()
	a := r.get("/FeatureGroup/mood_now?RecordIdentifierValueAsString=" + query)
	r.wantBody(a, 200, want)
	if a.header.Get("x-amzn-RequestId") == "" {
		r.t.Error("no x-amzn-RequestId")
	}
}

func TestSageMakerRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.wantRecord("u1", `{}`)
	r.wantPut(`{"Record":[` + record("u1", "2025-03-03T12:00:00Z", "0.50") + `,{"FeatureName":"calm","ValueAsString":"1"},{"FeatureName":"tags","ValueAsStringList":["a","é"]},` +
		`{"FeatureName":"since","ValueAsString":"2025-03-03T12:00:00Z"},{"FeatureName":"note","ValueAsString":""}],"TargetStores":["OnlineStore"],"TtlDuration":{"Unit":"Days","Value":2}}`)
	all := `{"Record":[{"FeatureName":"user_id","ValueAsString":"u1"},{"FeatureName":"event_time","ValueAsString":"2025-03-03T12:00:00Z"},` +
		`{"FeatureName":"stress","ValueAsString":"0.5"},{"FeatureName":"calm","ValueAsString":"true"},` +
		`{"FeatureName":"since","ValueAsString":"2025-03-03T12:00:00.000Z"},{"FeatureName":"tags","ValueAsStringList":["a","é"]}]`
	r.wantRecord("u1", all+`}`)
	r.wantRecord("u1&ExpirationTimeResponse=Enabled", all+`,"ExpiresAt":"2025-03-05T12:00:00Z"}`)
	r.wantRecord("u1&FeatureName=stress&FeatureName=level&FeatureName=event_time",
		`{"Record":[{"FeatureName":"stress","ValueAsString":"0.5"},{"FeatureName":"event_time","ValueAsString":"2025-03-03T12:00:00Z"}]}`)
	// A put replaces the whole record.
	r.wantPut(`{"Record":[` + record("u1", "1741003200.5", "1e0") + `]}`)
	r.wantRecord("u1", `{"Record":[{"FeatureName":"user_id","ValueAsString":"u1"},{"FeatureName":"event_time","ValueAsString":"2025-03-03T12:00:00.500Z"},{"FeatureName":"stress","ValueAsString":"1"}]}`)
	// Neither an older nor one of the same time.
	for _, at := range []string{"2025-03-03T12:00:00.500Z", "2025-03-03T11:00:00Z"} {
		r.wantPut(`{"Record":[` + record("u1", at, "9") + `]}`)
	}
	r.wantRecord("u1&FeatureName=stress", `{"Record":[{"FeatureName":"stress","ValueAsString":"1"}]}`)
	// What has expired is gone.
	r.wantPut(`{"Record":[` + record("old", "2025-03-03T11:00:00Z", "1") + `],"TtlDuration":{"Unit":"Hours","Value":1}}`)
	r.wantRecord("old", `{}`)
}

func TestSageMakerKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.wantPut(`{"Record":[` + record("u 1/é", "2025-03-03T12:00:00+0100", "2") + `]}`)
	want := `{"Record":[{"FeatureName":"stress","ValueAsString":"2"}]}`
	r.wantRecord("u%201%2F%C3%A9&FeatureName=stress", want)
	arn := "arn%3Aaws%3Asagemaker%3Aus-east-1%3A123456789012%3Afeature-group%2Fmood_now"
	r.wantBody(r.get("/FeatureGroup/"+arn+"?RecordIdentifierValueAsString=u%201%2F%C3%A9&FeatureName=stress"), 200, want)
	r.wantBody(r.put("seat_state", `{"Record":[{"FeatureName":"hall","ValueAsString":"a,b"},{"FeatureName":"row","ValueAsString":"7"},`+
		`{"FeatureName":"event_time","ValueAsString":"2025-03-03T12:00:00Z"},{"FeatureName":"taken","ValueAsString":"False"}]}`), 200, "")
	r.wantBody(r.get("/FeatureGroup/seat_state?RecordIdentifierValueAsString=a%252Cb,7"), 200, `{"Record":[{"FeatureName":"hall","ValueAsString":"a,b"},`+
		`{"FeatureName":"row","ValueAsString":"7"},{"FeatureName":"event_time","ValueAsString":"2025-03-03T12:00:00Z"},{"FeatureName":"taken","ValueAsString":"false"}]}`)
}

func TestSageMakerViews(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.post("/v1/events", play("e1")).events(t)
	r.wantBody(r.get("/FeatureGroup/session?RecordIdentifierValueAsString=u1"), 200, `{"Record":[{"FeatureName":"user_id","ValueAsString":"u1"},`+
		`{"FeatureName":"event_time","ValueAsString":"2025-03-03T12:01:00Z"},{"FeatureName":"plays","ValueAsString":"1"},{"FeatureName":"recent","ValueAsStringList":["c1"]}]}`)
	r.wantBody(r.get("/FeatureGroup/session?RecordIdentifierValueAsString=nobody5"), 200, `{}`)
	r.wantBody(r.get("/FeatureGroup/catalog?RecordIdentifierValueAsString=c2"), 200,
		`{"Record":[{"FeatureName":"content_id","ValueAsString":"c2"},{"FeatureName":"title","ValueAsString":"Waves"},{"FeatureName":"minutes","ValueAsString":"20"}]}`)
}

func TestSageMakerDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	remove := func(at, more string) answer {
		t.Helper()
		return r.send("DELETE", "/FeatureGroup/mood_now?RecordIdentifierValueAsString=u1&EventTime="+at+more, "")
	}
	shown := `{"Record":[{"FeatureName":"stress","ValueAsString":"1"}]}`
	r.wantPut(`{"Record":[` + record("u1", "2025-03-03T12:00:00Z", "1") + `]}`)
	r.wantBody(remove("2025-03-03T12:00:00Z", ""), 200, "") // not later: nothing happens
	r.wantRecord("u1&FeatureName=stress", shown)
	a := remove("2025-03-03T12:00:00Z", "&DeletionMode=HardDelete")
	if a.status != 400 || a.header.Get("x-amzn-ErrorType") != "ValidationError" || !strings.Contains(string(a.body), `"Message":"EventTime`) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	r.wantRecord("u1&FeatureName=stress", shown)
	r.wantBody(remove("2025-03-03T12:00:01%2B00:00", "&DeletionMode=SoftDelete&TargetStores=OnlineStore"), 200, "")
	r.wantRecord("u1", `{}`)
	r.wantPut(`{"Record":[` + record("u1", "2025-03-03T12:00:01Z", "2") + `]}`)
	r.wantRecord("u1", `{}`)
	r.wantPut(`{"Record":[` + record("u1", "2025-03-03T12:00:02Z", "1") + `]}`)
	r.wantRecord("u1&FeatureName=stress", shown)
	r.wantBody(remove("1741003203", "&DeletionMode=HardDelete"), 200, "")
	r.wantRecord("u1", `{}`)
}

func TestSageMakerBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.wantPut(`{"Record":[` + record("u1", "2025-03-03T12:00:00Z", "1") + `],"TtlDuration":{"Unit":"Weeks","Value":1}}`)
	r.wantBody(r.post("/BatchGetRecord", `{"Identifiers":[{"FeatureGroupName":"mood_now","RecordIdentifiersValueAsString":["u1","u2"],"FeatureNames":["stress"]}],"ExpirationTimeResponse":"Disabled"}`), 200,
		`{"Records":[{"FeatureGroupName":"mood_now","RecordIdentifierValueAsString":"u1","Record":[{"FeatureName":"stress","ValueAsString":"1"}]}],"Errors":[],"UnprocessedIdentifiers":[]}`)
	a := r.post("/BatchGetRecord", `{"Identifiers":[{"FeatureGroupName":"zz","RecordIdentifiersValueAsString":["u1"]},`+
		`{"FeatureGroupName":"mood_now","RecordIdentifiersValueAsString":["u1"],"FeatureNames":["zz"]},`+
		`{"FeatureGroupName":"mood_now","RecordIdentifiersValueAsString":["u1"],"FeatureNames":["user_id"]}],"ExpirationTimeResponse":"Enabled"}`)
	for _, part := range []string{
		`"Record":[{"FeatureName":"user_id","ValueAsString":"u1"}],"ExpiresAt":"2025-03-10T12:00:00Z"}]`,
		`{"FeatureGroupName":"zz","RecordIdentifierValueAsString":"u1","ErrorCode":"ResourceNotFound","ErrorMessage":"`,
		`{"FeatureGroupName":"mood_now","RecordIdentifierValueAsString":"u1","ErrorCode":"ValidationError","ErrorMessage":"`,
	} {
		if a.status != 200 || !strings.Contains(string(a.body), part) {
			t.Errorf("got %d %s\nwithout %s", a.status, a.body, part)
		}
	}
	ids := func(n int) string { return `["` + strings.Repeat(`u1","`, n-1) + `u1"]` }
	for n, status := range map[int]int{100: 200, 101: 400} {
		a := r.post("/BatchGetRecord", `{"Identifiers":[{"FeatureGroupName":"mood_now","RecordIdentifiersValueAsString":`+ids(n)+`}]}`)
		if a.status != status {
			t.Errorf("%d identifiers: %d %s", n, a.status, a.body)
		}
	}
}

func TestSageMakerMistakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.check = false // the requests are wrong on purpose
	good := record("u1", "2025-03-03T12:00:00Z", "1")
	for name, c := range map[string]struct {
		got    answer
		status int
		kind   string
		part   string
	}{
		"unknown group":     {r.get("/FeatureGroup/zz?RecordIdentifierValueAsString=u1"), 404, "ResourceNotFound", "zz"},
		"no identifier":     {r.get("/FeatureGroup/session"), 400, "ValidationError", "RecordIdentifierValueAsString"},
		"empty identifier":  {r.get("/FeatureGroup/session?RecordIdentifierValueAsString="), 400, "ValidationError", "RecordIdentifierValueAsString"},
		"unknown feature":   {r.get("/FeatureGroup/session?RecordIdentifierValueAsString=u1&FeatureName=zz"), 400, "ValidationError", "zz"},
		"composite key":     {r.get("/FeatureGroup/seat_state?RecordIdentifierValueAsString=u1"), 400, "ValidationError", "hall, row"},
		"put unknown group": {r.put("zz", `{"Record":[`+good+`]}`), 404, "ResourceNotFound", "zz"},
		"put to a view":     {r.put("session", `{"Record":[`+good+`]}`), 400, "ValidationError", "computed from events"},
		"put to a file":     {r.put("profile", `{"Record":[`+good+`]}`), 400, "ValidationError", "file"},
		"no record":         {r.put("mood_now", `{}`), 400, "ValidationError", "Record"},
		"no JSON":           {r.put("mood_now", `hm`), 400, "ValidationError", ""},
		"no key":            {r.put("mood_now", `{"Record":[{"FeatureName":"event_time","ValueAsString":"1"}]}`), 400, "ValidationError", "user_id"},
		"no event time":     {r.put("mood_now", `{"Record":[{"FeatureName":"user_id","ValueAsString":"u1"}]}`), 400, "ValidationError", "event_time"},
		"bad event time":    {r.put("mood_now", `{"Record":[`+record("u1", "noon", "1")+`]}`), 400, "ValidationError", "event_time"},
		"unknown column":    {r.put("mood_now", `{"Record":[`+good+`,{"FeatureName":"zz","ValueAsString":"1"}]}`), 400, "ValidationError", "zz"},
		"twice":             {r.put("mood_now", `{"Record":[`+good+`,{"FeatureName":"stress","ValueAsString":"1"}]}`), 400, "ValidationError", "stress"},
		"bad number":        {r.put("mood_now", `{"Record":[`+record("u1", "1", "much")+`]}`), 400, "ValidationError", "stress"},
		"fraction for int":  {r.put("mood_now", `{"Record":[`+good+`,{"FeatureName":"level","ValueAsString":"1.5"}]}`), 400, "ValidationError", "level"},
		"list for a text":   {r.put("mood_now", `{"Record":[`+good+`,{"FeatureName":"note","ValueAsStringList":["1"]}]}`), 400, "ValidationError", "note"},
		"text for a list":   {r.put("mood_now", `{"Record":[`+good+`,{"FeatureName":"tags","ValueAsString":"1"}]}`), 400, "ValidationError", "tags"},
		"offline":           {r.put("mood_now", `{"Record":[`+good+`],"TargetStores":["OfflineStore"]}`), 400, "ValidationError", "offline"},
		"bad store":         {r.put("mood_now", `{"Record":[`+good+`],"TargetStores":["zz"]}`), 400, "ValidationError", "zz"},
		"bad ttl":           {r.put("mood_now", `{"Record":[`+good+`],"TtlDuration":{"Unit":"Years","Value":1}}`), 400, "ValidationError", "Years"},
		"no ttl":            {r.put("mood_now", `{"Record":[`+good+`],"TtlDuration":{"Unit":"Days","Value":0}}`), 400, "ValidationError", "TtlDuration"},
		"delete in a view":  {r.send("DELETE", "/FeatureGroup/session?RecordIdentifierValueAsString=u1&EventTime=1", ""), 400, "ValidationError", "computed"},
		"delete, no time":   {r.send("DELETE", "/FeatureGroup/mood_now?RecordIdentifierValueAsString=u1", ""), 400, "ValidationError", "EventTime"},
		"delete, mode":      {r.send("DELETE", "/FeatureGroup/mood_now?RecordIdentifierValueAsString=u1&EventTime=1&DeletionMode=zz", ""), 400, "ValidationError", "zz"},
		"no identifiers":    {r.post("/BatchGetRecord", `{"Identifiers":[]}`), 400, "ValidationError", "Identifiers"},
	} {
		if c.got.status != c.status || c.got.header.Get("x-amzn-ErrorType") != c.kind ||
			!strings.HasPrefix(string(c.got.body), `{"__type":"`+c.kind+`","Message":"`) || !strings.Contains(string(c.got.body), c.part) {
			t.Errorf("%s: got %d %s with type %q, want %d %s that names %s", name, c.got.status, c.got.body, c.got.header.Get("x-amzn-ErrorType"), c.status, c.kind, c.part)
		}
	}
	r.wantBody(r.get("/FeatureGroup/mood_now?RecordIdentifierValueAsString=u1"), http.StatusOK, `{}`)
}
