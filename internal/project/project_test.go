package project_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/embed/wordtable"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
)

// example is the example of docs, without what this version does not read.
const example = `
project: calm

entities:
  user:    { key: user_id }
  content: { key: content_id }

events:
  play:      { keys: [user_id, content_id], fields: { category: string, seconds: float, completed: bool } }
  search:    { keys: [user_id],             fields: { query: string } }
  biometric: { keys: [user_id],             fields: { heart_rate: float, steps: int } }

lateness: 12h                  # how far event time may lag

views:
  session:
    entity: user
    from: play
    window: session 30m
    features:
      plays: count()
      sleep_bounce_rate: mean(seconds < 30, category == "Sleep")
      recent: last(content_id, 5)
  activity:
    entity: user
    from: play
    where: seconds >= 5
    window: [sliding 10m, sliding 1h, sliding 24h]
    features:
      plays: count()
      seconds: sum(seconds)
  body:
    entity: user
    from: biometric
    window: sliding 10m
    features:
      heart_rate_slope: slope(heart_rate)
      steps: sum(steps)
  popularity:
    entity: content
    from: play
    window: sliding 24h
    features:
      starts: count()
      completion_rate: smooth(count(completed), count(), 0.6, 5)

tables:
  profile:    { entity: user,    file: data/profile.csv,  columns: { tenure_days: int, locale: string } }
  user_index: { entity: user,    file: data/users.csv,    columns: { sequence: int } }
  catalog:    { entity: content, file: data/catalog.csv,  columns: { title: string, category: string, minutes: float } }

models:
  ranker: { path: models/ranker }

pipelines:
  today:
    from: [play, search]
    entity: user
    candidates: catalog
    keep: candidate.content_id not in session.recent
    model: ranker
    inputs:
      heart_rate_slope: body.heart_rate_slope
      minutes: candidate.minutes
      starts_24h: popularity.starts
      tenure_days: profile.tenure_days
      hour: hour(now)
    top: 20
    pull: { expires: 24h, flags: [today_tab] }
  next_step:
    from: play
    where: completed
    entity: user
    candidates: catalog
    model: ranker
    top: 1
`

