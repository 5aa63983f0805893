// Package freshet is the vocabulary of Freshet: the nouns that every other package speaks about (Event, Row, Job,
// Prediction, Release), the types of their ids and units, and the closed list of error codes. It imports the standard
// library only and holds no behaviour beyond encoding, comparing and validating these nouns; work is done by the layers.
package freshet

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Ids. Each is its own type so that a signature says what it wants.
type (
	EventID      string // chosen by the sender, 1 to 128 bytes; compared as bytes
	EventType    string // one of the project file's event types
	EntityKind   string // what features are about: "user", "content"
	ViewName     string
	FeatureName  string
	TableName    string
	ModelName    string
	PipelineName string
	ReleaseID    string // "r1", "r2", …
	Digest       string // "sha256:" and 64 hexadecimal digits
	ViewID       uint64 // the first eight bytes of a view's digest: names its rows
	JobID        string // PIPELINE-PARTITION-OFFSET: the same cause makes the same id
)

// Limits of the event contract (features.md §1).
const (
	MaxEventIDBytes = 128
	MaxKeyBytes     = 256
	MaxEntities     = 16 // that one event is about
	// MaxTextBytes bounds a field of type string or strings, all texts of the list together: rows keep up to a thousand of them.
	MaxTextBytes = 64 << 10
)

// Timestamp is a moment in whole milliseconds since 1970-01-01T00:00Z.
type Timestamp int64

// The first and the last moment that an event may have: 1970 … 9999.
const (
	MinTimestamp Timestamp = 0
	MaxTimestamp Timestamp = 253402300799999
)

// TimestampOf truncates t to whole milliseconds.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMilli()) }

// Time is the same moment as a time.Time in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add shifts t by d, which is truncated to whole milliseconds.
func (t Timestamp) Add(d time.Duration) Timestamp { return t + Timestamp(d.Milliseconds()) }

// Sub is the distance from u to t; the longest there is, some 292 years, if it is longer.
func (t Timestamp) Sub(u Timestamp) time.Duration {
	const longest = Timestamp(math.MaxInt64 / int64(time.Millisecond))
	return time.Duration(max(-longest, min(t-u, longest))) * time.Millisecond
}

const timestampLayout = "2006-01-02T15:04:05.000Z"

// String is RFC 3339 in UTC with three decimals, as the API writes every time.
func (t Timestamp) String() string { return t.Time().Format(timestampLayout) }

// AppendFormat appends String to dst without allocating.
func (t Timestamp) AppendFormat(dst []byte) []byte {
	return t.Time().AppendFormat(dst, timestampLayout)
}

// MarshalJSON writes String in quotes.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	return append(t.AppendFormat([]byte{'"'}), '"'), nil
}

// UnmarshalJSON reads what ParseTimestamp reads, quoted or as a number of milliseconds.
func (t *Timestamp) UnmarshalJSON(b []byte) error {
	if s, err := strconv.Unquote(string(b)); err == nil {
		v, err := ParseTimestamp(s)
		*t = v
		return err
	}
	ms, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return Errorf(InvalidArgument, "time %s: expected RFC 3339 with zone or epoch milliseconds", b)
	}
	*t = Timestamp(ms)
	return t.check()
}

// ParseTimestamp reads RFC 3339 with a zone, truncated to milliseconds. Returns InvalidArgument for anything else and
// for moments outside 1970 … 9999.
func ParseTimestamp(s string) (Timestamp, error) {
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, Errorf(InvalidArgument, "time %q: expected RFC 3339 with zone, such as 2025-03-03T12:00:00Z", s)
	}
	t := TimestampOf(v)
	return t, t.check()
}

func (t Timestamp) check() error {
	if t < MinTimestamp || t > MaxTimestamp {
		return Errorf(InvalidArgument, "time %d ms is outside 1970 … 9999", int64(t))
	}
	return nil
}

// Key names one entity of its kind: the raw key field, or for a composite key JoinKey of its values. Compared as bytes.
type Key string

