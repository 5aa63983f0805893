package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"golang.org/x/net/netutil"

	"github.com/freshet-ml/freshet"
)

// Serve answers requests on l, which it closes, until ctx ends: then it takes no new ones, ends the waits of those under
// way, gives them Options.DrainTimeout to finish, and returns nil. It returns early with an error if l fails. HTTP/1.1 and
// HTTP/2 are answered, in clear or with Options.TLS. Call it once.
func (a *API) Serve(ctx context.Context, l net.Listener) error {
	server := a.server()
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { drained <- a.shutdown(server) })
	l = netutil.LimitListener(l, a.o.MaxConns)
	var err error
	if a.o.TLS != nil {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if stop() { // ctx has not ended: the listener failed
		server.Close()
		return freshet.Errorf(freshet.Unavailable, "the HTTP listener failed: %w", err)
	}
	return <-drained
}

func (a *API) server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(a.o.TLS != nil)
	protocols.SetUnencryptedHTTP2(a.o.TLS == nil)
	return &http.Server{
		Handler:           a.Handler(),
		Protocols:         protocols,
		TLSConfig:         a.o.TLS,
		ReadHeaderTimeout: a.o.HeaderTimeout,
		// The body's time is set where the body is read: a limit for the whole request would also end waits.
		WriteTimeout:   a.o.BodyTimeout + 2*maxWait,
		IdleTimeout:    a.o.IdleTimeout,
		MaxHeaderBytes: a.o.MaxHeaderBytes,
		// What clients do wrong on the wire is not worth a line at a level that anybody looks at.
		ErrorLog: slog.NewLogLogger(a.deps.Logger.Handler(), slog.LevelDebug),
	}
}

// shutdown lets requests under way finish, within the bound.
func (a *API) shutdown(server *http.Server) error {
	a.drain()
	ctx, cancel := context.WithTimeout(context.Background(), a.o.DrainTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if err == nil {
		return nil
	}
	closed := server.Close()
	if errors.Is(err, context.DeadlineExceeded) {
		a.deps.Logger.Warn("requests were cut off at shutdown", slog.Duration("after", a.o.DrainTimeout))
		return closed
	}
	return freshet.Errorf(freshet.Internal, "shut down the HTTP server: %w", err)
}
