package project_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/modelruntime"
)

// pipelineOf parses the example with one pipeline of these lines and gives it.
func pipelineOf(t testing.TB, lines string) *project.Pipeline {
	t.Helper()
	p := parse(t, withPipeline(lines))
	l, ok := p.Pipeline("p")
	if !ok {
		t.Fatal("no pipeline p")
	}
	return l
}

func withPipeline(lines string) string {
	head, _, _ := strings.Cut(example, "pipelines:\n")
	return head + "pipelines:\n  p:\n    from: play\n    entity: user\n    model: ranker\n    " + strings.ReplaceAll(lines, "\n", "\n    ") + "\n"
}

// frame fills a frame with values by name.
func frame(t testing.TB, plan *project.Plan, values map[string]expression.Value) []expression.Value {
	t.Helper()
	slots := make([]expression.Value, plan.Slots)
	filled := 0
	set := func(name string, slot int) {
		if v, ok := values[name]; ok {
			slots[slot] = v
			filled++
		}
	}
	for _, u := range plan.Views {
		for i, f := range u.View.Features() {
			set(fmt.Sprintf("%s.%s", u.View.Name(), f.Name), u.Base+i)
		}
	}
	for _, u := range plan.Tables {
		for i, c := range u.Columns {
			set(fmt.Sprintf("%s.%s", u.Table, c), u.Base+i)
		}
	}
	for _, c := range plan.Context {
		set("context."+c.Name, c.Slot)
	}
	if plan.Now >= 0 {
		set("now", plan.Now)
	}
	if filled != len(values) {
		t.Fatalf("%d of %d values have a slot in %+v", filled, len(values), plan)
	}
	return slots
}

// doubles are columns of numbers.
func doubles(names ...string) []modelruntime.Column {
	var columns []modelruntime.Column
	for _, n := range names {
		columns = append(columns, modelruntime.Column{Name: n, Type: "double"})
	}
	return columns
}

func number(v float64) expression.Value { return expression.Value{Kind: expression.Number, Num: v} }

func text(v string) expression.Value { return expression.Value{Kind: expression.String, Str: v} }

func instant(s string) expression.Value {
	ts, err := freshet.ParseTimestamp(s)
	if err != nil {
		panic(err)
	}
	return expression.Value{Kind: expression.Time, Num: float64(ts)}
}

