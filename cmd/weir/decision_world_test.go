package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"weir/api"
	"weir/keying"
	"weir/policy"
	"weir/shield"
)

// A world is a node in front of an origin that answers what the query of a request
// says: "status", "size" and "end" are the response's, everything else is a field.
type world struct {
	t      *testing.T
	clock  *clock
	origin *httptest.Server
	node   *node
	addr   string // of the node's client listener

	mood  atomic.Value // string: "well" or how the origin fails
	gate  chan struct{}
	asked atomic.Int64

	beside sync.WaitGroup // another client
}

const worldPolicy = `{
	"origins": {"o": {"url": %[1]q, "retries": 0}, "hasty": {"url": %[1]q, "retries": 0, "headerTimeoutMs": 100}},
	"defaults": {"origin": "o"}%[2]s,
	"routes": [
		{"name": "off", "match": {"path": "/off/*"}, "edge": false},
		{"name": "hasty", "match": {"path": "/hasty/*"}, "origin": "hasty"},
		{"name": "search", "match": {"path": "/search", "methods": ["GET", "POST"]}, "edge": {"maxAgeSeconds": 60}},
		{"name": "errors", "match": {"path": "/errors/*"}, "edge": {"statusMaxAgeSeconds": {"404": 60}}},
		{"name": "parts", "match": {"path": "/parts/*"}, "edge": {"storePartial": true}}
	]}`

func newWorld(t *testing.T, disabled bool) *world {
	t.Helper()
	w := &world{t: t, clock: newClock(), gate: make(chan struct{})}
	w.mood.Store("well")
	w.origin = httptest.NewUnstartedServer(http.HandlerFunc(w.answer))
	w.origin.Config.SetKeepAlivesEnabled(false) // or a lost connection might be tried twice
	w.origin.Start()
	t.Cleanup(w.origin.Close)
	var err error
	w.node, err = openNode(w.table(""), nodeOptions{
		region: "fra", folder: folder(t), l1Size: 16 << 20, l2Size: 64 << 20, disabled: disabled, now: w.clock.Now, log: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.serve()
	return w
}

func (w *world) serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = listener.Addr().String()
	server := api.NewServer(w.node.door, zap.NewNop())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(api.Guard(listener, api.GuardOptions{Region: "fra", Refused: w.node.door.Refused, Hits: w.node.hits}))
	}()
	w.t.Cleanup(func() {
		w.beside.Wait()
		_ = server.Close()
		<-served
		if err := w.node.close(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) table(more string) *policy.Table {
	w.t.Helper()
	table, err := policy.Compile("policy.json", fmt.Appendf(nil, worldPolicy, w.origin.URL, more))
	if err != nil {
		w.t.Fatal(err)
	}
	return table
}

// answer is the origin.
func (w *world) answer(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	mood, _ := w.mood.Load().(string)
	h := rw.Header()
	h.Set("Date", w.clock.Now().UTC().Format(http.TimeFormat))
	status, size := 200, 5
	for name, values := range r.URL.Query() {
		switch name {
		case "status":
			status, _ = strconv.Atoi(values[0])
		case "size":
			size, _ = strconv.Atoi(values[0])
		case "end":
			mood = values[0]
		default:
			h[http.CanonicalHeaderKey(name)] = values
		}
	}
	switch mood {
	case "gated":
		<-w.gate
	case "503":
		h.Del("Cache-Control")
		status = 503
	case "silent":
		<-r.Context().Done()
		return
	case "gone", "garbage", "unframed", "switching":
		w.raw(rw, mood)
		return
	}
	if etag := h.Get("Etag"); etag != "" && r.Header.Get("If-None-Match") == etag {
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/parts/") && r.Header.Get("Range") == "bytes=1-2" {
		h.Set("Content-Range", "bytes 1-2/"+strconv.Itoa(size))
		status, size = http.StatusPartialContent, 2
	}
	h.Set("Content-Length", strconv.Itoa(size))
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, strings.Repeat("x", size))
}

// raw answers with what net/http would not.
func (w *world) raw(rw http.ResponseWriter, mood string) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		w.t.Error(err)
		return
	}
	_, _ = io.WriteString(conn, map[string]string{
		"garbage":   "HTTP/1.1 999 Nothing\r\n\r\n",
		"unframed":  "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nuntil the end",
		"switching": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	}[mood])
	_ = conn.Close()
}

