package main

import (
	"context"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// demoPage is one page of the built-in origin: what serves it, which request
// shows its point, and what to look for in the answer.
type demoPage struct {
	path   string
	serve  func(*demoOrigin, http.ResponseWriter, *http.Request)
	curl   string // arguments of curl, BASE standing for weir's address
	expect string
}

// demoPages are in the order in which they are best tried.
func demoPages() []demoPage {
	return []demoPage{
		{"/fast", (*demoOrigin).fast, "BASE/fast", "miss, then hit for a minute"},
		{"/slow", (*demoOrigin).slow, "BASE/slow", "miss after 2 s, then hit at once"},
		{"/swr", (*demoOrigin).swr, "BASE/swr", "miss, hit; after 2 s stale at once, and then the new page is a hit"},
		{"/search", (*demoOrigin).search, "'BASE/search?q=tea&utm_source=mail'", "miss, then hit, also with another utm_source"},
		{"/device", (*demoOrigin).device, "-A 'iPhone Mobile' BASE/device", "one stored page per kind of device"},
		{"/cookie", (*demoOrigin).cookie, "BASE/cookie", "miss every time: x-caching-status: set-cookie"},
		{"/private", (*demoOrigin).private, "BASE/private", "miss every time: x-caching-status: private"},
		{"/admin/", (*demoOrigin).admin, "BASE/admin/", "bypass: its route says edge: false"},
		{"/flaky", (*demoOrigin).flaky, "BASE/flaky", "miss once; the origin fails from then on, and after 1 s weir answers stale"},
		{"/error", (*demoOrigin).error, "BASE/error", "miss every time: x-caching-status: code"},
		{"/counter", (*demoOrigin).counter, "BASE/counter", "miss, then hit until the next line"},
		{"/counter", (*demoOrigin).counter, "-X POST BASE/counter", "bypass, and the stored page is gone: the line above is a miss again"},
		{"/large", (*demoOrigin).large, "BASE/large", "32 MiB: miss, then hit from the disk tier (sc=hit)"},
		{"/events", (*demoOrigin).events, "-N BASE/events", "one event a second, each as it is made"},
	}
}

// demoPolicy is the policy of the demo, in front of the origin at url.
func demoPolicy(url string) []byte {
	return fmt.Appendf(nil, `{
  "origins": { "demo": { "url": %q } },
  "defaults": { "origin": "demo" },
  "routes": [
    { "name": "slow",
      "match": { "path": "/slow" },
      "edge": { "maxAgeSeconds": 60, "staleWhileRevalidateSeconds": 600 } },
    { "name": "search",
      "match": { "path": "/search" },
      "edge": { "maxAgeSeconds": 60 },
      "key": { "excludeAllQueryParametersExcept": ["q"] } },
    { "name": "device",
      "match": { "path": "/device" },
      "edge": { "maxAgeSeconds": 60 },
      "key": { "device": true } },
    { "name": "admin", "match": { "path": "/admin/*" }, "edge": false }
  ]
}
`, url)
}

// demoOrigin is a small site that shows each thing a cache can do with a page.
type demoOrigin struct {
	mux *http.ServeMux

	mu   sync.Mutex
	made map[string]int // guarded by mu: how often each page was made
}

// newDemoOrigin returns the handler of the built-in origin.
func newDemoOrigin() *demoOrigin {
	d := &demoOrigin{mux: http.NewServeMux(), made: make(map[string]int)}
	d.mux.HandleFunc("GET /{$}", d.index)
	registered := make(map[string]bool)
	for _, page := range demoPages() {
		if !registered[page.path] {
			registered[page.path] = true
			d.mux.HandleFunc(page.path, func(w http.ResponseWriter, r *http.Request) { page.serve(d, w, r) })
		}
	}
	return d
}

// ServeHTTP serves one page.
func (d *demoOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// page writes a short text that says how often it was made.
func (d *demoOrigin) page(w http.ResponseWriter, r *http.Request, text string) {
	fmt.Fprintf(w, "%s\n%s\n", text, times("The origin has made this page", d.count(r)))
}

func times(what string, n int) string {
	if n == 1 {
		return what + " once."
	}
	return fmt.Sprintf("%s %d times.", what, n)
}

// count counts one making of the requested page.
func (d *demoOrigin) count(r *http.Request) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made[r.URL.Path]++
	return d.made[r.URL.Path]
}

func (d *demoOrigin) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=60")
	_, _ = io.WriteString(w, `<!doctype html>
<meta charset="utf-8">
<title>weir demo</title>
<style>body { font: 16px/1.5 sans-serif; max-width: 48em; margin: 3em auto } td { padding: .2em 1em .2em 0; vertical-align: top }</style>
<h1>weir demo</h1>
<p>These pages come from a small origin inside weir, through the cache. Load each twice and read the
response headers <code>x-cache</code>, <code>x-cache-tier</code>, <code>x-caching-status</code> and
<code>cache-status</code>, here in the browser's network view or with the curl lines that weir printed.</p>
<table>
`)
	seen := make(map[string]bool)
	for _, page := range demoPages() {
		link := page.path
		if link == "/search" {
			link += "?q=tea&utm_source=mail"
		}
		if !seen[page.path] {
			seen[page.path] = true
			fmt.Fprintf(w, "<tr><td><a href=\"%s\">%s</a><td>%s\n", html.EscapeString(link), page.path, html.EscapeString(page.expect))
		}
	}
	fmt.Fprintf(w, "</table>\n<p>%s\n", times("The origin has made this page", d.count(r)))
}

