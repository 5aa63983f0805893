package crash_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const pushProject = `
project: push
entities: { user: { key: user_id } }
tables: { mood: { entity: user, push: true, columns: { n: int } } }
`

// TestKillWhilePushing kills the real binary while rows are pushed. Each acknowledged row is there afterwards, or a newer one.
func TestKillWhilePushing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	project, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(filepath.Join(project, "freshet.yaml"), []byte(pushProject), 0o600); err != nil {
		t.Fatal(err)
	}
	const users, writers = 20, 8
	var acked [users]int // the newest acknowledged row of each user; its number is its event time
	for round := range 4 {
		p := start(t, project, data)
		url := strings.TrimSuffix(p.URL, "/")
		checkPushed(t, url, acked[:])
		var mu sync.Mutex
		var writing sync.WaitGroup
		after := 50 + rng.IntN(200)
		killed := make(chan struct{}) // closed when it is time to
		for w := range writers {
			writing.Go(func() {
				for i := 0; ; i++ {
					// All writers write the same users, with moments that go up and down.
					user, n := (i*7+w)%users, 1+round*1000+(i*13)%997
					if !pushed(url, user, n) {
						return
					}
					mu.Lock()
					acked[user] = max(acked[user], n)
					if after--; after == 0 {
						close(killed)
					}
					mu.Unlock()
				}
			})
		}
		stopped := make(chan struct{})
		go func() {
			writing.Wait()
			close(stopped)
		}()
		select {
		case <-killed:
		case <-stopped:
			t.Fatalf("the server stopped answering by itself:\n%s", p.Log())
		}
		p.Kill(t)
		<-stopped
	}
	p := start(t, project, data)
	checkPushed(t, p.URL, acked[:])
	p.Kill(t)
}

// pushed says whether a row was acknowledged.
func pushed(url string, user, n int) bool {
	body := fmt.Sprintf(`{"push_source_name":"mood","df":{"user_id":["u%d"],"event_timestamp":[%d],"n":[%d]}}`, user, n, n)
	res, err := http.Post(url+"/push", "application/json", strings.NewReader(body))
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == http.StatusOK
}

func checkPushed(t *testing.T, url string, acked []int) {
	t.Helper()
	users := make([]string, len(acked))
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	body, err := json.Marshal(map[string]any{"entities": map[string]any{"user_id": users}, "features": []string{"mood:n"}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(url+"/get-online-features", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct{ Results []struct{ Values []any } }
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || len(got.Results) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for user, want := range acked {
		n, _ := got.Results[1].Values[user].(float64)
		if int(n) < want {
			t.Errorf("u%d: row %d was acknowledged, after the kill there is %v", user, want, got.Results[1].Values[user])
		}
	}
}