func TestPlan(t *testing.T) {
	l := pipelineOf(t, `candidates: catalog
keep: candidate.content_id not in session.recent and catalog.minutes < 100
inputs:
  a: candidate.minutes * profile.tenure_days
  b: popularity.starts
  c: body.steps > 3
  d: { value: hour(now) + weekday(now) }
  e: 'candidate.category == "Sleep" ? 1 : 0'`)
	columns := []string{"b", "a", "heart_rate_slope", "d", "c", "e"}
	plan, err := l.Bind(doubles(columns...))
	if err != nil {
		t.Fatal(err)
	}
	slots := frame(t, plan, map[string]expression.Value{
		"catalog.content_id": text("c1"), "catalog.minutes": number(10), "catalog.category": text("Sleep"), "profile.tenure_days": number(7),
		"popularity.starts": number(5), "body.steps": number(4), "body.heart_rate_slope": {}, "now": instant("2025-03-03T17:59:59Z"),
		"session.recent": {Kind: expression.List, List: []expression.Value{text("c2")}},
	})
	want := map[string]string{"b": "5", "a": "70", "heart_rate_slope": "null", "d": "17", "c": "1", "e": "1"}
	for i, in := range plan.Inputs {
		got := "null"
		if v, ok := in.Program.Number(slots); ok {
			got = fmt.Sprint(v)
		}
		if in.Column != columns[i] || got != want[in.Column] {
			t.Errorf("%s = %s, want %s = %s", in.Column, got, columns[i], want[columns[i]])
		}
		if ofCandidate := slices.Contains([]string{"a", "b", "e"}, in.Column); in.Candidate != ofCandidate {
			t.Errorf("%s: of the candidate %v", in.Column, in.Candidate)
		}
	}
	if keep, ok := plan.Keep.Bool(slots); !keep || !ok {
		t.Errorf("keep %v, %v", keep, ok)
	}
	for _, u := range plan.Tables {
		if ofCandidate := u.Table == "catalog"; u.Candidate != ofCandidate || u.Candidate != (u.Base >= plan.Shared) {
			t.Errorf("%+v with %d shared slots", u, plan.Shared)
		}
	}
	if n := alloctest.PerRun(100, func() {
		for _, in := range plan.Inputs {
			in.Program.Number(slots)
		}
		plan.Keep.Bool(slots)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCalendar(t *testing.T) {
	t.Parallel()
	l := pipelineOf(t, "inputs: { h: hour(now), w: weekday(now) }")
	plan, err := l.Bind(doubles("h", "w"))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string][2]float64{
		"1970-01-01T00:00:00Z": {0, 3}, "2025-03-03T00:00:00Z": {0, 0}, "2025-03-09T23:59:59.999Z": {23, 6}, "2024-02-29T12:00:00+02:00": {10, 3},
	} {
		slots := frame(t, plan, map[string]expression.Value{"now": instant(at)})
		h, _ := plan.Inputs[0].Program.Number(slots)
		w, _ := plan.Inputs[1].Program.Number(slots)
		if h != want[0] || w != want[1] {
			t.Errorf("%s: hour %v, weekday %v; want %v", at, h, w, want)
		}
	}
}

func TestContextKinds(t *testing.T) {
	t.Parallel()
	l := pipelineOf(t, `inputs:
  a: 'context.device == "phone" ? 1 : 0'
  b: context.minutes / 60
  c: context.premium and context.minutes > 3
  d: 'context.device in ["tv"]'
  e: context.offline
  f: 'context.x == context.y and context.x == "a"'`)
	plan, err := l.Bind(doubles("a", "b", "c", "d", "e", "f"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]expression.Kind{}
	for _, c := range plan.Context {
		got[c.Name] = c.Kind
	}
	want := map[string]expression.Kind{"device": expression.String, "minutes": expression.Number, "premium": expression.Bool, "offline": expression.Number,
		"x": expression.String, "y": expression.String}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	slots := frame(t, plan, map[string]expression.Value{"context.device": text("phone"), "context.minutes": number(90)})
	for i, want := range []float64{1, 1.5} {
		if v, ok := plan.Inputs[i].Program.Number(slots); v != want || !ok {
			t.Errorf("%s = %v, %v", plan.Inputs[i].Column, v, ok)
		}
	}
	// Under every kind of device this is wrong: the error tells of the other mistake.
	_, err = project.Parse("freshet.yaml", []byte(withPipeline(`inputs: { a: 'context.device == "phone" and body.stps > 1' }`)))
	if err == nil || !strings.Contains(err.Error(), "did you mean body.steps?") {
		t.Error(err)
	}
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	l := pipelineOf(t, "candidates: catalog\ninputs: { minutes: candidate.minutes }")
	tests := []struct {
		columns []string
		words   []string
	}{
		{[]string{"minutes", "heart_rate_slop"}, []string{"heart_rate_slop", "did you mean heart_rate_slope?"}},
		{[]string{"minuts"}, []string{"no column minutes", "did you mean minuts?", "column minuts"}},
		{[]string{"minutes", "recent"}, []string{"recent", "list of string"}},
		{[]string{"minutes", "nothing_like_it"}, []string{"nothing_like_it"}},
	}
	for _, tt := range tests {
		_, err := l.Bind(doubles(tt.columns...))
		issues, ok := errors.AsType[project.Errors](err)
		if !ok || freshet.CodeOf(err) != freshet.InvalidArgument || issues[0].File != "freshet.yaml" || issues[0].Line < 50 {
			t.Errorf("%q: %v", tt.columns, err)
			continue
		}
		for _, w := range tt.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v\nwants %q", err, w)
			}
		}
	}
	if _, err := l.Bind(doubles("minutes", "starts", "plays_1h", "steps")); err != nil {
		t.Error(err)
	}
	// Two views with a feature of one name.
	twice := strings.Replace(withPipeline("candidates: catalog"), "      starts: count()", "      steps: count()", 1)
	p := parse(t, twice)
	l, _ = p.Pipeline("p")
	if _, err := l.Bind(doubles("steps")); err == nil || !strings.Contains(err.Error(), "body.steps or popularity.steps") {
		t.Error(err)
	}
}

// A name has a meaning only if its rows are read: those of the entity and of its candidates.
func TestNamesOfOthers(t *testing.T) {
	t.Parallel()
	for lines, words := range map[string]string{
		"inputs: { a: popularity.starts }":               "popularity is about content, but the pipeline is about user",
		"inputs: { a: catalog.minutes }":                 "catalog is about content",
		"inputs: { a: candidate.minutes }":               "has no candidates",
		"candidates: catalog\ninputs: { a: event.sconds": "did you mean event.seconds?",
	} {
		if strings.Contains(lines, "event.") {
			lines += " }"
		}
		_, err := project.Parse("freshet.yaml", []byte(withPipeline(lines)))
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v; want %q", lines, err, words)
		}
	}
}

