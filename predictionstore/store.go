package predictionstore

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
)

// Bounds of what a prediction may hold. A composite key is several keys, percent-encoded.
const (
	maxNameBytes = 63
	maxKeyBytes  = 16 * freshet.MaxKeyBytes
	maxItems     = 10_000
	maxOutputs   = 10_000
	maxColumns   = 10_000
	maxInputs    = 1 << 20 // values of one explanation: 8 MB
)

// Options tune a Store. The zero value is ready for use.
type Options struct {
	// Now is the clock that predictions expire by. Defaults to time.Now.
	Now func() time.Time
}

// Stats count what a Store has done since it was made.
type Stats struct {
	Stored  uint64 // predictions that were put and kept
	Older   uint64 // predictions that were put and not kept, because a newer one was there
	Found   uint64 // predictions that were returned
	Expired uint64 // predictions that were there and not returned
	Swept   uint64 // predictions that were removed because they had expired
	Missing uint64 // calls of Get and GetExplained that found nothing to return, for either reason
}

// Store is the portable type in front of a Driver. All methods may be called concurrently.
type Store struct {
	d                                             Driver
	now                                           func() time.Time
	stored, older, found, expired, missing, swept atomic.Uint64
}

// New makes a Store of a driver, which it closes at its own Close. A nil o means defaults.
func New(d Driver, o *Options) *Store {
	s := &Store{d: d, now: time.Now}
	if o != nil && o.Now != nil {
		s.now = o.Now
	}
	return s
}

// Put keeps p unless a newer prediction of its pipeline and entity is kept already (Version): then stored is false. The
// store does not keep p's slices and maps. Returns InvalidArgument, naming the field, for a prediction that says not whose it
// is or does not fit together, and TooLarge for one that is over a bound.
func (s *Store) Put(ctx context.Context, p freshet.Prediction) (stored bool, err error) {
	if err := check(&p); err != nil {
		return false, err
	}
	stored, err = s.d.Put(ctx, p)
	switch {
	case err != nil:
	case stored:
		s.stored.Add(1)
	default:
		s.older.Add(1)
	}
	return stored, err
}

// Get returns the prediction of pipeline for e without its Explanation. NotFound if there is none or it has expired.
func (s *Store) Get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error) {
	return s.get(ctx, e, pipeline, s.d.Get)
}

// GetExplained is Get with the Explanation, nil if none was kept.
func (s *Store) GetExplained(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error) {
	return s.get(ctx, e, pipeline, s.d.GetExplained)
}

func (s *Store) get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName,
	read func(context.Context, freshet.Entity, freshet.PipelineName) (freshet.Prediction, error)) (freshet.Prediction, error) {
	if err := checkSubject(e, pipeline); err != nil {
		return freshet.Prediction{}, err
	}
	p, err := read(ctx, e, pipeline)
	if err == nil && s.isExpired(&p, s.moment()) {
		s.expired.Add(1)
		p, err = freshet.Prediction{}, freshet.Errorf(freshet.NotFound, "the prediction of pipeline %s for %v has expired", pipeline, e)
	}
	if err == nil {
		s.found.Add(1)
	} else if freshet.CodeOf(err) == freshet.NotFound {
		s.missing.Add(1)
	}
	return p, err
}

// List returns the predictions of e that have not expired, in the order of their pipelines' names, without Explanations.
func (s *Store) List(ctx context.Context, e freshet.Entity) ([]freshet.Prediction, error) {
	if err := checkEntity(e); err != nil {
		return nil, err
	}
	all, err := s.d.List(ctx, e)
	if err != nil {
		return nil, err
	}
	now := s.moment()
	live := slices.DeleteFunc(all, func(p freshet.Prediction) bool { return s.isExpired(&p, now) })
	s.expired.Add(uint64(len(all) - len(live)))
	s.found.Add(uint64(len(live)))
	return live, nil
}

func (s *Store) moment() freshet.Timestamp { return freshet.TimestampOf(s.now()) }

func (s *Store) isExpired(p *freshet.Prediction, now freshet.Timestamp) bool {
	return p.ExpiresAt != 0 && p.ExpiresAt <= now
}

