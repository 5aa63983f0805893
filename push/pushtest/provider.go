// Package pushtest is the suite that every push.Sender passes, and the fake providers that it passes it against: they speak the real protocol
// over real connections, check credentials, and answer as a test tells them.
package pushtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Notice is a message as a provider has understood it.
type Notice struct {
	ID, Token, Collapse, Title, Body, Prediction string
	Expires                                      time.Time // to the second
}

// Answer is what a provider says instead of "taken".
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Provider is a fake. It takes what is right and refuses what is not, unless it was told with Next what to answer.
type Provider struct {
	URL          string
	Client       *http.Client
	Subscription string // of Web Push alone: that of the one browser, as JSON

	mu       sync.Mutex
	next     []Answer
	notices  []Notice
	requests int
	took     func(Notice) bool
}

// serve starts the fake; refuse says what is wrong with a request, nil if nothing.
func (p *Provider) serve(t testing.TB, http2 bool, read func(r *http.Request) (Notice, *Answer), taken func(w http.ResponseWriter, n Notice)) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, refused := read(r)
		p.mu.Lock()
		p.requests++
		if refused == nil && len(p.next) > 0 {
			refused, p.next = &p.next[0], p.next[1:]
		}
		if refused == nil {
			p.notices = append(p.notices, n)
		}
		took := p.took
		p.mu.Unlock()
		if refused != nil {
			for k, v := range refused.Header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(refused.Status)
			fmt.Fprint(w, refused.Body)
			return
		}
		if took != nil && !took(n) {
			panic(http.ErrAbortHandler) // taken, and nobody hears of it
		}
		taken(w, n)
	}))
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	p.URL, p.Client = s.URL, s.Client()
	p.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // as push.Addresses has it
}

// Next are the answers to the next good requests.
func (p *Provider) Next(answers ...Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, answers...)
}

// Taking has f called for each notice that is taken; if it is false the sender gets no answer.
func (p *Provider) Taking(f func(Notice) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = f
}

// Notices are those that were taken so far.
func (p *Provider) Notices() []Notice {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Notice(nil), p.notices...)
}

// Requests is how many requests came.
func (p *Provider) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// verify checks a token of ES256 or RS256 and gives header and claims.
func verify(token string, key crypto.PublicKey) (header, claims map[string]any, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil {
			return nil, nil, false
		}
		raw[i] = b
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if json.Unmarshal(raw[0], &header) != nil || json.Unmarshal(raw[1], &claims) != nil {
		return nil, nil, false
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		ok = header["alg"] == "ES256" && len(raw[2]) == 64 &&
			ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:]))
	case *rsa.PublicKey:
		ok = header["alg"] == "RS256" && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], raw[2]) == nil
	}
	return header, claims, ok
}

// about says whether a claim is a moment within d of now.
func about(claim any, now time.Time, d time.Duration) bool {
	seconds, ok := claim.(float64)
	return ok && now.Sub(time.Unix(int64(seconds), 0)).Abs() <= d
}