func (d *demoOrigin) fast(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	d.page(w, r, "A page that may be kept for a minute.")
}

func (d *demoOrigin) slow(w http.ResponseWriter, r *http.Request) {
	if wait(r.Context(), 2*time.Second) {
		d.page(w, r, "A page that takes two seconds to make. Its route, not its header, says how long it is kept.")
	}
}

func (d *demoOrigin) swr(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=2, stale-while-revalidate=600")
	d.page(w, r, "Fresh for two seconds, then served stale while it is refreshed behind your back.")
}

func (d *demoOrigin) search(w http.ResponseWriter, r *http.Request) {
	d.page(w, r, fmt.Sprintf("The origin was asked for %q. The browser asked for the query %q.",
		r.URL.RequestURI(), r.Header.Get("X-Original-Qs")))
}

func (d *demoOrigin) device(w http.ResponseWriter, r *http.Request) {
	d.page(w, r, fmt.Sprintf("The page for x-device: %s.", r.Header.Get("X-Device")))
}

func (d *demoOrigin) cookie(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	n := d.count(r)
	http.SetCookie(w, &http.Cookie{Name: "visitor", Value: strconv.Itoa(n), Path: "/cookie", HttpOnly: true})
	fmt.Fprintf(w, "You are visitor %d. An answer that sets a cookie is for one client alone.\n", n)
}

func (d *demoOrigin) private(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "private, max-age=60")
	d.page(w, r, "Your browser may keep this page, a shared cache may not.")
}

func (d *demoOrigin) admin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	d.page(w, r, "The origin would allow it to be kept, its route does not.")
}

func (d *demoOrigin) flaky(w http.ResponseWriter, r *http.Request) {
	n := d.count(r)
	if n > 1 {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, times("The origin has failed", n-1), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Cache-Control", "max-age=1, stale-if-error=86400")
	_, _ = io.WriteString(w, "The only good answer this origin ever gave.\n")
}

func (d *demoOrigin) error(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	http.Error(w, times("The origin has failed", d.count(r)), http.StatusInternalServerError)
}

func (d *demoOrigin) counter(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		d.page(w, r, "Counted.")
		return
	}
	w.Header().Set("Cache-Control", "max-age=3600")
	d.page(w, r, "A page that a POST to the same URL makes out of date.")
}

// demoLargeLines lines of 1 KiB make the large page: 32 MiB.
const demoLargeLines = 32 << 20 / 1024

func (d *demoOrigin) large(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "max-age=3600")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(demoLargeLines*1024))
	h.Set("Etag", `"large-1"`)
	dots := strings.Repeat(".", 1024-16)
	var block []byte
	for n := range demoLargeLines {
		block = fmt.Appendf(block, "line %09d %s\n", n, dots)
		if len(block) == 64<<10 {
			if _, err := w.Write(block); err != nil {
				return
			}
			block = block[:0]
		}
	}
}

func (d *demoOrigin) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	for n := range 10 {
		if n > 0 && !wait(r.Context(), time.Second) {
			return
		}
		fmt.Fprintf(w, "data: event %d of 10\n\n", n+1)
		if control.Flush() != nil {
			return
		}
	}
}

// wait waits, and says whether it could wait to the end.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// startDemo serves the built-in origin on a free loopback port. stop ends it and
// waits until it has ended.
func startDemo(ctx context.Context) (url string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("start the built-in origin: %w", err)
	}
	server := &http.Server{Handler: newDemoOrigin(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with Close
	}()
	stop = func() {
		_ = server.Close()
		<-done
	}
	return "http://" + listener.Addr().String(), stop, nil
}

// printDemo prints what to try against weir at base.
func printDemo(w io.Writer, base string) {
	fmt.Fprintf(w, "\nOpen %s/ in a browser, or try each of these twice:\n\n", base)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, page := range demoPages() {
		fmt.Fprintf(table, "  %s\t# %s\n", demoCurl(page, base), page.expect)
	}
	_ = table.Flush()
	fmt.Fprint(w, "\nThen stop weir with Ctrl-C, start it again, and ask once more: what was kept is a hit.\n\n")
}

// demoCurl prints only the lines of an answer that say what happened to it.
func demoCurl(page demoPage, base string) string {
	args := strings.Replace(page.curl, "BASE", base, 1)
	switch page.path {
	case "/events":
		return "curl -s " + args
	case "/large":
		return "curl -s -o /dev/null -D - " + args + " | grep -i cach"
	}
	return "curl -si " + args + " | grep -iE '^x-cach|device|origin|visitor'"
}
