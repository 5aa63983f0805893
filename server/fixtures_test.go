package server_test

import (
	"testing"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/server"
)

// TestFixtures opens every model of the fixtures as a server would, with all runtimes at once: each is answered or refused as its
// golden.json says. That of factors is about ids, and their runtime's own test asks for them.
func TestFixtures(t *testing.T) {
	t.Parallel()
	runtimes := server.Runtimes()
	for _, g := range modelruntimetest.AllGolden(t) {
		t.Run(g.Name, func(t *testing.T) {
			if g.Format != "factors" {
				g.Check(t, runtimes)
				return
			}
			m, err := modelruntime.OpenPath(g.Dir, runtimes)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBadFixtures opens every malformed file as a server would: an error, no panic, little memory.
func TestBadFixtures(t *testing.T) {
	modelruntimetest.RunBad(t, server.Runtimes())
}
