package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// wire sends a request as it is, after which the node is to close, and returns all
// that comes back.
func (r *running) wire(request string) string {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	head, body, _ := strings.Cut(request, "\n\n")
	head = strings.ReplaceAll(head, "\n", "\r\n") + "\r\nHost: " + testHost + "\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, head+body); err != nil {
		r.t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(all)
}

// Interim responses come through all tiers on a miss, and are nowhere afterwards.
func TestInterimResponses(t *testing.T) {
	origin, node := shop(t)
	origin.page("/hinted", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusProcessing)
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "body")
	})
	for _, c := range []struct {
		request, use string
		early        bool
	}{
		{"GET /hinted HTTP/1.1", "miss", true},
		{"GET /hinted HTTP/1.1", "hit", false},
		{"GET /hinted?old HTTP/1.0", "miss", false},
		{"HEAD /hinted?head HTTP/1.1", "miss", true},
		{"POST /hinted HTTP/1.1\nContent-Length: 2\n\nhi", "bypass", true},
	} {
		got := node.wire(c.request)
		node.quiet()
		early := "HTTP/1.1 103 Early Hints\r\nDate: " + origin.clock.Now().UTC().Format(http.TimeFormat) +
			"\r\nLink: </style.css>; rel=preload\r\nVia: 1.1 weir\r\n\r\nHTTP/1.1 102 Processing\r\n"
		if strings.HasPrefix(got, early) != c.early || strings.Contains(got, "HTTP/1.1 10") != c.early ||
			!strings.Contains(got, "X-Cache: "+c.use+"\r\n") || strings.Count(got, "Link") > strings.Count(got, " 103 ") {
			t.Errorf("%s: got %q", c.request, got)
		}
	}
}

// Trailer fields come through all tiers, both ways, and a hit has none.
func TestTrailers(t *testing.T) {
	origin, node := shop(t)
	origin.page("/summed", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "5"+r.Trailer.Get("X-Sum"))
	})
	const get, post = "GET /summed HTTP/1.1\nTE: trailers", "POST /summed HTTP/1.1\nTransfer-Encoding: chunked\nTrailer: X-Sum"
	for _, c := range []struct{ request, use, ends string }{
		{get, "miss", "4\r\nbody\r\n0\r\nX-Sum: 5\r\n\r\n"},
		{get, "hit", "\r\n\r\nbody"},
		{post + "\nTE: trailers\n\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", "bypass", "4\r\nbody\r\n0\r\nX-Sum: 57\r\n\r\n"},
		{post + "\n\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n", "bypass", "4\r\nbody\r\n0\r\n\r\n"},
	} {
		got := node.wire(c.request)
		node.quiet()
		if !strings.HasSuffix(got, c.ends) || !strings.Contains(got, "X-Cache: "+c.use+"\r\n") {
			t.Errorf("%s: got %q, want the end %q", c.request, got, c.ends)
		}
	}
}
