package server

import (
	"runtime/debug"

	"github.com/freshet-ml/freshet/embed/wordtable"
)

// Version is the version of the binary as the Go tool knows it: the module version of a release, else "devel" and the
// revision.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

// Notices are those of the data that is part of the binary: they go with every copy of it.
func Notices() string { return wordtable.Notices() }
