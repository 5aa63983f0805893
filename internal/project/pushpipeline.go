package project

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// PushEntity is the kind of entities that can be pushed to: those that the routes under /v1/users are about.
const PushEntity freshet.EntityKind = "user"

// DefaultPushExpires is how long a message is of use if its pipeline does not say.
const DefaultPushExpires = 15 * time.Minute

// PipelinePush is what a pipeline sends to people. It is immutable.
type PipelinePush struct {
	Expires  time.Duration // a message that was not sent by then is dropped
	Category string        // what people can opt out of
	Channels []push.Channel
	Caps     []outbox.Cap
	Dedupe   time.Duration // for how long the same text is not sent to the same user again; 0: it may be
	Holdout  float64       // share of users who get none, 0 … 1

	title, body *template.Template
	pipeline    freshet.PipelineName
}

// PushView is what templates see.
type PushView struct {
	User     string
	Pipeline string
	Items    []PushItem // best first
}

// PushItem is an item of the prediction with its row of the candidates table: column → text, int64, float64, bool or time.Time. A null is an empty text.
type PushItem struct {
	ID    string
	Score float64
	Row   map[string]any
}

var pipelinePushKeys = []string{"title", "body", "expires", "category", "channels", "caps", "dedupe", "holdout"}

// pipelinePush reads the push section of a pipeline and tries its templates on a made-up prediction.
func (r *reader) pipelinePush(l *Pipeline, n *node, app *Push) {
	if n == nil {
		return
	}
	s, ok := r.section(n, "pipelines."+string(l.Name)+".push", pipelinePushKeys, nil)
	if !ok {
		return
	}
	if l.Entity != PushEntity {
		r.issue(n, "%s: only a pipeline about entity %s can push; this one is about %s", s.path, PushEntity, l.Entity)
		return
	}
	if !s.stray && s.get("title") == nil && s.get("body") == nil {
		r.issue(n, "%s: title is missing; a message has a title, a body or both", s.path)
	}
	p := &PipelinePush{Category: cmp.Or(s.text("category"), string(l.Name)), Channels: r.channels(s, app), Caps: r.caps(s), pipeline: l.Name}
	if c := s.get("category"); c != nil {
		r.name(c, c.text, s.path+": category")
	}
	if p.Expires = s.duration("expires", time.Second); p.Expires == 0 {
		p.Expires = DefaultPushExpires
	}
	p.Dedupe = p.Expires
	if s.get("dedupe") != nil {
		p.Dedupe = s.duration("dedupe", 0)
	}
	if len(p.Channels) == 0 {
		p.Channels = app.Channels
	}
	if s.get("caps") == nil {
		p.Caps = app.Caps
	}
	p.Holdout = s.share("holdout")
	sample := l.sampleView()
	p.title = r.template(s, "title", sample)
	p.body = r.template(s, "body", sample)
	l.Push = p
}

var sharePattern = regexp.MustCompile(`^([0-9]{1,3}(?:\.[0-9]{1,3})?)%$`)

// share is the value of key as a part of one, written as "5%".
func (s section) share(key string) float64 {
	n := s.get(key)
	if n == nil {
		return 0
	}
	m := sharePattern.FindStringSubmatch(n.text)
	if n.kind == scalarNode && m != nil {
		if percent, err := strconv.ParseFloat(m[1], 64); err == nil && percent <= 100 {
			return percent / 100
		}
	}
	s.r.issue(n, "%s%s: expected a share from 0%% to 100%%", s.prefix(), key)
	return 0
}

// sampleView has as many items as a prediction of l can have, each with a row of its candidates table.
func (l *Pipeline) sampleView() PushView {
	view := PushView{User: "u1", Pipeline: string(l.Name)}
	row := map[string]any{}
	if t, ok := l.project.Table(l.Candidates); ok {
		for _, c := range t.Spec.Columns {
			row[c.Name] = sampleValue(c.Kind, c.Int)
		}
	}
	most := 1
	if l.Candidates != "" {
		most = cmp.Or(l.Top, MaxTop)
	}
	for range most {
		view.Items = append(view.Items, PushItem{ID: "c1", Score: 0.5, Row: row})
	}
	return view
}

