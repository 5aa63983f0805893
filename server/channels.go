package server

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/push/apns"
	"github.com/freshet-ml/freshet/push/fcm"
	"github.com/freshet-ml/freshet/push/webhook"
	"github.com/freshet-ml/freshet/push/webpush"
)

// pushConns is how many connections a sender keeps to one host. Over HTTP/2 one carries many calls.
const pushConns = 16

// channels are the senders of the releases that are open. Releases that say the same of a channel share its sender, with its connections, tokens and
// breaker. What a sender signs with may be missing: then it says so at each attempt, and sends once it is there.
type channels struct {
	live    *release.Live
	allowed push.Addresses
	env     func(string) (string, bool)
	now     func() time.Time

	mu   sync.Mutex
	made map[any]push.Sender // by project.APNs and so on, which hold texts only
}

func (c *channels) Of(id freshet.ReleaseID) map[push.Channel]push.Sender {
	set := c.live.Set()
	rel := set.Roles().Live
	for _, o := range set.Open() {
		if o.ID() == id {
			rel = o
		}
	}
	of := map[push.Channel]push.Sender{}
	if rel == nil {
		return of
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for settings := range settingsOf(rel.Project().Push) {
		s := c.sender(settings)
		of[s.Channel()] = s
	}
	return of
}

// Open implements delivery.Senders. It forgets the senders that no open release has.
func (c *channels) Open() []push.Sender {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := map[any]push.Sender{}
	for _, o := range c.live.Set().Open() {
		for settings := range settingsOf(o.Project().Push) {
			open[settings] = c.sender(settings)
		}
	}
	c.made = open
	return slices.Collect(maps.Values(open))
}

// settingsOf gives what a project says of each channel that has a sender.
func settingsOf(p *project.Push) func(yield func(any) bool) {
	return func(yield func(any) bool) {
		_ = (p.APNs == nil || yield(*p.APNs)) && (p.FCM == nil || yield(*p.FCM)) && (p.WebPush == nil || yield(*p.WebPush)) && (p.Webhook == nil || yield(*p.Webhook))
	}
}

// sender makes a sender, or gives the one that there is. The caller holds mu.
func (c *channels) sender(settings any) push.Sender {
	s, ok := c.made[settings]
	if !ok {
		s = c.make(settings)
		c.made[settings] = s
	}
	return s
}

func (c *channels) make(settings any) push.Sender {
	secret := func(text string) push.Secret { return push.Lookup(text, c.env) }
	switch x := settings.(type) {
	case project.APNs:
		return apns.New(apns.Options{URL: x.URL, Key: secret(x.Key), KeyID: x.KeyID, TeamID: x.TeamID, Topic: x.Topic, Client: c.allowed.Client(pushConns), Now: c.now})
	case project.FCM:
		return fcm.New(fcm.Options{URL: x.URL, Account: secret(x.Account), Client: c.allowed.Client(pushConns), Now: c.now})
	case project.WebPush:
		return webpush.New(webpush.Options{Key: secret(x.Key), Subject: x.Subject, Addresses: c.allowed, Client: c.allowed.Client(pushConns), Now: c.now})
	}
	x := settings.(project.Webhook)
	return webhook.New(webhook.Options{URL: x.URL, Secret: secret(x.Secret), Client: c.allowed.Client(pushConns), Now: c.now})
}

// Check says what the channels of p lack to send from here: a secret that is not in the environment, an address that senders do not go to.
func (c *channels) Check(p *project.Push) error {
	var problems []error
	secret := func(field, text string) {
		_, err := push.Resolve(text, c.env)
		if freshet.CodeOf(err) == freshet.NotFound {
			err = freshet.Errorf("", "%w; it belongs into the environment of the server", err)
		}
		if err != nil {
			problems = append(problems, freshet.FieldErrorf(freshet.Unprocessable, field, "%s: %w", field, err))
		}
	}
	address := func(field, text string) {
		if text == "" {
			return
		}
		if err := c.allowed.Check(text); err != nil {
			problems = append(problems, freshet.FieldErrorf(freshet.Unprocessable, field, "%s: %w; --push-private allows it", field, err))
		}
	}
	for settings := range settingsOf(p) {
		switch x := settings.(type) {
		case project.APNs:
			secret("push.apns.key", x.Key)
			address("push.apns.url", x.URL)
		case project.FCM:
			secret("push.fcm.account", x.Account)
			address("push.fcm.url", x.URL)
		case project.WebPush:
			secret("push.webpush.key", x.Key)
		case project.Webhook:
			secret("push.webhook.secret", x.Secret)
			address("push.webhook.url", x.URL)
		}
	}
	return errors.Join(problems...)
}

// Degraded lists what the channels of the live release lack.
func (c *channels) Degraded() (list []string) {
	rel := c.live.Load()
	if rel == nil {
		return nil
	}
	if joined, ok := c.Check(rel.Project().Push).(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			list = append(list, err.Error())
		}
	}
	return list
}