func parse(t testing.TB, text string) *project.Project {
	t.Helper()
	p, err := project.Parse("freshet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestExample(t *testing.T) {
	t.Parallel()
	p := parse(t, example)
	if p.Name != "calm" || p.Lateness != 12*time.Hour || p.Dir != "" || string(p.Text) != example || !strings.HasPrefix(string(p.Digest), "sha256:") {
		t.Errorf("%s, lateness %s, digest %s", p.Name, p.Lateness, p.Digest)
	}
	var views []string
	for _, v := range p.Views {
		views = append(views, string(v.Name()))
	}
	if !slices.Equal(views, []string{"session", "activity", "body", "popularity"}) {
		t.Errorf("views %q", views)
	}
	today, ok := p.Pipeline("today")
	if !ok || today.Top != 20 || today.Expires != 24*time.Hour || !slices.Equal(today.Flags, []string{"today_tab"}) || today.Candidates != "catalog" ||
		!slices.Equal(today.From, []freshet.EventType{"play", "search"}) || today.Model != "ranker" || today.Entity != "user" {
		t.Errorf("%+v", today)
	}
	if m, ok := p.Model("ranker"); !ok || m.Path != "models/ranker" {
		t.Errorf("model %+v", m)
	}
	if c, ok := p.Table("catalog"); !ok || c.File != "data/catalog.csv" || len(c.Spec.Columns) != 4 || c.Spec.Columns[0].Name != "content_id" ||
		!slices.Equal(c.Spec.KeyFields, []string{"content_id"}) {
		t.Errorf("table %+v", c)
	}
	if u, ok := p.Table("user_index"); !ok || len(u.Spec.Columns) != 1 || !u.Spec.Columns[0].Int || u.Spec.Name != "user_index" {
		t.Errorf("table %+v", u)
	}
	if e, ok := p.Entity("user"); !ok || !slices.Equal(e.KeyFields, []string{"user_id"}) {
		t.Errorf("entity %+v", e)
	}
	if e, ok := p.Event("search"); !ok || len(e.Fields) != 1 {
		t.Errorf("event %+v", e)
	}
	if _, ok := p.View("nothing"); ok {
		t.Error("a view that is not there")
	}
}

// Only project and entities must be there.
func TestSmallest(t *testing.T) {
	t.Parallel()
	p := parse(t, "project: p\nentities: {user: {key: user_id}}\n")
	if p.Lateness != project.DefaultLateness || p.Schema == nil {
		t.Errorf("%+v", p)
	}
}

// Each change of the example is found where it was made. A place is given as the text that begins there.
func TestPlaces(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from, to string
		at             string // the error is where this begins, after the change
		words          string
	}{
		{"unknown key", "    window: session 30m", "    windw: session 30m", "windw", "did you mean window?"},
		{"missing key", "    window: session 30m\n", "", "entity: user\n    from: play\n    features", "window is missing"},
		{"unknown section", "lateness: 12h", "latness: 12h", "latness", "did you mean lateness?"},
		{"unknown entity", "    entity: content", "    entity: contnt", "contnt", "did you mean content?"},
		{"unknown event type", "from: biometric", "from: [biometic]", "biometic", "did you mean biometric?"},
		{"key of another entity", "    from: biometric", "    from: [biometric, play, play]", "play]", "twice"},
		{"event without the key", "    entity: content\n    from: play", "    entity: content\n    from: search", "search\n    window: sliding 24h", "content_id"},
		{"bad name", "  body:", "  Body:", "Body:", "Body is no name"},
		{"bad type", "steps: int", "steps: integer", "integer", "no such type"},
		{"type of vector", "steps: int", "steps: vector 0", "vector 0", "vector 0"},
		{"unknown field", "slope(heart_rate)", "slope(heart_rte)", "heart_rte", "did you mean heart_rate?"},
		{"unknown function", "slope(heart_rate)", "slop(heart_rate)", "slop(", "did you mean slope?"},
		{"field in where", "where: seconds >= 5", "where: secnds >= 5", "secnds", "did you mean seconds?"},
		{"where is no bool", "where: seconds >= 5", "where: seconds + 5", "seconds + 5", "bool"},
		{"quoted expression", "count(completed), count()", "count(completed), cunt()", "cunt", "did you mean count?"},
		{"double quotes", `plays: count()
      sleep`, `plays: "1 + sum(seconds * \"é\")"
      sleep`, `* \"é`, "string"},
		{"single quotes", "where: seconds >= 5", "where: 'category == ''x'' and sec > 1'", "sec > 1", "sec"},
		{"block", "where: seconds >= 5", "where: |\n      category == \"x\"\n        and sec > 1", "sec > 1", "sec"},
		{"folded", "where: seconds >= 5", "where: >-\n      category == \"x\"\n      and sec > 1", "sec > 1", "sec"},
		{"plain over two lines", "where: seconds >= 5", "where: category == \"x\"\n      and sec > 1", "sec > 1", "sec"},
		{"window", "window: sliding 24h", "window: sliding 401d", "sliding 401d", "401d"},
		{"window in a list", "sliding 1h, ", "sliding 0s, ", "sliding 0s, ", "0s"},
		{"lateness", "lateness: 12h", "lateness: 600", "600", "30s"},
		{"lateness too long", "lateness: 12h", "lateness: 401d", "401d", "400d"},
		{"duplicate", "  search:    {", "  play:    {", "play:    {", "twice"},
		{"list for a text", "entity: content\n", "entity: [content]\n", "[content]\n", "text"},
		{"text for a map", "models:\n  ranker: { path: models/ranker }", "models: ranker", "ranker\n\npipe", "map"},
		{"table entity", "profile:    { entity: user,", "profile:    { entity: usr,", "usr,", "did you mean user?"},
		{"column type", "sequence: int", "sequence: strings", "strings", "no such type of column"},
		{"column is the key", "sequence: int", "user_id: string", "user_id: string", "key"},
		{"table is a view", "  user_index: {", "  session: {", "session: {", "another name"},
		{"reserved view", "  body:", "  event:", "event:\n", "another name"},
		{"absolute file", "file: data/profile.csv", "file: /etc/passwd", "/etc/passwd", "below its folder"},
		{"file outside", "path: models/ranker", "path: ../ranker", "../ranker", "below its folder"},
		{"unknown table", "candidates: catalog\n    keep", "candidates: catlog\n    keep", "catlog", "did you mean catalog?"},
		{"unknown model", "model: ranker\n    top", "model: rankr\n    top", "rankr", "did you mean ranker?"},
		{"top without candidates", "    candidates: catalog\n    model", "    model", "1\n", "top needs candidates"},
		{"keep is no bool", "keep: candidate.content_id not in session.recent", "keep: candidate.minutes", "candidate.minutes\n    model", "bool"},
		{"trigger", "where: completed", "where: complete", "complete\n", "did you mean completed?"},
		{"trigger is no bool", "where: completed", "where: seconds", "seconds\n    entity: user\n    candidates", "bool"},
		{"unknown feature", "body.heart_rate_slope", "body.heart_rate_slop", "body.heart_rate_slop\n", "did you mean body.heart_rate_slope?"},
		{"unknown column", "profile.tenure_days", "1 + profile.tenure", "profile.tenure\n", "did you mean profile.tenure_days?"},
		{"time for a column", "hour(now)", "now", "now\n", "time"},
		{"hour of a number", "hour(now)", "hour(candidate.minutes)", "hour(candidate", "one time"},
		{"field of another type", "hour(now)", "event.steps", "event.steps", "event.steps"},
		{"aggregate", "hour(now)", "count()", "count()\n    top", "count"},
		{"context alone", "hour(now)", "context", "context\n", "context."},
		{"broken", "hour(now)", "'hour(now'", "'\n    top", "early"},
		{"input without value", "hour(now)", "{ vlue: 1 }", "vlue", "did you mean value?"},
		{"top", "top: 20", "top: 0", "0\n    pull", "1 to 1000"},
		{"top is a text", "top: 20", `top: "20"`, `"20"`, "1 to 1000"},
		{"expires", "expires: 24h", "expires: soon", "soon", "duration"},
		{"flag", "flags: [today_tab]", "flags: [Today]", "Today", "no name"},
		{"flag twice", "flags: [today_tab]", "flags: [a, a]", "a] }", "twice"},
		{"push of nothing", "    top: 1\n", "    push: { category: xyz }\n", "{ category: xyz", "title is missing"},
		{"push, unknown key", "    top: 1\n", "    push: { titel: x }\n", "titel", "did you mean title?"},
		{"push, column", "    top: 1\n", "    push: { title: 'Up: {{ (index .Items 0).Row.titel }}' }\n", "0).Row.titel", "no column titel; did you mean title?"},
		{"push, template", "    top: 1\n", "    push: { title: '{{ .Nobody }}' }\n", ".Nobody", "can't evaluate field Nobody"},
		{"push, no template", "    top: 1\n", "    push: { title: '{{ if }}' }\n", "{{ if", "missing value for if"},
		{"push, too far", "    top: 1\n", "    top: 1\n    push: { title: '{{ (index .Items 1).ID }}' }\n", "index .Items 1", "out of range"},
		{"push by nobody", "    top: 1\n", "    push: { title: x, channels: [apns] }\n", "apns]", "no section push.apns"},
		{"push by no channel", "    top: 1\n", "    push: { title: x, channels: pigeon }\n", "pigeon", "no such channel"},
		{"push, cap", "    top: 1\n", "    push: { title: x, caps: [3/day] }\n", "3/day", "such as 3/24h"},
		{"push, large cap", "    top: 1\n", "    push: { title: x, caps: 3/40d }\n", "3/40d", "1m to 31d"},
		{"push, holdout", "    top: 1\n", "    push: { title: x, holdout: 5 }\n", "5 }", "0% to 100%"},
		{"push, expires", "    top: 1\n", "    push: { title: x, expires: 1ms }\n", "1ms", "between 1s"},
		{"senders, secret", "project: calm\n", "project: calm\npush: { webhook: { url: 'https://x.example', secret: whsec_abc } }\n", "whsec_abc", "does not stand in the project file"},
		{"senders, url", "project: calm\n", "project: calm\npush: { webhook: { url: x, secret: '${S}' } }\n", "x, secret", "whole address"},
		{"senders, missing", "project: calm\n", "project: calm\npush: { apns: { key: '${K}', key_id: a, team_id: b } }\n", "{ key:", "topic is missing"},
		{"senders, subject", "project: calm\n", "project: calm\npush: { webpush: { key: '${K}', subject: me } }\n", "me }", "mailto:"},
		{"app, zone", "project: calm\n", "project: calm\npush: { timezone: Berlin }\n", "Berlin", "no time zone"},
		{"app, quiet hours", "project: calm\n", "project: calm\npush: { quiet_hours: 22-7 }\n", "22-7", "22:00-07:00"},
		{"fallback to nothing", "    top: 1\n", "    fallback: catlog by minutes\n", "catlog by", "did you mean catalog?"},
		{"fallback by nothing", "    top: 1\n", "    fallback: catalog by minuts\n", "catalog by minuts", "did you mean minutes?"},
		{"fallback by a text", "    top: 1\n", "    fallback: catalog by title\n", "catalog by title", "a number or a time, not string"},
		{"fallback by two", "    top: 1\n", "    inputs: { n: 1 }\n    fallback: catalog by plays_1h + starts\n", "plays_1h +", "no such name"},
		{"fallback by an expression", "    top: 1\n", "    fallback: catalog by popularity.strts * 2\n", "popularity.strts * 2", "did you mean popularity.starts?"},
		{"fallback to users", "    top: 1\n", "    fallback: profile\n", "profile\n", "are of user, but the pipeline ranks content"},
		{"fallback to itself", "    top: 1\n", "    fallback: next_step\n", "next_step\n", "comes back"},
		{"pipeline by", "    top: 1\n", "    fallback: today by minutes\n", "today by", "is a pipeline"},
		{"fallback without candidates", "    candidates: catalog\n    model: ranker\n    top: 1\n", "    model: ranker\n    fallback: catalog # x\n", "catalog # x\n", "no candidates"},
		{"fallback to other kinds", "    candidates: catalog\n    model: ranker\n    top: 1\n", "    model: ranker\n    fallback: today\n", "today\n", "does not rank"},
		{"deadline", "    top: 1\n", "    deadline: 0ms\n", "0ms", "between 1ms"},
		{"debounce", "    top: 1\n", "    debounce: soon\n", "soon", "is no duration"},
		{"priority", "    top: 1\n", "    priority: urgent\n", "urgent", "expected high, normal or low"},
		{"useful", "    top: 1\n", "    debounce: 2s\n    useful: 1s\n", "1s", "must be longer than debounce"},
		{"required", "hour(now)", "{ value: hour(now), required: yes }", "yes", "true or false"},
		{"push and file", "file: data/profile.csv", "push: true, file: data/profile.csv", "data/profile.csv", "not both"},
		{"push is not true", "file: data/profile.csv", "push: yes", "yes", "expected true"},
		{"push without columns", "file: data/profile.csv,  columns: { tenure_days: int, locale: string }", "push: true, columns: {}", "{} }", "at least one"},
		{"push of candidates", "file: data/catalog.csv", "push: true", "true", "candidates"},
		{"type of pushed column", "file: data/profile.csv,  columns: { tenure_days: int", "push: true, columns: { tenure_days: vector 3", "vector 3", "no such type of column"},
		{"event time of pushed rows", "file: data/profile.csv,  columns: { tenure_days: int", "push: true, columns: { event_timestamp: time, tenure_days: int", "event_timestamp: time", "another name"},
		{"spreadsheet", "data/profile.csv", "data/profile.xlsx", "data/profile.xlsx", "give a CSV or Parquet file"},
		{"segment key", "lateness: 12h", "segment: { tracks: {} }\nlateness: 12h", "tracks", "did you mean track?"},
		{"segment type", "lateness: 12h", "segment: { track: { Play Finished: plya } }\nlateness: 12h", "plya", "did you mean play?"},
		{"segment without type", "lateness: 12h", "segment: { track: { Play Finished: { fields: {} } } }\nlateness: 12h", "{ fields", "type is missing"},
		{"segment field", "lateness: 12h", "segment: { track: { P: { type: play, fields: { s: second } } } }\nlateness: 12h", "second }", "did you mean seconds?"},
		{"segment field of no event", "lateness: 12h", "segment: { page: { fields: { s: seconds } } }\nlateness: 12h", "{ s:", "no event type page"},
		{"segment field of all", "lateness: 12h", "segment: { fields: { q: qery } }\nlateness: 12h", "qery", "did you mean query?"},
		{"segment page", "lateness: 12h", "segment: { page: serch }\nlateness: 12h", "serch", "did you mean search?"},
		{"segment table of page", "lateness: 12h", "segment: { page: { table: profile } }\nlateness: 12h", "table: profile }", "no such key"},
		{"segment table", "lateness: 12h", "segment: { identify: { table: profle } }\nlateness: 12h", "profle", "did you mean profile?"},
		{"segment table of a file", "lateness: 12h", "segment: { identify: { table: profile } }\nlateness: 12h", "profile }", "push: true"},
		{"alias", "path: models/ranker", "path: *x", "*x", "aliases"},
		{"anchor", "path: models/ranker", "path: &x models/ranker", "&x", "aliases"},
		{"merge", "path: models/ranker", "<<: {path: x}", "<<", "merge"},
		{"tag", "path: models/ranker", "path: !!str x", "!!str", "tags"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(example, tt.from, tt.to, 1)
			if text == example {
				t.Fatalf("%q is not in the example", tt.from)
			}
			_, err := project.Parse("freshet.yaml", []byte(text))
			issues, ok := errors.AsType[project.Errors](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			want := text[:strings.Index(text, tt.at)]
			line, column := 1+strings.Count(want, "\n"), len([]rune(want[strings.LastIndex(want, "\n")+1:]))+1
			i := issues[0]
			if len(issues) != 1 || i.Line != line || i.Column != column || !strings.Contains(i.Message, tt.words) {
				t.Errorf("%v\nwants only an error at %d:%d with %q", err, line, column, tt.words)
			}
		})
	}
}

