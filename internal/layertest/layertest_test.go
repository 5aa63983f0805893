package layertest_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet/internal/layertest"
)

// house are the exceptions of this module. Every entry says why.
func house() layertest.Rules {
	return layertest.Rules{
		ThirdParties: map[string]map[string]string{
			"feature": {
				"github.com/expr-lang/expr":                   "the parser of expressions",
				"github.com/go-json-experiment/json/jsontext": "an event is decoded once, token by token, without allocating",
				"github.com/zeebo/xxh3":                       "sketches and digests of views hash values",
			},
			"feature/expression": {
				"github.com/expr-lang/expr":                   "the parser of expressions",
				"github.com/go-json-experiment/json/jsontext": "values are written as JSON without allocating",
			},
			"modelruntime": {
				"github.com/goccy/go-yaml": "an MLmodel file is YAML",
			},
		},
		Siblings: map[string]map[string]string{
			"featurestore":                  {"feature": "a row is read and written by its view", "feature/expression": "values of a row"},
			"offlinestore":                  {"eventlog": "what it keeps are the log's records"},
			"offlinestore/diroffline":       {"eventlog": "what it keeps are the log's records"},
			"offlinestore/offlinestoretest": {"eventlog": "what it keeps are the log's records"},
			"registry":                      {"feature": "views are stored by their digest"},
			"outbox":                        {"push": "a message names its channel"},
			"outbox/outboxtest":             {"push": "a message names its channel"},
			"feature":                       {"embed": "a view may embed texts"},
			"modelruntime/factormodel":      {"feature/expression": "the kinds of columns of an id map, which is a table"},
			// A kit, and a driver: it holds no state and does no I/O.
			"internal/project": {"embed/wordtable": "the embedder of a project that names no other"},
		},
		Goroutines: map[string]string{},
	}
}

// root is the module's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
}

func TestHouse(t *testing.T) {
	t.Parallel()
	breaches, err := layertest.Check(os.DirFS(root(t)), house())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}

const (
	module = layertest.Module
	mem    = module + "/jobqueue/memqueue"
)

// file is Go text that imports the given paths.
func file(imports ...string) string {
	text := "package p\n"
	for _, i := range imports {
		text += "import _ \"" + i + "\"\n"
	}
	return text
}

