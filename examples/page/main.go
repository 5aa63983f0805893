// Command page serves a web page whose recommendations change while one clicks. The page talks to its own origin only: what it may
// ask of a Freshet server is passed on from here, which is how an app keeps the server itself to itself.
package main

import (
	"embed"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet/examples"
)

//go:embed web
var web embed.FS

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where the page is served")
	server := flag.String("server", "http://127.0.0.1:8787", "the Freshet server, which serves examples/calm")
	flag.Parse()
	if err := serve(*listen, *server); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

func serve(listen, server string) error {
	handler, err := newHandler(server)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("the page is at http://%s\n", l.Addr())
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}

// passedOn are the routes of the Freshet server that the page uses; it reaches no other.
var passedOn = []string{
	"POST /v1/events", "POST /v1/predict/today", "GET /v1/users/{user}/predictions/today", "GET /v1/features/{view}",
}

// newHandler answers with the files of the page, with the catalog, and with what the server says.
func newHandler(server string) (http.Handler, error) {
	target, err := url.Parse(server)
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("%q is no address of a server; expected one such as http://127.0.0.1:8787", server)
	}
	files, err := fs.Sub(web, "web")
	if err != nil {
		return nil, err
	}
	catalog, err := catalogJSON()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /catalog.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(catalog)
	})
	proxy := proxyTo(target)
	for _, route := range passedOn {
		mux.Handle(route, proxy)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	}), nil
}

func proxyTo(target *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		// An app puts the user of its session into the path here; the page of an example may say who it is.
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadGateway)
			json.NewEncoder(w).Encode(map[string]any{"status": http.StatusBadGateway, "detail": "no answer from the Freshet server at " + target.String()})
		},
	}
}

// title is one thing that can be recommended.
type title struct {
	ID       string  `json:"id"`
	Category string  `json:"category"`
	Minutes  float64 `json:"minutes"`
	Title    string  `json:"title"`
}

func catalogJSON() ([]byte, error) {
	text, err := examples.CalmCatalog()
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		return nil, err
	}
	titles := make([]title, 0, len(rows))
	for _, row := range rows[1:] {
		minutes, err := strconv.ParseFloat(row[2], 64)
		if err != nil {
			return nil, err
		}
		titles = append(titles, title{ID: row[0], Category: row[1], Minutes: minutes, Title: row[3]})
	}
	return json.Marshal(titles)
}
