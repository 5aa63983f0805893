package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/erase"
	"github.com/freshet-ml/freshet/internal/history"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/diskqueue"
	"github.com/freshet-ml/freshet/offlinestore"
	"github.com/freshet-ml/freshet/offlinestore/diroffline"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/diskoutbox"
	"github.com/freshet-ml/freshet/predictionstore/diskpredictions"
)

// wholeKey is how long a key must be for its bytes to be looked for anywhere: a short one stands by chance in much else.
const wholeKey = 8

// Traces looks through the data folder of a server that does not run for anything about the entity of spec with key, and lists
// where it is found, a line for each kind of data: nothing, if it was forgotten. All that is stored is read: every event of log and
// offline store, every row, job, dead letter, prediction, and every other record. Errors are those of Export.
func Traces(ctx context.Context, data, offline string, spec feature.EntitySpec, key freshet.Key) (found []string, err error) {
	if _, err := os.Stat(data); err != nil {
		return nil, freshet.FieldErrorf(freshet.NotFound, "data", "data folder: %w", err)
	}
	db, err := disk.Open(data, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	v := verification{e: freshet.Entity{Kind: spec.Kind, Key: key}, counts: map[string]int{}, keyFields: len(spec.KeyFields)}
	if v.names, err = erase.NewNames(spec, key); err != nil {
		return nil, err
	}
	if err := v.events(ctx, db, data, offline); err != nil {
		return nil, err
	}
	if err := v.records(db.Pebble()); err != nil {
		return nil, err
	}
	if err := v.typed(ctx, db); err != nil {
		return nil, err
	}
	v.counts["answers of shadows"], err = shadowed(filepath.Join(data, shadowFolder), func(line *shadowLine, text []byte) bool {
		return line.Kind == v.e.Kind && line.Entity == key || len(key) >= wholeKey && bytes.Contains(text, []byte(key))
	})
	if err != nil {
		return nil, err
	}
	for _, what := range []string{"events", "events about others", "rows", "rows of push tables", "jobs", "dead letters", "predictions", "devices, preferences and messages", "refused events", "answers of shadows", "records of other kinds"} {
		if n := v.counts[what]; n > 0 {
			found = append(found, fmt.Sprintf("%d %s", n, what))
		}
	}
	return found, nil
}

// verification counts what is found.
type verification struct {
	e         freshet.Entity
	names     *erase.Names
	counts    map[string]int
	keyFields int
}

func (v *verification) events(ctx context.Context, db *disk.DB, data, offline string) (err error) {
	driver, err := disklog.New(db, nil)
	if err != nil {
		return err
	}
	log := eventlog.New(driver)
	defer func() { err = errors.Join(err, log.Close()) }()
	if offline == "" {
		offline = filepath.Join(data, offlineFolder)
	}
	files, err := diroffline.Open(offline, nil)
	if err != nil {
		return err
	}
	old := offlinestore.New(files)
	defer func() { err = errors.Join(err, old.Close()) }()
	past := history.New(log, old)
	for p := range freshet.Partition(freshet.Partitions) {
		for r, err := range past.Scan(ctx, p, eventlog.Scan{}) {
			if err != nil {
				return err
			}
			v.event(r)
		}
		// The offline store may hold what the log has not trimmed yet; Scan reads that from the log.
		c, err := old.Open(ctx, p, eventlog.Scan{From: log.Start(p)})
		if err != nil {
			return err
		}
		err = v.rest(ctx, c)
		if err = errors.Join(err, c.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) rest(ctx context.Context, c offlinestore.Cursor) error {
	for {
		records, err := c.Next(ctx, nil, 1024)
		if err != nil || len(records) == 0 {
			return err
		}
		for i := range records {
			v.event(&records[i])
		}
	}
}

func (v *verification) event(r *eventlog.Record) {
	switch {
	case r.Entity == v.e:
		v.counts["events"]++
	case v.names.In(r.Event.Payload), len(v.e.Key) >= wholeKey && bytes.Contains(r.Event.Payload, []byte(v.e.Key)):
		v.counts["events about others"]++
	}
}

// records goes over everything in the store: rows and tables by their keys, and anything by its bytes if the key is long enough.
func (v *verification) records(db *pebble.DB) (err error) {
	it, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	key := []byte(v.e.Key)
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		switch {
		case len(k) == 10+len(key) && k[0] == disk.PrefixFeatures && bytes.HasSuffix(k, key):
			v.counts["rows"]++
		case k[0] == disk.PrefixTables && endsText(k[:len(k)-min(len(k), len(key))]) && bytes.HasSuffix(k, key):
			v.counts["rows of push tables"]++
		case len(key) < wholeKey, k[0] == disk.PrefixEvents:
			// looked at elsewhere
		case bytes.Contains(k, key), bytes.Contains(it.Value(), key):
			v.counts["records of other kinds"]++
		}
	}
	return it.Error()
}

// endsText tells whether a key's beginning ends where a text in it does.
func endsText(k []byte) bool { return bytes.HasSuffix(k, []byte{0, 1}) }

// jobs counts the entity's among those that list gives, page after page.
func (v *verification) jobs(list func(after string) (jobs []jobqueue.Info, next string, err error)) error {
	for after := ""; ; {
		jobs, next, err := list(after)
		if err != nil {
			return err
		}
		for i := range jobs {
			if jobs[i].Job.Entity == v.e {
				v.counts["jobs"]++
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// typed asks the queue and the predictions by what they mean.
func (v *verification) typed(ctx context.Context, db *disk.DB) (err error) {
	q, err := diskqueue.New(db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	const page = 1000
	outstanding := func(after string) ([]jobqueue.Info, string, error) { return q.List(ctx, false, after, page) }
	done := func(after string) ([]jobqueue.Info, string, error) { return q.Done(ctx, after, page) }
	if err := v.jobs(outstanding); err != nil {
		return err
	}
	if err := v.jobs(done); err != nil {
		return err
	}
	for after := freshet.JobID(""); ; {
		letters, err := q.DeadLetters(ctx, after, page)
		if err != nil {
			return err
		}
		for i := range letters {
			if letters[i].Job.Entity == v.e {
				v.counts["dead letters"]++
			}
		}
		if len(letters) < page {
			break
		}
		after = letters[page-1].Job.ID
	}
	if v.counts["devices, preferences and messages"], err = v.people(ctx, db); err != nil {
		return err
	}
	values, err := v.e.Key.Split(v.keyFields)
	if err != nil {
		return err
	}
	if err := (refusals{db.Pebble()}).All(func(_ uint64, e refused.Event) {
		if e.Mentions(values) {
			v.counts["refused events"]++
		}
	}); err != nil {
		return err
	}
	store := diskpredictions.New(db, nil)
	defer func() { err = errors.Join(err, store.Close()) }()
	list, err := store.List(ctx, v.e)
	v.counts["predictions"] += len(list)
	return err
}

// people counts what the outbox has about a user.
func (v *verification) people(ctx context.Context, db *disk.DB) (n int, err error) {
	box, err := outbox.New(ctx, diskoutbox.New(db), nil)
	if err != nil || v.e.Kind != project.PushEntity {
		return 0, err
	}
	defer func() { err = errors.Join(err, box.Close()) }()
	if n, err = box.Holds(ctx, v.e.Key); err != nil {
		return 0, err
	}
	const page = 1000
	for after := freshet.JobID(""); ; {
		list, err := box.Messages(ctx, "", after, page) // all: one that is in no index of its user would be a trace, too
		if err != nil {
			return 0, err
		}
		for i := range list {
			if list[i].User == v.e.Key {
				n++
			}
		}
		if len(list) < page {
			return n, nil
		}
		after = list[page-1].ID
	}
}
