package crash_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/freshet-ml/freshet/push/pushtest"
)

// phones are what a provider's fake has taken, as a person sees it: a notice whose id or collapse id is there takes its place.
type phones struct {
	mu     sync.Mutex
	copies map[string]int               // by the id that we give it
	shown  map[string]map[string]string // token → delivery → id
	other  []string                     // deliveries that came to a device under two ids: seen twice by a person
	killAt int
	kill   chan struct{}
}

func (p *phones) took(n pushtest.Notice) bool {
	var said struct{ Delivery string }
	err := json.Unmarshal([]byte(n.Prediction), &said)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || said.Delivery == "" || n.Collapse == "" {
		p.other = append(p.other, fmt.Sprintf("%+v", n))
		return true
	}
	p.copies[n.ID]++
	if p.shown[n.Token] == nil {
		p.shown[n.Token] = map[string]string{}
	}
	if first, ok := p.shown[n.Token][said.Delivery]; ok && first != n.ID {
		p.other = append(p.other, said.Delivery)
	}
	p.shown[n.Token][said.Delivery] = n.ID
	if p.killAt--; p.killAt == 0 {
		close(p.kill)
	}
	return true
}

// trusted writes the certificates of servers to a file.
func trusted(t *testing.T, addresses ...string) string {
	t.Helper()
	var certificates []byte
	for _, address := range addresses {
		c, err := tls.Dial("tcp", strings.TrimPrefix(address, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		certificates = append(certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ConnectionState().PeerCertificates[0].Raw})...)
		c.Close()
	}
	return file(t, "ca.pem", certificates)
}

func file(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// phoneChannel is a channel with a fake of its provider.
type phoneChannel struct {
	name     string
	provider *pushtest.Provider
	section  string                               // what the project file says of it
	secret   []byte                               // in a file, as PHONES_KEY
	trusted  []string                             // addresses
	token    func(user int, device string) string // as JSON
}

func overAPNs(t *testing.T) phoneChannel {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := pushtest.APNs(t, func() *ecdsa.PrivateKey { return key })
	return phoneChannel{
		name: "apns", provider: p, secret: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), trusted: []string{p.URL},
		section: fmt.Sprintf(`{ key: "${PHONES_KEY}", key_id: %s, team_id: %s, topic: %s, url: %q }`, pushtest.APNsKeyID, pushtest.APNsTeam, pushtest.APNsTopic, p.URL),
		token:   func(user int, device string) string { return fmt.Sprintf(`"%08x%x"`, user, device) },
	}
}

func overFCM(t *testing.T) phoneChannel {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := pushtest.FCM(t, key)
	var account struct {
		TokenURI string `json:"token_uri"`
	}
	if err := json.Unmarshal(p.Account, &account); err != nil {
		t.Fatal(err)
	}
	return phoneChannel{
		name: "fcm", provider: p.Provider, secret: p.Account, trusted: []string{p.URL, strings.TrimSuffix(account.TokenURI, "/token")},
		section: fmt.Sprintf(`{ account: "${PHONES_KEY}", url: %q }`, p.URL),
		token:   func(user int, device string) string { return fmt.Sprintf(`"%d:%s"`, user, device) },
	}
}

func overWebPush(t *testing.T) phoneChannel {
	p := pushtest.WebPush(t, "mailto:push@example.com")
	return phoneChannel{
		name: "webpush", provider: p.Provider, secret: []byte("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), trusted: []string{p.URL},
		section: `{ key: "${PHONES_KEY}", subject: "mailto:push@example.com" }`,
		token:   func(user int, device string) string { return p.At(fmt.Sprintf("/send/%d/%s", user, device)) },
	}
}

// TestKillWhilePushingToPhones kills the real binary three times while it sends to a provider, some people having two devices. Afterwards each cause has reached each
// device, under one id: a copy is one that was with the provider at a kill, and takes the place of the first.
func TestKillWhilePushingToPhones(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	t.Parallel()
	for _, channel := range []struct {
		open   func(*testing.T) phoneChannel
		causes int
	}{{overAPNs, 1500}, {overFCM, 500}, {overWebPush, 500}} {
		c := channel.open(t)
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			killWhilePushing(t, c, channel.causes)
		})
	}
}

func killWhilePushing(t *testing.T, c phoneChannel, causes int) {
	h := &phones{copies: map[string]int{}, shown: map[string]map[string]string{}}
	c.provider.Taking(h.took)
	project, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	text := notifyProject[:strings.Index(notifyProject, "push:\n  webhook")] + fmt.Sprintf("push:\n  %s: %s\n", c.name, c.section)
	for name, text := range map[string]string{"freshet.yaml": text, "risk.json": riskModel} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PHONES_KEY_FILE=" + file(t, "key", c.secret), "SSL_CERT_FILE=" + trusted(t, c.trusted...), binary.Path(t)}
	const second, kills, atOnce = 10, 3, 16
	notices := causes + causes/second
	for round := range kills + 1 {
		h.mu.Lock()
		h.killAt, h.kill = notices/5, make(chan struct{})
		kill := h.kill
		h.mu.Unlock()
		p := launchAs(t, "env", append(env, "serve", "--project", project, "--data", data, "--listen", "127.0.0.1:0", "--visibility", "1s", "--push-private")...)
		p.await(t)
		if round == 0 {
			registerPhones(t, p.URL, c, causes, second)
			pay(t, p.URL, causes)
		}
		if round < kills {
			killAfter(t, p, kill)
			continue
		}
		p.Poll(t, "all notified", func() error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if n := len(h.copies); n < notices {
				return fmt.Errorf("%d of %d notices are there", n, notices)
			}
			return nil
		})
		p.Kill(t)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	again := 0
	for _, n := range h.copies {
		again += n - 1
	}
	t.Logf("%d notices on %d devices, %d copies under the same id", len(h.copies), len(h.shown), again)
	if len(h.copies) != notices || len(h.shown) != notices || len(h.other) > 0 {
		t.Errorf("%d notices on %d devices; %d seen twice: %v", len(h.copies), len(h.shown), len(h.other), h.other)
	}
	if again > kills*atOnce { // the last kill comes when all have ended
		t.Errorf("%d copies after %d kills with %d calls at once at most", again, kills, atOnce)
	}
}

// registerPhones gives each user a phone, and every second-th a tablet.
func registerPhones(t *testing.T, url string, c phoneChannel, users, second int) {
	t.Helper()
	register := func(user int, device string) error {
		body := fmt.Sprintf(`{"channel":%q,"token":%s}`, c.name, c.token(user, device))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("%s/v1/users/u%d/devices/%s", url, user, device), strings.NewReader(body))
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			return fmt.Errorf("register %s of u%d: status %d", device, user, res.StatusCode)
		}
		return nil
	}
	var group errgroup.Group
	group.SetLimit(16)
	for i := range users {
		group.Go(func() error { return register(i, "phone") })
		if i%second == 0 {
			group.Go(func() error { return register(i, "tablet") })
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}
