package diskqueue

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

var goldenJob = freshet.Job{
	ID: "today-3-9120", Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: "u\x001"}, EventID: "e1",
	EventTime: 1_741_003_200_000, Cause: freshet.Place{Partition: 3, Offset: 9120}, EnqueuedAt: 1_741_003_200_123,
}

// TestGolden: these bytes are those of docs/formats/jobs.md and lie on users' disks. They never change.
func TestGolden(t *testing.T) {
	t.Parallel()
	own := goldenJob
	own.ID = "other"
	delayed := goldenJob
	delayed.NotBefore, delayed.First, delayed.Priority = 1_741_003_202_123, 9100, freshet.HighPriority
	lowered := goldenJob
	lowered.Priority = freshet.LowPriority
	history := []jobqueue.Attempt{{At: 1_741_003_201_000, Release: "r7", Error: "no model"}}
	done := append(history, jobqueue.Attempt{At: 1_741_003_202_000, Release: "r8"})
	letter := jobqueue.DeadLetter{Job: goldenJob, Attempts: 5, Reason: "no model", At: 1_741_003_201_000}
	subject := jobqueue.Subject{Pipeline: "today", Entity: goldenJob.Entity}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"job key":              {appendSequenceKey(nil, kindJob, 258), "6a710000000000000102"},
		"attempts key":         {appendSequenceKey(nil, kindAttempt, 258), "6a610000000000000102"},
		"newer key":            {appendSequenceKey(nil, kindNewer, 258), "6a6e0000000000000102"},
		"newer":                {appendNewer(nil, 9121), "a147"},
		"letter key":           {appendLetterKey(nil, "today-3-9120"), "786c746f6461792d332d39313230"},
		"subject key":          {appendSubjectKey(nil, subject, goldenJob.Cause), "7873746f64617900017573657200017500ff3100010300000000000023a0"},
		"emitted key":          {appendEmittedKey(nil, 3), "6f03"},
		"emitted":              {appendEmitted(nil, lane{epoch: 2, emitted: 9121}), "02a147"},
		"attempts":             {appendAttempts(nil, attempts{2, "no model"}), "026e6f206d6f64656c"},
		"job":                  {appendJob(nil, &goldenJob), "010003a047f6d984beab6580d884beab6505746f646179047573657203750031026531"},
		"job, own id":          {appendJob(nil, &own), "010103a047f6d984beab6580d884beab6505746f646179047573657203750031026531056f74686572"},
		"job, delayed":         {appendJob(nil, &delayed), "010603a047f6d984beab6580d884beab6505746f64617904757365720375003102653196f984beab658c47"},
		"job, low":             {appendJob(nil, &lowered), "010803a047f6d984beab6580d884beab6505746f646179047573657203750031026531"},
		"history":              {appendHistory(nil, history), "0201d0e784beab65086e6f206d6f64656c027237"},
		"history key":          {appendSequenceKey(nil, kindHistory, 258), "6a650000000000000102"},
		"letter's history key": {appendHistoryKey(nil, "today-3-9120"), "7865746f6461792d332d39313230"},
		"done key":             {appendDoneKey(nil, 258), "6a640000000000000102"},
		"done":                 {appendDone(nil, 3, done, &goldenJob), "020302d0e784beab65086e6f206d6f64656c027237a0f784beab6500027238010003a047f6d984beab6580d884beab6505746f646179047573657203750031026531"},
		"letter":               {appendLetter(nil, &letter), "0105d0e784beab65086e6f206d6f64656c010003a047f6d984beab6580d884beab6505746f646179047573657203750031026531"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is\n%s, want\n%s", name, got, c.want)
		}
	}
	for _, want := range []freshet.Job{goldenJob, own, delayed, lowered} {
		if got, err := decodeJob(appendJob(nil, &want)); err != nil || got != want {
			t.Errorf("read %+v (%v), want %+v", got, err, want)
		}
	}
	if got, err := decodeLetter(appendLetter(nil, &letter)); err != nil || got != letter {
		t.Errorf("read %+v (%v), want %+v", got, err, letter)
	}
	if got, err := decodeAttempts(appendAttempts(nil, attempts{2, "no model"})); err != nil || got != (attempts{2, "no model"}) {
		t.Errorf("read %+v (%v)", got, err)
	}
	if got, err := decodeHistory(appendHistory(nil, history)); err != nil || !slices.Equal(got, history) {
		t.Errorf("read %+v (%v)", got, err)
	}
	if got, err := decodeDone(appendDone(nil, 3, done, &goldenJob)); err != nil || !slices.Equal(got.History, done) || got.Job != goldenJob || got.Attempts != 3 || got.EndedAt != done[1].At {
		t.Errorf("read %+v (%v)", got, err)
	}
	// Version 1, in which attempts had no release.
	first, err := hex.DecodeString("0101d0e784beab65086e6f206d6f64656c")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeHistory(first); err != nil || !slices.Equal(got, []jobqueue.Attempt{{At: history[0].At, Error: "no model"}}) {
		t.Errorf("read %+v (%v)", got, err)
	}
	p, l, err := decodeEmitted(appendEmittedKey(nil, 3), appendEmitted(nil, lane{2, 9121}))
	if err != nil || p != 3 || l != (lane{2, 9121}) {
		t.Errorf("read %d %+v (%v)", p, l, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := appendJob(nil, &goldenJob)
	for cut := range good {
		if _, err := decodeJob(good[:cut]); freshet.CodeOf(err) != freshet.Internal {
			t.Errorf("%d bytes of a job: %v", cut, err)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"version":   func(b []byte) []byte { b[0] = 2; return b },
		"flags":     func(b []byte) []byte { b[1] = 2; return b },
		"partition": func(b []byte) []byte { b[2] = 64; return b },
		"tail":      func(b []byte) []byte { return append(b, 0) },
	} {
		if _, err := decodeJob(change(append([]byte(nil), good...))); freshet.CodeOf(err) != freshet.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := decodeEmitted([]byte{'o', 64}, []byte{1, 1}); freshet.CodeOf(err) != freshet.Internal {
		t.Errorf("partition 64: %v", err)
	}
	if _, err := sequenceOf([]byte("jq1")); freshet.CodeOf(err) != freshet.Internal {
		t.Errorf("short key: %v", err)
	}
}

// FuzzDecode: whatever the bytes, an error or a record that reads the same after it is written again.
func FuzzDecode(f *testing.F) {
	f.Add(appendJob(nil, &goldenJob))
	f.Add(appendLetter(nil, &jobqueue.DeadLetter{Job: goldenJob, Attempts: 1, Reason: "r", At: 1}))
	f.Add(appendAttempts(nil, attempts{1, "e"}))
	f.Add(appendHistory(nil, []jobqueue.Attempt{{At: 1, Error: "e", Release: "r"}}))
	f.Add(appendDone(nil, 1, []jobqueue.Attempt{{At: 1}}, &goldenJob))
	f.Fuzz(func(t *testing.T, b []byte) {
		if j, err := decodeJob(b); err == nil {
			if again, err := decodeJob(appendJob(nil, &j)); err != nil || again != j {
				t.Fatalf("%+v reads as %+v (%v)", j, again, err)
			}
		}
		if l, err := decodeLetter(b); err == nil {
			if again, err := decodeLetter(appendLetter(nil, &l)); err != nil || again != l {
				t.Fatalf("%+v reads as %+v (%v)", l, again, err)
			}
		}
		if a, err := decodeAttempts(b); err == nil {
			if again, err := decodeAttempts(appendAttempts(nil, a)); err != nil || again != a {
				t.Fatalf("%+v reads as %+v (%v)", a, again, err)
			}
		}
		if x, err := decodeHistory(b); err == nil {
			if again, err := decodeHistory(appendHistory(nil, x)); err != nil || !slices.Equal(again, x) {
				t.Fatalf("%+v reads as %+v (%v)", x, again, err)
			}
		}
		if x, err := decodeDone(b); err == nil {
			if again, err := decodeDone(appendDone(nil, x.Attempts, x.History, &x.Job)); err != nil || again.Job != x.Job || !slices.Equal(again.History, x.History) {
				t.Fatalf("%+v reads as %+v (%v)", x, again, err)
			}
		}
		_, _ = decodeNewer(b)
		_, _, _ = decodeEmitted([]byte{'o', 0}, b)
	})
}
