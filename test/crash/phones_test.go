package crash_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/freshet-ml/freshet/push/pushtest"
)

// phones are what APNs' fake has taken, as a person sees it: a notice whose apns-id or collapse id is there takes its place.
type phones struct {
	mu     sync.Mutex
	copies map[string]int               // by apns-id
	shown  map[string]map[string]string // token → delivery → apns-id
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

// trusted writes the certificate of a server to a file.
func trusted(t *testing.T, address string) string {
	t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(address, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ConnectionState().PeerCertificates[0].Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKillWhilePushingToPhones kills the real binary three times while it sends to APNs, some people having two devices. Afterwards each cause has reached each device,
// under one apns-id: a copy is one that was with Apple at a kill, and takes the place of the first.
func TestKillWhilePushingToPhones(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "key.p8")
	if err := os.WriteFile(secret, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	apple := pushtest.APNs(t, func() *ecdsa.PrivateKey { return key })
	h := &phones{copies: map[string]int{}, shown: map[string]map[string]string{}}
	apple.Taking(h.took)
	project, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	file := notifyProject[:strings.Index(notifyProject, "push:\n  webhook")] + fmt.Sprintf("push:\n  apns: { key: \"${PHONES_KEY}\", key_id: %s, team_id: %s, topic: %s, url: %q }\n",
		pushtest.APNsKeyID, pushtest.APNsTeam, pushtest.APNsTopic, apple.URL)
	for name, text := range map[string]string{"freshet.yaml": file, "risk.json": riskModel} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PHONES_KEY_FILE=" + secret, "SSL_CERT_FILE=" + trusted(t, apple.URL), binary.Path(t)}
	const causes, second, kills, atOnce = 1500, 10, 3, 16
	for round := range kills + 1 {
		h.mu.Lock()
		h.killAt, h.kill = 350, make(chan struct{})
		kill := h.kill
		h.mu.Unlock()
		p := launchAs(t, "env", append(env, "serve", "--project", project, "--data", data, "--listen", "127.0.0.1:0", "--visibility", "1s", "--push-private")...)
		p.await(t)
		if round == 0 {
			registerPhones(t, p.URL, causes, second)
			var body strings.Builder
			for i := range causes {
				fmt.Fprintf(&body, `{"type":"pay","user_id":"u%d","event_id":"e%d","amount":1}`+"\n", i, i)
			}
			res, err := http.Post(p.URL+"/v1/events", "application/x-ndjson", strings.NewReader(body.String()))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusAccepted {
				t.Fatalf("status %d", res.StatusCode)
			}
		}
		if round < kills {
			select {
			case <-kill:
			case <-time.After(2 * time.Minute):
				t.Fatalf("nothing more is sent:\n%s", p.Log())
			}
			p.Kill(t)
			continue
		}
		p.Poll(t, "all notified", func() error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if n := len(h.copies); n < causes+causes/second {
				return fmt.Errorf("%d of %d notices are there", n, causes+causes/second)
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
	t.Logf("%d notices on %d devices, %d copies under the same apns-id", len(h.copies), len(h.shown), again)
	if len(h.copies) != causes+causes/second || len(h.shown) != causes+causes/second || len(h.other) > 0 {
		t.Errorf("%d notices on %d devices; %d seen twice: %v", len(h.copies), len(h.shown), len(h.other), h.other)
	}
	if again > kills*atOnce { // the last kill comes when all have ended
		t.Errorf("%d copies after %d kills with %d calls at once at most", again, kills, atOnce)
	}
}

// registerPhones gives each user a phone, and every second-th a tablet.
func registerPhones(t *testing.T, url string, users, second int) {
	t.Helper()
	register := func(user int, device string) error {
		body := fmt.Sprintf(`{"channel":"apns","token":"%08x%x"}`, user, device)
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
