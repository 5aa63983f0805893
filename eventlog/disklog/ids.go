package disklog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// idHash stands for an entity kind and an event id. Two of n ids of a horizon have the same with a chance below n²/2¹²⁹:
// 10⁻¹⁹ for ten billion. The seed is the store's secret, so that no sender can make ids that meet.
type idHash = xxh3.Uint128

const (
	dayMillis freshet.Timestamp = 24 * 60 * 60 * 1000
	// slackMillis keeps ids somewhat longer than the horizon, for events that overtake each other on their way in.
	slackMillis = dayMillis / 24

	maxGroupIDs = 256 // in a map that is used again for the next group
)

// ids is the index of accepted ids: in Pebble by day of ingest, so that a whole day is forgotten at once, with a filter
// for each day in memory, because nearly all ids are new. It belongs to the committer; only scan runs beside it.
type ids struct {
	db      *pebble.DB
	seed    uint64
	horizon freshet.Timestamp // milliseconds
	latest  freshet.Timestamp // the largest ingest time accepted
	days    []*idDay          // oldest first
	budget  filterBudget

	// The group at hand: its ids are not in Pebble yet.
	group     map[idHash]freshet.Timestamp
	additions []idAddition
	err       error
	hashes    []idHash // scratch, of one entry
	text      []byte   // scratch
	key       []byte   // scratch

	scanned  atomic.Pointer[scannedIDs] // handed over by scan, once
	snapshot *pebble.Snapshot           // for scan: what was there at the start
}

// idDay are the ids accepted on one day since 1970.
type idDay struct {
	number  uint32
	filters []filter // all ids since the start and, once it is scanned, those before
	// complete: the filters know every id of the day. Until then Pebble is asked.
	complete bool
}

type idAddition struct {
	day    uint32
	hash   idHash
	ingest freshet.Timestamp
}

// scannedIDs are filters of all ids that the store had when it was opened, by day.
type scannedIDs map[uint32]*filter

// openIDs finds the days that the store has. The caller must run scan.
func openIDs(db *disk.DB, horizon time.Duration, filterBytes int) (*ids, error) {
	s := &ids{
		db:      db.Pebble(),
		seed:    db.Seed(),
		horizon: freshet.Timestamp(horizon.Milliseconds()),
		group:   map[idHash]freshet.Timestamp{},
	}
	s.budget.left.Store(int64(filterBytes))
	it, err := s.db.NewIter(allIDs())
	if err != nil {
		return nil, indexError(err)
	}
	defer it.Close()
	for ok := it.First(); ok; {
		number, _, isID := splitIDKey(it.Key())
		if !isID {
			return nil, freshet.Errorf(freshet.Internal, "event log: %x is no key of an event id", it.Key())
		}
		s.days = append(s.days, &idDay{number: number})
		s.latest = freshet.Timestamp(number) * dayMillis // the day is enough to know what may be forgotten
		ok = it.SeekGE(idDayKey(number + 1))
	}
	if err := it.Error(); err != nil {
		return nil, indexError(err)
	}
	s.snapshot = s.db.NewSnapshot()
	return s, nil
}

func allIDs() *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: idDayKey(0), UpperBound: []byte{disk.PrefixEventIDs + 1}}
}

func indexError(err error) error {
	return freshet.Errorf(freshet.Internal, "event log: index of event ids: %w", err)
}

// scanStretch is how many ids scan reads without a rest: a fraction of a millisecond.
const scanStretch = 1024

// scan fills filters with the ids of the store as it was opened, beside the committer, which asks Pebble meanwhile. It rests as long as
// it works: on a machine of few cores, a start is when compactions want one, and a request that comes in while both are taken
// would have to wait until Go's scheduler looks for it, ten milliseconds.
func (s *ids) scan(closing <-chan struct{}) {
	defer s.snapshot.Close()
	it, err := s.snapshot.NewIter(allIDs())
	if err != nil {
		return // Pebble goes on being asked
	}
	defer it.Close()
	found := scannedIDs{}
	began := time.Now()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n%scanStretch == 0 {
			select {
			case <-closing:
				return
			case <-time.After(time.Since(began)):
				began = time.Now()
			}
		}
		day, hash, _ := splitIDKey(it.Key())
		f := found[day]
		if f == nil {
			f = &filter{}
			found[day] = f
		}
		f.add(hash, &s.budget)
	}
	if it.Error() == nil {
		s.scanned.Store(&found)
	}
}

// begin starts a group.
func (s *ids) begin() {
	if found := s.scanned.Swap(nil); found != nil {
		s.trust(*found)
	}
	if len(s.group) > maxGroupIDs {
		s.group = map[idHash]freshet.Timestamp{} // to clear a map costs as much as it ever held
	}
	clear(s.group)
	s.additions = s.additions[:0]
	s.err = nil
}

