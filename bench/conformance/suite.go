package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"weir/bench/process"
)

// edition is the suite's version on npm. Another edition has other tests: change it
// together with the list of expected outcomes.
const edition = "0.4.5"

// fetchSuite returns the suite's folder. It is installed once, below the user's cache folder.
func fetchSuite(ctx context.Context) (string, error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%w: install Node.js 18 or later", err)
		}
	}
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	installed := filepath.Join(caches, "weir-conformance", edition)
	suite := filepath.Join(installed, "node_modules", "http-cache-tests")
	if _, err := os.Stat(suite); err == nil {
		return suite, nil
	}
	if err := os.MkdirAll(filepath.Dir(installed), 0o755); err != nil {
		return "", err
	}
	// Half of an install must not be taken for the suite: it gets its name when it is whole.
	unfinished, err := os.MkdirTemp(filepath.Dir(installed), "unfinished")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unfinished)
	npm := exec.CommandContext(ctx, "npm", "install", "--prefix", unfinished, "--ignore-scripts",
		"--no-audit", "--no-fund", "http-cache-tests@"+edition)
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %w\n%s", err, out)
	}
	return suite, os.Rename(unfinished, installed)
}

// startOrigin starts the suite's origin server.
func startOrigin(ctx context.Context, suite, dir string) (*server, error) {
	address, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	// It serves its working folder besides, so that folder is an empty one.
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", filepath.Join(suite, "server", "server.mjs"))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "npm_config_protocol=http", "npm_config_port="+port(address),
		"npm_config_pidfile="+filepath.Join(dir, "pid"))
	return startServer(ctx, cmd, dir, address)
}

// outcome is what became of one test.
type outcome struct {
	ID      string
	Kind    string // required, optimal or check
	Outcome string // pass, fail, setup, dependency, retry or untested
	Why     string // the client's words, for people
}

// runSuite runs every test that is not for browsers alone against the cache at url.
func runSuite(ctx context.Context, suite, url string) ([]outcome, error) {
	var stderr bytes.Buffer
	client := exec.CommandContext(ctx, "node", "--no-warnings", filepath.Join(home, "run.mjs"), suite, url)
	client.Stderr = &stderr
	out, err := client.Output()
	if err != nil {
		return nil, fmt.Errorf("the suite's client: %w\n%s", err, stderr.String())
	}
	var outcomes []outcome
	for line := range strings.Lines(string(out)) {
		var o outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			return nil, fmt.Errorf("the suite's client says %q: %w", line, err)
		}
		outcomes = append(outcomes, o)
	}
	if len(outcomes) == 0 {
		return nil, errors.New("the suite's client ran no test")
	}
	return outcomes, nil
}

// share is how many of a kind passed.
type share struct{ passed, of int }

func (s share) String() string { return fmt.Sprintf("%d of %d", s.passed, s.of) }

// shares is what passed of each kind.
type shares map[string]share

func (s shares) String() string {
	return fmt.Sprintf("%s required, %s optimal, %s checks answered yes", s["required"], s["optimal"], s["check"])
}

func count(outcomes []outcome) shares {
	s := make(shares)
	for _, o := range outcomes {
		n := s[o.Kind]
		n.of++
		if o.Outcome == "pass" {
			n.passed++
		}
		s[o.Kind] = n
	}
	return s
}
