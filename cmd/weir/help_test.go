package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// What --help has to say of every command.
func TestEveryCommandHasAManual(t *testing.T) {
	parser, err := kong.New(new(commands), kong.Name("weir"), kong.ExplicitGroups(serveGroups))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		name := leaf.FullPath()
		status, text, stderr := command(t, append(strings.Fields(name)[1:], "--help")...)
		if status != exitDone || stderr != "" {
			t.Errorf("%s --help: exit status %d: %s", name, status, stderr)
		}
		if len(leaf.Detail) < 40 {
			t.Errorf("%s has no description: give it a method Help", name)
		}
		for _, want := range []string{"Usage: " + name, "\nExamples:\n", "\nEnvironment:\n", "\nExit status: 0 "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s --help has no %q: give the command a method manual", name, want)
			}
		}
		_, examples, _ := strings.Cut(text, "\nExamples:\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		for line := range strings.Lines(examples) {
			if !strings.Contains(line, name) {
				t.Errorf("%s --help has an example of something else: %s", name, line)
			}
		}
	}
}
