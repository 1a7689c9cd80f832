package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCommand prints what this build is.
type versionCommand struct{}

// Help is the long description in --help.
func (versionCommand) Help() string {
	return "One line: the version or commit of weir, the version of Go that it was built with, and the platform."
}

func (versionCommand) manual() manual { return manual{examples: "weir version"} }

// Run prints one line.
func (versionCommand) Run(con console) error {
	_, err := fmt.Fprintf(con.out, "weir %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// buildVersion is the module version, or the commit that was built.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, dirty := "devel", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return commit + dirty
}
