package layertest

import (
	"slices"
	"strings"
)

// kind says what a package is in the house.
type kind string

const (
	vocabulary kind = "vocabulary"
	handOff    kind = "hand-off"
	extension  kind = "extension point"
	driver     kind = "driver"            // a way of being a hand-off or extension point, in a folder below it
	suite      kind = "conformance suite" // <x>test below <x>
	layer      kind = "layer"
	kit        kind = "kit"
	serverKind kind = "server"
	cliKind    kind = "cli"
	clientKind kind = "client"
	cmd        kind = "main"
	example    kind = "example"
	system     kind = "test of the whole" // below test/: only tests, from outside
	unknown    kind = "unknown"
)

var (
	handOffs   = []string{"eventlog", "featurestore", "offlinestore", "jobqueue", "predictionstore", "tablestore", "registry", "outbox"}
	extensions = []string{"feature", "modelruntime", "push", "stream", "embed", "processor"}
	// parts are packages that an extension point is made of; other folders below one are its drivers.
	parts  = []string{"feature/expression"}
	layers = []string{"api", "receiver", "orchestration", "serving", "publishing", "delivery", "console"}
)

// pkg is a package by its place in the module.
type pkg struct {
	kind   kind
	path   string // below the module, "" for its root
	parent string // of a driver, suite, part or layer: the hand-off, extension point or layer it belongs to
}

func (p pkg) String() string {
	if p.path == "" {
		return string(p.kind)
	}
	return string(p.kind) + " " + p.path
}

// place says what the package in this folder is.
func place(dir string) pkg {
	if dir == "." || dir == "" {
		return pkg{kind: vocabulary}
	}
	p := pkg{kind: unknown, path: dir}
	elements := strings.Split(dir, "/")
	head := elements[0]
	switch {
	case slices.Contains(handOffs, head):
		p.kind = handOff
	case slices.Contains(extensions, head):
		p.kind = extension
	case head == "internal" && len(elements) > 1:
		p.kind = kit
		if slices.Contains(layers, elements[1]) {
			p.kind, p.parent = layer, "internal/"+elements[1]
		}
		return p
	case head == "server":
		p.kind = serverKind
	case head == "cli":
		p.kind = cliKind
	case head == "client":
		p.kind = clientKind
	case head == "cmd":
		p.kind = cmd
	case head == "examples":
		p.kind = example
	case head == "test":
		p.kind = system
	}
	if (p.kind == handOff || p.kind == extension) && len(elements) > 1 {
		p.parent = head
		switch {
		case slices.Contains(parts, dir):
		case elements[1] == head+"test":
			p.kind = suite
		default:
			p.kind = driver
		}
	}
	return p
}
