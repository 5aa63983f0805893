package api

import (
	"testing"
)

// TestTags: an answer that is known is not sent again, for one pipeline and for all.
func TestTags(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.keep(userPrediction("today"))
	for _, target := range []string{"/v1/users/u1/predictions", "/v1/users/u1/predictions/today", "/v1/users/u1/predictions?flags=today_tab,none"} {
		first := r.get(target)
		tag := first.header.Get("ETag")
		if first.status != 200 || tag == "" || first.header.Get("Cache-Control") != "private, no-cache" {
			t.Fatalf("%s: %d with tag %q", target, first.status, tag)
		}
		for known, want := range map[string]int{tag: 304, `"x", W/` + tag: 304, "*": 304, `"x"`: 200, "": 200} {
			a := r.get(target, "If-None-Match", known)
			if a.status != want || (len(a.body) == 0) != (want == 304) || a.header.Get("ETag") != tag {
				t.Errorf("%s with %q: %d, %q, tag %q", target, known, a.status, a.body, a.header.Get("ETag"))
			}
		}
		newer := userPrediction("today")
		newer.Cause.Offset, newer.Items, newer.Explanation = newer.Cause.Offset+1, newer.Items[:1], nil
		r.keep(newer)
		if a := r.get(target, "If-None-Match", tag); a.status != 200 || a.header.Get("ETag") == tag {
			t.Errorf("%s after a newer one: %d", target, a.status)
		}
		r.predictions.Delete(t.Context(), newer.Entity)
		r.keep(userPrediction("today"))
	}
}

// TestWebApps: pages of allowed origins may call the API from a browser, those of others may not.
func TestWebApps(t *testing.T) {
	t.Parallel()
	const app = "https://app.example.com"
	body := `{"type":"play","user_id":"u1","content_id":"c1"}`
	for name, c := range map[string]struct {
		allowed []string
		origin  string
		want    bool
	}{
		"allowed": {[]string{"https://other.example.com", app}, app, true},
		"all":     {[]string{"*"}, app, true},
		"other":   {[]string{"https://other.example.com"}, app, false},
		"none":    {nil, app, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{AllowedOrigins: c.allowed})
			r.check = false // the headers are the browser's, not the API's
			a := r.post("/v1/events", body, "Origin", c.origin, "Sec-Fetch-Site", "cross-site")
			if (a.status == 202) != c.want || (a.header.Get("Access-Control-Allow-Origin") == app) != c.want {
				t.Errorf("post: %d %v", a.status, a.header)
			}
			a = r.get("/v1/users/u1/predictions", "Origin", c.origin)
			if a.status != 200 || (a.header.Get("Access-Control-Allow-Origin") == app) != c.want || (a.header.Get("Vary") == "Origin") != (c.allowed != nil) {
				t.Errorf("get: %d %v", a.status, a.header)
			}
			a = r.send("OPTIONS", "/v1/users/u1/predictions", "", "Origin", c.origin, "Access-Control-Request-Method", "GET")
			if (a.status == 204) != c.want || (a.header.Get("Access-Control-Allow-Methods") != "") != c.want {
				t.Errorf("preflight: %d %v", a.status, a.header)
			}
		})
	}
	for _, bad := range []string{"app.example.com", "https://app.example.com/path", "", "null"} {
		if err := (Options{AllowedOrigins: []string{bad}}).Validate(); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
