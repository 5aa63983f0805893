package server

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/release"
)

// name gives rel the name of the release that was live last, if its content is the same, else the next one. What is live
// is on disk before anything is served under its name.
func (s *Server) name(rel *release.Opened) error {
	last, err := s.lastRelease()
	if err != nil {
		return err
	}
	if last.Digest == rel.Manifest().Digest {
		rel.Name(last.ID, last.CreatedAt)
		return nil
	}
	n := 0
	if last.ID != "" {
		if n, err = strconv.Atoi(string(last.ID[1:])); err != nil {
			return freshet.Errorf(freshet.Internal, "release %q on disk has no number", last.ID)
		}
	}
	rel.Name(freshet.ReleaseID(fmt.Sprintf("r%d", n+1)), freshet.TimestampOf(s.o.Now()))
	b, err := json.Marshal(rel.Manifest())
	if err != nil {
		return err
	}
	return s.db.Pebble().Set(releaseKey(), b, pebble.Sync)
}

// lastRelease is the manifest of the release that was live last, the zero one on a new data folder.
func (s *Server) lastRelease() (freshet.Release, error) {
	var last freshet.Release
	b, closer, err := s.db.Pebble().Get(releaseKey())
	if err == pebble.ErrNotFound {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	defer closer.Close()
	if err := json.Unmarshal(b, &last); err != nil {
		return last, freshet.Errorf(freshet.Internal, "the release on disk cannot be read: %w", err)
	}
	return last, nil
}

func releaseKey() []byte { return []byte{disk.PrefixRelease} }