// TestBreaches shows that each rule can fail, and what stays allowed beside it.
func TestBreaches(t *testing.T) {
	t.Parallel()
	rules := layertest.Rules{
		ThirdParties: map[string]map[string]string{"feature": {"example.com/parser": "needed"}},
		Siblings:     map[string]map[string]string{"featurestore": {"feature": "needed"}},
		Goroutines:   map[string]string{"internal/pool/pool.go": "a bounded pool"},
	}
	const starts = "package p\nfunc f() { go f() }\n"
	for _, tt := range []struct {
		name, path, text string
		rule             string // "" if allowed
	}{
		{"vocabulary, standard library", "freshet.go", file("net/url"), ""},
		{"vocabulary, third party", "freshet.go", file("example.com/x"), "standard library only"},
		{"vocabulary, ours", "freshet.go", file(module + "/feature"), "vocabulary imports"},
		{"vocabulary's test", "freshet_test.go", file("example.com/x"), ""},
		{"hand-off, vocabulary", "eventlog/a.go", file(module), ""},
		{"hand-off, kit", "eventlog/a.go", file(module + "/internal/disk"), "vocabulary only"},
		{"hand-off, hand-off", "eventlog/a.go", file(module + "/jobqueue"), "vocabulary only"},
		{"hand-off, its driver", "jobqueue/a.go", file(mem), "vocabulary only"},
		{"hand-off, third party", "eventlog/a.go", file("example.com/x"), "in front of drivers"},
		{"extension point, third party of the table", "feature/a.go", file("example.com/parser/ast"), ""},
		{"extension point, third party of like name", "feature/a.go", file("example.com/parsers"), "in front of drivers"},
		{"extension point, its part", "feature/a.go", file(module + "/feature/expression"), ""},
		{"part, third party", "feature/expression/a.go", file("example.com/parser"), "in front of drivers"},
		{"featurestore, feature", "featurestore/a.go", file(module + "/feature"), ""},
		{"jobqueue, feature", "jobqueue/a.go", file(module + "/feature"), "vocabulary only"},
		{"driver, parent, kit, third party", "eventlog/disklog/a.go", file(module+"/eventlog", module+"/internal/disk", "example.com/x"), ""},
		{"driver, driver", "eventlog/disklog/a.go", file(module + "/eventlog/memlog"), "a driver imports"},
		{"driver, other hand-off", "eventlog/disklog/a.go", file(module + "/jobqueue"), "a driver imports"},
		{"driver, layer", "eventlog/disklog/a.go", file(module + "/internal/receiver"), "a driver imports"},
		{"suite, its drivers", "jobqueue/jobqueuetest/a.go", file(module+"/jobqueue", mem, "example.com/x"), ""},
		{"suite, other hand-off", "jobqueue/jobqueuetest/a.go", file(module + "/eventlog"), "a conformance suite"},
		{"suite outside tests", "server/a.go", file(module + "/jobqueue/jobqueuetest"), "tests only"},
		{"suite in tests", "jobqueue/memqueue/a_test.go", file(module + "/jobqueue/jobqueuetest"), ""},
		{"layer, hand-off, extension point, kit", "internal/api/a.go", file(module+"/eventlog", module+"/feature", module+"/internal/kit"), ""},
		{"layer, layer", "internal/api/a.go", file(module + "/internal/serving"), "never imports a layer"},
		{"layer, layer in a test", "internal/api/a_test.go", file(module + "/internal/serving"), ""},
		{"layer, its own part", "internal/api/a.go", file(module + "/internal/api/segment"), ""},
		{"layer, part of a layer", "internal/serving/a.go", file(module + "/internal/api/segment"), "never imports a layer"},
		{"layer, driver", "internal/orchestration/a.go", file(mem), "never imports a driver"},
		{"layer, driver in a test", "internal/orchestration/a_test.go", file(mem), ""},
		{"layer, part of feature", "internal/api/a.go", file(module + "/feature/expression"), ""},
		{"layer, server", "internal/console/a.go", file(module + "/server"), "nothing above"},
		{"layer, client", "internal/delivery/a.go", file(module + "/client"), "nothing above"},
		{"kit, kit and hand-off", "internal/kit/a.go", file(module+"/internal/disk", module+"/eventlog"), ""},
		{"kit, layer", "internal/kit/a.go", file(module + "/internal/api"), "small and pure"},
		{"kit, driver", "internal/kit/a.go", file(mem), "small and pure"},
		{"kit, server", "internal/kit/a.go", file(module + "/server"), "small and pure"},
		{"server, all", "server/a.go", file(module+"/internal/api", mem, module+"/client"), ""},
		{"server, cli", "server/a.go", file(module + "/cli"), "command line"},
		{"cli, server, client, kit", "cli/a.go", file(module+"/server", module+"/client", module+"/internal/kit"), ""},
		{"cli, layer", "cli/a.go", file(module + "/internal/api"), "speaks with server"},
		{"cli, driver", "cli/a.go", file(mem), "speaks with server"},
		{"client, vocabulary", "client/a.go", file(module), ""},
		{"client, kit", "client/a.go", file(module + "/internal/kit"), "vocabulary only"},
		{"client, third party", "client/a.go", file("example.com/x"), "standard library only"},
		{"main, cli", "cmd/freshet/main.go", file(module + "/cli"), ""},
		{"main, server", "cmd/freshet/main.go", file(module + "/server"), "ten lines"},
		{"example, public", "examples/shop/main.go", file(module+"/cli", module+"/client"), ""},
		{"example, internal", "examples/shop/main.go", file(module + "/internal/kit"), "cannot import internal"},
		{"folder that nobody knows", "util/a.go", file(), "none that the design knows"},
		{"init", "server/a.go", "package p\nfunc init() {}\n", "init function"},
		{"init in a test", "server/a_test.go", "package p\nfunc init() {}\n", "init function"},
		{"method called init", "server/a.go", "package p\ntype t int\nfunc (t) init() {}\n", ""},
		{"goroutine in server", "server/a.go", starts, ""},
		{"goroutine in a driver", "eventlog/disklog/a.go", starts, ""},
		{"goroutine in a layer", "internal/api/a.go", starts, "starts a goroutine"},
		{"goroutine in a kit", "internal/kit/a.go", starts, "starts a goroutine"},
		{"goroutine in the client", "client/a.go", starts, "starts a goroutine"},
		{"goroutine in a layer's test", "internal/api/a_test.go", starts, ""},
		{"goroutine on the list", "internal/pool/pool.go", starts, ""},
		{"goroutine beside the list", "internal/pool/other.go", starts, "starts a goroutine"},
		{"left out: testdata", "eventlog/testdata/a.go", file("example.com/x"), ""},
		{"left out: hidden", ".cache/a.go", file("example.com/x"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			breaches, err := layertest.Check(fstest.MapFS{tt.path: {Data: []byte(tt.text)}}, rules)
			if err != nil {
				t.Fatal(err)
			}
			if tt.rule == "" {
				if len(breaches) > 0 {
					t.Errorf("refused: %v", breaches)
				}
				return
			}
			if len(breaches) != 1 || !strings.Contains(breaches[0].Rule, tt.rule) || !strings.HasPrefix(breaches[0].Position, tt.path+":") {
				t.Errorf("got %v; want one breach of %q in %s", breaches, tt.rule, tt.path)
			}
		})
	}
}

