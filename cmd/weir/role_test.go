package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRolesThatMakeNoSense(t *testing.T) {
	const shield = "https://shield.example:8082"
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"unknown role", []string{"--role", "core"}, "--role"},
		{"region that no policy can name", []string{"--region", "eu west"}, "--region"},
		{"short secret", []string{"--peer-secret", "0123456789abcde"}, "15 bytes"},
		{"edge without a shield", []string{"--role", "edge"}, "needs a --shield"},
		{"edge with a disk tier", []string{"--role", "edge", "--shield", "http://127.0.0.1:1", "--data", "x"}, "--data"},
		{"edge that serves edges", []string{"--role", "edge", "--shield", "http://127.0.0.1:1", "--peer-listen", "127.0.0.1:0"}, "--peer-listen"},
		{"shield of a shield", []string{"--role", "shield", "--peer-listen", "127.0.0.1:0", "--shield", shield}, "--role edge"},
		{"all with a shield", []string{"--shield", shield}, "--role edge"},
		{"shield that serves nobody", []string{"--role", "shield"}, "--peer-listen"},
		{"edges from everywhere without a secret", []string{"--role", "shield", "--peer-listen", ":0"}, "WEIR_PEER_SECRET"},
		{"all for edges from everywhere", []string{"--peer-listen", "192.0.2.1:8082"}, "WEIR_PEER_SECRET"},
		{"shield elsewhere without a secret", []string{"--role", "edge", "--shield", "http://192.0.2.1:8082"}, "WEIR_PEER_SECRET"},
		{"name without a secret", []string{"--role", "edge", "--shield", "https://shield.example:8082"}, "WEIR_PEER_SECRET"},
		{"https without a secret", []string{"--role", "edge", "--shield", "https://127.0.0.1:8082"}, "http://"},
		{"one shield of two is bad", []string{"--role", "edge", "--shield", "http://127.0.0.1:1", "--shield", "ftp://127.0.0.1:1"}, "ftp://"},
		{"shield without a port", []string{"--role", "edge", "--shield", "http://127.0.0.1"}, "HOST:PORT"},
		{"shield with a path", []string{"--role", "edge", "--shield", "http://127.0.0.1:1/x"}, "HOST:PORT"},
		{"shield with a user", []string{"--role", "edge", "--shield", "http://a:b@127.0.0.1:1"}, "HOST:PORT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"serve", "--origin", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, c.args...)
			status, _, stderr := command(t, args...)
			if status != exitUsage || !strings.Contains(stderr, c.says) {
				t.Errorf("exit status %d: %s", status, stderr)
			}
		})
	}
	status, _, stderr := command(t, "serve", "--demo", "--role", "shield", "--peer-listen", "127.0.0.1:0")
	if status != exitUsage || !strings.Contains(stderr, "--demo") {
		t.Errorf("a demo of a shield: exit status %d: %s", status, stderr)
	}
}

// An edge whose shield is not there starts, and says so.
func TestAnEdgeAlone(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	versioned(origin, "/a", minute)
	edge := serve(t, c, "--role", "edge", "--region", "fra", "--shield", "http://127.0.0.1:1", "--origin", origin.URL)
	if got := edge.get("/a"); got.body != "version 1" {
		t.Errorf("%s, %q", got.use(), got.body)
	}
	if !strings.Contains(edge.logs.String(), "serving without it") {
		t.Errorf("%s", edge.logs)
	}
	if _, err := os.Stat("weir-data"); err == nil {
		t.Error("an edge made a data folder")
	}
	if status := edge.stop(); status != exitDone {
		t.Errorf("exit status %d:\n%s", status, edge.logs)
	}
}

func TestRegionsAreRemembered(t *testing.T) {
	f := regionsFile(t.TempDir())
	if got, err := f.load(); got != nil || err != nil {
		t.Errorf("before the first save: %q, %v", got, err)
	}
	for _, want := range [][]string{{"fra"}, {"fra", "lhr"}} {
		if err := f.save(want); err != nil {
			t.Fatal(err)
		}
		if got, err := f.load(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	entries, err := os.ReadDir(string(f))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	writeFile(t, f.path(), `{"regions": [`)
	if _, err := f.load(); err == nil {
		t.Error("half a file is taken for one")
	}
	if err := regionsFile(filepath.Join(string(f), "nowhere")).save(nil); err == nil {
		t.Error("saved in a folder that is not there")
	}
}
