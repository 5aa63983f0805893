package project

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet/internal/quiethours"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// Push is how the app reaches people: its senders, and its policy where neither pipeline nor user says otherwise.
type Push struct {
	Channels []push.Channel // in the order of preference
	Quiet    quiethours.Hours
	Zone     *time.Location
	Caps     []outbox.Cap
	Presence time.Duration // an event within it says that the app is open; 0: only an open stream does
	APNs     *APNs
	FCM      *FCM
	WebPush  *WebPush
	Webhook  *Webhook
}

// APNs says how to reach Apple's service. Key is a variable, ${NAME}, as are all secrets below.
type APNs struct{ Key, KeyID, TeamID, Topic, URL string }

// FCM says how to reach Firebase Cloud Messaging.
type FCM struct{ Account, URL string }

// WebPush says who we are to browsers' push services.
type WebPush struct{ Key, Subject string }

// Webhook is where the app's own server is.
type Webhook struct{ URL, Secret string }

var (
	pushKeys     = []string{"channels", "timezone", "quiet_hours", "caps", "presence", "apns", "fcm", "webpush", "webhook"}
	pushChannels = []string{"apns", "fcm", "webpush", "webhook", "inapp"}
)

// push reads the section of senders and policy. An absent one reaches people in the app only.
func (r *reader) push(p *Project, n *node) {
	p.Push = &Push{Zone: time.UTC}
	if n == nil {
		p.Push.Channels = []push.Channel{push.InApp}
		return
	}
	s, ok := r.section(n, "push", pushKeys, nil)
	if !ok {
		return
	}
	r.senders(p.Push, s)
	p.Push.Channels = r.channels(s, p.Push)
	if len(p.Push.Channels) == 0 {
		p.Push.Channels = p.Push.configured()
	}
	p.Push.Caps = r.caps(s)
	p.Push.Presence = s.duration("presence", time.Second)
	if text := s.text("timezone"); text != "" {
		zone, err := quiethours.Zone(text)
		if err != nil {
			r.issue(s.get("timezone"), "push: timezone: %v", err)
		} else {
			p.Push.Zone = zone
		}
	}
	if text := s.text("quiet_hours"); text != "" {
		hours, err := quiethours.Parse(text)
		if err != nil {
			r.issue(s.get("quiet_hours"), "push: quiet_hours: %v", err)
		}
		p.Push.Quiet = hours
	}
}

// configured are the channels that have a section, then that of the app itself.
func (p *Push) configured() []push.Channel {
	var list []push.Channel
	for _, c := range []struct {
		name  push.Channel
		there bool
	}{{push.APNs, p.APNs != nil}, {push.FCM, p.FCM != nil}, {push.WebPush, p.WebPush != nil}, {push.Webhook, p.Webhook != nil}, {push.InApp, true}} {
		if c.there {
			list = append(list, c.name)
		}
	}
	return list
}

func (r *reader) senders(p *Push, s section) {
	sender := func(key string, keys ...string) (section, bool) {
		n := s.get(key)
		if n == nil {
			return section{}, false
		}
		return r.section(n, "push."+key, keys, nil)
	}
	if a, ok := sender("apns", "key", "key_id", "team_id", "topic", "url"); ok {
		p.APNs = &APNs{a.secret("key"), a.needText("key_id"), a.needText("team_id"), a.needText("topic"), a.address("url")}
	}
	if f, ok := sender("fcm", "account", "url"); ok {
		p.FCM = &FCM{f.secret("account"), f.address("url")}
	}
	if w, ok := sender("webpush", "key", "subject"); ok {
		p.WebPush = &WebPush{w.secret("key"), w.needText("subject")}
		if text := p.WebPush.Subject; text != "" && !strings.HasPrefix(text, "mailto:") && !strings.HasPrefix(text, "https://") {
			r.issue(w.get("subject"), "push.webpush: subject: %s: expected mailto: and an address, or https://", text)
		}
	}
	if h, ok := sender("webhook", "url", "secret"); ok {
		h.need("url")
		p.Webhook = &Webhook{h.address("url"), h.secret("secret")}
	}
}

func (s section) needText(key string) string {
	s.need(key)
	return s.text(key)
}

// secret is a value that stands in the environment: the file only names it.
func (s section) secret(key string) string {
	text := s.needText(key)
	if _, ok := push.Variable(text); text != "" && !ok {
		s.r.issue(s.get(key), "%s%s: a secret does not stand in the project file; write the name of an environment variable, such as ${PUSH_KEY}", s.prefix(), key)
		return ""
	}
	return text
}

// address is a URL. Whether it may be private depends on the server.
func (s section) address(key string) string {
	text := s.text(key)
	if text == "" {
		return ""
	}
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		s.r.issue(s.get(key), "%s%s: expected a whole address, such as https://example.com/hook", s.prefix(), key)
	}
	return strings.TrimSuffix(text, "/")
}

// channels are those that a section lists; each must have a section of its own.
func (r *reader) channels(s section, p *Push) []push.Channel {
	names, nodes := s.texts("channels")
	var list []push.Channel
	for i, name := range names {
		what := s.prefix() + "channels"
		switch c := push.Channel(name); {
		case !r.one(nodes[i], what, "channel", name, pushChannels):
		case slices.Contains(list, c):
			r.issue(nodes[i], "%s: %s stands twice", what, name)
		case !slices.Contains(p.configured(), c):
			r.issue(nodes[i], "%s: %s: there is no section push.%s that says how to reach it", what, name, name)
		default:
			list = append(list, c)
		}
	}
	return list
}

const (
	maxCaps      = 8
	maxCapCount  = 100
	maxCapWindow = 31 * 24 * time.Hour
)

var capPattern = regexp.MustCompile(`^([0-9]{1,3})/([0-9]{1,6})(ms|[smhd])$`)

// caps reads "3/24h" or a list of such.
func (r *reader) caps(s section) []outbox.Cap {
	texts, nodes := s.texts("caps")
	var caps []outbox.Cap
	for i, text := range texts {
		m := capPattern.FindStringSubmatch(text)
		if m == nil {
			r.issue(nodes[i], "%scaps: %s: expected a number and a time, such as 3/24h", s.prefix(), text)
			continue
		}
		count, _ := strconv.Atoi(m[1]) // few digits
		n, _ := strconv.Atoi(m[2])
		window := time.Duration(n) * units[m[3]]
		if count < 1 || count > maxCapCount || window < time.Minute || n > 1_000_000 || window > maxCapWindow {
			r.issue(nodes[i], "%scaps: %s: expected 1 to %d messages in 1m to 31d", s.prefix(), text, maxCapCount)
			continue
		}
		caps = append(caps, outbox.Cap{Count: count, Window: window.Milliseconds()})
	}
	if len(caps) > maxCaps {
		r.issue(s.get("caps"), "%scaps: at most %d of them", s.prefix(), maxCaps)
	}
	return caps
}
