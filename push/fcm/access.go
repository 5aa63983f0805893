package fcm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/freshet-ml/freshet/internal/jwt"
	"github.com/freshet-ml/freshet/push"
)

const (
	scope     = "https://www.googleapis.com/auth/firebase.messaging"
	grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	// early is how long before its end an access token is not used any more.
	early = 5 * time.Minute
)

// account is what we need of a service account's file.
type account struct {
	Project  string `json:"project_id"`
	Email    string `json:"client_email"`
	Key      string `json:"private_key"`
	KeyID    string `json:"private_key_id"`
	TokenURI string `json:"token_uri"`
}

// grant is an access token with the project that it is for.
type grant struct{ token, project string }

// access is the access token, shared by all requests.
type access struct {
	secret push.Secret
	client *http.Client

	mu    sync.Mutex
	grant grant
	until time.Time
	of    []byte // the service account that it was given to
}

// current is the grant for a request at now. If there is none to be had, the result says why. Requests that come while one is fetched wait for it.
func (a *access) current(ctx context.Context, now time.Time) (grant, push.Result) {
	secret, err := a.secret()
	if err != nil {
		return grant{}, push.Result{Outcome: push.Unauthorized, Reason: push.Clip(err.Error())}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.grant.token != "" && now.Before(a.until) && bytes.Equal(secret, a.of) {
		return a.grant, push.Result{}
	}
	var who account
	if json.Unmarshal(secret, &who) != nil || who.Project == "" || who.Email == "" || who.TokenURI == "" {
		return grant{}, push.Result{Outcome: push.Unauthorized, Reason: "the secret is no service account: it lacks project_id, client_email or token_uri"}
	}
	token, life, result := a.exchange(ctx, who, now)
	if result.Outcome != "" {
		return grant{}, result
	}
	a.grant, a.until, a.of = grant{token, who.Project}, now.Add(max(life-early, life/2)), secret
	return a.grant, push.Result{}
}

// drop forgets the grant if it is still the one that was refused.
func (a *access) drop(refused grant) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.grant == refused {
		a.grant = grant{}
	}
	return true
}

// exchange gets an access token for a signed assertion.
func (a *access) exchange(ctx context.Context, who account, now time.Time) (token string, life time.Duration, failed push.Result) {
	key, err := jwt.ParseRSA([]byte(who.Key))
	if err != nil {
		return "", 0, push.Result{Outcome: push.Unauthorized, Reason: "private_key: " + push.Clip(err.Error())}
	}
	assertion, err := jwt.RS256(key, who.KeyID, map[string]any{
		"iss": who.Email, "scope": scope, "aud": who.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		return "", 0, push.Result{Outcome: push.Unauthorized, Reason: push.Clip(err.Error())}
	}
	form := url.Values{"grant_type": {grantType}, "assertion": {assertion}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, who.TokenURI, strings.NewReader(form))
	if err != nil {
		return "", 0, push.Result{Outcome: push.Unauthorized, Reason: "token_uri is no address"}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := a.client.Do(r)
	if err != nil {
		return "", 0, push.Unreached(err)
	}
	text, err := push.ReadAnswer(answer)
	if err != nil {
		return "", 0, push.Unreached(err)
	}
	if answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests {
		return "", 0, push.Result{Outcome: push.Retry, Reason: fmt.Sprintf("access token: status %d", answer.StatusCode), After: push.RetryAfter(answer.Header, now), Wide: true}
	}
	var given struct {
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal(text, &given); err != nil || answer.StatusCode != http.StatusOK || given.Token == "" {
		return "", 0, push.Result{Outcome: push.Unauthorized, Reason: push.Clip(fmt.Sprintf("access token: status %d %s", answer.StatusCode, given.Error))}
	}
	return given.Token, time.Duration(max(1, min(given.Expires, 3600))) * time.Second, push.Result{}
}
