package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
)

// BenchmarkHit is what the door adds to a hit in memory, without net/http.
func BenchmarkHit(b *testing.B) {
	answer := stored(strings.Repeat("x", 1024), `ETag: "v1"`, "Cache-Control: max-age=60", "Last-Modified: Sun, 01 Mar 2026 10:00:00 GMT")
	s := constant{answer}
	d := api.NewDoor(s, table(b, routes), api.DoorOptions{})
	r, err := read("GET /products/42?page=3", "User-Agent: Mozilla/5.0", "Accept: text/html", "Accept-Encoding: gzip, br", "Accept-Language: en", "Cookie: a=b")
	if err != nil {
		b.Fatal(err)
	}
	w := &sunk{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		d.ServeHTTP(w, r)
	}
}

type constant struct{ answer *rfc9111.Answer }

func (c constant) Fetch(context.Context, *policy.Request) (*rfc9111.Answer, error) {
	return c.answer, nil
}

type sunk struct{ h http.Header }

func (s *sunk) Header() http.Header         { return s.h }
func (s *sunk) Write(p []byte) (int, error) { return len(p), nil }
func (s *sunk) WriteHeader(int)             {}
