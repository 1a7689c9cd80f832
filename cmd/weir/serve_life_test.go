package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWarmRestart(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.text("/a", "body of a", "Cache-Control: max-age=3600")
	origin.text("/b", strings.Repeat("b", 3<<20), "Cache-Control: max-age=3600") // too long for the memory tier
	args := []string{"--origin", origin.URL, "--data", folder(t)}
	node := serve(t, c, args...)
	node.fill("/a")
	node.fill("/b")
	if status := node.stop(); status != exitDone {
		t.Fatalf("exit status %d:\n%s", status, node.logs)
	}
	node = serve(t, c, args...)
	if !strings.Contains(node.out.String(), "2 objects are back") {
		t.Errorf("%s", node.out)
	}
	c.advance(time.Minute)
	got := node.get("/a")
	node.want(got, 200, "hit; oc=cached, sc=hit; ok", "body of a")
	if got.Header.Get("Age") != "60" {
		t.Errorf("age across a restart: %v", got.Header)
	}
	node.want(node.get("/b"), 200, "hit; oc=pass, sc=hit; ok", strings.Repeat("b", 3<<20))
	asked(t, origin, "/a", 1)
	asked(t, origin, "/b", 1)
}

func TestInvalidationSurvivesRestart(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	origin.text("/a", "body of a", "Cache-Control: max-age=3600")
	args := []string{"--origin", origin.URL, "--data", folder(t)}
	node := serve(t, c, args...)
	node.fill("/a")
	node.do("POST", "/a")
	node.stop()
	node = serve(t, c, args...)
	node.want(node.get("/a"), 200, missStored, "body of a")
}

