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
