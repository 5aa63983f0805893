package benchapp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/freshet-ml/freshet"
)

// Pool is how many different events there are; then they come again, with new ids and times. It is a multiple of block.
const Pool = 200_000

// block is how many events hold the shares of types and of jobs exactly: 7 plays, 2 of them completed, 2 biometric
// readings, 1 search.
const block = 10

// Every event begins with its id and its time, at places known in advance: these are written when it is sent, the rest is
// there before.
const (
	idAt       = len(`{"event_id":"`)
	idBytes    = 16
	timeAt     = idAt + idBytes + len(`","event_time":"`)
	timeLayout = "2026-01-02T15:04:05.000Z"
)

// Events are the events of the app: event i is always the same one but for its id and time. Safe for concurrent use.
type Events struct {
	run   uint32
	text  []byte
	ends  []int32 // of each event of the pool, in text
	users []int32
	jobs  []bool
}

// NewEvents generates the events of seed. run goes into the ids: two runs against one server need different ones, or the
// second would send duplicates only.
func NewEvents(seed uint64, run uint32) *Events { return newEvents(seed, run, Pool, Users) }

// NewEventsOf generates events of fewer users, who therefore have more each.
func NewEventsOf(seed uint64, run uint32, users int) *Events {
	return newEvents(seed, run, Pool, users)
}

// newEvents makes n different events, a multiple of block.
func newEvents(seed uint64, run uint32, n, users int) *Events {
	r := random(seed, partEvents)
	e := &Events{run: run}
	for range n / block {
		for _, k := range r.Perm(block) {
			user := r.IntN(users)
			e.text = fmt.Appendf(e.text, `{"event_id":"%016x","event_time":"%s",`, 0, timeLayout)
			e.text = appendBody(e.text, r, k, user)
			e.ends = append(e.ends, int32(len(e.text)))
			e.users = append(e.users, int32(user))
			e.jobs = append(e.jobs, k < completed)
		}
	}
	return e
}

// The events of a block by their number k.
const (
	completed  = 2
	plays      = 7
	biometrics = plays + 2
)

var queries = []string{"can't sleep", "rain sounds", "focus music", "morning movement", "breathing", "calm down", "deep work", "back pain"}

func appendBody(dst []byte, r *rand.Rand, k, user int) []byte {
	switch {
	case k < plays:
		title := r.IntN(Titles)
		seconds := 5 + r.Float64()*60
		if k < completed {
			seconds = 180 + r.Float64()*1200
		}
		return fmt.Appendf(dst, `"type":"play","user_id":"%s","content_id":"%s","category":"%s","seconds":%.1f,"completed":%t}`,
			userID(user), titleID(title), categories[title%len(categories)], seconds, k < completed)
	case k < biometrics:
		return fmt.Appendf(dst, `"type":"biometric","user_id":"%s","heart_rate":%.1f,"steps":%d}`,
			userID(user), 55+r.Float64()*50, r.IntN(60))
	}
	return fmt.Appendf(dst, `"type":"search","user_id":"%s","query":"%s"}`, userID(user), queries[r.IntN(len(queries))])
}

// Append appends event i, without a line end, as happening at.
func (e *Events) Append(dst []byte, i int, at freshet.Timestamp) []byte {
	begin := len(dst)
	dst = append(dst, e.template(i)...)
	ev := dst[begin:]
	id := e.id(i)
	copy(ev[idAt:], id[:])
	var scratch [2 * len(timeLayout)]byte // formatting in place would write over what follows
	copy(ev[timeAt:], at.AppendFormat(scratch[:0]))
	return dst
}

// ID is the id of event i.
func (e *Events) ID(i int) freshet.EventID {
	id := e.id(i)
	return freshet.EventID(id[:])
}

func (e *Events) id(i int) (id [idBytes]byte) {
	var b [idBytes / 2]byte
	binary.BigEndian.PutUint32(b[:], e.run)
	binary.BigEndian.PutUint32(b[4:], uint32(i))
	hex.Encode(id[:], b[:])
	return id
}

// Size is the length of event i in bytes.
func (e *Events) Size(i int) int { return len(e.template(i)) }

func (e *Events) template(i int) []byte {
	n := i % len(e.ends)
	begin := int32(0)
	if n > 0 {
		begin = e.ends[n-1]
	}
	return e.text[begin:e.ends[n]]
}

// MakesJob reports whether event i makes a job of Pipeline.
func (e *Events) MakesJob(i int) bool { return e.jobs[i%len(e.jobs)] }

// AppendPlay appends play i of any number of users, without a line end: a short event of its own, as happening at.
func (e *Events) AppendPlay(dst []byte, i, user int, at freshet.Timestamp) []byte {
	id := e.id(i)
	dst = append(append(append(dst, `{"event_id":"`...), id[:]...), `","event_time":"`...)
	dst = append(at.AppendFormat(dst), `","type":"play","user_id":"`...)
	dst = AppendUser(dst, user)
	dst = append(dst, `","content_id":"t001","category":"`...)
	dst = append(append(dst, categories[i%len(categories)]...), `","seconds":`...)
	dst = strconv.AppendInt(dst, int64(5+i%1200), 10)
	return append(strconv.AppendBool(append(dst, `,"completed":`...), i%3 == 0), '}')
}

// AppendUser appends the id of user n, of any number of users.
func AppendUser(dst []byte, n int) []byte {
	dst = append(dst, 'u')
	for limit := 100_000; limit > 1 && n < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// User is the user of event i.
func (e *Events) User(i int) string { return userID(int(e.users[i%len(e.users)])) }

// NumberOf is the number of the user of event i, whose key is UserKey of it.
func (e *Events) NumberOf(i int) int { return int(e.users[i%len(e.users)]) }

// UserKey is the key of user n.
func UserKey(n int) freshet.Key { return freshet.Key(userID(n)) }
