package project

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet/feature/expression"
)

// section is a map of the file whose keys are known.
type section struct {
	r    *reader
	path string // "views.session": how messages begin; "" for the file itself
	node *node
	// stray: has a key that is not known, which may be a missing one mistyped.
	stray bool
}

// later are keys that the project file is to have and this version does not read: to accept them in silence would promise
// what does not happen.
type later map[string]string

// section checks that n is a map with no other keys than known; ok is false if it is no map.
func (r *reader) section(n *node, path string, known []string, notYet later) (section, bool) {
	s := section{r: r, path: path, node: n}
	if n.kind != mapNode {
		r.issue(n, "%sexpected keys (%s)", s.prefix(), strings.Join(known, ", "))
		return s, false
	}
	for _, e := range n.entries {
		if why, ok := notYet[e.key.text]; ok {
			r.issue(e.key, "%s%s is not available in this version%s", s.prefix(), e.key.text, why)
			continue
		}
		if !slices.Contains(known, e.key.text) {
			s.stray = true
			r.issue(e.key, "%s%s: no such key%s", s.prefix(), e.key.text, expression.Hint(e.key.text, slices.Concat(known, slices.Sorted(maps.Keys(notYet)))))
		}
	}
	return s, true
}

func (s section) prefix() string {
	if s.path == "" {
		return ""
	}
	return s.path + ": "
}

// get is the value of key; nil if it is absent or null.
func (s section) get(key string) *node {
	for _, e := range s.node.entries {
		if e.key.text == key && e.value.kind != nullNode {
			return e.value
		}
	}
	return nil
}

// need is get for a key that must be there.
func (s section) need(key string) *node {
	n := s.get(key)
	if n == nil && !s.stray {
		s.r.issue(s.node, "%s%s is missing", s.prefix(), key)
	}
	return n
}

// text is the value of key as a text; "" if it is absent or, which is reported, no text.
func (s section) text(key string) string {
	n := s.get(key)
	if n == nil {
		return ""
	}
	return s.r.scalar(n, s.prefix()+key)
}

// texts is the value of key: a text or a list of them. Each comes with its node.
func (s section) texts(key string) (texts []string, nodes []*node) {
	n := s.get(key)
	if n == nil {
		return nil, nil
	}
	items := []*node{n}
	if n.kind == listNode {
		items = n.items
	}
	for _, item := range items {
		if t := s.r.scalar(item, s.prefix()+key); t != "" {
			texts, nodes = append(texts, t), append(nodes, item)
		}
	}
	if len(items) == 0 {
		s.r.issue(n, "%s%s: the list is empty", s.prefix(), key)
	}
	return texts, nodes
}

// scalar is the text of n, "" if n is something else, which is reported.
func (r *reader) scalar(n *node, what string) string {
	if n.kind != scalarNode {
		r.issue(n, "%s: expected a text", what)
		return ""
	}
	if n.text == "" {
		r.issue(n, "%s: is empty", what)
	}
	return n.text
}

// named gives each entry of the map n, which is a name space of the file, whose name is good.
func (r *reader) named(n *node, path string, each func(name string, key, value *node)) {
	if n == nil || n.kind == nullNode {
		return
	}
	if n.kind != mapNode {
		r.issue(n, "%s: expected a map of names", path)
		return
	}
	for _, e := range n.entries {
		if r.name(e.key, e.key.text, path) {
			each(e.key.text, e.key, e.value)
		}
	}
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// name checks a name that the file gives to something.
func (r *reader) name(n *node, name, path string) bool {
	if namePattern.MatchString(name) {
		return true
	}
	r.issue(n, "%s: %s is no name; a name has 1 to 63 small letters, digits and _, and begins with a letter", path, name)
	return false
}

// declared checks that a section of the file declares name. Where that section itself is no map, nothing more is said.
func (r *reader) declared(n *node, what, kind, name, section string) bool {
	var names []string
	for _, e := range r.root.entries {
		if e.key.text != section {
			continue
		}
		if e.value.kind != mapNode {
			return false
		}
		for _, d := range e.value.entries {
			names = append(names, d.key.text)
		}
	}
	return r.one(n, what, kind, name, names)
}

// one checks that name is one of valid, which are of the given kind ("entity").
func (r *reader) one(n *node, what, kind, name string, valid []string) bool {
	if slices.Contains(valid, name) {
		return true
	}
	r.issue(n, "%s: %s: no such %s%s", what, name, kind, expression.Hint(name, valid))
	return false
}

const maxDuration = 400 * 24 * time.Hour

var units = map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

var durationPattern = regexp.MustCompile(`^([0-9]{1,9})(ms|[smhd])$`)

// duration is the value of key; 0 if it is absent or, which is reported, none from least to 400d.
func (s section) duration(key string, least time.Duration) time.Duration {
	n := s.get(key)
	if n == nil {
		return 0
	}
	text := s.r.scalar(n, s.prefix()+key)
	if text == "" {
		return 0
	}
	m := durationPattern.FindStringSubmatch(text)
	if m == nil {
		s.r.issue(n, "%s%s: %s is no duration; write a number and one of ms, s, m, h, d, such as 30s or 24h", s.prefix(), key, text)
		return 0
	}
	number, _ := strconv.Atoi(m[1]) // nine digits at most
	count, unit := time.Duration(number), units[m[2]]
	if count > maxDuration/unit || count*unit < least {
		s.r.issue(n, "%s%s: %s is not between %s and 400d", s.prefix(), key, text, least)
		return 0
	}
	return count * unit
}

// integer is the value of key, from least to most; 0 if it is absent or, which is reported, none.
func (s section) integer(key string, least, most int) int {
	n := s.get(key)
	if n == nil {
		return 0
	}
	v, err := strconv.Atoi(n.text)
	if n.kind != scalarNode || n.quoted || err != nil || v < least || v > most {
		s.r.issue(n, "%s%s: expected a whole number from %d to %d", s.prefix(), key, least, most)
		return 0
	}
	return v
}

// truth is the value of key, true or false; false if it is absent or, which is reported, neither.
func (s section) truth(key string) bool {
	n := s.get(key)
	if n == nil {
		return false
	}
	if n.kind != scalarNode || n.quoted || n.text != "true" && n.text != "false" {
		s.r.issue(n, "%s%s: expected true or false", s.prefix(), key)
		return false
	}
	return n.text == "true"
}
