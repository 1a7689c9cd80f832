package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/kv"
	"weir/l2"
)

// kvOf runs weir kv against a node. Standard output is kept as it is.
func kvOf(t *testing.T, node, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out bytes.Buffer
	err := newTranscript()
	args = append([]string{"kv", args[0], "--admin", node}, args[1:]...)
	status = run(t.Context(), args, console{in: strings.NewReader(stdin), out: &out, err: err, env: func(string) string { return "" }})
	return status, out.String(), err.String()
}

func TestKVCommands(t *testing.T) {
	_, node := shop(t)
	binary := "\x00\xff\r\n" + strings.Repeat("b", 100_000)
	for _, c := range []struct {
		line   string
		stdin  string
		status int
		stdout string
		stderr string // that it holds
	}{
		{"get a", "", exitFailed, "", "Nothing is stored under this key"},
		{"has a", "", exitFailed, "", ""},
		{"delete a", "", exitFailed, "", "Nothing is stored"},
		{"set a hello", "", exitDone, "", ""},
		{"get a", "", exitDone, "hello", ""},
		{"has a", "", exitDone, "", ""},
		{"set a - --type application/octet-stream", binary, exitDone, "", ""},
		{"get a", "", exitDone, binary, ""},
		{"set empty -", "", exitDone, "", ""},
		{"get empty", "", exitDone, "", ""},
		{"delete a", "", exitDone, "", ""},
		{"has a", "", exitFailed, "", ""},
		{"set 100%/ü?a=b#c x", "", exitDone, "", ""},
		{"get 100%/ü?a=b#c", "", exitDone, "x", ""},
		{"set .. up", "", exitDone, "", ""},
		{"get ..", "", exitDone, "up", ""},
		{"incr n", "", exitDone, "1\n", ""},
		{"incr n 41", "", exitDone, "42\n", ""},
		{"incr n -- -50", "", exitDone, "-8\n", ""},
		{"incr n x", "", exitUsage, "", "x"},
		{"incr window --ttl 0.5", "", exitDone, "1\n", ""},
		{"incr window --ttl 0", "", exitUsage, "", "ttl is 0"},
		{"incr empty", "", exitFailed, "", "not a whole number"},
		{"set a x --ttl=-1", "", exitUsage, "", "no number of seconds"},
		{"set a x --ttl 1h", "", exitUsage, "", "no number of seconds"},
		{"set a x --stale 1", "", exitUsage, "", "Give it a ttl"},
		{"set a x --metadata {", "", exitUsage, "", "no JSON"},
		{"set a -", strings.Repeat("x", kv.MaxValue+1), exitFailed, "", "more than 8 MiB"},
		{"set " + strings.Repeat("k", kv.MaxKey+1) + " x", "", exitUsage, "", "1 to 1024 bytes"},
		{"has a", "", exitFailed, "", ""}, // nothing of what was refused was stored
		{"set a", "", exitUsage, "", "value"},
	} {
		status, stdout, stderr := kvOf(t, node.admin, c.stdin, strings.Fields(c.line)...)
		if status != c.status || stdout != c.stdout || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
			t.Errorf("weir kv %.60s: exit status %d, %.60q, %q", c.line, status, stdout, stderr)
		}
	}
}

func TestKVCommandTellsMore(t *testing.T) {
	_, node := shop(t, "--kv-listen", "127.0.0.1:0", "--kv-token", "secret")
	status, _, stderr := kvOf(t, node.values, "", "set", "a", "{}", "--token", "secret", "--type", "application/json", "--ttl", "60", "--stale", "600",
		"--tag", "red", "--tag", "a&b", "--metadata", `{"by": "ann"}`)
	if status != exitDone {
		t.Fatal(stderr)
	}
	got := node.value(http.MethodGet, node.admin, "a", "")
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Weir-Ttl": "60", "Weir-Stale": "600", "Cache-Tag": "red,a&b", "Weir-Metadata": `{"by":"ann"}`,
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
	for _, verb := range []string{"get", "has"} {
		if status, _, stderr := kvOf(t, node.values, "", verb, "a"); status != exitFailed || !strings.Contains(stderr, "--token") {
			t.Errorf("%s without a token: exit status %d: %s", verb, status, stderr)
		}
	}
}

// value sends a request for a value to a listener.
func (r *running) value(method, base, key, body string, fields ...string) *reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, base+"/v1/kv/"+key, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", method, key, err, r.logs)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", method, key, err, r.logs)
	}
	return &reply{resp, string(answer)}
}

func (r *running) wantValue(key, want string) {
	r.t.Helper()
	if got := r.value(http.MethodGet, r.admin, key, ""); got.StatusCode != 200 || got.body != want {
		r.t.Errorf("%s: %d, %.100q, want %.100q", key, got.StatusCode, got.body, want)
	}
}

