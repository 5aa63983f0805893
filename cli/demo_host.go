package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/examples"
	"github.com/freshet-ml/freshet/server"
)

// demoHost is the server of the demo, in this process, and the folder it lives in.
type demoHost struct {
	url    string
	moved  string // the address that was taken, if another had to be found
	folder string // temporary: the project, and the data unless they are kept
	kept   string // folder of the data, if the user named one
	log    *lastLine

	cancel context.CancelFunc
	ended  chan error // what the server's Run returned
}

// startDemoHost unpacks the example app and serves it.
func startDemoHost(ctx context.Context, listen, data string, sh *shell) (*demoHost, error) {
	folder, err := os.MkdirTemp("", "freshet-demo-")
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "no temporary folder for the demo: %w", err)
	}
	h := &demoHost{folder: folder, kept: data, log: &lastLine{}, ended: make(chan error, 1)}
	if err := h.start(ctx, listen, sh); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return h, nil
}

func (h *demoHost) start(ctx context.Context, listen string, sh *shell) error {
	project := filepath.Join(h.folder, "calm")
	if err := examples.UnpackCalm(project); err != nil {
		return freshet.Errorf(freshet.Internal, "unpack the example app: %w", err)
	}
	data := h.kept
	if data == "" {
		data = filepath.Join(h.folder, "data")
	}
	free, err := freeAddress(listen)
	if err != nil {
		return err
	}
	if free != listen {
		h.moved = listen
	}
	s, err := server.New(ctx, server.Options{
		Project: project, Data: data, Listen: free, Runtimes: sh.runtimes, OnFatal: sh.fatal,
		Logger: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return freshet.Errorf("", "%w", err)
	}
	h.url = "http://" + s.Addr()
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it ends by stop, after the traffic
	go func() { h.ended <- s.Run(ctx) }()
	return nil
}

// freeAddress is listen, or a free port of its host if it is taken.
func freeAddress(listen string) (string, error) {
	l, err := net.Listen("tcp", listen)
	if err == nil {
		return listen, l.Close()
	}
	host, _, splitErr := net.SplitHostPort(listen)
	if splitErr != nil || !errors.Is(err, syscall.EADDRINUSE) {
		return "", freshet.FieldErrorf(freshet.InvalidArgument, "listen", "--listen %s: %w", listen, err)
	}
	return net.JoinHostPort(host, "0"), nil
}

// stop ends the server and removes what is temporary.
func (h *demoHost) stop() error {
	h.cancel()
	return errors.Join(<-h.ended, os.RemoveAll(h.folder))
}

func (h *demoHost) describe() string {
	text := h.url
	if h.moved != "" {
		text += fmt.Sprintf(" (%s is taken)", h.moved)
	}
	if h.kept != "" {
		text += ", data in " + h.kept
	}
	return text
}

// lastLine keeps the last line that the server logged: a table has no room for a log.
type lastLine struct {
	mu   sync.Mutex
	text string
}

func (l *lastLine) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = strings.TrimSpace(string(b))
	return len(b), nil
}

func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}
