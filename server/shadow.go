package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
)

// shadowFolder is in the data folder: a file of lines for each release that ran in the shadow.
const shadowFolder = "shadow"

// maxShadowBytes bounds a file; what comes after is counted and not kept.
const maxShadowBytes = 256 << 20

// shadows writes what a shadow answered beside what was served, one JSON object a line, into shadow/r3.ndjson. Nothing of it
// is ever served; a crash may take the last lines.
type shadows struct {
	folder string
	erased func(*freshet.Job) bool // its entity was, while it was at work
	logger *slog.Logger

	mu   sync.Mutex
	id   freshet.ReleaseID
	file *os.File
	left int64
}

// shadowLine is a line of the file.
type shadowLine struct {
	Job      freshet.JobID        `json:"job"`
	Pipeline freshet.PipelineName `json:"pipeline"`
	Kind     freshet.EntityKind   `json:"kind"`
	Entity   freshet.Key          `json:"entity"`
	EventID  freshet.EventID      `json:"event_id"`
	At       freshet.Timestamp    `json:"at"`
	Served   freshet.ReleaseID    `json:"served_by"`
	Items    []freshet.Item       `json:"served"`
	Shadow   []freshet.Item       `json:"shadow"`
	Error    string               `json:"error,omitempty"`
}

// Keep appends a line.
func (s *shadows) Keep(rel freshet.ReleaseID, job *freshet.Job, served, made freshet.Prediction, err error) {
	line := shadowLine{
		Job: job.ID, Pipeline: job.Pipeline, Kind: job.Entity.Kind, Entity: job.Entity.Key, EventID: job.EventID, At: served.CreatedAt, Served: served.Release, Items: served.Items, Shadow: made.Items,
	}
	if err != nil {
		line.Error = err.Error()
	}
	b, err := json.Marshal(line)
	if err != nil {
		s.logger.Warn("a shadow's answer is not kept", slog.Any("error", err)) // a score that is no number
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.erased(job) { // asked here: Forget comes after the erase is known, and has been here or will be
		return
	}
	if err := s.open(rel); err != nil {
		s.logger.Warn("a shadow's answers are not kept", slog.Any("error", err))
		return
	}
	if s.left -= int64(len(b)) + 1; s.left < 0 {
		return
	}
	if _, err := s.file.Write(append(b, '\n')); err != nil {
		s.logger.Warn("a shadow's answer is not kept", slog.Any("error", err))
	}
}

// open has the file of a release open. The caller holds mu.
func (s *shadows) open(rel freshet.ReleaseID) error {
	if s.file != nil && s.id == rel {
		return nil
	}
	if err := s.close(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.folder, string(rel)+".ndjson"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s.file, s.id, s.left = f, rel, maxShadowBytes-info.Size()
	return nil
}

// Forget takes the lines about an entity out of all files, durably. What is kept meanwhile waits.
func (s *shadows) Forget(ctx context.Context, entity freshet.Entity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.close(); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(s.folder, "*"+nextFile)) // by a crash in the midst of this
	if err != nil {
		return err
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(s.folder, "*.ndjson"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := forgetIn(file, entity); err != nil {
			return freshet.Errorf(freshet.Internal, "shadow file %s: %w", file, err)
		}
	}
	return nil
}

// nextFile ends the name of a file that is written anew.
const nextFile = ".next"

// forgetIn writes the file anew without the lines about entity, if it has any.
func forgetIn(file string, entity freshet.Entity) error {
	b, err := os.ReadFile(file) // at most maxShadowBytes
	if err != nil {
		return err
	}
	kept := make([]byte, 0, len(b))
	for text := range bytes.Lines(b) {
		var line shadowLine
		if json.Unmarshal(text, &line) == nil && line.Kind == entity.Kind && line.Entity == entity.Key {
			continue
		}
		kept = append(kept, text...)
	}
	if len(kept) == len(b) {
		return nil
	}
	next := file + nextFile
	f, err := os.Create(next)
	if err != nil {
		return err
	}
	_, err = f.Write(kept)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, file); err != nil {
		return err
	}
	return disk.SyncFolder(vfs.Default, filepath.Dir(file))
}

// shadowed counts the lines in a folder of shadows for which about is true.
func shadowed(folder string, about func(line *shadowLine, text []byte) bool) (n int, err error) {
	files, err := os.ReadDir(folder)
	if os.IsNotExist(err) {
		return 0, nil
	}
	for _, file := range files {
		b, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return n, err
		}
		for text := range bytes.Lines(b) {
			var line shadowLine
			_ = json.Unmarshal(text, &line) // the last line may be cut off
			if about(&line, text) {
				n++
			}
		}
	}
	return n, err
}

func (s *shadows) close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

// Close closes the file.
func (s *shadows) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}