func (r *running) missing(key string) {
	r.t.Helper()
	if got := r.value(http.MethodGet, r.admin, key, ""); got.StatusCode != 404 {
		r.t.Errorf("%s: %d, %.100q", key, got.StatusCode, got.body)
	}
}

func (r *running) setValue(key, value string) {
	r.t.Helper()
	if got := r.value(http.MethodPut, r.admin, key, value); got.StatusCode != 204 {
		r.t.Fatalf("%s: %d, %s", key, got.StatusCode, got.body)
	}
}

func TestValuesOfOneNode(t *testing.T) {
	origin := newScripted(t, newClock())
	origin.text("/a", "page", "Cache-Control: max-age=3600", "Cache-Tag: red")
	args := []string{"--origin", origin.URL, "--data", folder(t), "--kv-size", "16MiB"}
	c := newClock()
	node := serve(t, c, args...)
	node.fill("/a")
	node.setValue("plain", "1")
	node.setValue("short?ttl=60", "2")
	node.setValue("tagged?tag=red", "3")
	node.wantValue("plain", "1")
	s := node.stats().Values
	if s.Disk == nil || s.Disk.Values != 3 || s.Disk.Budget != 16<<20 || s.Memory == nil || s.Memory.Values != 1 {
		t.Errorf("%+v, %+v", s.Disk, s.Memory)
	}
	if status, stdout, _ := command(t, "stats", "--once", "--admin", node.admin); status != exitDone || !strings.Contains(stdout, "3 on disk") || !strings.Contains(stdout, "0 evicted") {
		t.Errorf("%d:\n%s", status, stdout)
	}
	if got := node.metrics(); !strings.Contains(got, `weir_values{region="local",tier="l2"} 3`) || !strings.Contains(got, `weir_values_evicted_total{region="local",tier="l2"} 0`) {
		t.Errorf("metrics without values:\n%s", got)
	}
	node.purge("--all") // is about pages
	node.wantValue("tagged", "3")
	node.purge("--tag", "red")
	node.missing("tagged")
	node.wantValue("plain", "1")
	if status := node.stop(); status != exitDone {
		t.Fatalf("exit status %d:\n%s", status, node.logs)
	}
	node = serve(t, c, args...)
	node.wantValue("plain", "1")
	node.wantValue("short", "2")
	node.missing("tagged")
	c.advance(time.Minute)
	node.missing("short")
	node.wantValue("plain", "1")
}

func (r *running) metrics() string {
	r.t.Helper()
	resp, err := r.client.Get(r.admin + "/metrics") //nolint:noctx // loopback
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(body)
}

// A node whose values cannot be opened serves the rest, and says why.
func TestANodeWithoutValues(t *testing.T) {
	origin := newScripted(t, newClock())
	origin.text("/a", "page", "Cache-Control: max-age=3600")
	data := folder(t)
	taken, err := l2.OpenValues(data, l2.ValuesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	node := serve(t, newClock(), "--origin", origin.URL, "--data", data)
	node.want(node.fill("/a"), 200, missStored, "page")
	got := node.value(http.MethodGet, node.admin, "a", "")
	var said struct{ Error struct{ Code, Hint string } }
	if err := json.Unmarshal([]byte(got.body), &said); err != nil || got.StatusCode != 503 || said.Error.Code != "not-ready" || !strings.Contains(said.Error.Hint, "log") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if !strings.Contains(node.logs.String(), "no values are served") {
		t.Errorf("%s", node.logs)
	}
}

func TestListenerForValuesIsGuarded(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--kv-listen", ":8083"}, "--kv-listen :8083 can be reached from other machines and has no --kv-token"},
		{[]string{"--kv-token", "secret"}, "only with --kv-listen"},
		{[]string{"--kv-size", "1MiB"}, "--kv-size must be at least 4MiB"},
	} {
		status, _, stderr := command(t, append([]string{"serve", "--origin", "http://127.0.0.1:1"}, c.args...)...)
		if status != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit status %d: %s", c.args, status, stderr)
		}
	}
	_, node := shop(t, "--kv-listen", "127.0.0.1:0", "--kv-token", "kv secret", "--admin-token", "admin secret")
	for _, c := range []struct {
		base, token string
		status      int
	}{
		{node.values, "kv secret", 204}, {node.values, "admin secret", 401}, {node.admin, "kv secret", 401}, {node.admin, "admin secret", 204}, {node.values, "", 401},
	} {
		if got := node.value(http.MethodPut, c.base, "a", "x", "Authorization: Bearer "+c.token); got.StatusCode != c.status {
			t.Errorf("%s with %q: %d", c.base, c.token, got.StatusCode)
		}
	}
}