func TestPushTable(t *testing.T) {
	t.Parallel()
	text := strings.Replace(example, "file: data/profile.csv,  columns: { tenure_days: int", "push: true, columns: { tags: strings, tenure_days: int", 1)
	p, err := project.Parse("freshet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	table, ok := p.Table("profile")
	if !ok || !table.Push || table.File != "" || len(table.Spec.Columns) != 3 || table.Spec.Columns[0].Type().Elem != expression.String {
		t.Errorf("got %+v", table)
	}
}

func TestSegment(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"file: data/profile.csv,  columns: { tenure_days: int", "push: true, columns: { tenure_days: int",
		"lateness: 12h", `segment:
  track:
    Play Finished: play
    "Query: Sent": { type: search, fields: { context.page.search: query } }
  page: search
  identify: { type: biometric, table: profile, fields: { Language: locale, pulse: heart_rate } }
  fields: { contentId: content_id }
lateness: 12h`).Replace(example)
	p, err := project.Parse("freshet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := project.Segment{
		Track: map[string]project.SegmentCall{
			"Play Finished": {Type: "play"},
			"Query: Sent":   {Type: "search", Fields: map[string]string{"context.page.search": "query"}},
		},
		Calls: map[string]project.SegmentCall{
			"page":     {Type: "search"},
			"identify": {Type: "biometric", Table: "profile", Fields: map[string]string{"Language": "locale", "pulse": "heart_rate"}},
		},
		Fields: map[string]string{"contentId": "content_id"},
	}
	if !reflect.DeepEqual(p.Segment, want) {
		t.Errorf("got  %+v\nwant %+v", p.Segment, want)
	}
}

