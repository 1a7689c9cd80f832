package policy_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A golden file of mistakes is a sequence of sections "-- NAME.json --" and
// "-- NAME.errors --": a policy, and exactly what is said about it.
type mistake struct {
	name   string
	src    []byte
	errors string
}

var section = regexp.MustCompile(`(?m)^-- (\S+)\.(json|errors) --\n`)

func readMistakes(t testing.TB, file string) []mistake {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []mistake
	heads := section.FindAllSubmatchIndex(data, -1)
	for i, head := range heads {
		end := len(data)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		name, kind, body := string(data[head[2]:head[3]]), string(data[head[4]:head[5]]), data[head[1]:end]
		switch {
		case i%2 == 0 && kind == "json":
			all = append(all, mistake{name: name, src: body})
		case i%2 == 1 && kind == "errors" && all[len(all)-1].name == name:
			all[len(all)-1].errors = string(body)
		default:
			t.Fatalf("%s: section %s.%s is out of order", file, name, kind)
		}
	}
	return all
}

func writeMistakes(t testing.TB, file string, all []mistake) {
	t.Helper()
	var b bytes.Buffer
	for _, m := range all {
		fmt.Fprintf(&b, "-- %[1]s.json --\n%[2]s-- %[1]s.errors --\n%[3]s", m.name, m.src, m.errors)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// everyMistake visits all golden files.
func everyMistake(t testing.TB, visit func(topic string, all []mistake)) {
	t.Helper()
	files, err := filepath.Glob("testdata/mistakes/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		all := readMistakes(t, file)
		visit(strings.TrimSuffix(filepath.Base(file), ".txt"), all)
		if *update {
			writeMistakes(t, file, all)
		}
	}
}
