package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/examples"
)

// demoEvent is an event of the example app. Id and time are given when it is sent.
type demoEvent struct {
	ID        freshet.EventID   `json:"event_id"`
	Type      freshet.EventType `json:"type"`
	User      string            `json:"user_id"`
	Time      freshet.Timestamp `json:"event_time"`
	Content   string            `json:"content_id,omitempty"`
	Category  string            `json:"category,omitempty"`
	Seconds   *float64          `json:"seconds,omitempty"`
	Completed *bool             `json:"completed,omitempty"`
	Query     string            `json:"query,omitempty"`
	HeartRate *float64          `json:"heart_rate,omitempty"`
	Steps     *int              `json:"steps,omitempty"`
}

// demoSession is what one user did without a pause of more than half an hour.
type demoSession []demoEvent

// gap is the time from the event before to event i, 0 for the first. Long ones are cut, so that there is something to see.
func (s demoSession) gap(i int) time.Duration {
	if i == 0 {
		return 0
	}
	return min(s[i].Time.Sub(s[i-1].Time), demoLongest)
}

// lively reports whether the session is worth showing: long enough, and more than a heart that beats.
func (s demoSession) lively() bool {
	acts := 0
	for _, e := range s {
		if e.Type != "biometric" {
			acts++
		}
	}
	return len(s) >= 8 && acts >= 5
}

// demoUser is a user of the example app.
type demoUser struct {
	id       string
	sessions []demoSession
}

// demoTraffic is what the users of the example app really did.
type demoTraffic struct {
	users  []demoUser    // in an order that is the same in every demo
	gap    time.Duration // between two events of a session, on average
	titles map[freshet.Key]demoTitle
}

type demoTitle struct{ title, category string }

// demoPause is what ends a session, as in the project's views.
const demoPause = 30 * time.Minute

// demoLongest is the longest time between two events of a session that is replayed.
const demoLongest = 5 * time.Minute

func loadDemoTraffic() (*demoTraffic, error) {
	byUser, err := readDemoEvents()
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "the events of the example app: %w", err)
	}
	t := &demoTraffic{}
	var sum time.Duration
	var gaps int
	for id, events := range byUser {
		u := demoUser{id: id, sessions: cutSessions(events)}
		for _, s := range u.sessions {
			for i := range s {
				sum += s.gap(i)
			}
			gaps += len(s) - 1
		}
		t.users = append(t.users, u)
	}
	t.gap = sum / time.Duration(max(gaps, 1))
	slices.SortFunc(t.users, func(a, b demoUser) int { return strings.Compare(a.id, b.id) })
	r := rand.New(rand.NewPCG(1, 0))
	r.Shuffle(len(t.users), func(i, j int) { t.users[i], t.users[j] = t.users[j], t.users[i] })
	t.titles, err = readDemoTitles()
	return t, err
}

// readDemoEvents gives each user's events in the order in which they happened, each once.
func readDemoEvents() (map[string][]demoEvent, error) {
	in, err := examples.CalmEvents()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	byUser := make(map[string][]demoEvent)
	seen := make(map[freshet.EventID]bool)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var e demoEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, err
		}
		if !seen[e.ID] {
			seen[e.ID] = true
			byUser[e.User] = append(byUser[e.User], e)
		}
	}
	for _, events := range byUser {
		slices.SortStableFunc(events, func(a, b demoEvent) int { return int(a.Time - b.Time) })
	}
	return byUser, lines.Err()
}

func cutSessions(events []demoEvent) []demoSession {
	var sessions []demoSession
	begin := 0
	for i := range events {
		if i+1 == len(events) || events[i+1].Time.Sub(events[i].Time) > demoPause {
			sessions = append(sessions, events[begin:i+1])
			begin = i + 1
		}
	}
	return sessions
}

func readDemoTitles() (map[freshet.Key]demoTitle, error) {
	text, err := examples.CalmCatalog()
	if err != nil {
		return nil, err
	}
	rows := csv.NewReader(strings.NewReader(string(text)))
	all, err := rows.ReadAll() // content_id, category, minutes, title
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "the catalog of the example app: %w", err)
	}
	titles := make(map[freshet.Key]demoTitle)
	for _, row := range all[1:] {
		titles[freshet.Key(row[0])] = demoTitle{title: row[3], category: row[1]}
	}
	return titles, nil
}

// title is what a person calls the title with this id.
func (t *demoTraffic) title(id freshet.Key) string {
	if x, ok := t.titles[id]; ok {
		return x.title
	}
	return string(id)
}

// tell says in a few words what the user did.
func (t *demoTraffic) tell(e demoEvent) string {
	switch {
	case e.Type == "search":
		return fmt.Sprintf("search %q", e.Query)
	case e.Type == "biometric" && e.HeartRate != nil:
		return fmt.Sprintf("heart rate %.0f", *e.HeartRate)
	case e.Type == "play":
		how := "played"
		if e.Completed != nil && *e.Completed {
			how = "completed"
		} else if e.Seconds != nil {
			how = "left after " + shortSeconds(*e.Seconds)
		}
		return fmt.Sprintf("play %s (%s) %s", t.title(freshet.Key(e.Content)), e.Category, how)
	}
	return string(e.Type)
}

func shortSeconds(s float64) string {
	if s < 60 {
		return fmt.Sprintf("%.0f s", s)
	}
	return fmt.Sprintf("%.0f min", s/60)
}
