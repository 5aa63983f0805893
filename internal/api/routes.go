package api

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/telemetry"
)

// route is one method and path. What its handler returns as an error is answered as a problem.
type route struct {
	method, path string
	handle       func(w *response, r *http.Request) error
}

// routes are all that the door answers; openapi.yaml describes each.
func (a *API) routes() []route {
	return append([]route{
		{"POST", "/v1/events", a.postEvents},
		{"GET", "/v1/features/{view}", a.getFeatures},
		{"POST", "/v1/features", a.postFeatures},
		{"GET", "/v1/users/{user}/predictions", a.getPredictions},
		{"GET", "/v1/users/{user}/predictions/{pipeline}", a.getPrediction},
		{"GET", "/v1/entities/{kind}/{key}/predictions", a.getPredictions},
		{"GET", "/v1/entities/{kind}/{key}/predictions/{pipeline}", a.getPrediction},
		{"DELETE", "/v1/users/{user}", a.deleteEntity},
		{"DELETE", "/v1/entities/{kind}/{key}", a.deleteEntity},
		{"GET", "/v1/erases/{id}", a.getErase},
		{"GET", "/v1/users/{user}/trace", a.getTrace},
		{"GET", "/v1/entities/{kind}/{key}/trace", a.getTrace},
		{"POST", "/v1/predict/{pipeline}", a.postPredict},
		{"GET", "/v1/users/{user}/devices", a.getDevices},
		{"PUT", "/v1/users/{user}/devices/{device}", a.putDevice},
		{"DELETE", "/v1/users/{user}/devices/{device}", a.deleteDevice},
		{"GET", "/v1/users/{user}/preferences", a.getPreferences},
		{"PUT", "/v1/users/{user}/preferences", a.putPreferences},
		{"GET", "/v1/users/{user}/stream", a.getStream},
		{"POST", "/v1/users/{user}/stream/ack", a.postAck},
		{"GET", "/v1/deliveries", a.getDeliveries},
		{"GET", "/v1/deliveries/{id}", a.getDelivery},
		{"POST", "/v1/deliveries/{id}/{outcome}", a.postOutcome},
		{"GET", "/v1/streams", a.getStreams},
		{"GET", "/v1/status", a.getStatus},
		{"GET", "/v1/jobs", a.getJobs},
		{"GET", "/v1/jobs/{id}", a.getJob},
		{"GET", "/v1/dead-letters", a.getDeadLetters},
		{"DELETE", "/v1/dead-letters", a.deleteDeadLetters},
		{"POST", "/v1/dead-letters/redrive", a.postRedrive},
		{"GET", "/v1/models", a.getModels},
		{"GET", "/v1/models/{name}", a.getModel},
		{"POST", "/v1/models/{name}/versions", a.postModelVersion},
		{"GET", "/v1/models/{name}/versions/{version}", a.getModelVersion},
		{"GET", "/v1/models/{name}/versions/{version}/artifact", a.getModelArtifact},
		{"POST", "/v1/models/{name}/versions/{version}/metrics", a.postModelMetrics},
		{"PUT", "/v1/models/{name}/aliases/{alias}", a.putAlias},
		{"DELETE", "/v1/models/{name}/aliases/{alias}", a.deleteAlias},
		{"POST", "/v1/releases", a.postReleases},
		{"GET", "/v1/releases", a.getReleases},
		{"GET", "/v1/releases/{id}", a.getRelease},
		{"POST", "/v1/releases/{id}/promote", a.postPromote},
		{"POST", "/v1/releases/{id}/abort", a.postAbort},
		{"POST", "/v1/releases/rollback", a.postRollback},
		{"POST", "/v1/releases/gc", a.postGC},
		{"PUT", "/v1/blobs/{digest}", a.putBlob},
		{"GET", "/v1/blobs/{digest}", a.getBlob},
		{"POST", "/get-online-features", a.feast(a.postFeastGet)},
		{"POST", "/push", a.feast(a.postFeastPush)},
		{"POST", "/write-to-online-store", a.feast(a.postFeastStore)},
		{"POST", "/feast.serving.ServingService/GetOnlineFeatures", a.grpc(a.feastGRPCGet)},
		{"POST", "/feast.serving.ServingService/GetFeastServingInfo", a.grpc(a.feastGRPCInfo)},
		{"GET", "/health", a.getMLflowHealth},
		{"GET", "/FeatureGroup/{name}", a.sageMaker(a.getRecord)},
		{"PUT", "/FeatureGroup/{name}", a.sageMaker(a.putRecord)},
		{"DELETE", "/FeatureGroup/{name}", a.sageMaker(a.deleteRecord)},
		{"POST", "/BatchGetRecord", a.sageMaker(a.postBatchGet)},
		{"POST", "/endpoints/{name}/invocations", a.sageMakerModel(a.postEndpoint)},
		{"GET", "/v2", a.getOIPServer},
		{"GET", "/v2/health/live", a.getOIPLive},
		{"GET", "/v2/health/ready", a.getOIPReady},
		{"GET", "/v2/models/{name}", a.oip(a.getOIPModel)},
		{"GET", "/v2/models/{name}/versions/{version}", a.oip(a.getOIPModel)},
		{"GET", "/v2/models/{name}/ready", a.oip(a.getOIPModelReady)},
		{"GET", "/v2/models/{name}/versions/{version}/ready", a.oip(a.getOIPModelReady)},
		{"POST", "/v2/models/{name}/infer", a.oip(a.postOIPInfer)},
		{"POST", "/v2/models/{name}/versions/{version}/infer", a.oip(a.postOIPInfer)},
		{"POST", "/v2/repository/index", a.oip(a.postOIPIndex)},
		{"POST", "/v2/repository/models/{name}/load", a.oip(a.postOIPLoad)},
		{"POST", "/v2/repository/models/{name}/unload", a.oip(a.postOIPUnload)},
		{"GET", "/ping", a.getMLflowHealth},
		{"GET", "/version", a.getMLflowVersion},
		{"POST", "/invocations", a.mlflow(a.postInvocations)},
		{"POST", "/models/{name}/invocations", a.mlflow(a.postInvocations)},
		{"GET", "/healthz", a.getHealth},
		{"GET", "/readyz", a.getReady},
		{"GET", "/metrics", a.getMetrics},
		{"GET", "/openapi.yaml", a.getOpenAPI},
		{"GET", "/{$}", a.getHome},
	}, a.segmentRoutes()...)
}

