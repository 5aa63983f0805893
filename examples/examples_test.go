package examples

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCalmIsWhole(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "calm")
	if err := UnpackCalm(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"freshet.yaml", "catalog.csv", "users.csv", "calm-ranker/MLmodel", "calm-ranker/model.lgb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := UnpackCalm(dir); err == nil {
		t.Error("unpacking over files that are there must fail")
	}
	catalog, err := CalmCatalog()
	if err != nil || !strings.HasPrefix(string(catalog), "content_id,category,minutes,title\n") {
		t.Errorf("catalog: %.60q, %v", catalog, err)
	}
}

func TestCalmEventsCanBeRead(t *testing.T) {
	t.Parallel()
	events, err := CalmEvents()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	lines := bufio.NewScanner(events)
	n := 0
	for lines.Scan() {
		n++
	}
	if lines.Err() != nil || n < 60_000 {
		t.Errorf("%d events, %v", n, lines.Err())
	}
}
