package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/server"
)

// patience is how long a test goes on looking for what must come.
const patience = 60 * time.Second

// temporary gives a folder that is the temporary folder of the process until the test ends.
func temporary(t *testing.T) string {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return dir
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoRecommendationsFollowTheSession(t *testing.T) {
	tmp := temporary(t)
	traffic, err := loadDemoTraffic()
	if err != nil {
		t.Fatal(err)
	}
	host, err := startDemoHost(t.Context(), "127.0.0.1:0", "", &shell{runtimes: server.Runtimes()})
	if err != nil {
		t.Fatal(err)
	}
	cl, err := client.New(host.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	board := newDemoBoard(host.url, time.Now())
	p := &demoPlayer{to: cl, board: board, traffic: traffic, rate: 100, speed: 1000}
	var playing sync.WaitGroup
	playing.Go(func() { p.run(ctx) })
	var s demoSnapshot
	for !followed(s) && ctx.Err() == nil {
		waitFor(ctx, 20*time.Millisecond)
		if err := board.look(ctx, time.Now()); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		s = board.snapshot(time.Now())
	}
	if !followed(s) || s.Release != "r1" || s.Trouble != "" {
		t.Errorf("%+v", s)
	}
	cancel()
	playing.Wait()
	if err := host.stop(); err != nil {
		t.Error(err)
	}
	mustBeEmpty(t, tmp)
}

// followed reports whether two users have titles that changed within their session, and the server's counts, which are
// looked at now and then, have caught up with that.
func followed(s demoSnapshot) bool {
	n := 0
	for _, u := range s.Users {
		if u.Changes > 0 && len(u.Items) == demoTop && u.Did != "" {
			n++
		}
	}
	return n >= 2 && s.Accepted > 0 && s.Predictions > 0 && s.Samples > 0 && s.WatermarkBehind > 0
}

func TestDemoCommand(t *testing.T) {
	tmp := temporary(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out, errs bytes.Buffer
	code := run(t.Context(), Options{
		Args:   []string{"demo", "--duration", "2500ms", "--rate", "50", "--listen", taken.Addr().String()},
		Stdout: &out, Stderr: &errs,
	})
	for _, want := range []string{taken.Addr().String() + " is taken", "/v1/status", "/metrics", "curl -s http://", "events ", "stopped after"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if code != exitDone || errs.Len() > 0 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	mustBeEmpty(t, tmp)
}

func TestDemoKeepsNamedData(t *testing.T) {
	tmp := temporary(t)
	data := t.TempDir()
	var out, errs bytes.Buffer
	args := []string{"demo", "--json", "--listen", "127.0.0.1:0", "--data", data, "--duration", "200ms"}
	if code := run(t.Context(), Options{Args: args, Stdout: &out, Stderr: &errs}); code != exitDone {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	kept, err := os.ReadDir(data)
	if err != nil || len(kept) == 0 {
		t.Errorf("the data folder is empty: %v", err)
	}
	mustBeEmpty(t, tmp)
}

func TestDemoEndsWithItsContext(t *testing.T) {
	tmp := temporary(t)
	for _, after := range []time.Duration{0, 500 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		var out, errs bytes.Buffer
		args := []string{"demo", "--plain", "--listen", "127.0.0.1:0"}
		if code := run(ctx, Options{Args: args, Stdout: &out, Stderr: &errs}); code != exitDone {
			t.Errorf("after %s: exit code %d: %s", after, code, errs.String())
		}
		mustBeEmpty(t, tmp)
	}
}

func TestDemoRefusesWrongFlags(t *testing.T) {
	tmp := temporary(t)
	for _, args := range [][]string{
		{"demo", "--rate", "0"}, {"demo", "--rate", "NaN"}, {"demo", "--duration", "-1s"}, {"demo", "--listen", "nowhere"},
	} {
		var errs bytes.Buffer
		if code := run(t.Context(), Options{Args: args, Stdout: &errs, Stderr: &errs}); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, errs.String())
		}
	}
	mustBeEmpty(t, tmp)
}

func shownSnapshot() demoSnapshot {
	return demoSnapshot{
		Uptime: 3723, URL: "http://127.0.0.1:8787", Accepted: 12345, EventsPerSecond: 99.6, Predictions: 12000, PredictionsPerSecond: 98.2,
		P50: 2.25, P99: 11, Samples: 500, WatermarkBehind: 43201, Release: "r1", Model: "ranker@1",
		Users: []demoUserShown{{User: "u0001", Did: `play A Very Long Title That Goes On And On, For Ever (Sleep) completed`, Ago: 0.4, Items: []demoItem{
			{ID: "c1", Title: "Calm Anchor", Score: 0.5, Mark: "+"}, {ID: "c2", Title: "Another Quite Long Title, Too", Score: 0.25, Mark: "↑"},
			{ID: "c3", Title: "Tide", Score: 0.1},
		}}},
		Trouble: strings.Repeat("something went wrong ", 10),
	}
}

func TestDemoFrameFitsEveryWidth(t *testing.T) {
	t.Parallel()
	for _, width := range []int{1, 5, 20, 40, 80, 120, 300} {
		plain := demoFrame(shownSnapshot(), "http://127.0.0.1:8787", width, 40, false)
		coloured := demoFrame(shownSnapshot(), "http://127.0.0.1:8787", width, 40, true)
		if len(plain) != len(coloured) {
			t.Errorf("width %d: %d lines, %d in colour", width, len(plain), len(coloured))
		}
		for i, line := range plain {
			if n := utf8.RuneCountInString(line); n > max(width-1, 0) {
				t.Errorf("width %d: line %d has %d columns: %q", width, i, n, line)
			}
			if strings.Contains(line, "\x1b") {
				t.Errorf("colour without colour: %q", line)
			}
			if got := strings.TrimRight(uncoloured(coloured[i]), " "); got != line {
				t.Errorf("width %d: in colour %q, without %q", width, got, line)
			}
		}
	}
}

func TestDemoFrameFitsTheHeight(t *testing.T) {
	t.Parallel()
	for _, height := range []int{18, 20, 24, 25, 26, 60} {
		frame := demoFrame(shownSnapshot(), "http://127.0.0.1:8787", 80, height, false)
		if len(frame) > height-1 || !strings.Contains(frame[len(frame)-1], "Ctrl-C") {
			t.Errorf("height %d: %d lines, the last %q", height, len(frame), frame[len(frame)-1])
		}
	}
}

func uncoloured(line string) string {
	for _, style := range []string{"0", bold, faint, green, red} {
		line = strings.ReplaceAll(line, "\x1b["+style+"m", "")
	}
	return line
}

func TestDemoFrameSaysWhatMatters(t *testing.T) {
	t.Parallel()
	frame := strings.Join(demoFrame(shownSnapshot(), "http://127.0.0.1:8787", 100, 40, false), "\n")
	for _, want := range []string{
		"1:02:03", "100 /s", "12,345 accepted", "98 /s", "p50 2.2 ms", "p99 11.0 ms", "12 h 0 min behind", "r1", "ranker@1",
		"u0001", "+ Calm Anchor 0.50", "↑ Another Quite Long", "Tide 0.10", "/v1/status", "/metrics",
		"curl -s http://127.0.0.1:8787/v1/users/u0001/predictions/today", "something went wrong", "Ctrl-C",
	} {
		if !strings.Contains(frame, want) {
			t.Errorf("%q is missing in\n%s", want, frame)
		}
	}
}

func TestDemoMarks(t *testing.T) {
	t.Parallel()
	traffic := &demoTraffic{titles: map[freshet.Key]demoTitle{"a": {title: "A"}}}
	u := demoUserShown{}
	order := func(ids ...freshet.Key) client.Prediction {
		var p client.Prediction
		for _, id := range ids {
			p.Items = append(p.Items, client.Item{ID: id})
		}
		return p
	}
	u.predicted(order("a", "b", "c", "d"), nil, traffic)
	if u.Items[0].Mark != "" || u.Items[0].Title != "A" || u.Items[1].Title != "b" || u.Changes != 0 {
		t.Errorf("first: %+v", u)
	}
	u.predicted(order("b", "a", "d"), []freshet.Key{"a", "b", "c", "d"}, traffic)
	if u.Items[0].Mark != "↑" || u.Items[1].Mark != "↓" || u.Items[2].Mark != "+" || u.Changes != 1 || u.Predictions != 2 {
		t.Errorf("second: %+v", u)
	}
}

func TestDemoTrafficIsReal(t *testing.T) {
	t.Parallel()
	traffic, err := loadDemoTraffic()
	if err != nil {
		t.Fatal(err)
	}
	if len(traffic.users) < 1900 || len(traffic.titles) != 300 || traffic.gap <= 0 || traffic.gap > demoLongest {
		t.Errorf("%d users, %d titles, gap %s", len(traffic.users), len(traffic.titles), traffic.gap)
	}
	for _, u := range traffic.users {
		for _, s := range u.sessions {
			for i, e := range s {
				if e.User != u.id || e.Type == "" || (i > 0 && (e.Time < s[i-1].Time || e.Time.Sub(s[i-1].Time) > demoPause)) {
					t.Fatalf("user %s: %+v", u.id, e)
				}
			}
		}
	}
	var e demoEvent
	if err := json.Unmarshal([]byte(`{"type":"play","content_id":"c002","category":"Sleep","seconds":12,"completed":false}`), &e); err != nil {
		t.Fatal(err)
	}
	if got := traffic.tell(e); got != "play Midnight Lullaby (Sleep) left after 12 s" {
		t.Error(got)
	}
}
