package diskqueue

import (
	"encoding/binary"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/record"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Keys and values are described in docs/formats/jobs.md.

// The second bytes of keys.
const (
	kindJob     = 'q' // after disk.PrefixJobs: a queued or leased job, by sequence
	kindAttempt = 'a' // after disk.PrefixJobs: the attempts of a job, by sequence
	kindNewer   = 'n' // after disk.PrefixJobs: the first newer job of its subject that was acknowledged, by sequence
	kindHistory = 'e' // after disk.PrefixJobs: the history of a job, by sequence; after disk.PrefixDeadLetters: of a dead letter, by job id
	kindDone    = 'd' // after disk.PrefixJobs: a job that is done, by number
	kindLetter  = 'l' // after disk.PrefixDeadLetters: a dead letter, by job id
	kindSubject = 's' // after disk.PrefixDeadLetters: a dead letter's place, by subject
)

const (
	jobVersion = 1
	flagOwnID  = 1 << 0 // the id is not freshet.MakeJobID's and stands in the record
	flagDelay  = 1 << 1 // NotBefore and First stand in the record
	flagHigh   = 1 << 2 // priority
	flagLow    = 1 << 3
	allFlags   = flagOwnID | flagDelay | flagHigh | flagLow
)

func appendSequenceKey(dst []byte, kind byte, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, disk.PrefixJobs, kind), sequence)
}

// sequenceOf reads a key that appendSequenceKey wrote.
func sequenceOf(key []byte) (uint64, error) {
	if len(key) != 2+8 {
		return 0, freshet.Errorf(freshet.Internal, "job key %x: expected 10 bytes", key)
	}
	return binary.BigEndian.Uint64(key[2:]), nil
}

func appendLetterKey(dst []byte, id freshet.JobID) []byte {
	return append(append(dst, disk.PrefixDeadLetters, kindLetter), id...)
}

func appendHistoryKey(dst []byte, id freshet.JobID) []byte {
	return append(append(dst, disk.PrefixDeadLetters, kindHistory), id...)
}

// appendSubjectKey is the place of a dead letter of s; without its last 8 bytes it is the prefix of all of s in partition.
func appendSubjectKey(dst []byte, s jobqueue.Subject, at freshet.Place) []byte {
	dst = append(dst, disk.PrefixDeadLetters, kindSubject)
	dst = record.AppendKeyText(dst, s.Pipeline)
	dst = record.AppendKeyText(dst, s.Entity.Kind)
	dst = record.AppendKeyText(dst, s.Entity.Key)
	dst = append(dst, byte(at.Partition))
	return binary.BigEndian.AppendUint64(dst, uint64(at.Offset))
}

func appendEmittedKey(dst []byte, p freshet.Partition) []byte {
	return append(dst, disk.PrefixEmitted, byte(p))
}

func appendEmitted(dst []byte, l lane) []byte {
	dst = binary.AppendUvarint(dst, uint64(l.epoch))
	return binary.AppendUvarint(dst, uint64(l.emitted))
}

func decodeEmitted(key, value []byte) (freshet.Partition, lane, error) {
	r := record.NewReader(string(value))
	l := lane{epoch: freshet.Epoch(r.Uvarint()), emitted: freshet.Offset(r.Uvarint())}
	if len(key) != 2 || key[1] >= freshet.Partitions || !r.Done() {
		return 0, lane{}, freshet.Errorf(freshet.Internal, "emitted offset %x = %x: not readable", key, value)
	}
	return freshet.Partition(key[1]), l, nil
}

// appendNewer is the offset of a job that was acknowledged before an older one of its subject.
func appendNewer(dst []byte, superseded freshet.Offset) []byte {
	return binary.AppendUvarint(dst, uint64(superseded))
}

func decodeNewer(value []byte) (freshet.Offset, error) {
	r := record.NewReader(string(value))
	superseded := freshet.Offset(r.Uvarint())
	if !r.Done() {
		return 0, freshet.Errorf(freshet.Internal, "newer job %x: not readable", value)
	}
	return superseded, nil
}

// attempts is what survives of a lease and of a retry.
type attempts struct {
	begun     int
	lastError string
}

func appendAttempts(dst []byte, a attempts) []byte {
	return append(binary.AppendUvarint(dst, uint64(a.begun)), a.lastError...)
}

func decodeAttempts(value []byte) (attempts, error) {
	r := record.NewReader(string(value))
	n := r.Uvarint()
	if r.Bad() || n > 1<<31 {
		return attempts{}, freshet.Errorf(freshet.Internal, "attempts of a job: %.20x…: not readable", value)
	}
	return attempts{begun: int(n), lastError: r.Rest()}, nil
}

func appendJob(dst []byte, j *freshet.Job) []byte {
	var flags byte
	var own [96]byte
	if string(appendJobID(own[:0], j.Pipeline, j.Cause)) != string(j.ID) {
		flags |= flagOwnID
	}
	if j.NotBefore != 0 || j.First != 0 {
		flags |= flagDelay
	}
	switch classFor(j.Priority) {
	case high:
		flags |= flagHigh
	case low:
		flags |= flagLow
	}
	dst = append(dst, jobVersion, flags, byte(j.Cause.Partition))
	dst = binary.AppendUvarint(dst, uint64(j.Cause.Offset))
	dst = binary.AppendVarint(dst, int64(j.EnqueuedAt))
	dst = binary.AppendVarint(dst, int64(j.EventTime))
	dst = record.AppendText(dst, j.Pipeline)
	dst = record.AppendText(dst, j.Entity.Kind)
	dst = record.AppendText(dst, j.Entity.Key)
	dst = record.AppendText(dst, j.EventID)
	if flags&flagOwnID != 0 {
		dst = record.AppendText(dst, j.ID)
	}
	if flags&flagDelay != 0 {
		dst = binary.AppendVarint(dst, int64(j.NotBefore))
		dst = binary.AppendUvarint(dst, uint64(j.First))
	}
	return dst
}