// All problems are told at once, in the order of the file.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("key: user_id", "key: User", "seconds >= 5", "5", "top: 20", "top: many", "models/ranker", "/ranker").Replace(example)
	_, err := project.Parse("x.yaml", []byte(text))
	issues, ok := errors.AsType[project.Errors](err)
	if !ok || len(issues) < 3 {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(issues, func(a, b project.Issue) int { return a.Line - b.Line }) {
		t.Error(err)
	}
	if got := len(strings.Split(err.Error(), "\n")); got != len(issues) {
		t.Errorf("%d lines for %d problems", got, len(issues))
	}
	if first := issues[0].String(); !strings.HasPrefix(first, "x.yaml:5:") {
		t.Error(first)
	}
}

func TestBadSyntax(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, words string }{
		"empty":            {"", "empty"},
		"comment":          {"# nothing\n", "empty"},
		"list":             {"- a\n", "expected keys"},
		"text":             {"calm", "expected keys"},
		"open list":        {"project: [calm\n", "1:10: not YAML"},
		"two values":       {"project: a: b\n", "not YAML"},
		"two documents":    {"project: a\n---\nproject: b\n", "second document"},
		"not UTF-8":        {"project: \xff\n", "UTF-8"},
		"no entities":      {"project: a\n", "entities is missing"},
		"empty entities":   {"project: a\nentities: {}\n", "at least one"},
		"null entity":      {"project: a\nentities:\n  user:\n", "expected keys"},
		"no key":           {"project: a\nentities:\n  user: {}\n", "key is missing"},
		"empty key list":   {"project: a\nentities:\n  user: {key: []}\n", "empty"},
		"key twice":        {"project: a\nentities:\n  user: {key: [id, id]}\n", "twice"},
		"project is a map": {"project: {}\nentities: {user: {key: id}}\n", "text"},
		"project name":     {"project: Calm App\nentities: {user: {key: id}}\n", "Calm App is no name"},
		"key of a list":    {"project: a\nentities: {user: {key: [[id]]}}\n", "text"},
		"complex key":      {"? [a]\n: b\n", "not YAML"},
		"deep lists":       {strings.Repeat("[", 5000), "deep"},
		"deep maps":        {strings.Repeat("{a: ", 5000), "deep"},
		"deep dashes":      {strings.Repeat("- ", 5000), "deep"},
		"deep blocks":      {deepBlocks(200), "deep"},
		"many words":       {strings.Repeat("- a\n", 60_000), "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := project.Parse("freshet.yaml", []byte(tt.text))
			if _, ok := errors.AsType[project.Errors](err); !ok || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%v; want %q", err, tt.words)
			}
		})
	}
	if _, err := project.Parse("freshet.yaml", make([]byte, project.MaxBytes+1)); freshet.CodeOf(err) != freshet.TooLarge {
		t.Error(err)
	}
}

