// Package shop_test checks session windows against labels that were not made by Freshet: the clickstream in testdata tells
// which of its events belong to one visit.
package shop_test

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
)

const sessionsInFile = 3605

// click is one line of the file.
type click struct {
	line    int
	user    freshet.Key
	session string // the label
	at      freshet.Timestamp
	event   []byte // as an app would send it
}

func readClicks(t *testing.T) []click {
	t.Helper()
	f, err := os.Open("testdata/ecom.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(unzipped).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	names := rows[0]
	var clicks []click
	for i, row := range rows[1:] {
		fields := map[string]any{"type": "action", "event_id": fmt.Sprint("line-", i+1), "line": i + 1}
		for j, name := range names {
			fields[name] = row[j]
		}
		at, err := time.Parse(time.DateTime, row[slices.Index(names, "timestamp")])
		if err != nil {
			t.Fatal(err)
		}
		c := click{line: i + 1, user: freshet.Key(row[0]), session: row[1], at: freshet.TimestampOf(at)}
		fields["event_time"] = c.at
		if c.event, err = json.Marshal(fields); err != nil {
			t.Fatal(err)
		}
		clicks = append(clicks, c)
	}
	return clicks
}

// labelled are the sessions of the labels, each as text: its user and the lines of its events.
func labelled(clicks []click) []string {
	lines := map[string][]int{}
	users := map[string]freshet.Key{}
	for _, c := range clicks {
		lines[c.session] = append(lines[c.session], c.line)
		users[c.session] = c.user
	}
	var sessions []string
	for label, of := range lines {
		sessions = append(sessions, describe(users[label], of))
	}
	slices.Sort(sessions)
	return sessions
}

func describe(user freshet.Key, lines []int) string {
	slices.Sort(lines)
	return fmt.Sprint(user, " ", lines)
}

// TestSessionsAreThoseOfTheLabels: P2. The view finds the visits whatever the order in which events come, as long as none
// comes later than the project allows.
func TestSessionsAreThoseOfTheLabels(t *testing.T) {
	t.Parallel()
	clicks := readClicks(t)
	want := labelled(clicks)
	if len(want) != sessionsInFile {
		t.Fatalf("the labels tell %d sessions, expected %d", len(want), sessionsInFile)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	shuffled := slices.Clone(clicks)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for name, tt := range map[string]struct {
		lateness string
		clicks   []click
	}{
		"in the order of the file":        {"200d", clicks},
		"in any order":                    {"200d", shuffled},
		"as they happened, 2 h late":      {"2h", delayed(clicks, 2*time.Hour, seed)},
		"as they happened, 1 minute late": {"1m", delayed(clicks, time.Minute, seed)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := openVisit(t, tt.lateness)
			got := v.sessions(t, tt.clicks)
			if !slices.Equal(got, want) {
				t.Errorf("%d sessions, %d of them as labelled", len(got), common(got, want))
			}
		})
	}
}

// delayed gives the order in which clicks arrive if each is under way for up to atMost.
func delayed(clicks []click, atMost time.Duration, seed uint64) []click {
	rng := rand.New(rand.NewPCG(seed, 1))
	arrival := make(map[int]int64, len(clicks)) // by line
	for _, c := range clicks {
		arrival[c.line] = int64(c.at) + rng.Int64N(atMost.Milliseconds())
	}
	sorted := slices.Clone(clicks)
	slices.SortFunc(sorted, func(a, b click) int { return int(arrival[a.line] - arrival[b.line]) })
	return sorted
}

func common(a, b []string) (n int) {
	for _, s := range a {
		if _, ok := slices.BinarySearch(b, s); ok {
			n++
		}
	}
	return n
}

// visit is the view of the project.
type visit struct {
	schema  *feature.Schema
	view    *feature.View
	scratch *feature.Scratch
	lines   int // index of the feature that lists the events
}

func openVisit(t *testing.T, lateness string) *visit {
	t.Helper()
	text, err := os.ReadFile(project.FileName)
	if err != nil {
		t.Fatal(err)
	}
	const inFile = "lateness: 200d"
	if !strings.Contains(string(text), inFile) {
		t.Fatal("the project file does not say " + inFile)
	}
	p, err := project.Parse(project.FileName, []byte(strings.Replace(string(text), inFile, "lateness: "+lateness, 1)))
	if err != nil {
		t.Fatal(err)
	}
	view, ok := p.View("visit")
	lines := slices.IndexFunc(view.Features(), func(f feature.Feature) bool { return f.Name == "lines" })
	if !ok || lines < 0 {
		t.Fatal("there is no feature visit.lines")
	}
	return &visit{schema: p.Schema, view: view, scratch: view.NewScratch(), lines: lines}
}

// sessions takes clicks in their order and tells the sessions that the view saw, each as describe does.
func (v *visit) sessions(t *testing.T, clicks []click) []string {
	t.Helper()
	var newest [freshet.Partitions]freshet.Timestamp
	rows := map[freshet.Key][]byte{}
	histories := map[freshet.Key][]feature.HistoricEvent{}
	for _, c := range clicks {
		rec := v.schema.NewRecord()
		if err := v.schema.Decode(c.event, freshet.MaxTimestamp, rec); err != nil {
			t.Fatal(err)
		}
		p := freshet.PartitionOf(c.user)
		next, outcome, err := v.view.Apply(v.scratch, rows[c.user], rec, newest[p])
		if err != nil || outcome != feature.Applied {
			t.Fatalf("line %d: %v, %v", c.line, outcome, err)
		}
		rows[c.user] = next
		histories[c.user] = append(histories[c.user], feature.HistoricEvent{Record: rec, MaxEventTime: newest[p]})
		newest[p] = max(newest[p], rec.EventTime)
	}
	var sessions []string
	for user, history := range histories {
		for _, lines := range v.longest(t, history, rows[user]) {
			sessions = append(sessions, describe(user, lines))
		}
	}
	slices.Sort(sessions)
	return sessions
}

// longest asks at the time of each event which events are in the session that is open then. A session is a list that the
// next one does not go on with. The last list also comes from the row.
func (v *visit) longest(t *testing.T, history []feature.HistoricEvent, row []byte) (sessions [][]int) {
	t.Helper()
	var moments []freshet.Timestamp
	for _, e := range history {
		moments = append(moments, e.Record.EventTime)
	}
	slices.Sort(moments)
	moments = slices.Compact(moments)
	for _, at := range moments {
		values, err := v.view.Compute(v.scratch, history, at, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := v.linesIn(values)
		if n := len(sessions); n > 0 && slices.Contains(lines, sessions[n-1][0]) {
			sessions = sessions[:n-1]
		}
		sessions = append(sessions, lines)
	}
	values, err := v.view.Read(v.scratch, row, moments[len(moments)-1], nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.linesIn(values), sessions[len(sessions)-1]; !slices.Equal(got, want) {
		t.Errorf("the last session is %v from the row, %v from the events", got, want)
	}
	return sessions
}

func (v *visit) linesIn(values []expression.Value) (lines []int) {
	for _, x := range values[v.lines].List {
		lines = append(lines, int(x.Num))
	}
	return lines
}
