package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/freshet-ml/freshet/server"
)

// versionCommand prints what this binary was built from.
type versionCommand struct {
	Notices bool `help:"Print the notices of the data in this binary."`
}

// Help is the long text of `freshet version --help`.
func (versionCommand) Help() string {
	return "Prints the version of the program, the commit it was built from and the Go release that built it."
}

// Run prints the version.
func (c versionCommand) Run(sh *shell) error {
	if c.Notices {
		_, err := fmt.Fprint(sh.out, server.Notices())
		return err
	}
	v := buildVersion(sh.version)
	if sh.json {
		return sh.printJSON(v)
	}
	line := "freshet " + v.Version
	if v.Commit != "" {
		line += " (" + v.Commit + ")"
	}
	_, err := fmt.Fprintf(sh.out, "%s %s %s/%s\n", line, v.Go, v.OS, v.Arch)
	return err
}

type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"` // ends in "+" if the tree had changes
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// buildVersion reads what the toolchain stamped into the binary; given, a custom main's version, wins.
func buildVersion(given string) version {
	v := version{Version: given, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "devel"
	}
	modified := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+"
			}
		}
	}
	if v.Commit != "" {
		v.Commit += modified
	}
	return v
}