// decodeJob reads what appendJob wrote. Its strings share one copy of value.
func decodeJob(value []byte) (freshet.Job, error) { return decodeJobText(string(value)) }

func decodeJobText(value string) (freshet.Job, error) {
	r := record.NewReader(value)
	version, flags, partition := r.Byte(), r.Byte(), r.Byte()
	j := freshet.Job{
		Cause:      freshet.Place{Partition: freshet.Partition(partition), Offset: freshet.Offset(r.Uvarint())},
		EnqueuedAt: freshet.Timestamp(r.Varint()),
		EventTime:  freshet.Timestamp(r.Varint()),
		Pipeline:   freshet.PipelineName(r.Text()),
		Entity:     freshet.Entity{Kind: freshet.EntityKind(r.Text()), Key: freshet.Key(r.Text())},
		EventID:    freshet.EventID(r.Text()),
	}
	if flags&flagOwnID != 0 {
		j.ID = freshet.JobID(r.Text())
	} else {
		var own [96]byte
		j.ID = freshet.JobID(appendJobID(own[:0], j.Pipeline, j.Cause))
	}
	if flags&flagDelay != 0 {
		j.NotBefore, j.First = freshet.Timestamp(r.Varint()), freshet.Offset(r.Uvarint())
	}
	switch {
	case flags&flagHigh != 0:
		j.Priority = freshet.HighPriority
	case flags&flagLow != 0:
		j.Priority = freshet.LowPriority
	}
	if version != jobVersion || flags&^allFlags != 0 || partition >= freshet.Partitions || !r.Done() {
		return freshet.Job{}, freshet.Errorf(freshet.Internal, "job record of %d bytes: not readable as version %d", len(value), jobVersion)
	}
	return j, nil
}

// appendJobID is freshet.MakeJobID without fmt.
func appendJobID(dst []byte, pipeline freshet.PipelineName, cause freshet.Place) []byte {
	dst = append(append(dst, pipeline...), '-')
	dst = append(strconv.AppendUint(dst, uint64(cause.Partition), 10), '-')
	return strconv.AppendUint(dst, uint64(cause.Offset), 10)
}

func appendLetter(dst []byte, l *jobqueue.DeadLetter) []byte {
	dst = append(dst, jobVersion)
	dst = binary.AppendUvarint(dst, uint64(l.Attempts))
	dst = binary.AppendVarint(dst, int64(l.At))
	dst = record.AppendText(dst, l.Reason)
	return appendJob(dst, &l.Job)
}

// decodeLetter reads what appendLetter wrote.
func decodeLetter(value []byte) (jobqueue.DeadLetter, error) {
	r := record.NewReader(string(value))
	version, begun := r.Byte(), r.Uvarint()
	l := jobqueue.DeadLetter{Attempts: int(begun), At: freshet.Timestamp(r.Varint()), Reason: r.Text()}
	if version != jobVersion || begun > 1<<31 || r.Bad() {
		return jobqueue.DeadLetter{}, freshet.Errorf(freshet.Internal, "dead letter of %d bytes: not readable as version %d", len(value), jobVersion)
	}
	var err error
	l.Job, err = decodeJobText(r.Rest())
	return l, err
}

// historyVersion is 2 since attempts have a release.
const historyVersion = 2

// appendHistory is what is kept of attempts.
func appendHistory(dst []byte, all []jobqueue.Attempt) []byte {
	return appendAttemptList(append(dst, historyVersion), all)
}

func appendAttemptList(dst []byte, all []jobqueue.Attempt) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, a := range all {
		dst = binary.AppendVarint(dst, int64(a.At))
		dst = record.AppendText(dst, a.Error)
		dst = record.AppendText(dst, a.Release)
	}
	return dst
}

func decodeHistory(value []byte) ([]jobqueue.Attempt, error) {
	r := record.NewReader(string(value))
	version := r.Byte()
	all := readAttemptList(&r, version)
	if version < 1 || version > historyVersion || !r.Done() {
		return nil, freshet.Errorf(freshet.Internal, "history of a job: %.20x…: not readable as version %d", value, historyVersion)
	}
	return all, nil
}

func readAttemptList(r *record.Reader, version byte) (all []jobqueue.Attempt) {
	for range r.Count(2) {
		a := jobqueue.Attempt{At: freshet.Timestamp(r.Varint()), Error: r.Text()}
		if version > 1 {
			a.Release = freshet.ReleaseID(r.Text())
		}
		all = append(all, a)
	}
	return all
}

// appendDone is a job that is done: how many attempts were begun, its history, and itself.
func appendDone(dst []byte, begun int, history []jobqueue.Attempt, j *freshet.Job) []byte {
	dst = binary.AppendUvarint(append(dst, historyVersion), uint64(begun))
	return appendJob(appendAttemptList(dst, history), j)
}

func decodeDone(value []byte) (jobqueue.Info, error) {
	r := record.NewReader(string(value))
	version, begun := r.Byte(), r.Uvarint()
	x := jobqueue.Info{Status: jobqueue.Done, Attempts: int(begun), History: readAttemptList(&r, version)}
	if version != historyVersion || begun > 1<<31 || r.Bad() || len(x.History) == 0 {
		return jobqueue.Info{}, freshet.Errorf(freshet.Internal, "done job of %d bytes: not readable as version %d", len(value), historyVersion)
	}
	x.EndedAt = x.History[len(x.History)-1].At
	var err error
	x.Job, err = decodeJobText(r.Rest())
	return x, err
}
