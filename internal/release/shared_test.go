package release_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/modelruntime"
)

const withTables = `
project: test
entities: { user: { key: user_id } }
tables:
  ids: { entity: user, file: ids.csv, columns: { seq: int } }
  plan: { entity: user, file: plan.csv, columns: { name: string } }
`

// texts are a source of tables.
type texts map[string]string

func (s texts) Table(_ context.Context, t project.Table) (*release.File, error) {
	text, ok := s[t.File]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &release.File{Content: blob{strings.NewReader(text), func() error { return nil }}, Digest: freshet.Digest("sha256:" + text)}, nil
}

func (s texts) Model(context.Context, project.Model) (*release.Artifact, error) {
	return nil, fs.ErrNotExist
}

type blob struct {
	*strings.Reader
	close func() error
}

func (b blob) Close() error { return b.close() }

func openTables(t testing.TB, o *release.Opener, text string, source release.Source) *release.Opened {
	t.Helper()
	p, err := project.Parse("freshet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.Open(t.Context(), p, source)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tableOf(r *release.Opened, name freshet.TableName) *table.Table {
	t, _ := r.Table(name)
	return t
}

func TestTablesAreSharedWhileTheyAreOpen(t *testing.T) {
	t.Parallel()
	opener, live := release.NewOpener(nil), &release.Live{}
	old := texts{"ids.csv": "user_id,seq\na,1\n", "plan.csv": "user_id,name\na,free\n"}
	r1 := openTables(t, opener, withTables, old)
	ids, plan := tableOf(r1, "ids"), tableOf(r1, "plan")
	update(t, live, release.Roles{Live: r1})
	r1.Close()
	// Only one table differs; the same file read in another way is another table.
	r2 := openTables(t, opener, withTables, texts{"ids.csv": "user_id,seq\na,2\n", "plan.csv": old["plan.csv"]})
	r3 := openTables(t, opener, strings.Replace(withTables, "seq: int", "seq: float", 1), old)
	if tableOf(r2, "ids") == ids || tableOf(r2, "plan") != plan || tableOf(r3, "ids") == ids || tableOf(r3, "plan") != plan {
		t.Error("shared is what differs, or not what is the same")
	}
	if r2.Manifest().Tables["ids"] == r1.Manifest().Tables["ids"] || r2.Manifest().Tables["plan"] != r1.Manifest().Tables["plan"] {
		t.Errorf("%v, %v", r1.Manifest().Tables, r2.Manifest().Tables)
	}
	r3.Close()
	job := live.Pin()
	update(t, live, release.Roles{Live: r2})
	r2.Close()
	// The old id map is there while a job uses it, and forgotten afterwards; what r2 has stays.
	r4 := openTables(t, opener, withTables, old)
	if tableOf(r4, "ids") != ids {
		t.Error("a table that a job uses was loaded again")
	}
	r4.Close()
	job.Unpin()
	r5 := openTables(t, opener, withTables, old)
	defer r5.Close()
	if tableOf(r5, "ids") == ids || tableOf(r5, "plan") != plan {
		t.Error("a table that no release has is kept, or one that a release has is not")
	}
	if seq := tableOf(r5, "ids").Value(0, 0).Num; seq != 1 {
		t.Errorf("seq %v", seq)
	}
}

// gated counts how often the table ids is read, which goes on when it may.
type gated struct {
	texts
	reads atomic.Int32
	begun chan struct{}
	gate  chan struct{}
}

func (g *gated) Table(ctx context.Context, t project.Table) (*release.File, error) {
	f, err := g.texts.Table(ctx, t)
	if err != nil || t.Name != "ids" {
		return f, err
	}
	f.Content = gatedContent{f.Content, sync.OnceFunc(func() {
		g.reads.Add(1)
		g.begun <- struct{}{}
		<-g.gate
	})}
	return f, nil
}

type gatedContent struct {
	release.Content
	begin func()
}

func (c gatedContent) ReadAt(p []byte, at int64) (int, error) {
	c.begin()
	return c.Content.ReadAt(p, at)
}

func TestATableThatManyOpenIsLoadedOnce(t *testing.T) {
	t.Parallel()
	opener := release.NewOpener(nil)
	g := &gated{
		texts: texts{"ids.csv": "user_id,seq\na,1\n", "plan.csv": "user_id,name\na,free\n"},
		begun: make(chan struct{}, 10), gate: make(chan struct{}),
	}
	p, err := project.Parse("freshet.yaml", []byte(withTables))
	if err != nil {
		t.Fatal(err)
	}
	opened := make([]*release.Opened, 4)
	var wg sync.WaitGroup
	wg.Go(func() { opened[0], _ = opener.Open(t.Context(), p, g) })
	<-g.begun
	// One that gives up while another loads harms nobody.
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := opener.Open(short, p, g); err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("%v", err)
	}
	for i := range opened[1:] {
		wg.Go(func() { opened[i+1], _ = opener.Open(t.Context(), p, g) })
	}
	close(g.gate)
	wg.Wait()
	for i, o := range opened {
		if o == nil || tableOf(o, "ids") != tableOf(opened[0], "ids") {
			t.Fatalf("release %d has another table", i)
		}
		defer o.Close()
	}
	if n := g.reads.Load(); n != 1 {
		t.Errorf("read %d times", n)
	}
}