func (s *ids) trust(found scannedIDs) {
	for _, d := range s.days {
		if f := found[d.number]; f != nil {
			d.filters = append(d.filters, *f)
			delete(found, d.number)
		}
		d.complete = true
	}
	for _, f := range found { // of days forgotten meanwhile
		s.budget.giveBack(f.bytes())
	}
}

// addUnlessKnown adds the event's id for each of its entity kinds and returns false, or changes nothing and returns true
// if it is known for any of them. After an error, which end returns, the answer means nothing.
func (s *ids) addUnlessKnown(e *eventlog.Entry) (known bool) {
	s.hashes = s.hashes[:0]
	for _, entity := range e.Entities {
		s.hashes = append(s.hashes, s.hash(entity.Kind, e.Event.ID))
	}
	ingest := e.Event.IngestTime
	for _, h := range s.hashes {
		if s.known(h, ingest) {
			return true
		}
	}
	day := s.day(ingest)
	for _, h := range s.hashes {
		day.filters[0].add(h, &s.budget)
		s.group[h] = ingest
		s.additions = append(s.additions, idAddition{day: day.number, hash: h, ingest: ingest})
	}
	s.latest = max(s.latest, ingest)
	return false
}

func (s *ids) hash(kind freshet.EntityKind, id freshet.EventID) idHash {
	s.text = binary.AppendUvarint(s.text[:0], uint64(len(kind)))
	s.text = append(s.text, kind...)
	s.text = append(s.text, id...)
	return xxh3.Hash128Seed(s.text, s.seed)
}

// known says whether the id was accepted less than the horizon before ingest. Its last acceptance decides: first the
// group's own, then the newest day's.
func (s *ids) known(h idHash, ingest freshet.Timestamp) bool {
	asked := false
	for i := len(s.days) - 1; i >= 0; i-- {
		d := s.days[i]
		if d.end() <= ingest-s.horizon || !d.mayHave(h) {
			continue
		}
		if !asked {
			asked = true
			if accepted, ok := s.group[h]; ok {
				return ingest-accepted < s.horizon
			}
		}
		if accepted, ok := s.accepted(d, h); ok {
			return ingest-accepted < s.horizon
		}
	}
	return false
}

// accepted asks Pebble when the id was accepted on that day.
func (s *ids) accepted(d *idDay, h idHash) (freshet.Timestamp, bool) {
	s.key = appendIDKey(s.key[:0], d.number, h)
	value, closer, err := s.db.Get(s.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false
	}
	if err != nil {
		s.err = indexError(err)
		return 0, false
	}
	defer closer.Close()
	if len(value) != 4 {
		s.err = freshet.Errorf(freshet.Internal, "event log: index of event ids: value of %d bytes, expected 4", len(value))
		return 0, false
	}
	return d.start() + freshet.Timestamp(binary.BigEndian.Uint32(value)), true
}

// day is the day of ingest, made if there is none.
func (s *ids) day(ingest freshet.Timestamp) *idDay {
	number := uint32(ingest / dayMillis)
	i, ok := slices.BinarySearchFunc(s.days, number, func(d *idDay, n uint32) int { return cmp.Compare(d.number, n) })
	if !ok {
		s.days = slices.Insert(s.days, i, &idDay{number: number, complete: true})
	}
	if d := s.days[i]; len(d.filters) == 0 {
		d.filters = append(d.filters, filter{})
	}
	return s.days[i]
}

// end puts the group's ids into b, and the removal of days that no event can meet any more.
func (s *ids) end(b *pebble.Batch) error {
	var value [4]byte
	for _, a := range s.additions {
		s.key = appendIDKey(s.key[:0], a.day, a.hash)
		binary.BigEndian.PutUint32(value[:], uint32(a.ingest-freshet.Timestamp(a.day)*dayMillis))
		_ = b.Set(s.key, value[:], nil) // a batch in memory takes everything
	}
	s.forget(b)
	return s.err
}

func (s *ids) forget(b *pebble.Batch) {
	n := 0
	for n < len(s.days) && s.latest-s.days[n].end() >= s.horizon+slackMillis {
		s.budget.giveBack(s.days[n].bytes())
		n++
	}
	if n == 0 {
		return
	}
	_ = b.DeleteRange(idDayKey(0), idDayKey(s.days[n-1].number+1), nil)
	s.days = slices.Delete(s.days, 0, n)
}

func (d *idDay) start() freshet.Timestamp { return freshet.Timestamp(d.number) * dayMillis }

func (d *idDay) end() freshet.Timestamp { return d.start() + dayMillis }

func (d *idDay) mayHave(h idHash) bool {
	if !d.complete {
		return true
	}
	for i := range d.filters {
		if d.filters[i].mayHave(h) {
			return true
		}
	}
	return false
}

func (d *idDay) bytes() int {
	n := 0
	for i := range d.filters {
		n += d.filters[i].bytes()
	}
	return n
}
