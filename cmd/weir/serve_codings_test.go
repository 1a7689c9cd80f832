package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoded is a body as an origin sends it in a coding, "" for none.
func encoded(t *testing.T, coding, body string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	default:
		return body
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// plain undoes the coding of an answer.
func (r *reply) plain(t *testing.T) string {
	t.Helper()
	src := strings.NewReader(r.body)
	var from io.Reader = src
	switch coding := r.Header.Get("Content-Encoding"); coding {
	case "":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(src)
		if err != nil {
			t.Fatal(err)
		}
		from = z
	case "br":
		from = brotli.NewReader(src)
	case "zstd":
		z, err := zstd.NewReader(src)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		from = z
	default:
		t.Fatalf("coding %q", coding)
	}
	b, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// clientKinds are all the ways to accept codings that are spoken here.
var clientKinds = []string{"", "br", "gzip", "br, gzip", "zstd", "br, zstd", "gzip, zstd", "br, gzip, zstd"}

func accepting(codings string) []string {
	if codings == "" {
		return nil
	}
	return []string{"Accept-Encoding: " + codings}
}

// fits says whether a coding is one of those that a client accepts.
func fits(coding, accepted string) bool {
	return coding == "" || strings.Contains(accepted, strings.TrimPrefix(coding, "x-"))
}

// Whatever the origin sends, one request to it serves every kind of client.
func TestOneObjectServesAllCodings(t *testing.T) {
	page := strings.Repeat("<p>a page that compresses well</p>\n", 300)
	origin, node := shop(t)
	for i, sent := range []string{"", "gzip", "br", "zstd", "x-gzip"} {
		for j, vary := range []string{"", "Accept-Encoding", "X-Other, accept-encoding"} {
			t.Run(fmt.Sprintf("%s varying by %q", sent, vary), func(t *testing.T) {
				path := fmt.Sprintf("/%d/%d", i, j)
				fields := []string{"Cache-Control: max-age=60", "Content-Type: text/html", `ETag: "v1"`}
				if sent != "" {
					fields = append(fields, "Content-Encoding: "+sent)
				}
				if vary != "" {
					fields = append(fields, "Vary: "+vary)
				}
				origin.text(path, encoded(t, sent, page), fields...)
				for round := range 3 { // cold, then warm, then coded
					for k := range clientKinds {
						accepted := clientKinds[(k+i+j)%len(clientKinds)]
						got := node.fill(path, accepting(accepted)...)
						coding := got.Header.Get("Content-Encoding")
						if got.plain(t) != page || !fits(coding, accepted) {
							t.Fatalf("round %d: a client of %q got %d bytes in %q", round, accepted, len(got.body), coding)
						}
						if want := map[bool]string{true: `"v1"`, false: `W/"v1"`}[coding == sent]; got.Header.Get("ETag") != want {
							t.Errorf("round %d: in %q from %q the tag is %s", round, coding, sent, got.Header.Get("ETag"))
						}
						if !strings.Contains(strings.ToLower(got.Header.Get("Vary")), "accept-encoding") {
							t.Errorf("round %d: vary is %q", round, got.Header.Get("Vary"))
						}
					}
				}
				asked(t, origin, path, 1)
				if got := origin.requests(path)[0].Header.Get("Accept-Encoding"); got != "br, gzip, zstd" {
					t.Errorf("the origin was asked for %q", got)
				}
			})
		}
	}
	eventually(t, "coded bodies", func() bool {
		for _, accepted := range clientKinds[1:] {
			if node.get("/0/0", accepting(accepted)...).Header.Get("Content-Encoding") == "" {
				return false
			}
		}
		return true
	})
}

// Without compress an origin decides for each kind of client.
func TestCodingsAreTheOriginsWithoutCompress(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	policy := fmt.Sprintf(`{"origins": {"o": {"url": %q}}, "defaults": {"compress": false}}`, origin.URL)
	node := serve(t, c, "--policy", writeFile(t, t.TempDir()+"/policy.json", policy), "--data", folder(t))
	page := strings.Repeat("a page that compresses well ", 300)
	origin.text("/a", encoded(t, "gzip", page), "Cache-Control: max-age=60", "Content-Type: text/html", "Content-Encoding: gzip", `ETag: "v1"`)
	for n, accepted := range clientKinds {
		for range 2 {
			got := node.fill("/a", accepting(accepted)...)
			if got.Header.Get("Content-Encoding") != "gzip" || got.plain(t) != page || got.Header.Get("Vary") != "" || got.Header.Get("ETag") != `"v1"` {
				t.Errorf("%q: %v", accepted, got.Header)
			}
		}
		asked(t, origin, "/a", n+1)
		if got := origin.requests("/a")[n].Header.Get("Accept-Encoding"); got != accepted {
			t.Errorf("the origin was asked for %q, the client wants %q", got, accepted)
		}
	}
}

// Conditions and ranges are about the representation that a client gets.
func TestConditionsOnCodedAnswers(t *testing.T) {
	origin, node := shop(t)
	page := strings.Repeat("0123456789", 500)
	coded := encoded(t, "gzip", page)
	modified := origin.clock.Now().Add(-3600e9).UTC().Format(http.TimeFormat)
	fields := []string{"Cache-Control: max-age=60", "Content-Type: text/html", `ETag: "v1"`, "Last-Modified: " + modified}
	origin.text("/gzip", coded, append(fields, "Content-Encoding: gzip")...)
	origin.text("/plain", page, fields...)
	node.fill("/gzip")
	node.fill("/plain")
	part := func(s string) string { return s[10:20] }
	for _, tt := range []struct {
		path, accepted, fields string
		status                 int
		body                   string
	}{
		{"/gzip", "", "Range: bytes=10-19", 206, part(page)},
		{"/gzip", "", `Range: bytes=10-19; If-Range: "v1"`, 200, page}, // the tag names other bytes
		{"/gzip", "", `Range: bytes=10-19; If-Range: W/"v1"`, 200, page},
		{"/gzip", "", "Range: bytes=10-19; If-Range: " + modified, 200, page},
		{"/gzip", "gzip", "Range: bytes=10-19", 206, part(coded)},
		{"/gzip", "gzip", `Range: bytes=10-19; If-Range: "v1"`, 206, part(coded)},
		{"/gzip", "gzip", "Range: bytes=10-19; If-Range: " + modified, 200, coded},
		{"/gzip", "br", "Range: bytes=10-19", 206, part(page)},
		{"/gzip", "", "Range: bytes=90000-", 416, ""},
		{"/gzip", "", `If-None-Match: "v1"`, 304, ""},
		{"/gzip", "", `If-None-Match: W/"v1"`, 304, ""},
		{"/gzip", "gzip", `If-None-Match: W/"v1"`, 304, ""},
		{"/gzip", "", `If-None-Match: "v2"`, 200, page},
		{"/gzip", "", `If-Match: "v1"`, 412, ""},
		{"/gzip", "gzip", `If-Match: "v1"`, 200, coded},
		{"/plain", "", `Range: bytes=10-19; If-Range: "v1"`, 206, part(page)},
		{"/plain", "", "Range: bytes=10-19; If-Range: " + modified, 206, part(page)},
		{"/plain", "gzip", `Range: bytes=10-19; If-Range: "v1"`, 206, part(page)},
		{"/plain", "gzip", "Range: bytes=10-19; If-Range: " + modified, 200, page},
		{"/plain", "gzip", `If-None-Match: W/"v1"`, 304, ""},
		{"/plain", "gzip", `If-Match: "v1"`, 200, page},
	} {
		t.Run(tt.path+" to "+tt.accepted+" "+tt.fields, func(t *testing.T) {
			got := node.get(tt.path, append(accepting(tt.accepted), strings.Split(tt.fields, "; ")...)...)
			if got.StatusCode != tt.status || tt.status < 400 && got.body != tt.body {
				t.Fatalf("%d, %d bytes: %v", got.StatusCode, len(got.body), got.Header)
			}
			if tag := got.Header.Get("ETag"); tt.status < 400 && (tag == `"v1"`) != (got.body == part(coded) || tt.path == "/plain" || tt.accepted == "gzip") {
				t.Errorf("tag %s", tag)
			}
		})
	}
}

// HEAD tells what GET would, RFC 9110 9.3.2, as far as that is known.
func TestHeadOfCodedAnswers(t *testing.T) {
	origin, node := shop(t)
	page := strings.Repeat("0123456789", 500)
	coded := encoded(t, "br", page)
	for _, path := range []string{"/cold", "/warm"} {
		origin.text(path, coded, "Cache-Control: max-age=60", "Content-Type: image/png", `ETag: "v1"`, "Content-Encoding: br")
	}
	node.fill("/warm")
	for _, path := range []string{"/cold", "/warm"} {
		for _, accepted := range clientKinds {
			head := node.do(http.MethodHead, path, accepting(accepted)...)
			want := map[bool]string{true: "br", false: ""}[strings.Contains(accepted, "br")]
			tag := map[bool]string{true: `"v1"`, false: `W/"v1"`}[want == "br"]
			length := map[bool]int{true: len(coded), false: len(page)}[want == "br"]
			if head.Header.Get("Content-Encoding") != want || head.Header.Get("ETag") != tag || !strings.EqualFold(head.Header.Get("Vary"), "accept-encoding") {
				t.Errorf("%s to %q: %v", path, accepted, head.Header)
			}
			said := head.Header.Get("Content-Length")
			if said != strconv.Itoa(length) && (said != "" || path == "/warm" || want == "br") {
				t.Errorf("%s to %q: length %q, want %d", path, accepted, said, length)
			}
		}
	}
}

// getBroken sends a GET whose answer is not whole, and returns what came of it.
func (r *running) getBroken(path string, fields ...string) (got int, err error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.base+path, nil)
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
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 500 {
		return 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	return int(n), err
}

// What cannot be decoded ends in a visible error for whoever needs it decoded, and is as good
// as ever for all others.
func TestWhatCannotBeDecodedIsVisible(t *testing.T) {
	origin, node := shop(t)
	page := strings.Repeat("a page that compresses well ", 1000)
	cut := encoded(t, "gzip", page)
	cut = cut[:len(cut)-9]
	zeros := strings.Repeat(encoded(t, "gzip", string(make([]byte, 16<<20))), 256) // 4 GiB
	for path, body := range map[string]string{"/cut": cut, "/zeros": zeros, "/garbage": "no gzip at all"} {
		origin.text(path, body, "Cache-Control: max-age=60", "Content-Type: text/html", "Content-Encoding: gzip")
		for _, state := range []string{"cold", "warm"} {
			if got, err := node.getBroken(path); err == nil || got > 64<<20 {
				t.Errorf("%s %s: %d bytes look whole", state, path, got)
			}
			node.quiet()
			if got := node.get(path, "Accept-Encoding: gzip"); got.body != body || got.Header.Get("X-Cache") != "hit" {
				t.Errorf("%s %s: %d bytes, %s", state, path, len(got.body), got.use())
			}
		}
		asked(t, origin, path, 1)
	}
}

// Each event must arrive before the origin makes the next one, coded or not.
func TestCodedEventsAreNotBuffered(t *testing.T) {
	origin, node := shop(t)
	next := make(chan struct{})
	origin.page("/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Cache-Control", "no-store")
		z := gzip.NewWriter(w)
		for n := range 3 {
			fmt.Fprintf(z, "data: %d\n\n", n)
			_ = z.Flush() // into a response that the test reads
			_ = http.NewResponseController(w).Flush()
			<-next
		}
		_ = z.Close()
	})
	resp := node.open("/events")
	if resp.Header.Get("Content-Encoding") != "" {
		t.Fatalf("%v", resp.Header)
	}
	for n := range 3 {
		want := fmt.Sprintf("data: %d\n\n", n)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// Slices and parts are of the coded content. Who does not accept it gets all of it decoded, or
// a part of its own from the origin, which cannot be cut from the others.
func TestCodedContentInPieces(t *testing.T) {
	c := newClock()
	origin := newScripted(t, c)
	policy := fmt.Sprintf(`{"origins": {"o": {"url": %q}}, "routes": [
		{"name": "slices", "match": {"path": "/slices"}, "edge": {"sliceBytes": 65536}},
		{"name": "parts", "match": {"path": "/parts"}, "edge": {"storePartial": true}}]}`, origin.URL)
	node := serve(t, c, "--policy", writeFile(t, t.TempDir()+"/policy.json", policy), "--data", folder(t))
	var b strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&b, "%d,", i*i*i)
	}
	page := b.String()
	coded := encoded(t, "gzip", page)
	serveIt := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "text/csv")
		w.Header().Set("Vary", "Accept-Encoding")
		body := page
		w.Header().Set("ETag", `"plain"`)
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("ETag", `"coded"`)
			body = coded
		}
		http.ServeContent(w, r, "", c.Now().Add(-3600e9), strings.NewReader(body))
	}
	origin.page("/slices", serveIt)
	origin.page("/parts", serveIt)
	part := func(s string) string { return s[1000:2000] }
	for range 2 {
		for _, accepted := range clientKinds {
			for _, path := range []string{"/slices", "/parts"} {
				accepts := strings.Contains(accepted, "gzip")
				got := node.fill(path, append(accepting(accepted), "Range: bytes=1000-1999")...)
				switch {
				case got.StatusCode == 206 && got.body == part(map[bool]string{true: coded, false: page}[accepts]):
				case got.StatusCode == 200 && got.body == page && !accepts && path == "/slices":
				default:
					t.Errorf("a part of %s to %q: %d, %d bytes", path, accepted, got.StatusCode, len(got.body))
				}
				if path == "/slices" {
					if got := node.fill(path, accepting(accepted)...); got.plain(t) != page || !fits(got.Header.Get("Content-Encoding"), accepted) {
						t.Errorf("all of %s to %q: %d, %d bytes, %v", path, accepted, got.StatusCode, len(got.body), got.Header)
					}
				}
			}
		}
	}
	slices := (len(coded)-1)/65536 + 1
	asked(t, origin, "/slices", slices)
	if got := node.fill("/parts"); got.plain(t) != page || got.Header.Get("ETag") != `W/"coded"` {
		t.Errorf("%d bytes, %v", len(got.body), got.Header)
	}
	for range 2 {
		if got := node.get("/parts", "Accept-Encoding: gzip", "Range: bytes=1000-1999"); got.body != part(coded) || got.Header.Get("X-Cache") != "hit" {
			t.Errorf("%d bytes, %s", len(got.body), got.use())
		}
	}
}
