package webpush

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"net/url"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/jwt"
	"github.com/freshet-ml/freshet/push"
)

const (
	tokenLife  = 12 * time.Hour // RFC 8292 allows 24 h
	tokenRenew = time.Hour      // before its end
	maxTokens  = 1000           // origins; endpoints come from clients
)

// vapid signs for the origins of push services, and keeps what it has signed: a signature costs as much as all the rest.
type vapid struct {
	secret  push.Secret
	subject string

	mu     sync.Mutex
	of     []byte // the secret that the tokens were signed with
	tokens map[string]signed
}

type signed struct {
	header string
	until  time.Time
}

// header is the Authorization of a request to endpoint.
func (v *vapid) header(endpoint string, now time.Time) (string, error) {
	secret, err := v.secret()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", freshet.Errorf(freshet.InvalidArgument, "the endpoint is no address")
	}
	origin := u.Scheme + "://" + u.Host
	v.mu.Lock()
	defer v.mu.Unlock()
	if !bytes.Equal(secret, v.of) || len(v.tokens) > maxTokens {
		clear(v.tokens)
		v.of = secret
	}
	if t, ok := v.tokens[origin]; ok && now.Before(t.until) {
		return t.header, nil
	}
	key, public, err := parseKey(secret)
	if err != nil {
		return "", err
	}
	token, err := jwt.ES256(key, "", map[string]any{"aud": origin, "exp": now.Add(tokenLife).Unix(), "sub": v.subject})
	if err != nil {
		return "", err
	}
	t := signed{"vapid t=" + token + ", k=" + public, now.Add(tokenLife - tokenRenew)}
	v.tokens[origin] = t
	return t.header, nil
}

// PublicKey is the public key of a VAPID private key, in base64url: what browsers subscribe with.
func PublicKey(secret []byte) (string, error) {
	_, public, err := parseKey(secret)
	return public, err
}

// parseKey reads a private key of 32 bytes in base64url. The error does not show it.
func parseKey(secret []byte) (*ecdsa.PrivateKey, string, error) {
	raw, err := decode(string(secret))
	if err != nil || len(raw) != 32 {
		return nil, "", freshet.Errorf(freshet.InvalidArgument, "the VAPID key is not 32 bytes in base64url")
	}
	dh, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return nil, "", freshet.Errorf(freshet.InvalidArgument, "the VAPID key is no key of the curve P-256")
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return nil, "", freshet.Errorf(freshet.InvalidArgument, "the VAPID key is no key of the curve P-256")
	}
	return key, base64.RawURLEncoding.EncodeToString(dh.PublicKey().Bytes()), nil
}
