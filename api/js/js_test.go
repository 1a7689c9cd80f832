// Package js_test runs the tests of the JavaScript client against a node.
package js_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "the-token-of-these-tests"

// startNode builds weir, starts a node that ends with the test, and returns the url of its listener for values.
func startNode(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	weir := filepath.Join(folder, "weir")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", weir, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	node := exec.Command(weir, "serve", "--origin", "http://127.0.0.1:9", "--data", filepath.Join(folder, "data"),
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--kv-listen", "127.0.0.1:0", "--kv-token", token)
	var trouble strings.Builder
	node.Stderr = &trouble
	out, err := node.StdoutPipe()
	if err == nil {
		err = node.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(node.Process.Signal(syscall.SIGTERM), node.Wait())
		if err != nil {
			t.Errorf("the node ended with %v:\n%s", err, trouble.String())
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); { // they are there once it serves
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "values" {
			return strings.TrimSuffix(words[1], ":")
		}
	}
	t.Fatal("the node does not say where its values are")
	return ""
}

func TestClient(t *testing.T) {
	js, err := exec.LookPath("node")
	if err != nil {
		t.Log("there is no Node.js here")
		return
	}
	files, err := filepath.Glob("test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	tests := exec.CommandContext(t.Context(), js, append([]string{"--test", "--test-reporter=spec"}, files...)...)
	tests.Env = append(os.Environ(), "WEIR_KV_URL="+startNode(t), "WEIR_KV_TOKEN="+token)
	out, err := tests.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "fail 0\n") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// What index.d.ts says is right TypeScript, and fits how the client is used.
func TestTypes(t *testing.T) {
	tsc, err := exec.LookPath("tsc")
	if err != nil {
		t.Log("there is no TypeScript here")
		return
	}
	out, err := exec.CommandContext(t.Context(), tsc, "--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext", "test/types.ts").CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