// JoinKey makes the key of an entity from its key fields in declared order. One value is itself; of several, each is
// percent-encoded and they are joined by commas, so that no two lists give the same key. The API writes composite keys
// in paths the same way.
func JoinKey(values ...string) Key {
	if len(values) == 1 {
		return Key(values[0])
	}
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = strings.ReplaceAll(url.PathEscape(v), ",", "%2C")
	}
	return Key(strings.Join(escaped, ","))
}

// Split is the inverse of JoinKey for an entity of n key fields. Returns InvalidArgument if k is not such a key.
func (k Key) Split(n int) ([]string, error) {
	if n == 1 {
		return []string{string(k)}, nil
	}
	parts := strings.Split(string(k), ",")
	if len(parts) != n {
		return nil, Errorf(InvalidArgument, "key %q: expected %d values joined by commas", k, n)
	}
	for i, p := range parts {
		v, err := url.PathUnescape(p)
		if err != nil {
			return nil, Errorf(InvalidArgument, "key %q: value %d is not percent-encoded text", k, i+1)
		}
		parts[i] = v
	}
	return parts, nil
}

// Entity is one user, one content item, …: what a row, a job and a prediction are about.
type Entity struct {
	Kind EntityKind
	Key  Key
}

func (e Entity) String() string { return fmt.Sprintf("%s %q", e.Kind, string(e.Key)) }

// Event is one accepted user action. It is not changed after the log has taken it.
type Event struct {
	ID         EventID
	Type       EventType
	EventTime  Timestamp // on the device, after the correction of clock skew and never after IngestTime
	IngestTime Timestamp // when the server took it
	// Payload is the JSON object as it was sent, unknown fields included. Event time and id stand in the fields above,
	// which win over what the payload says.
	Payload []byte
}

// Row is what a feature view remembers about one entity: the state of its window, not the values. Values are computed
// from it for a moment T by package feature.
type Row struct {
	View   ViewID
	Key    Key
	Offset Offset // of the last event in it: a replayed event at or before Offset changes nothing
	Data   []byte // docs/formats/row.md
}

// Job is one prediction to make. The same event and pipeline make the same job, however often the log is replayed.
type Job struct {
	ID         JobID
	Pipeline   PipelineName
	Entity     Entity
	EventID    EventID
	EventTime  Timestamp
	Cause      Place // of the event that made it
	EnqueuedAt Timestamp
	// NotBefore is when the job may be run: later events of its subject replace it until it is. Zero: at once, and none does.
	NotBefore Timestamp
	// First is the first of the events that it stands for, if it has replaced earlier jobs: the last is its Cause. Zero: its Cause alone.
	First    Offset
	Priority Priority
}

// Priority says which jobs go first when jobs wait: all of a higher one before any of a lower one.
type Priority int8

// The priorities are a closed list.
const (
	LowPriority    Priority = -1
	NormalPriority Priority = 0
	HighPriority   Priority = 1
)

// Since is the offset of the first event that j stands for.
func (j *Job) Since() Offset {
	if j.First != 0 {
		return j.First
	}
	return j.Cause.Offset
}

// MakeJobID is the id of the job that the event at cause makes in pipeline.
func MakeJobID(pipeline PipelineName, cause Place) JobID {
	b := make([]byte, 0, len(pipeline)+24)
	b = append(append(b, pipeline...), '-')
	b = append(strconv.AppendUint(b, uint64(cause.Partition), 10), '-')
	return JobID(strconv.AppendUint(b, uint64(cause.Offset), 10))
}

// Release is the manifest of what is live: everything by digest, nothing changes in it.
type Release struct {
	ID        ReleaseID               `json:"id"`
	Digest    Digest                  `json:"digest"`  // of all below
	Project   Digest                  `json:"project"` // of the project file's text
	Views     map[ViewName]Digest     `json:"views"`
	Models    map[ModelName]Digest    `json:"models"`
	Tables    map[TableName]Digest    `json:"tables"`
	Pipelines map[PipelineName]Digest `json:"pipelines"`
	CreatedAt Timestamp               `json:"created_at"`
}
