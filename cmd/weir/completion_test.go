package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completed is what bash offers at the end of a command line, words separated by spaces; the last
// one is what has been typed of it.
func completed(t *testing.T, script, line string) []string {
	t.Helper()
	const ask = `source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
spec=$(complete -p weir)
[[ $spec =~ -F\ ([^ ]+)\ weir ]] || exit 3
"${BASH_REMATCH[1]}" weir
printf "%s\\n" "${COMPREPLY[@]-}"`
	args := append([]string{"--norc", "-uc", ask, "bash", script}, strings.Split(line, " ")...)
	out, err := exec.CommandContext(t.Context(), "bash", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", line, err, out)
	}
	return strings.Fields(string(out))
}

func TestCompletionInBash(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Log("there is no bash here")
		return
	}
	status, script, stderr := command(t, "completion", "bash")
	if status != exitDone {
		t.Fatal(stderr)
	}
	file := writeFile(t, filepath.Join(t.TempDir(), "weir.bash"), script)
	for line, want := range map[string][]string{
		"weir po":                             {"policy"},
		"weir policy s":                       {"schema", "show"},
		"weir policy ch":                      {"check"},
		"weir policy check ":                  nil, // files
		"weir serve --ro":                     {"--role"},
		"weir serve --role ":                  {"all", "edge", "shield"},
		"weir serve --role = ":                {"all", "edge", "shield"},
		"weir serve --role =":                 {"all", "edge", "shield"},
		"weir serve --role = e":               {"edge"},
		"weir serve --data ":                  nil,
		"weir --config a.json purge --so":     {"--soft"},
		"weir logs --status hit --status mi":  {"miss"},
		"weir logs --follow --ro":             {"--route"},
		"weir completion ":                    {"bash", "zsh", "fish"},
		"weir completion f":                   {"fish"},
		"weir stats --on":                     {"--once"},
		"weir nonsense --he":                  {"--help"},
		"weir version ":                       {"--help", "--config"},
		"weir serve --origin http://po --dem": {"--demo"},
	} {
		if got := completed(t, file, line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got := completed(t, file, "weir "); !slices.Contains(got, "serve") || !slices.Contains(got, "logs") || slices.Contains(got, "--config") {
		t.Errorf("the commands are %q", got)
	}
}

// The scripts for other shells offer the same.
func TestCompletionInOtherShells(t *testing.T) {
	for shell, wants := range map[string][]string{
		"zsh": {
			"#compdef weir\n", "'policy:Check a policy file, or print its schema'", "('/serve --role') compadd -- all edge shield;",
			"'--config:Read flags from a JSON object\\: {\"listen\"\\: \"\\:8080\"}'", `weir'\''s command lines`, "('/completion')\n        offers=('bash' 'zsh' 'fish')",
		},
		"fish": {
			`complete -c weir -n '__weir_at "/policy"' -a check -d 'Print every mistake in a policy file'`,
			`complete -c weir -n '__weir_at "/serve"' -l role -x -a 'all edge shield' -d`, `weir\'s command lines`,
			`complete -c weir -n '__weir_at "/policy/check"' -F`, `complete -c weir -n '__weir_at "/completion"' -a 'bash zsh fish'`,
		},
	} {
		_, script, _ := command(t, "completion", shell)
		for _, want := range wants {
			if !strings.Contains(script, want) {
				t.Errorf("%s: no %s in\n%s", shell, want, script)
			}
		}
	}
	if status, _, stderr := command(t, "completion", "tcsh"); status != exitUsage || !strings.Contains(stderr, `"zsh"`) {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}