func TestSecondNodeOnAFolderIsRefused(t *testing.T) {
	origin, node := shop(t, "--data", folder(t))
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	data := node.data()
	status, _, stderr := command(t, "serve", "--origin", origin.URL, "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if status != exitFailed || !strings.Contains(stderr, "in use by another process") || !strings.Contains(stderr, "--data") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	status, _, stderr = command(t, "verify", "--data", data)
	if status != exitFailed || !strings.Contains(stderr, "in use by another process") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	node.want(node.get("/a"), 200, missStored, "body of a") // the first one goes on
	node.stop()
	if status, stdout, stderr := command(t, "verify", "--data", data); status != exitDone || !strings.Contains(stdout, "1 objects") {
		t.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	data := folder(t)
	for _, flag := range []string{"--listen", "--admin"} {
		args := []string{"serve", "--origin", "http://127.0.0.1:1", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", flag, taken.Addr().String()}
		status, _, stderr := command(t, args...)
		if status != exitFailed || !strings.Contains(stderr, "address already in use") || !strings.Contains(stderr, "with "+flag) {
			t.Errorf("%s: exit status %d: %s", flag, status, stderr)
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Error("a data folder was made before the ports were open")
	}
}

func TestFolderThatCannotBeMade(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "file"), "not a folder")
	status, _, stderr := command(t, "serve", "--origin", "http://127.0.0.1:1", "--data", filepath.Join(file, "data"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if status != exitFailed || !strings.Contains(stderr, "data folder "+file) {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	status, _, stderr = command(t, "verify", "--data", filepath.Join(t.TempDir(), "nowhere"))
	if status != exitFailed || !strings.Contains(stderr, "--data") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestDrainLetsRunningResponsesFinish(t *testing.T) {
	origin, node := shop(t)
	began, release := make(chan struct{}), make(chan struct{})
	origin.page("/slow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first half, ")
		_ = http.NewResponseController(w).Flush()
		close(began)
		<-release
		_, _ = io.WriteString(w, "second half")
	})
	got := make(chan *reply)
	go func() { got <- node.get("/slow") }()
	<-began
	node.cancel()
	eventually(t, "not ready any more", func() bool {
		resp, err := node.client.Get(node.admin + "/readyz") //nolint:noctx // loopback
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	eventually(t, "no new connections", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(node.base, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(release)
	if reply := <-got; reply.body != "first half, second half" {
		t.Errorf("got %q", reply.body)
	}
	if status := node.stop(); status != exitDone {
		t.Errorf("exit status %d", status)
	}
}

func TestDrainHasALimit(t *testing.T) {
	origin, node := shop(t, "--drain-timeout", "20ms")
	began, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	origin.page("/stuck", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		_ = http.NewResponseController(w).Flush()
		close(began)
		<-release
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.base+"/stuck", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := node.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	<-began
	if status := node.stop(); status != exitDone {
		t.Errorf("exit status %d", status)
	}
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the response looks whole: %q", body)
	}
	if !strings.Contains(node.logs.String(), "responses were cut off") {
		t.Errorf("%s", node.logs)
	}
}

func TestAdminToken(t *testing.T) {
	_, node := shop(t, "--admin-token", "secret")
	status, _, stderr := command(t, "stats", "--admin", node.admin)
	if status != exitFailed || !strings.Contains(stderr, "--token") {
		t.Errorf("without a token: exit status %d: %s", status, stderr)
	}
	status, stdout, stderr := command(t, "stats", "--admin", node.admin, "--token", "secret")
	if status != exitDone || !strings.Contains(stdout, "ready") {
		t.Errorf("with the token: exit status %d: %s%s", status, stdout, stderr)
	}
}

func TestStatsForPeople(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	node.fill("/a")
	for range 3 {
		node.get("/a")
	}
	// A hit counts when it has been sent, which its client may know first.
	eventually(t, "all are counted", func() bool {
		_, stdout, _ := command(t, "stats", "--admin", node.admin)
		return strings.Contains(stdout, "requests  4:")
	})
	status, stdout, stderr := command(t, "stats", "--admin", strings.TrimPrefix(node.admin, "http://"))
	if status != exitDone {
		t.Fatal(stderr)
	}
	for _, want := range []string{"4: 3 hit, 0 stale, 1 miss, 0 bypass; 75.0 % from the cache", "region local", origin.URL, "1 objects in"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
	status, _, stderr = command(t, "stats", "--admin", "127.0.0.1:1")
	if status != exitFailed || !strings.Contains(stderr, "connection refused") || !strings.Contains(stderr, "weir serve") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	status, _, stderr = command(t, "stats", "--admin", origin.URL)
	if status != exitFailed || !strings.Contains(stderr, "is it the admin listener") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestMetricsAndHealth(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	node.fill("/a")
	for path, want := range map[string]string{
		"/metrics": `weir_requests_total{class="2xx",region="local",route="defaults",use="miss"} 1`,
		"/healthz": "ok", "/readyz": "ready",
	} {
		resp, err := node.client.Get(node.admin + path) //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d, %v, no %q in:\n%s", path, resp.StatusCode, err, want, body)
		}
	}
}

// child is a weir in a process of its own.
type child struct {
	*running
	cmd *exec.Cmd
}

// start runs this test binary as weir.
func start(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{running: &running{
		t: t, out: newTranscript(), logs: newTranscript(), client: newClient(t), exited: make(chan int, 1),
	}}
	args = append([]string{"weir", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--l2-size", "64MiB"}, args...)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd = &exec.Cmd{Path: self, Args: args, Stdout: c.out, Stderr: c.logs}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.cmd.Wait()
		c.exited <- c.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-ended
	})
	c.await("disk ")
	c.findAddresses()
	return c
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// ended waits for the process and returns its exit status, -1 when it was killed.
func (c *child) ended() int {
	c.t.Helper()
	select {
	case status := <-c.exited:
		return status
	case <-time.After(patience):
		c.t.Fatalf("weir does not end:\n%s", c.logs)
		return 0
	}
}

func TestKilledNodeComesBackWarm(t *testing.T) {
	origin := newScripted(t, newClock())
	origin.text("/a", "body of a", "Cache-Control: max-age=3600")
	args := []string{"--origin", origin.URL, "--data", folder(t)}
	node := start(t, args...)
	node.fill("/a")
	eventually(t, "stored on disk", func() bool { return node.stats().L2.Stored == 1 })
	node.signal(syscall.SIGKILL)
	if status := node.ended(); status != -1 {
		t.Fatalf("exit status %d", status)
	}
	node = start(t, args...)
	node.want(node.get("/a"), 200, "hit; oc=cached, sc=hit; ok", "body of a")
	asked(t, origin, "/a", 1)
	node.signal(syscall.SIGTERM)
	if status := node.ended(); status != exitDone {
		t.Errorf("exit status %d:\n%s", status, node.logs)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	origin := newScripted(t, newClock())
	began, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	origin.page("/stuck", func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
	})
	node := start(t, "--origin", origin.URL, "--data", folder(t), "--drain-timeout", "1h")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.base+"/stuck", nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		resp, err := node.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	<-began
	node.signal(syscall.SIGINT)
	node.logs.await(t, "told to end", 1)
	node.signal(syscall.SIGTERM)
	if status := node.ended(); status != exitFailed {
		t.Errorf("exit status %d", status)
	}
	if err := <-failed; err == nil {
		t.Error("the client got an answer")
	}
}

func TestHangupReloadsThePolicy(t *testing.T) {
	origin := newScripted(t, newClock())
	origin.text("/a", "body of a", "Cache-Control: max-age=3600")
	origin.text("/b", "body of b", "Cache-Control: max-age=3600")
	path := writeFile(t, filepath.Join(t.TempDir(), "policy.json"), policyFor(origin, ""))
	node := start(t, "--policy", path, "--data", folder(t))
	node.fill("/a")
	node.fill("/b")

	writeFile(t, path, `{"origins": {}, "colour": "red"}`)
	node.signal(syscall.SIGHUP)
	node.logs.await(t, "policy not reloaded", 1)
	node.logs.await(t, "colour", 1)
	node.want(node.get("/b"), 200, hitMemory, "body of b") // nothing changed

	writeFile(t, path, policyFor(origin, `{"name": "b", "match": {"path": "/b"}, "edge": false}`))
	node.signal(syscall.SIGHUP)
	node.logs.await(t, "policy reloaded", 1)
	node.want(node.get("/b"), 200, "bypass; oc=pass, sc=pass; disabled", "body of b")
	node.want(node.get("/a"), 200, hitMemory, "body of a") // the cache is still warm
	asked(t, origin, "/a", 1)
}