func (a *API) newMux(routes []route) *http.ServeMux {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+r.path, a.run(a.metrics.routes.Route(r.method+" "+r.path), r.handle))
		methods[r.path] = append(methods[r.path], r.method)
		if r.method == http.MethodGet {
			methods[r.path] = append(methods[r.path], http.MethodHead)
		}
	}
	other := a.metrics.routes.Route("other")
	for _, path := range slices.Sorted(maps.Keys(methods)) {
		if covered(path, methods) {
			continue // what its own methods leave goes to the other path
		}
		// Less specific than the routes with a method: it gets what they leave.
		mux.HandleFunc(path, a.run(other, a.inForm(path, wrongMethod(methods[path]))))
	}
	mux.HandleFunc("/v2/", a.run(other, a.oip(noRoute)))
	mux.HandleFunc("/", a.run(other, noRoute))
	return mux
}

// covered tells whether a path with a wildcard matches path as well: /v1/releases/{id} does /v1/releases/rollback.
func covered(path string, others map[string][]string) bool {
	if strings.Contains(path, "{") {
		return false
	}
	parent := path[:strings.LastIndexByte(path, '/')+1]
	for other := range others {
		if last, ok := strings.CutPrefix(other, parent); ok && strings.HasPrefix(last, "{") && last != "{$}" && !strings.Contains(last, "/") {
			return true
		}
	}
	return false
}

// inForm makes errors at path those of the protocol that the path is of.
func (a *API) inForm(path string, handle func(*response, *http.Request) error) func(*response, *http.Request) error {
	if path == "/v2" || strings.HasPrefix(path, "/v2/") {
		return a.oip(handle)
	}
	return handle
}

func wrongMethod(allowed []string) func(*response, *http.Request) error {
	allow := strings.Join(allowed, ", ")
	return func(w *response, r *http.Request) error {
		w.Header().Set("Allow", allow)
		return withStatus(http.StatusMethodNotAllowed, freshet.Errorf(freshet.InvalidArgument,
			"%s is not possible here; expected %s", clip(r.Method, 32), allow))
	}
}

func noRoute(_ *response, r *http.Request) error {
	return freshet.Errorf(freshet.NotFound, "there is nothing at %s; GET /openapi.yaml lists all routes", clip(r.URL.Path, 256))
}

// serve answers one request: its id first, then its bounds, then its route.
func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	res := a.responses.Get().(*response)
	*res = response{ResponseWriter: w, id: a.ids.of(r)}
	defer func() {
		*res = response{}
		a.responses.Put(res)
	}()
	w.Header()["X-Request-Id"] = []string{res.id}
	if a.cors(res, r) {
		a.metrics.refused.Observe(res.status, 0)
		return
	}
	if r.ContentLength != 0 {
		res.startBody(time.Now().Add(a.o.BodyTimeout))
	}
	if err := cmp.Or(a.checkTarget(r), a.checkOrigin(r)); err != nil {
		a.fail(res, r, err)
		a.metrics.refused.Observe(res.status, 0)
		return
	}
	a.mux.ServeHTTP(res, r)
}

// checkTarget refuses paths that the mux would answer in its own words.
func (a *API) checkTarget(r *http.Request) error {
	if n := len(r.URL.RawPath) + len(r.URL.Path) + len(r.URL.RawQuery); n > a.o.MaxTarget {
		return withStatus(http.StatusRequestURITooLong, freshet.Errorf(freshet.InvalidArgument,
			"path and query are over %d bytes; ask for less at once", a.o.MaxTarget))
	}
	path := r.URL.EscapedPath()
	if path == "" || path[0] != '/' || strings.Contains(path, "//") || strings.Contains(path, "/./") || strings.Contains(path, "/../") ||
		strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..") {
		return noRoute(nil, r)
	}
	return nil
}

// checkOrigin refuses what a page of another site makes a browser send: the door listens on loopback, where every page
// that its user visits can reach it.
func (a *API) checkOrigin(r *http.Request) error {
	if err := a.origins.Check(r); err != nil && !a.allowed(r.Header.Get("Origin")) {
		return freshet.FieldErrorf(freshet.PermissionDenied, "Origin", "a page of another site may not send this; call the API from a server or from a page of the same origin; for a web app of yours start the server with --allow-origin")
	}
	return nil
}

// run makes a handler of a route's function: it counts and times, answers errors, and turns a panic into a fault of the
// server that harms only this request.
func (a *API) run(counts *telemetry.Route, handle func(*response, *http.Request) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		w := rw.(*response) // serve made it
		start := time.Now()
		defer func() {
			if p := recover(); p != nil {
				a.panicked(w, r, p)
			}
			counts.Observe(w.status, time.Since(start).Seconds())
		}()
		if err := handle(w, r); err != nil {
			a.fail(w, r, err)
		}
	}
}

func (a *API) panicked(w *response, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	a.deps.Logger.Error("panic", slog.String("request_id", w.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	a.fail(w, r, freshet.Errorf(freshet.Internal, "panic: %s", fmt.Sprint(p)))
}
