package api

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSageMakerInvoke(t *testing.T) {
	t.Parallel()
	r := newModelRig(t, Options{}, map[string]string{"m": linearFolder(t, 1), "two": linearFolder(t, 2)})
	for _, tt := range []struct{ path, contentType, accept, body, want string }{
		{"m", "text/csv", "", "1,2\n3,\n", `{"predictions":[21,3]}`},
		{"m", "text/csv; charset=utf-8", "", "b,a\n2,1", `{"predictions":[21]}`},
		{"m", "", "", "1,2", `{"predictions":[21]}`},
		{"m", "", "", ` {"instances":[[1,2]]}`, `{"predictions":[21]}`},
		{"m", "application/json", "*/*", `{"dataframe_records":[{"a":1,"b":2}]}`, `{"predictions":[21]}`},
		{"two", "application/json", "", `{"inputs":{"a":1,"b":2}}`, `{"predictions":[[21,-1]]}`},
		{"two", "text/csv", "text/csv", "1,2\n3,4\n", "21,-1\n43,-3\n"},
	} {
		r.check = tt.contentType != ""
		a := r.post("/endpoints/"+tt.path+"/invocations", tt.body, "Content-Type", tt.contentType, "Accept", tt.accept, "X-Amzn-SageMaker-Target-Variant", "r7")
		r.wantBody(a, 200, tt.want)
		if a.header.Get("x-Amzn-Invoked-Production-Variant") != "r7" || a.header.Get("x-amzn-RequestId") == "" {
			t.Errorf("headers %v", a.header)
		}
	}
}

func TestSageMakerInvokeRefusals(t *testing.T) {
	t.Parallel()
	r := newModelRig(t, Options{}, map[string]string{"m": linearFolder(t, 1)})
	for _, tt := range []struct {
		name, contentType, body, header string
		status                          int
		original                        int
		part                            string
	}{
		{"zz", "text/csv", "1,2", "", 400, 0, "Endpoint zz not found"},
		{"m", "text/csv", "1,2", "Target-Variant", 400, 0, "no variant"},
		{"m", "text/csv", "1,2", "Target-Model", 400, 0, "an endpoint here is one model"},
		{"m", "text/csv", "1,2,3", "", 424, 400, "the CSV has 3 columns"},
		{"m", "text/csv", ",2", "", 424, 400, "column a is missing in row 0"},
		{"m", "text/csv", "x,2", "", 424, 400, "column a"},
		{"m", "application/json", "{", "", 424, 400, "no JSON"},
		{"m", "image/png", "{", "", 424, 415, "image/png"},
	} {
		headers := []string{"Content-Type", tt.contentType}
		if tt.header != "" {
			headers = append(headers, "X-Amzn-SageMaker-"+tt.header, "other")
		}
		a := r.post("/endpoints/"+tt.name+"/invocations", tt.body, headers...)
		var got struct {
			Type               string `json:"__type"`
			Message            string
			OriginalStatusCode int
			OriginalMessage    string
		}
		if err := json.Unmarshal(a.body, &got); err != nil || a.status != tt.status || got.OriginalStatusCode != tt.original || !strings.Contains(got.Message, tt.part) {
			t.Errorf("%s %q: got %d %s", tt.name, tt.body, a.status, a.body)
		}
		want := "ValidationError"
		if tt.status == 424 {
			want = "ModelError"
			if !strings.Contains(got.OriginalMessage, `"error_code":"`) {
				t.Errorf("no original message: %s", a.body)
			}
		}
		if got.Type != want || a.header.Get("x-amzn-ErrorType") != want {
			t.Errorf("%q: %s, expected %s", tt.body, got.Type, want)
		}
	}
}
