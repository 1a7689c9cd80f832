package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"weir"
)

const sitePolicy = `{
  "origins": { "app": { "url": "http://app.internal" } },
  "defaults": { "origin": "app" },
  "routes": [
    { "name": "own", "match": { "path": "/own/*" }, "edge": false },
    { "name": "pages", "match": { "path": "/*" }, "edge": { "maxAgeSeconds": 60, "staleWhileRevalidateSeconds": 600 } }
  ]
}`

// site is a handler behind a Middleware, on a server.
type site struct {
	*weir.Middleware
	url      string
	requests atomic.Int64
	reported atomic.Int64
	stop     func()
}

func serve(t *testing.T, folder string, answer http.HandlerFunc) *site {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	must(t, os.WriteFile(file, []byte(sitePolicy), 0o600))
	s := new(site)
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		answer(w, r)
	})
	m, err := weir.Handler(file, counted, weir.HandlerOptions{Folder: folder, Report: func(error) { s.reported.Add(1) }})
	must(t, err)
	server := httptest.NewServer(m)
	s.Middleware, s.url = m, server.URL
	s.stop = sync.OnceFunc(func() {
		server.CloseClientConnections()
		server.Close()
		must(t, m.Close(context.Background()))
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	t.Cleanup(s.stop)
	return s
}

// ask returns the answer and its body, and what broke.
func (s *site) ask(t *testing.T, method, path string, fields ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, nil)
	must(t, err)
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	req.Host = req.Header.Get("Host") // "": of the URL
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func (s *site) want(t *testing.T, path, xCache, body string) *http.Response {
	t.Helper()
	resp, got, err := s.ask(t, http.MethodGet, path)
	if err != nil || got != body || resp.Header.Get("X-Cache") != xCache {
		t.Errorf("GET %s: %.40q, %s, %v; want %.40q, %s", path, got, resp.Header.Get("X-Cache"), err, body, xCache)
	}
	return resp
}

func TestHandlerAppliesAPolicy(t *testing.T) {
	s := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Tag", "pages")
		_, _ = fmt.Fprintf(w, "<html>%s %s %s", r.Method, r.Host, r.RequestURI)
	})
	page := "<html>GET " + strings.TrimPrefix(s.url, "http://") + " /a?b=%2F"
	s.want(t, "/a?b=%2F", "miss", page)
	resp := s.want(t, "/a?b=%2F", "hit", page)
	if got := resp.Header.Get("Content-Type"); got != "text/html; charset=utf-8" || resp.ContentLength != int64(len(page)) {
		t.Errorf("type %q, length %d", got, resp.ContentLength)
	}
	if resp, body, err := s.ask(t, http.MethodHead, "/a?b=%2F"); err != nil || body != "" || resp.Header.Get("X-Cache") != "hit" {
		t.Errorf("HEAD: %q, %v, %v", body, resp.Header, err)
	}
	must(t, s.Purge(t.Context(), "pages"))
	s.want(t, "/a?b=%2F", "miss", page)
	if n := s.requests.Load(); n != 2 {
		t.Errorf("the handler saw %d requests, want 2", n)
	}
	for range 2 {
		if resp, _, err := s.ask(t, http.MethodGet, "/own/x"); err != nil || resp.Header.Get("X-Cache") != "bypass" {
			t.Errorf("a route that is not cached: %v, %v", resp.Header, err)
		}
	}
	must(t, s.Use("new", []byte(strings.Replace(sitePolicy, "/own/*", "/mine/*", 1))))
	if err := s.Use("bad", []byte(`{"routes": 3}`)); err == nil {
		t.Error("a bad policy is taken")
	}
	resp, _, err := s.ask(t, http.MethodGet, "/own/x")
	if err != nil || resp.Header.Get("X-Cache") != "miss" {
		t.Errorf("with the new policy: %v, %v", resp.Header, err)
	}
}

func TestHandlerMeetsMissesInOneRequest(t *testing.T) {
	hold := make(chan struct{})
	var running atomic.Int64
	s := serve(t, "", func(w http.ResponseWriter, _ *http.Request) {
		if n := running.Add(1); n > 1 {
			t.Errorf("the handler has %d requests at once", n)
		}
		defer running.Add(-1)
		<-hold
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "page")
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, body, err := s.ask(t, http.MethodGet, "/"); body != "page" || err != nil {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
	close(hold)
	all.Wait()
	// Without a disk tier somebody may look into memory just before it is filled, and ask for the
	// flight just after it has ended.
	if n := s.requests.Load(); n > 3 {
		t.Errorf("the handler saw %d requests of 20", n)
	}
}

func TestHandlerThatFails(t *testing.T) {
	long := strings.Repeat("long ", 10_000)
	s := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panics":
			panic("oh")
		case "/aborts":
			panic(http.ErrAbortHandler)
		case "/breaks":
			_, _ = io.WriteString(w, long)
			panic("oh")
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "four")
		case "/toolong":
			w.Header().Set("Content-Length", "4")
			if _, err := io.WriteString(w, "five!"); err == nil {
				t.Error("more than it has declared can be written")
			}
			_, _ = io.WriteString(w, "four")
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
			if _, err := io.WriteString(w, "x"); err == nil {
				t.Error("204 can have a body")
			}
		}
	})
	for _, path := range []string{"/panics", "/aborts"} {
		for range 2 {
			if resp, _, _ := s.ask(t, http.MethodGet, path); resp.StatusCode != http.StatusBadGateway {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
		}
	}
	for _, path := range []string{"/breaks", "/short"} {
		for range 2 {
			resp, body, err := s.ask(t, http.MethodGet, path)
			if err == nil && resp.StatusCode == http.StatusOK || resp.Header.Get("X-Cache") == "hit" {
				t.Errorf("%s: %d with %d bytes that seem whole, %s", path, resp.StatusCode, len(body), resp.Header.Get("X-Cache"))
			}
		}
	}
	s.want(t, "/toolong", "miss", "four")
	if resp, _, err := s.ask(t, http.MethodGet, "/empty"); resp.StatusCode != http.StatusNoContent || err != nil {
		t.Errorf("/empty: %d, %v", resp.StatusCode, err)
	}
	if n := s.reported.Load(); n < 3 {
		t.Errorf("%d panics reported", n)
	}
}

