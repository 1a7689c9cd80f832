package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// testHost is the Host of requests in tests. It is in the key, and must not change
// when a node starts again on another port.
const testHost = "shop.test"

// running is a "weir serve" in this process.
type running struct {
	t      *testing.T
	out    *transcript // standard output
	logs   *transcript // standard error
	base   string      // of the client listener: "http://127.0.0.1:PORT"
	admin  string      // of the admin listener
	peers  string      // of the listener for edges, "" without one
	values string      // of the listener for values, "" without one
	client *http.Client
	cancel context.CancelFunc
	exited chan int // exit status
}

var announced = regexp.MustCompile(`(?m)^(clients|admin|edges|values) +(https?://[^/, ]+:\d+)`)

// serve starts weir with args on free loopback ports and waits until it serves.
func serve(t *testing.T, c *clock, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{
		t: t, out: newTranscript(), logs: newTranscript(), cancel: cancel, exited: make(chan int, 1),
		client: newClient(t),
	}
	con := console{out: r.out, err: r.logs, env: func(string) string { return "" }, now: c.Now}
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--l2-size", "64MiB"}, args...)
	go func() { r.exited <- run(ctx, args, con) }()
	t.Cleanup(func() { r.stop() })
	r.await("policy ")
	r.findAddresses()
	return r
}

// findAddresses reads the addresses that the node announced.
func (r *running) findAddresses() {
	r.t.Helper()
	for _, m := range announced.FindAllStringSubmatch(r.out.String(), -1) {
		switch m[1] {
		case "clients":
			r.base = m[2]
		case "admin":
			r.admin = m[2]
		case "edges":
			r.peers = m[2]
		case "values":
			r.values = m[2]
		}
	}
	if r.admin == "" || r.base == "" && r.peers == "" {
		r.t.Fatalf("no addresses in:\n%s", r.out)
	}
}

// data is the data folder that the node announced.
func (r *running) data() string {
	r.t.Helper()
	m := regexp.MustCompile(`(?m)^disk .* in (.+), \d+ objects`).FindStringSubmatch(r.out.String())
	if m == nil {
		r.t.Fatalf("no data folder in:\n%s", r.out)
	}
	return m[1]
}

// newClient returns a client that changes nothing on its own.
func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// await waits for text on standard output; a node that ended instead fails the test.
func (r *running) await(want string) {
	r.t.Helper()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case status := <-r.exited:
			r.exited <- status
			_, _ = io.WriteString(r.out, want+" (ended)") // wakes the wait below
		case <-ended:
		}
	}()
	r.out.await(r.t, want, 1)
	if strings.Contains(r.out.String(), want+" (ended)") {
		r.t.Fatalf("weir ended:\n%s", r.logs)
	}
}

// stop ends the node as SIGTERM does and returns its exit status.
func (r *running) stop() int {
	r.t.Helper()
	r.cancel()
	select {
	case status := <-r.exited:
		r.exited <- status // for whoever asks again
		return status
	case <-time.After(patience):
		r.t.Fatalf("weir does not end:\n%s", r.logs)
		return -1
	}
}

// reply is an answer that was read to its end.
type reply struct {
	*http.Response
	body string
}

// use is what became of the request: x-cache, x-cache-tier and x-caching-status.
func (r *reply) use() string {
	return r.Header.Get("X-Cache") + "; " + r.Header.Get("X-Cache-Tier") + "; " + r.Header.Get("X-Caching-Status")
}

// do sends a request; fields are "name: value".
func (r *running) do(method, path string, fields ...string) *reply {
	r.t.Helper()
	return r.send(method, path, "", fields...)
}

// send is do with a body.
func (r *running) send(method, path, body string, fields ...string) *reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.base+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Host = testHost
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Add(name, value)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", method, path, err, r.logs)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", method, path, err, r.logs)
	}
	return &reply{resp, string(answer)}
}

func (r *running) get(path string, fields ...string) *reply {
	r.t.Helper()
	return r.do(http.MethodGet, path, fields...)
}

// fill gets a page that is to be stored, and waits until it is: the last byte can
// reach a client a moment before the tiers have the object.
func (r *running) fill(path string, fields ...string) *reply {
	r.t.Helper()
	got := r.get(path, fields...)
	r.quiet()
	return got
}

// quiet waits until no fill is running.
func (r *running) quiet() {
	r.t.Helper()
	eventually(r.t, "no flights", func() bool { return r.stats().Shield.Flights == 0 })
}

// stats are the node's counters now.
func (r *running) stats() (all nodeStats) {
	r.t.Helper()
	status, out, errs := command(r.t, "stats", "--json", "--admin", r.admin)
	if status != exitDone {
		r.t.Fatal(errs)
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// want checks status, use and body of an answer.
func (r *running) want(got *reply, status int, use, body string) {
	r.t.Helper()
	if got.StatusCode != status || got.use() != use || got.body != body {
		r.t.Fatalf("%s %s: status %d, %q, body %.200q; want %d, %q, %.200q\n%v",
			got.Request.Method, got.Request.URL.Path, got.StatusCode, got.use(), got.body, status, use, body, got.Header)
	}
}

// eventually waits until a condition holds that nothing signals.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// command runs another weir command in this process.
func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	out, err := newTranscript(), newTranscript()
	status = run(t.Context(), args, console{out: out, err: err, env: func(string) string { return "" }})
	return status, out.String(), err.String()
}

// writeFile writes a file of a test.
func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// folder is a data folder of a test.
func folder(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }
