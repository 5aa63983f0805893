package apns

import (
	"bytes"
	"sync"
	"time"

	"github.com/freshet-ml/freshet/internal/jwt"
	"github.com/freshet-ml/freshet/push"
)

// Apple takes a token for 60 minutes, and no new one within 20.
const (
	tokenLife = 50 * time.Minute
	tokenRest = 20 * time.Minute
)

// token is the provider token, shared by all requests.
type token struct {
	key         push.Secret
	keyID, team string

	mu   sync.Mutex
	text string
	at   time.Time
	of   []byte // the key that it was signed with
}

// current is the token for a request at now: a new one if the last is old, or if the key has changed.
func (t *token) current(now time.Time) (string, error) {
	secret, err := t.key()
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text != "" && now.Sub(t.at) < tokenLife && bytes.Equal(secret, t.of) {
		return t.text, nil
	}
	return t.sign(secret, now)
}

// renewed is a token that is not refused, the one that Apple called expired. While that is younger than Apple's rest the clocks disagree, and
// it comes again: a new one would be refused as one too many.
func (t *token) renewed(refused string, now time.Time) (string, error) {
	secret, err := t.key()
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text != refused || now.Sub(t.at) < tokenRest && bytes.Equal(secret, t.of) {
		return t.text, nil
	}
	return t.sign(secret, now)
}

// sign makes the token. The caller holds mu.
func (t *token) sign(secret []byte, now time.Time) (string, error) {
	key, err := jwt.ParseP256(secret)
	if err != nil {
		return "", err
	}
	text, err := jwt.ES256(key, t.keyID, map[string]any{"iss": t.team, "iat": now.Unix()})
	if err != nil {
		return "", err
	}
	t.text, t.at, t.of = text, now, secret
	return text, nil
}