// Delete forgets all predictions of e. A job about e that is still to run makes a new one.
func (s *Store) Delete(ctx context.Context, e freshet.Entity) error {
	if err := checkEntity(e); err != nil {
		return err
	}
	return s.d.Delete(ctx, e)
}

// Stats are the counts so far.
func (s *Store) Stats() Stats {
	return Stats{
		Stored:  s.stored.Load(),
		Older:   s.older.Load(),
		Found:   s.found.Load(),
		Expired: s.expired.Load(),
		Missing: s.missing.Load(),
		Swept:   s.swept.Load(),
	}
}

// Close closes the driver. Closing twice is no error.
func (s *Store) Close() error { return s.d.Close() }

// check says what is wrong with p.
func check(p *freshet.Prediction) error {
	if err := checkSubject(p.Entity, p.Pipeline); err != nil {
		return err
	}
	if p.Cause.Partition >= freshet.Partitions {
		return freshet.FieldErrorf(freshet.InvalidArgument, "cause", "cause: partition %d: expected 0 to %d", p.Cause.Partition, freshet.Partitions-1)
	}
	if p.Cause.Offset == 0 && p.Cause.Partition != 0 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "cause", "cause: offset 0 of partition %d: expected an offset from 1, or no partition", p.Cause.Partition)
	}
	if len(p.Items) > maxItems {
		return freshet.FieldErrorf(freshet.TooLarge, "items", "items: %d of them; at most %d are kept, lower the pipeline's top", len(p.Items), maxItems)
	}
	if len(p.Outputs) > maxOutputs {
		return freshet.FieldErrorf(freshet.TooLarge, "outputs", "outputs: %d of them; at most %d are kept", len(p.Outputs), maxOutputs)
	}
	return checkExplanation(p)
}

func checkExplanation(p *freshet.Prediction) error {
	x := p.Explanation
	if x == nil {
		return nil
	}
	if len(x.Names) > maxColumns || len(x.Inputs)*len(x.Names) > maxInputs {
		return freshet.FieldErrorf(freshet.TooLarge, "explanation", "explanation: %d items of %d inputs; at most %d columns and %d values are kept",
			len(x.Inputs), len(x.Names), maxColumns, maxInputs)
	}
	texts := 0
	for _, column := range x.Texts {
		texts += len(column)
	}
	if len(x.Texts) > maxColumns || texts > maxInputs {
		return freshet.FieldErrorf(freshet.TooLarge, "explanation", "explanation: %d texts of %d columns; at most %d columns and %d values are kept",
			texts, len(x.Texts), maxColumns, maxInputs)
	}
	if len(x.Inputs) != len(p.Items) {
		return freshet.FieldErrorf(freshet.InvalidArgument, "explanation", "explanation: inputs of %d items; expected one list for each of the %d items", len(x.Inputs), len(p.Items))
	}
	for i, in := range x.Inputs {
		if len(in) != len(x.Names) {
			return freshet.FieldErrorf(freshet.InvalidArgument, "explanation", "explanation: item %d has %d inputs; expected one for each of the %d names", i, len(in), len(x.Names))
		}
	}
	return nil
}

func checkSubject(e freshet.Entity, pipeline freshet.PipelineName) error {
	if n := len(pipeline); n < 1 || n > maxNameBytes {
		return freshet.FieldErrorf(freshet.InvalidArgument, "pipeline", "pipeline %.80q: expected a name of 1 to %d bytes", pipeline, maxNameBytes)
	}
	return checkEntity(e)
}

func checkEntity(e freshet.Entity) error {
	if n := len(e.Kind); n < 1 || n > maxNameBytes {
		return freshet.FieldErrorf(freshet.InvalidArgument, "entity", "entity %.80q: expected a kind of 1 to %d bytes", e.Kind, maxNameBytes)
	}
	if n := len(e.Key); n < 1 || n > maxKeyBytes {
		return freshet.FieldErrorf(freshet.InvalidArgument, "entity", "entity %s: expected a key of 1 to %d bytes, got %d", e.Kind, maxKeyBytes, n)
	}
	return nil
}
