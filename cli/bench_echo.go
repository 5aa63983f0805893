package cli

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet/internal/loadgen"
)

// benchEchoCommand serves an echo on a free port until it is interrupted. It is a process of its own, as the server under
// test is, so that both share the cores with the load in the same way.
type benchEchoCommand struct{}

// Run serves until ctx ends.
func (benchEchoCommand) Run(ctx context.Context, sh *shell) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := sh.announce(l.Addr().String()); err != nil {
		return err
	}
	s := &http.Server{Handler: loadgen.Echo(), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// echo runs a load against an echo server: the same requests, connections and client as the server under test has had.
func (b *bench) echo(ctx context.Context, load loadgen.Load, run func(loadgen.Load, *atomic.Int64) (loadgen.Result, error)) (loadgen.Result, error) {
	child, err := startBenchChild(ctx, "bench", "echo")
	if err != nil {
		return loadgen.Result{}, err
	}
	defer child.stop()
	load.Addr, load.Answered = strings.TrimPrefix(child.url, "http://"), nil
	return run(load, new(atomic.Int64))
}
