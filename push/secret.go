package push

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
)

// MaxSecretBytes bounds a secret: a service account's file has some 2 KB.
const MaxSecretBytes = 64 << 10

// Secret gives what a sender signs with. Senders ask at every use, so that a secret can be changed while the server runs. What it gives is
// not changed. It must never be logged, nor stand in an error.
type Secret func() ([]byte, error)

// Fixed is a secret that does not change.
func Fixed(value []byte) Secret {
	value = bytes.Clone(value)
	return func() ([]byte, error) { return value, nil }
}

// rereadAfter is how long what was read of a file is used before the file is looked at again.
const rereadAfter = 2 * time.Second

// File is a secret in a file, without the white space around it. A changed file is seen within two seconds. While the file cannot be read, or is
// empty, as it may be for a moment while somebody replaces it, the secret that was read last stays good.
func File(path string) Secret {
	f := &file{path: path}
	return f.read
}

type file struct {
	path  string
	mu    sync.Mutex
	value []byte
	at    time.Time
}

func (f *file) read() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.value != nil && time.Since(f.at) < rereadAfter {
		return f.value, nil
	}
	value, err := readSecret(f.path)
	if err == nil {
		f.value = value
	}
	f.at = time.Now()
	if f.value == nil {
		return nil, err
	}
	return f.value, nil
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, freshet.Errorf(freshet.Unavailable, "secret: %w", err)
	}
	if info.Size() > MaxSecretBytes {
		return nil, freshet.Errorf(freshet.TooLarge, "secret file %s: over %d bytes", path, MaxSecretBytes)
	}
	value, err := os.ReadFile(path)
	if err != nil {
		return nil, freshet.Errorf(freshet.Unavailable, "secret: %w", err)
	}
	if value = bytes.TrimSpace(value); len(value) == 0 {
		return nil, freshet.Errorf(freshet.Unavailable, "secret file %s is empty", path)
	}
	return value, nil
}

// Resolve gives the secret that text stands for: "${NAME}" is the environment variable NAME or, if that is not set, the file that the variable
// NAME_FILE names; NotFound if neither is set. Any other text is InvalidArgument: secrets do not stand in project files.
func Resolve(text string, env func(string) (string, bool)) (Secret, error) {
	name, ok := Variable(text)
	if !ok {
		return nil, freshet.Errorf(freshet.InvalidArgument, "expected the name of an environment variable, such as ${PUSH_KEY}")
	}
	if value, ok := env(name); ok && value != "" {
		if len(value) > MaxSecretBytes {
			return nil, freshet.Errorf(freshet.TooLarge, "the environment variable %s: over %d bytes", name, MaxSecretBytes)
		}
		return Fixed(bytes.TrimSpace([]byte(value))), nil
	}
	if path, ok := env(name + "_FILE"); ok && path != "" {
		secret := File(path)
		if _, err := secret(); err != nil {
			return nil, err
		}
		return secret, nil
	}
	return nil, freshet.Errorf(freshet.NotFound, "the environment variable %s is not set, nor %s_FILE with the path of a file", name, name)
}

// Lookup is Resolve at each use until it succeeds: for a sender that is made although what it signs with is not there yet.
func Lookup(text string, env func(string) (string, bool)) Secret {
	l := &lookup{text: text, env: env}
	return l.read
}

type lookup struct {
	text string
	env  func(string) (string, bool)

	mu    sync.Mutex
	found Secret
}

func (l *lookup) read() ([]byte, error) {
	l.mu.Lock()
	if l.found == nil {
		found, err := Resolve(l.text, l.env)
		if err != nil {
			l.mu.Unlock()
			return nil, err
		}
		l.found = found
	}
	found := l.found
	l.mu.Unlock()
	return found()
}

// Variable is the name in "${NAME}"; ok is false for any other text.
func Variable(text string) (name string, ok bool) {
	inner, begins := strings.CutPrefix(text, "${")
	name, ends := strings.CutSuffix(inner, "}")
	if !begins || !ends || name == "" {
		return "", false
	}
	for i, c := range name {
		if c != '_' && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return "", false
		}
	}
	return name, true
}