func TestHandlerStreams(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1<<16)
	next := make(chan struct{})
	s := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			_, _ = io.WriteString(w, long)
		case "/flush":
			_, _ = io.WriteString(w, "first ")
			w.(http.Flusher).Flush()
			<-next
			_, _ = io.WriteString(w, "second")
		case "/hints":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "page")
		case "/own/echo":
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			_, _ = fmt.Fprintf(w, "%s of %d from %s", body, r.ContentLength, r.RemoteAddr)
		case "/own/trailer":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "4")
		}
	})
	s.want(t, "/long", "miss", long)
	s.want(t, "/long", "hit", long)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/flush", nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	first := make([]byte, 6)
	if _, err := io.ReadFull(resp.Body, first); string(first) != "first " || err != nil {
		t.Errorf("flushed: %q, %v", first, err)
	}
	close(next)
	if rest, err := io.ReadAll(resp.Body); string(rest) != "second" || err != nil {
		t.Errorf("then: %q, %v", rest, err)
	}

	var hints atomic.Int64
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		if status == http.StatusEarlyHints && h.Get("Link") != "" {
			hints.Add(1)
		}
		return nil
	}})
	hinted, err := http.DefaultClient.Do(req.WithContext(ctx).Clone(ctx))
	must(t, err)
	_ = hinted.Body.Close()
	req, err = http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/hints", nil)
	must(t, err)
	hinted, err = http.DefaultClient.Do(req)
	must(t, err)
	if _ = hinted.Body.Close(); hints.Load() != 1 || hinted.Header.Get("Link") != "" {
		t.Errorf("%d hints, then %v", hints.Load(), hinted.Header)
	}

	post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/own/echo", strings.NewReader("hello"))
	must(t, err)
	echoed, err := http.DefaultClient.Do(post)
	must(t, err)
	defer func() { _ = echoed.Body.Close() }()
	if body, err := io.ReadAll(echoed.Body); string(body) != "hello of 5 from 127.0.0.1:0" || err != nil {
		t.Errorf("POST: %q, %v", body, err)
	}

	resp, body, err := s.ask(t, http.MethodGet, "/own/trailer", "TE", "trailers")
	if body != "body" || err != nil || resp.Trailer.Get("X-Sum") != "4" {
		t.Errorf("%q, trailer %v, %v", body, resp.Trailer, err)
	}
}

func TestHandlerGetsUpgrades(t *testing.T) {
	s := serve(t, "", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(http.Hijacker); !ok || r.Header.Get("Upgrade") != "echo" {
			t.Errorf("no connection to take over: %T, %v", w, r.Header)
		}
	})
	if resp, _, err := s.ask(t, http.MethodGet, "/ws", "Upgrade", "echo", "Connection", "Upgrade"); err != nil || resp.Header.Get("X-Cache") != "" {
		t.Errorf("%v, %v", resp.Header, err)
	}
}

// A field alone asks for no other protocol, and opens no way past the cache.
func TestHandlerCachesWhatIsNoUpgrade(t *testing.T) {
	s := serve(t, "", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	s.want(t, "/", "miss", "page")
	for _, fields := range [][]string{
		{"Upgrade", "h2c"}, {"Upgrade", "websocket"}, {"Upgrade", "h2c", "Connection", "Upgrade"},
	} {
		if resp, _, err := s.ask(t, http.MethodGet, "/", fields...); err != nil || resp.Header.Get("X-Cache") != "hit" {
			t.Errorf("%q: %v, %v", fields, resp.Header, err)
		}
	}
}

// Close waits for a handler that has a connection of its own.
func TestCloseWaitsForUpgrades(t *testing.T) {
	var s *site
	s = serve(t, "", func(http.ResponseWriter, *http.Request) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it waits no longer than this, and says for whom
		if err := s.Close(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "handlers are still running") {
			t.Errorf("close while a handler runs: %v", err)
		}
	})
	if _, _, err := s.ask(t, http.MethodGet, "/ws", "Upgrade", "echo", "Connection", "Upgrade"); err != nil {
		t.Error(err)
	}
}

func TestHandlerComesBackWarm(t *testing.T) {
	folder := t.TempDir()
	s := serve(t, folder, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	for _, want := range []string{"miss", "hit"} {
		if resp, body, err := s.ask(t, http.MethodGet, "/", "Host", "shop.example"); body != "page" || err != nil || resp.Header.Get("X-Cache") != want {
			t.Errorf("%q, %v, %v; want a %s", body, resp.Header, err, want)
		}
		s.stop()
		s = serve(t, folder, func(http.ResponseWriter, *http.Request) { t.Error("asked again") })
	}
}

func TestHandlerRefusesBadPolicies(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	must(t, os.WriteFile(bad, []byte(`{"routs": []}`), 0o600))
	for _, file := range []string{bad, filepath.Join(dir, "none.json")} {
		if m, err := weir.Handler(file, http.NotFoundHandler(), weir.HandlerOptions{}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, %v", file, m, err)
		}
	}
}