func sampleValue(k expression.Kind, whole bool) any {
	switch {
	case k == expression.Number && whole:
		return int64(1)
	case k == expression.Number:
		return 1.5
	case k == expression.Bool:
		return true
	case k == expression.Time:
		return time.Unix(0, 0).UTC()
	}
	return "x"
}

// MaxPushBytes bounds what a template may write.
const MaxPushBytes = 2 << 10

var errLong = errors.New("the text is over 2048 bytes")

// text is what a template has written so far.
type text struct{ bytes.Buffer }

func (t *text) Write(b []byte) (int, error) {
	if t.Len()+len(b) > MaxPushBytes {
		return 0, errLong
	}
	return t.Buffer.Write(b)
}

func (r *reader) template(s section, key string, sample PushView) *template.Template {
	source := s.text(key)
	if source == "" {
		return nil
	}
	t, err := template.New(key).Option("missingkey=error").Parse(source)
	if err == nil {
		err = t.Execute(&text{}, sample)
	}
	if err == nil {
		return t
	}
	n := s.get(key)
	line, column := r.place(n, templateOffset(n.text, err.Error()))
	r.issueAt(line, column, "%s: %s: %s", s.path, key, templateError(err, sample))
	return nil
}

var (
	templatePlace = regexp.MustCompile(`^template: [a-z]+:([0-9]+)(?::([0-9]+))?: (?:executing "[a-z]+" at )?`)
	noEntry       = regexp.MustCompile(`map has no entry for key "([^"]*)"`)
)

// templateOffset is where in the source the error of text/template is; 0 if it does not say.
func templateOffset(source, message string) int {
	m := templatePlace.FindStringSubmatch(message)
	if m == nil || m[1] != "1" || m[2] == "" {
		return 0
	}
	column, err := strconv.Atoi(m[2])
	if err != nil || column > len(source) {
		return 0
	}
	return column
}

func templateError(err error, sample PushView) string {
	message := templatePlace.ReplaceAllString(err.Error(), "")
	if m := noEntry.FindStringSubmatch(message); m != nil && len(sample.Items) > 0 {
		var columns []string
		for c := range sample.Items[0].Row {
			columns = append(columns, c)
		}
		return "the candidates have no column " + m[1] + expression.Hint(m[1], columns)
	}
	return message
}

// Render writes title and body for a prediction. The error says which of them had nothing to say it with: an item that is not there, a text that is too long.
func (p *PipelinePush) Render(items []PushItem, user freshet.Key) (title, body string, err error) {
	view := PushView{User: string(user), Pipeline: string(p.pipeline), Items: items}
	if title, err = render(p.title, view); err != nil {
		return "", "", err
	}
	body, err = render(p.body, view)
	return title, body, err
}

func render(t *template.Template, view PushView) (string, error) {
	if t == nil {
		return "", nil
	}
	var out text
	if err := t.Execute(&out, view); err != nil {
		return "", freshet.Errorf(freshet.Unprocessable, "%w", err)
	}
	return strings.TrimSpace(strings.ToValidUTF8(out.String(), "\ufffd")), nil
}

// canonical is what the digest of a pipeline says of it.
func (p *PipelinePush) canonical() json.RawMessage {
	if p == nil {
		return nil
	}
	source := func(t *template.Template) string {
		if t == nil {
			return ""
		}
		return t.Root.String()
	}
	b, err := json.Marshal([]any{source(p.title), source(p.body), p.Expires, p.Category, p.Channels, p.Caps, p.Dedupe, p.Holdout})
	if err != nil {
		panic(err) // texts and numbers only
	}
	return b
}
