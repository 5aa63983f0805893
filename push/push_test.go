package push_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	safe, all := push.Addresses{}, push.Addresses{Private: true}
	for _, address := range []string{"https://push.example.com/x", "https://8.8.8.8/x", "https://[2606:4700::1111]:8443/"} {
		if err := safe.Check(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{
		"http://push.example.com", "https://127.0.0.1", "https://0.0.0.0", "https://10.1.2.3", "https://172.16.0.1", "https://192.168.1.1", "https://169.254.169.254",
		"https://100.64.0.1", "https://[::1]", "https://[fe80::1]", "https://[fc00::1]", "https://[::ffff:127.0.0.1]", "https://[64:ff9b::7f00:1]", "https://[2002:7f00:1::]",
		"https://224.0.0.1", "https://255.255.255.255", "https://[::]",
	} {
		if err := safe.Check(address); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%s is allowed: %v", address, err)
		}
		if err := all.Check(address); err != nil {
			t.Errorf("%s with private addresses: %v", address, err)
		}
	}
	for _, address := range []string{"", "x", "//x", "https://", "https://u:p@example.com", "mailto:a@b.c", "https://" + strings.Repeat("x", push.MaxURLBytes)} {
		if all.Check(address) == nil {
			t.Errorf("%.40s is allowed", address)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("from a file\n")
	env := map[string]string{"A": "value", "B_FILE": path, "C_FILE": path + "-not-there"}
	look := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for text, want := range map[string]string{"${A}": "value", "${B}": "from a file"} {
		s, err := push.Resolve(text, look)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s(); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", text, got, err)
		}
	}
	for text, code := range map[string]freshet.Code{
		"${C}": freshet.Unavailable, "${D}": freshet.NotFound, "A": freshet.InvalidArgument, "${a}": freshet.InvalidArgument, "${}": freshet.InvalidArgument, "x${A}": freshet.InvalidArgument,
		"${1A}": freshet.InvalidArgument,
	} {
		if _, err := push.Resolve(text, look); freshet.CodeOf(err) != code {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A file may change, and be away for a moment, while the server runs.
func TestFileIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	synctest.Test(t, func(t *testing.T) {
		secret := push.File(path)
		if _, err := secret(); err == nil {
			t.Error("there is none yet")
		}
		for _, c := range []struct{ text, want string }{{"one", "one"}, {"two", "two"}, {"", "two"}, {"three", "three"}} {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if got, err := secret(); err != nil || string(got) != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "soon": 0, "-1": 0, "99999999": 24 * time.Hour, "Sun, 01 Mar 2026 12:01:00 GMT": time.Minute, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := push.RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
