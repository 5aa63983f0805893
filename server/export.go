package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/history"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/trainingset"
	"github.com/freshet-ml/freshet/offlinestore"
	"github.com/freshet-ml/freshet/offlinestore/diroffline"
)

// Export writes a training set from the events in the data folder of a server that does not run, with the views and
// tables of rel. offline is the folder of its offline store, "" for the one in data. Returns NotFound if there is no such
// folder, Unavailable while a server uses it, and the errors of trainingset.Write.
func Export(ctx context.Context, data, offline string, rel *release.Opened, o trainingset.Options) (s trainingset.Summary, err error) {
	if _, err := os.Stat(data); err != nil { // to open it would make it
		return s, freshet.FieldErrorf(freshet.NotFound, "data", "data folder: %w", err)
	}
	db, err := disk.Open(data, nil)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	driver, err := disklog.New(db, nil)
	if err != nil {
		return s, err
	}
	log := eventlog.New(driver)
	defer func() { err = errors.Join(err, log.Close()) }()
	if offline == "" {
		offline = filepath.Join(data, offlineFolder)
	}
	files, err := diroffline.Open(offline, nil)
	if err != nil {
		return s, err
	}
	old := offlinestore.New(files)
	defer func() { err = errors.Join(err, old.Close()) }()
	return trainingset.Write(ctx, history.New(log, old), rel, o)
}