func deepBlocks(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestLoad(t *testing.T) {
	t.Parallel()
	const small = "project: p\nentities: {user: {key: user_id}}\n"
	write := func(dir, name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir := t.TempDir()
	if _, err := project.Load(dir); freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := project.Load(filepath.Join(dir, "nothing.yaml")); freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("no file: %v", err)
	}
	only := write(dir, "only.yaml", small)
	for _, path := range []string{dir, only} {
		if p, err := project.Load(path); err != nil || p.Dir != dir || p.Name != "p" {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
	write(dir, "other.yaml", small)
	if _, err := project.Load(dir); freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("two files: %v", err)
	}
	usual := write(dir, project.FileName, "project: 5x\nentities: {user: {key: user_id}}\n")
	if _, err := project.Load(dir); err == nil || !strings.HasPrefix(err.Error(), usual+":1:10: ") {
		t.Errorf("%v", err)
	}
}

// Whatever the text, there is a project or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"project":"p","entities":{"user":{"key":"user_id"}},"views":{"v":{"where":"a\u00e9 > \"x"}}}`))
	f.Add([]byte("project: |\n  a\n  b\nentities: &a {<<: *a}\n? x\n: !!int 5\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := project.Parse("f", text)
		if (p == nil) == (err == nil) {
			t.Errorf("%v, %v", p, err)
		}
		if issues, ok := errors.AsType[project.Errors](err); ok {
			for _, i := range issues {
				if i.Line < 1 || i.Column < 1 {
					t.Errorf("%+v", i)
				}
			}
		}
	})
}

// Texts are embedded by the built-in table, without a word in the project file.
func TestEmbeds(t *testing.T) {
	t.Parallel()
	p, err := project.Parse("freshet.yaml", []byte(`
project: calm
entities: { user: { key: user_id } }
events: { search: { keys: user_id, fields: { query: string } } }
views:
  interest: { entity: user, from: search, window: last 5, features: { query_vector: embed(query) } }
`))
	if err != nil {
		t.Fatal(err)
	}
	view, _ := p.View("interest")
	if f := view.Features()[0]; f.Type.String() != "vector 100" {
		t.Errorf("%s is a %s, expected a vector 100", f.Name, f.Type)
	}
	scratch, record := view.NewScratch(), p.Schema.NewRecord()
	vector := func(query string) []float64 {
		raw := []byte(`{"event_id":"e1","type":"search","user_id":"u1","event_time":0,"query":"` + query + `"}`)
		if err := p.Schema.Decode(raw, 0, record); err != nil {
			t.Fatal(err)
		}
		row, _, err := view.Apply(scratch, nil, record, 0)
		if err != nil {
			t.Fatal(err)
		}
		values, err := view.Read(scratch, row, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		return values[0].Vec
	}
	cosine := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	sleep := vector("fall asleep")
	if near, far := cosine(sleep, vector("insomnia at night")), cosine(sleep, vector("focus at work")); near <= far {
		t.Errorf("sleep is as near to insomnia (%v) as to work (%v)", near, far)
	}
}

// A word table beside the file is used in the place of the built-in one, and is part of what its views are.
func TestEmbedderOfAFile(t *testing.T) {
	t.Parallel()
	const text = `
project: calm
entities: { user: { key: user_id } }
events: { search: { keys: user_id, fields: { query: string } } }
embedder: { file: words.bin }
views:
  interest: { entity: user, from: search, window: last 5, features: { query_vector: embed(query) } }
  searches: { entity: user, from: search, window: last 5, features: { n: count() } }
`
	load := func(vectors string) *project.Project {
		t.Helper()
		dir := t.TempDir()
		var table bytes.Buffer
		if _, err := wordtable.Convert(strings.NewReader(vectors), &table, nil); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"freshet.yaml": text, "words.bin": table.String()} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := project.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, two := load("sleep 1 0 0\ncalm 0 1 0\n"), load("sleep 1 0 0\ncalm 0 0 1\n")
	if f := one.Views[0].Features()[0]; f.Type.String() != "vector 3" {
		t.Errorf("%s is a %s, expected a vector 3", f.Name, f.Type)
	}
	if one.Views[0].Digest() == two.Views[0].Digest() || one.Views[1].Digest() != two.Views[1].Digest() {
		t.Error("another table makes another view of those that embed, and of no others")
	}
	if _, err := project.Parse("freshet.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "freshet.yaml:5:19: embedder: file: words.bin") {
		t.Errorf("a project without a folder: %v", err)
	}
}