func TestOtherModulesAreLeftOut(t *testing.T) {
	t.Parallel()
	breaches, err := layertest.Check(fstest.MapFS{
		"util/go.mod": {Data: []byte("module other")},
		"util/a.go":   {Data: []byte(file("example.com/x"))},
	}, layertest.Rules{})
	if err != nil || len(breaches) > 0 {
		t.Errorf("got %v, %v", breaches, err)
	}
}

func TestFileThatIsNoGo(t *testing.T) {
	t.Parallel()
	if _, err := layertest.Check(fstest.MapFS{"a.go": {Data: []byte("package")}}, layertest.Rules{}); err == nil {
		t.Error("no error")
	}
}

// TestDependencies holds the table of docs/dependencies.md against go.mod: nothing comes in without a reason.
func TestDependencies(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root(t), "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	required, reasons := directRequirements(string(mod)), documented(string(doc))
	for _, path := range required {
		if reasons[path] == "" {
			t.Errorf("go.mod requires %s, and docs/dependencies.md gives no reason for it", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(reasons)) {
		if !slices.Contains(required, path) {
			t.Errorf("docs/dependencies.md lists %s, and go.mod does not require it directly", path)
		}
	}
}

// directRequirements are the modules and tools that go.mod names for their own sake.
func directRequirements(mod string) []string {
	var paths []string
	block := ""
	for line := range strings.Lines(mod) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case len(words) == 2 && words[1] == "(":
			block = words[0]
		case words[0] == ")":
			block = ""
		case strings.HasSuffix(strings.TrimSpace(line), "// indirect"):
		case block == "require" || block == "tool":
			paths = append(paths, words[0])
		case words[0] == "require" || words[0] == "tool":
			paths = append(paths, words[1])
		}
	}
	return paths
}

// documented are the rows of the table: module → reason.
func documented(doc string) map[string]string {
	reasons := map[string]string{}
	for line := range strings.Lines(doc) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		if path := strings.Trim(strings.TrimSpace(cells[1]), "`"); strings.Contains(path, "/") {
			reasons[path] = strings.TrimSpace(cells[2])
		}
	}
	return reasons
}

func TestDirectRequirements(t *testing.T) {
	t.Parallel()
	got := directRequirements("module m\n\nrequire example.com/one v1.0.0\n\nrequire (\n\texample.com/two v1.0.0\n" +
		"\texample.com/three v1.0.0 // indirect\n)\n\ntool example.com/four/cmd/x\n")
	if want := []string{"example.com/one", "example.com/two", "example.com/four/cmd/x"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