func TestTriggers(t *testing.T) {
	p := parse(t, withPipeline("where: completed and seconds > 10"))
	l, _ := p.Pipeline("p")
	r := p.Schema.NewRecord()
	now := freshet.TimestampOf(time.Date(2025, 3, 3, 12, 0, 0, 0, time.UTC))
	for raw, want := range map[string]bool{
		`{"event_id":"1","type":"play","user_id":"u","content_id":"c","seconds":11,"completed":true}`:  true,
		`{"event_id":"2","type":"play","user_id":"u","content_id":"c","seconds":10,"completed":true}`:  false,
		`{"event_id":"3","type":"play","user_id":"u","content_id":"c","seconds":11}`:                   false,
		`{"event_id":"4","type":"search","user_id":"u","query":"x"}`:                                   false,
		`{"event_id":"5","type":"play","user_id":"u","content_id":"c","seconds":99,"completed":false}`: false,
	} {
		if err := p.Schema.Decode([]byte(raw), now, r); err != nil {
			t.Fatal(err)
		}
		if got := l.Triggers(r); got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
	if n := alloctest.PerRun(100, func() { l.Triggers(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The fields of the causing event are read at their slots in the frame.
func TestEventInputs(t *testing.T) {
	t.Parallel()
	p := parse(t, withPipeline("inputs: { a: event.seconds, b: 'event.event_type == \"play\"', c: hour(event.event_time) + hour(now), d: 'len(event.user_id)' }"))
	l, _ := p.Pipeline("p")
	plan, err := l.Bind(doubles("a", "b", "c", "d"))
	if err != nil {
		t.Fatal(err)
	}
	r := p.Schema.NewRecord()
	now := freshet.TimestampOf(time.Date(2025, 3, 3, 12, 0, 0, 0, time.UTC))
	if err := p.Schema.Decode([]byte(`{"event_id":"1","type":"play","user_id":"u77","content_id":"c","seconds":11.5}`), now, r); err != nil {
		t.Fatal(err)
	}
	slots := frame(t, plan, map[string]expression.Value{"now": instant("2025-03-03T01:00:00Z")})
	copy(slots[plan.Event:], r.Slots())
	for i, want := range []float64{11.5, 1, 13, 3} {
		if v, ok := plan.Inputs[i].Program.Number(slots); v != want || !ok {
			t.Errorf("%s = %v, %v; want %v", plan.Inputs[i].Column, v, ok, want)
		}
	}
}

// A digest says what a pipeline does, not how its lines are written.
func TestPipelineDigest(t *testing.T) {
	t.Parallel()
	base := pipelineOf(t, "where: completed\ncandidates: catalog\ninputs: { a: body.steps + 1, b: 2 }\ntop: 3\npull: { expires: 60m, flags: [x, y] }").Digest
	same := pipelineOf(t, "pull: { flags: [y, x], expires: 1h }\ntop: 3\ninputs: { b: { value: 2 }, a: (body.steps+1) }\ncandidates: catalog\nwhere: (completed)").Digest
	if base != same {
		t.Errorf("%s and %s", base, same)
	}
	for _, other := range []string{"where: not completed", "where: completed\ncandidates: catalog\ninputs: { a: body.steps + 1, b: 2 }\ntop: 4\npull: { expires: 60m, flags: [x, y] }"} {
		if pipelineOf(t, other).Digest == base {
			t.Errorf("%s has the same digest", other)
		}
	}
}

// TestTexts binds a model that takes ids and a list of them.
func TestTexts(t *testing.T) {
	t.Parallel()
	columns := []modelruntime.Column{
		{Name: "user", Type: modelruntime.TextType, Of: modelruntime.Entity},
		{Name: "item", Type: modelruntime.TextType, Of: modelruntime.Candidate},
		{Name: "recent", Type: modelruntime.TextsType, Optional: true},
	}
	plan, err := pipelineOf(t, "candidates: catalog").Bind(columns)
	if err != nil || len(plan.Inputs) != 3 {
		t.Fatalf("%+v, %v", plan, err)
	}
	user, item, recent := plan.Inputs[0], plan.Inputs[1], plan.Inputs[2]
	if !user.Text || user.Program != nil || user.Of != modelruntime.Entity || user.Candidate || !item.Candidate || item.Program != nil || !recent.List || recent.Program != nil {
		t.Errorf("what nothing gives: %+v", plan.Inputs)
	}
	plan, err = pipelineOf(t, "candidates: catalog\ninputs: { user: profile.locale, item: candidate.title, recent: { value: session.recent, required: true } }").Bind(columns)
	if err != nil {
		t.Fatal(err)
	}
	slots := frame(t, plan, map[string]expression.Value{
		"profile.locale": text("de"), "catalog.title": text("Rain"), "session.recent": {Kind: expression.List, List: []expression.Value{text("c2")}},
	})
	user, item, recent = plan.Inputs[0], plan.Inputs[1], plan.Inputs[2]
	if s, ok := user.Program.Text(slots); s != "de" || !ok || user.Candidate {
		t.Errorf("user %q", s)
	}
	if s, ok := item.Program.Text(slots); s != "Rain" || !ok || !item.Candidate {
		t.Errorf("item %q", s)
	}
	if l := recent.Program.Eval(slots).List; len(l) != 1 || l[0].Str != "c2" || !recent.Required || recent.Candidate {
		t.Errorf("recent %v", l)
	}
	for lines, words := range map[string]string{
		"inputs: { item: profile.locale, user: profile.tenure_days }":                                "is a string, not int",
		"candidates: catalog\ninputs: { recent: profile.locale }":                                    "is a list of string, not string",
		"candidates: catalog\ninputs: { user: session.recent }":                                      "is a string, not list of string",
		"candidates: catalog\ninputs: { item: 'popularity.starts > 3 ? \"a\" : \"b\"' }":             "candidate.… only",
		"candidates: catalog\ninputs: { item: 'profile.locale == candidate.title ? \"a\" : \"b\"' }": "candidate.… only",
		"inputs: { user: profile.locale }":                                                           "column item",
	} {
		l := pipelineOf(t, lines)
		if _, err := l.Bind(columns); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", lines, err, words)
		}
	}
	for lines, words := range map[string]string{
		"inputs: { a: session.recent }": "numbers and bools, not list of string", "inputs: { a: profile.locale }": "numbers and bools, not string",
	} {
		if _, err := pipelineOf(t, lines).Bind(doubles("a")); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", lines, err, words)
		}
	}
}

func TestFallbackOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lines string
		value string // what row orders by; "" for none
		keep  bool
	}{
		{"fallback: catalog by minutes", "10", false},
		{"fallback: catalog by completion_rate", "7", false},
		{"inputs: { starts_24h: popularity.starts }\nfallback: catalog by starts_24h", "5", false},
		{"keep: candidate.minutes > 3\nfallback: catalog by popularity.starts * 2 + candidate.minutes", "20", true},
		{"fallback: catalog", "", false},
	} {
		l := pipelineOf(t, "candidates: catalog\n"+tt.lines)
		plan := l.FallbackOrder().OrderPlan()
		if (plan.Keep != nil) != tt.keep || (len(plan.Inputs) == 0) != (tt.value == "") {
			t.Errorf("%s: %+v", tt.lines, plan)
			continue
		}
		if tt.value == "" {
			continue
		}
		slots := make([]expression.Value, plan.Slots)
		all := map[string]float64{"minutes": 10, "completion_rate": 7, "starts": 5}
		for _, u := range plan.Views {
			for i, f := range u.View.Features() {
				slots[u.Base+i] = number(all[string(f.Name)])
			}
		}
		for _, u := range plan.Tables {
			for i, c := range u.Columns {
				slots[u.Base+i] = number(all[c])
			}
		}
		if v, _ := plan.Inputs[0].Program.Number(slots); fmt.Sprint(v) != tt.value {
			t.Errorf("%s: %v, want %s", tt.lines, v, tt.value)
		}
	}
}

// TestDigestsDiffer: what changes a prediction changes the digest.
func TestDigestsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[freshet.Digest]string{}
	for _, lines := range []string{
		"candidates: catalog", "candidates: catalog\nfallback: catalog", "candidates: catalog\nfallback: catalog by minutes", "candidates: catalog\ndeadline: 20ms",
		"candidates: catalog\ndebounce: 2s", "candidates: catalog\nuseful: 5m", "candidates: catalog\npriority: high", "candidates: catalog\npriority: low",
		"candidates: catalog\ninputs: { a: candidate.minutes }", "candidates: catalog\ninputs: { a: { value: candidate.minutes, required: true } }",
	} {
		d := pipelineOf(t, lines).Digest
		if other := seen[d]; other != "" {
			t.Errorf("%q and %q have one digest", lines, other)
		}
		seen[d] = lines
	}
}
