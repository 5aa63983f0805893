package server

import "github.com/freshet-ml/freshet/internal/archive"

// offlineFolder is that of the offline store in the data folder, unless another is named.
const offlineFolder = "offline"

// registryFolder is that of the registry in the data folder.
const registryFolder = "registry"

// archiver moves old events from the log to the offline store.
func (s *Server) archiver() *archive.Archiver {
	return archive.New(s.log, s.offline, s.receiver.Checkpoint, archive.Options{
		Retention: s.o.LogRetention, MaxBytes: s.o.LogBytes, Now: s.o.Now, Logger: s.o.Logger,
	})
}
