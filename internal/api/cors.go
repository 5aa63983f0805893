package api

import (
	"net/http"
	"slices"

	"github.com/freshet-ml/freshet"
)

// anyOrigin stands in Options.AllowedOrigins for all of them.
const anyOrigin = "*"

// What a page of an allowed origin may send and read beyond what every page may. Keys go in Authorization, never in
// cookies, so that credentials need not be allowed.
var (
	corsMethods = []string{"GET, HEAD, POST, PUT, DELETE"}
	corsHeaders = []string{"Authorization, Content-Encoding, Content-Type, Freshet-Actor, If-Match, If-None-Match, Last-Event-ID, X-Request-Id"}
	corsExposed = []string{"ETag, Retry-After, X-Request-Id"}
	corsMaxAge  = []string{"600"}
)

// trust makes the check of origins let those through that o allows.
func trust(check *http.CrossOriginProtection, o *Options) {
	for _, origin := range o.AllowedOrigins {
		if origin != anyOrigin {
			_ = check.AddTrustedOrigin(origin) // Validate has tried it
		}
	}
}

func checkOrigins(origins []string) error {
	for _, origin := range origins {
		if origin == anyOrigin {
			continue
		}
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil {
			return freshet.FieldErrorf(freshet.InvalidArgument, "allow_origin", "allow_origin %q: expected an origin such as https://app.example.com, or *: %w", origin, err)
		}
	}
	return nil
}

// allowed tells whether a page of origin may read answers.
func (a *API) allowed(origin string) bool {
	return origin != "" && (slices.Contains(a.o.AllowedOrigins, origin) || slices.Contains(a.o.AllowedOrigins, anyOrigin))
}

// cors tells a browser that a page of another origin may read the answer, and answers its question whether it may send a
// request: then done is true. Without allowed origins it does nothing.
func (a *API) cors(w *response, r *http.Request) (done bool) {
	if len(a.o.AllowedOrigins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !a.allowed(origin) {
		return false
	}
	h["Access-Control-Allow-Origin"] = []string{origin}
	h["Access-Control-Expose-Headers"] = corsExposed
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h["Access-Control-Allow-Methods"] = corsMethods
	h["Access-Control-Allow-Headers"] = corsHeaders
	h["Access-Control-Max-Age"] = corsMaxAge
	w.WriteHeader(http.StatusNoContent)
	return true
}