// do takes one step before the request of a case.
func (w *world) do(step string, request []string) {
	w.t.Helper()
	verb, rest, _ := strings.Cut(step, " ")
	switch verb {
	case "ask": // for the same, without its fields
		_, target, _ := strings.Cut(request[0], " ")
		w.send("GET "+target, nil)
		w.quiet()
	case "part": // of the same
		_, target, _ := strings.Cut(request[0], " ")
		w.send("GET "+target, []string{"Range: bytes=1-2"})
		w.quiet()
	case "repeat": // in advance
		w.send(request[0], request[1:])
		w.quiet()
	case "forget": // what is in memory
		w.node.memory.Clear()
	case "lose": // what is on disk
		if err := w.node.store.Delete(w.key(request[0])); err != nil {
			w.t.Fatal(err)
		}
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			w.t.Fatal(err)
		}
		w.clock.advance(d)
	case "origin":
		w.mood.Store(rest)
	case "soften", "purge":
		if _, err := w.node.purge(w.t.Context(), shield.PurgeOrder{All: true, Soft: verb == "soften"}); err != nil {
			w.t.Fatal(err)
		}
	case "deploy":
		w.node.use(w.table(`, "deployment": "` + rest + `", "isolate": true, "deploymentSettleSeconds": 60`))
	case "beside": // another client asks the same and the origin takes its time
		w.mood.Store("gated")
		w.beside.Go(func() { w.send(request[0], request[1:]) })
		eventually(w.t, "one waits", func() bool { return w.asked.Load() == 1 })
		go func() {
			defer close(w.gate)
			eventually(w.t, "two wait", func() bool { return w.node.shield.Stats().Waiters == 2 })
		}()
	default:
		w.t.Fatalf("no such step: %s", step)
	}
}

// key is the key of a GET.
func (w *world) key(line string) keying.Key {
	w.t.Helper()
	target := strings.TrimPrefix(line, "GET ")
	plan, _ := w.node.live.Load().Match(&policy.MatchRequest{Method: http.MethodGet, Host: "shop.test", Path: "/"})
	keyed, err := plan.Key.Build(&keying.Request{Method: http.MethodGet, Scheme: "http", Host: "shop.test", Target: target})
	if err != nil {
		w.t.Fatal(err)
	}
	return keyed.Key
}

// quiet waits until no flight is running.
func (w *world) quiet() {
	w.t.Helper()
	eventually(w.t, "no flights", func() bool { return w.node.shield.Stats().Flights == 0 })
}

// send sends "METHOD target" with fields, the last of which may be "body=...", and
// reads the answer to its end.
func (w *world) send(line string, fields []string) *http.Response {
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Error(err)
		return nil
	}
	defer func() { _ = conn.Close() }()
	head, body := line+" HTTP/1.1\r\nHost: shop.test\r\n", ""
	if !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, "Connection:") }) {
		head += "Connection: close\r\n"
	}
	for _, f := range fields {
		if content, ok := strings.CutPrefix(f, "body="); ok {
			body = content
			f = "Content-Length: " + strconv.Itoa(len(body))
		}
		head += f + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"+body); err != nil {
		w.t.Error(err)
		return nil
	}
	method, _, _ := strings.Cut(line, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		w.t.Errorf("%s: %v", line, err)
		return nil
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		w.t.Errorf("%s: %v", line, err)
	}
	_ = resp.Body.Close()
	return resp
}
