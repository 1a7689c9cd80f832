package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"weir/policy"
)

// What deploy/ starts weir with are flags and variables that there are, and policies that compile.
func TestDeployFollowsTheCommandLine(t *testing.T) {
	var line commands
	parser, err := kong.New(&line)
	if err != nil {
		t.Fatal(err)
	}
	known := knownFlags(parser.Model.Node)
	variables := map[string]bool{}
	for flag := range known {
		variables[envName(flag)] = true
	}
	const folder = "../../deploy"
	command, flag, variable := regexp.MustCompile(`(?m)^.*(weir|command:|serve=.*|\$\{serve\[@\]\}).* (serve|--role) .*$`), regexp.MustCompile(`--([a-z0-9-]+)`), regexp.MustCompile(`WEIR_[A-Z0-9_]+`)
	for _, name := range []string{"weir.service", "weir-shield.service", "weir-edge@.service", "compose.yaml", "regions.sh"} {
		src, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		commands := command.FindAllString(string(src), -1)
		if len(commands) == 0 {
			t.Errorf("%s starts nothing", name)
		}
		for _, c := range commands {
			if strings.Contains(c, "docker") {
				continue
			}
			for _, m := range flag.FindAllStringSubmatch(c, -1) {
				if _, ok := known[m[1]]; !ok {
					t.Errorf("%s: there is no --%s", name, m[1])
				}
			}
		}
		for _, v := range variable.FindAllString(string(src), -1) {
			if !variables[v] {
				t.Errorf("%s: no flag reads %s", name, v)
			}
		}
	}
	for _, name := range []string{"policy.json", "regions.json"} {
		src, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if table, err := policy.Compile(name, src); err != nil || len(table.Warnings) > 0 {
			t.Errorf("%v, %v", err, table)
		}
	}
}