func TestABrokenTableIsTriedAgain(t *testing.T) {
	t.Parallel()
	opener := release.NewOpener(nil)
	p, err := project.Parse("freshet.yaml", []byte(withTables))
	if err != nil {
		t.Fatal(err)
	}
	bad := texts{"ids.csv": "user_id,seq\na,x\n", "plan.csv": "user_id,name\na,free\n"}
	for range 2 {
		_, err := opener.Open(t.Context(), p, bad)
		if freshet.CodeOf(err) != freshet.InvalidArgument || !strings.Contains(err.Error(), `table ids: ids.csv: line 2, column "seq"`) {
			t.Errorf("%v (%s)", err, freshet.CodeOf(err))
		}
	}
}

// TestAFileThatChanges: what was read while somebody wrote is not used under a digest that it does not have.
func TestAFileThatChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("freshet.yaml", withTables)
	write("ids.csv", "user_id,seq\na,1\n")
	write("plan.csv", "user_id,name\na,free\n")
	p, err := project.Load(filepath.Join(dir, "freshet.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	source := release.Folder(p)
	r := openTables(t, release.NewOpener(nil), withTables, source)
	defer r.Close()
	file, err := source.Table(t.Context(), p.Tables[0])
	if err != nil {
		t.Fatal(err)
	}
	write("ids.csv", "user_id,seq\na,1\nb,2\n")
	if err := file.Close(); freshet.CodeOf(err) != freshet.Conflict {
		t.Errorf("%v", err)
	}
}

const withModels = `
project: test
entities: { user: { key: user_id } }
models: { a: { path: a.counted }, b: { path: b.counted }, again: { path: again.counted } }
`

// artifacts are a source of models of one file each.
type artifacts struct {
	texts
	models map[string]string
}

func (s artifacts) Model(_ context.Context, m project.Model) (*release.Artifact, error) {
	text := s.models[m.Path]
	return &release.Artifact{
		FS: fstest.MapFS{"model.counted": {Data: []byte(text)}}, Closer: io.NopCloser(nil), Digest: freshet.Digest("sha256:" + text),
	}, nil
}

// counting is a runtime that counts what is open; a model that says "broken" cannot be opened.
type counting struct{ opened, open atomic.Int32 }

func (c *counting) Name() string { return "counting" }

func (c *counting) Recognizes([]byte) bool { return true }

func (c *counting) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	text, err := fs.ReadFile(dir, name)
	if err != nil || string(text) == "broken" {
		return nil, errors.Join(err, freshet.Errorf(freshet.InvalidArgument, "it is broken"))
	}
	c.opened.Add(1)
	c.open.Add(1)
	return &counted{c: c}, nil
}

type counted struct {
	modelruntime.Model
	c      *counting
	closed atomic.Bool
}

func (m *counted) Close() error {
	if m.closed.Swap(true) {
		return errors.New("closed twice")
	}
	m.c.open.Add(-1)
	return nil
}

func TestModelsAreSharedWhileTheyAreOpen(t *testing.T) {
	t.Parallel()
	runtime := &counting{}
	opener, live := release.NewOpener([]modelruntime.Runtime{runtime}), &release.Live{}
	first := artifacts{models: map[string]string{"a.counted": "one", "b.counted": "two", "again.counted": "one"}}
	modelOf := func(r *release.Opened, name freshet.ModelName) modelruntime.Model {
		m, _ := r.Model(name)
		if m.Name != name {
			t.Errorf("model %s is called %s", name, m.Name)
		}
		return m.Model
	}
	count := func(opened, open int32) {
		t.Helper()
		if runtime.opened.Load() != opened || runtime.open.Load() != open {
			t.Errorf("%d opened, %d open; expected %d and %d", runtime.opened.Load(), runtime.open.Load(), opened, open)
		}
	}
	r1 := openTables(t, opener, withModels, first)
	update(t, live, release.Roles{Live: r1})
	r1.Close()
	if modelOf(r1, "a") != modelOf(r1, "again") || modelOf(r1, "a") == modelOf(r1, "b") {
		t.Error("two names of one artifact are two models, or two artifacts one")
	}
	count(2, 2)
	// One model differs.
	r2 := openTables(t, opener, withModels, artifacts{models: map[string]string{"a.counted": "one", "b.counted": "three", "again.counted": "one"}})
	count(3, 3)
	if modelOf(r2, "a") != modelOf(r1, "a") || modelOf(r2, "b") == modelOf(r1, "b") {
		t.Error("shared is what differs, or not what is the same")
	}
	job := live.Pin()
	update(t, live, release.Roles{Live: r2})
	r2.Close()
	count(3, 3)
	job.Unpin()
	count(3, 2) // "two" is closed with its last user
	p, err := project.Parse("freshet.yaml", []byte(withModels))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = opener.Open(t.Context(), p, artifacts{models: map[string]string{"a.counted": "one", "b.counted": "broken", "again.counted": "three"}})
		if freshet.FieldOf(err) != "models.b" || !strings.Contains(err.Error(), "model b: ") || !strings.Contains(err.Error(), "it is broken") {
			t.Errorf("%v (%s)", err, freshet.FieldOf(err))
		}
	}
	count(3, 2)
	live.Store(nil)
	count(3, 0)
}
