package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pick draws one of several.
func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// often is true n times of ten.
func often(rng *rand.Rand, n int) bool { return rng.IntN(10) < n }

// lifetimes are what resources say about caching, and for how long a cache may answer with what it has learned,
// stale windows included.
var lifetimes = []struct {
	control  string
	reusable time.Duration
}{
	{"max-age=60", time.Minute},
	{"max-age=60", time.Minute},
	{"max-age=60, must-revalidate", time.Minute},
	{"max-age=60, stale-while-revalidate=600", 11 * time.Minute},
	{"max-age=600", 10 * time.Minute},
	{"max-age=1, stale-while-revalidate=3600", time.Hour},
	{"no-cache", 0},
	{"max-age=0", 0},
	{"no-store", 0},
	{"private, max-age=60", 0},
}

func drawResource(rng *rand.Rand, path string, now time.Time) *resource {
	r := &resource{
		path: path, seed: rng.Uint64(), version: 1, bodies: make(map[string][]byte),
		mediaType: pick(rng, "text/plain", "text/html; charset=utf-8", "text/css", "application/octet-stream"),
		tagged:    pick(rng, "", "weak", "strong", "strong", "strong"),
		dated:     pick(rng, "", "now", "past", "past"),
		gzip:      pick(rng, "", "", "", "offered", "always"), chunked: often(rng, 3), ranges: often(rng, 7),
	}
	switch rng.IntN(8) {
	case 0:
		r.size = rng.IntN(4)
	case 1:
		r.size = rng.IntN(300 << 10)
	default:
		r.size = 1 + rng.IntN(8<<10)
	}
	for range 3 {
		r.codings = append(r.codings, pick(rng, codingFields...))
	}
	life := pick(rng, lifetimes...)
	r.control, r.reusable = life.control, life.reusable
	date := now.Truncate(time.Second)
	if r.dated == "past" {
		date = date.Add(-time.Duration(1+rng.IntN(1000)) * time.Hour)
	}
	r.modified = []time.Time{date}
	return r
}

// query is a request without what every request has.
type query struct {
	method string
	path   string
	header http.Header
}

func (q query) String() string { return fmt.Sprintf("%s %s %v", q.method, q.path, q.header) }

func (q query) http(t *testing.T, url string) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), q.method, url, nil)
	if err != nil {
		t.Error(err)
	}
	req.Host, req.Header = testHost, q.header.Clone()
	return req
}

// plain is a GET without conditions.
func plain(r *resource, codings string) query {
	q := query{http.MethodGet, r.path, http.Header{}}
	if codings != "" {
		q.header.Set("Accept-Encoding", codings)
	}
	return q
}

// drawRequest draws any combination of method, codings, range and conditions.
func drawRequest(rng *rand.Rand, r *resource, now time.Time) query {
	q := plain(r, pick(rng, r.codings...))
	if often(rng, 2) {
		q.method = http.MethodHead
	}
	if often(rng, 6) {
		q.header.Set("Range", drawRange(rng, r.size))
		if often(rng, 4) {
			q.header.Set("If-Range", pick(rng, drawTag(rng, r), drawTag(rng, r), drawDate(rng, r, now)))
		}
	}
	if often(rng, 3) {
		q.header["If-None-Match"] = drawTags(rng, r)
	}
	if often(rng, 2) {
		q.header.Set("If-Modified-Since", drawDate(rng, r, now))
	}
	if often(rng, 1) {
		q.header["If-Match"] = drawTags(rng, r)
	}
	if often(rng, 1) {
		q.header.Set("If-Unmodified-Since", drawDate(rng, r, now))
	}
	return q
}

var codingFields = []string{
	"", "", "", "gzip", "gzip, deflate, br, zstd", "br;q=0.9, gzip;q=0.5", "zstd", "br", "identity", "gzip;q=0", "gzip;q=0.0, *", "*", "deflate", "x-gzip",
}

// drawRange draws a Range field; size is near that of the representation.
func drawRange(rng *rand.Rand, size int) string {
	switch rng.IntN(12) {
	case 0:
		return pick(rng, "bytes=", "bytes=5-2", "items=0-1", "bytes=a-b", "bytes 0-1", "bytes=0-1,x", "bytes=-", "bytes=0-1-2", "0-5", "bytes=--5")
	case 1:
		return pick(rng, "bytes="+strconv.Itoa(size)+"-", "bytes=-0", "bytes=999999999-", "bytes=9999999999999999-99999999999999999")
	case 2:
		return pick(rng, "bytes=0-0,-1", "bytes= 0-1 , 3-4", "bytes=,0-1,,", "bytes=0-,0-,0-", "bytes=5-9,0-3,-2", "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16")
	}
	specs := 1
	if often(rng, 3) {
		specs = 2 + rng.IntN(maxSpans)
	}
	var field strings.Builder
	for i := range specs {
		if i > 0 {
			field.WriteString(",")
		}
		from := rng.IntN(size + 2)
		switch rng.IntN(4) {
		case 0:
			fmt.Fprintf(&field, "%d-", from)
		case 1:
			fmt.Fprintf(&field, "-%d", 1+rng.IntN(size+2))
		default:
			fmt.Fprintf(&field, "%d-%d", from, from+rng.IntN(1+size/(1+specs)))
		}
	}
	return "bytes=" + field.String()
}

// drawTag draws an entity tag that is or was r's, or nearly so.
func drawTag(rng *rand.Rand, r *resource) string {
	r.mu.Lock()
	version := r.version
	r.mu.Unlock()
	tag := fmt.Sprintf(`"%s.v%d%s"`, strings.ReplaceAll(r.path, "/", ""), max(version-pick(rng, 0, 0, 0, 1), 1), pick(rng, "", "", "", ".gzip"))
	return pick(rng, "", "", "W/") + pick(rng, tag, tag, tag, `"other"`)
}

// drawTags draws a list of entity tags.
func drawTags(rng *rand.Rand, r *resource) []string {
	one, two := drawTag(rng, r), drawTag(rng, r)
	return pick(rng, []string{one}, []string{one}, []string{one}, []string{one + ", " + two}, []string{one, two}, []string{"*"}, []string{"unquoted"}, []string{`"a",, ` + one})
}

// drawDate draws a date around that of r, or what is none.
func drawDate(rng *rand.Rand, r *resource, now time.Time) string {
	r.mu.Lock()
	modified := r.modified[r.version-1]
	r.mu.Unlock()
	t := pick(rng, modified, modified, modified.Add(-time.Second), modified.Add(time.Second), modified.Add(-24*time.Hour), now.Add(-time.Minute), now, now.Add(time.Hour))
	text := t.UTC().Format(http.TimeFormat)
	return pick(rng, text, text, text, text, t.UTC().Format(time.ANSIC), "yesterday")
}
