package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/api"
)

// drawPolicy draws a policy of a few routes.
func drawPolicy(rng *rand.Rand) []byte {
	var routes []any
	for i := range 1 + rng.IntN(4) {
		match := map[string]any{"path": pick(rng, "/p"+strconv.Itoa(rng.IntN(3)), "/*", "/q/*", "/p0")}
		route := map[string]any{"name": fmt.Sprintf("r%d", i), "match": match}
		if often(rng, 2) {
			match[pick(rng, "cookies", "headers", "query")] = map[string]any{"a": pick[any](rng, "1", map[string]any{"present": often(rng, 5)})}
		}
		posts := often(rng, 3)
		if posts {
			match["methods"] = []string{"GET", "POST", "QUERY"}
		}
		if often(rng, 1) && !posts {
			route["edge"] = false
		} else {
			route["edge"] = drawEdge(rng, posts)
		}
		if key := drawKey(rng); len(key) > 0 {
			route["key"] = key
		}
		for field, value := range map[string]any{
			"compress": false, "tags": []string{"t"}, "removeResponseHeaders": []string{"set-cookie"}, "regions": []string{"lhr"},
			"removeRequestHeaders": []string{"x-a"}, "permanent": true, "browser": map[string]any{"maxAgeSeconds": 5},
		} {
			if often(rng, map[string]int{"regions": 1, "compress": 5}[field]+1) {
				route[field] = value
			}
		}
		routes = append(routes, route)
	}
	file := map[string]any{
		"origins": map[string]any{"o": map[string]any{"url": "http://origin.test", "retries": 0}}, "routes": routes,
	}
	if often(rng, 2) {
		file["deployment"], file["isolate"] = "v1", true
	}
	src, err := json.Marshal(file)
	if err != nil {
		panic(err)
	}
	return src
}

func drawEdge(rng *rand.Rand, posts bool) map[string]any {
	edge := map[string]any{}
	for field, value := range map[string]any{
		"maxAgeSeconds": pick(rng, 0, 5, 60), "staleWhileRevalidateSeconds": pick(rng, 0, 20, 600), "staleIfErrorSeconds": pick(rng, 0, 20, 600),
		"statusMaxAgeSeconds": map[string]int{"404": pick(rng, 0, 10), "503": 5}, "forcePrivateCaching": !posts, "originErrorLifetimes": true,
		"cacheSetCookie": true, "surrogateControl": true, "heuristicFreshness": true, "ignoreRequestDirectives": true,
	} {
		if often(rng, 2) {
			edge[field] = value
		}
	}
	switch rng.IntN(8) {
	case 0:
		edge["storePartial"] = true
	case 1:
		edge["sliceBytes"] = 65536
	}
	return edge
}

func drawKey(rng *rand.Rand) map[string]any {
	key := map[string]any{}
	for field, value := range map[string]any{
		"cookies": []string{"a"}, "headers": []string{"x-a"}, "device": true, "sortQueryParameters": true,
		pick(rng, "excludeQueryParameters", "excludeAllQueryParametersExcept"): []string{"a"}, "noVarySearch": true,
	} {
		if often(rng, 2) {
			key[field] = value
		}
	}
	return key
}

// page is what an origin answers for a URL.
type page struct {
	status int
	size   int
	header http.Header
	mood   string // "", "gone", "503"
}

func drawPage(rng *rand.Rand, now time.Time) *page {
	p := &page{status: pick(rng, 200, 200, 200, 200, 200, 204, 301, 404, 410, 500, 503), size: pick(rng, 0, 5, 5, 5000, 200_000), header: http.Header{}}
	p.mood = pick(rng, "", "", "", "", "", "", "", "", "gone", "503")
	said := []string{"max-age=60"}
	for _, directive := range []string{
		"max-age=0", "s-maxage=30", "private", "no-store", "no-cache", "public", "must-revalidate",
		"stale-while-revalidate=20", "stale-if-error=40", "immutable", `private="x-a"`,
	} {
		if often(rng, 1) {
			said = append(said, directive)
		}
	}
	if often(rng, 9) {
		p.header.Set(pick(rng, "Cache-Control", "Cache-Control", "Cache-Control", "Cache-Control", "Cache-Control", "Cdn-Cache-Control", "Weir-Cache-Control", "Surrogate-Control"), strings.Join(said, ", "))
	}
	for name, value := range map[string]string{
		"Etag": pick(rng, `"a"`, `W/"b"`), "Last-Modified": now.Add(-time.Hour).UTC().Format(http.TimeFormat), "Vary": pick(rng, "X-A", "Accept-Encoding", "Cookie", "*", "X-A, X-B"),
		"Set-Cookie": "a=b", "Age": pick(rng, "10", "100"), "Expires": pick(rng, now.Add(time.Minute).UTC().Format(http.TimeFormat), "0"),
		"No-Vary-Search": pick(rng, "params", `params=("a")`, "key-order"), "Content-Type": "application/octet-stream", "Cache-Tag": "t", "Content-Encoding": pick(rng, "gzip", "x-odd"),
	} {
		if rng.IntN(20) < map[string]int{"Content-Type": 16, "Etag": 8, "Last-Modified": 4}[name]+1 {
			p.header.Set(name, value)
		}
	}
	return p
}

// answer is p's for one request: ranges, 304 and HEAD as an origin does them.
func (p *page) answer(r *http.Request, now time.Time) *http.Response {
	h := p.header.Clone()
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	status, size := p.status, p.size
	switch p.mood {
	case "gone":
		return nil
	case "503":
		h.Del("Cache-Control")
		status = 503
	}
	body := strings.Repeat("x", size)
	if h.Get("Content-Encoding") == "gzip" {
		var coded strings.Builder
		z := gzip.NewWriter(&coded)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
		body = coded.String()
		size = len(body)
	}
	tag := h.Get("Etag")
	switch {
	case status == 200 && tag != "" && r.Header.Get("If-None-Match") == tag:
		status, body = http.StatusNotModified, ""
	case status == 204 || status == 304:
		body = ""
	case status == 200 && r.Method == http.MethodGet && strings.HasPrefix(r.Header.Get("Range"), "bytes="):
		first, last, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
		from, err := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if err == nil && from < size {
			if errTo != nil || to >= size {
				to = size - 1
			}
			status, body = http.StatusPartialContent, body[from:to+1]
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, size))
		}
	}
	resp := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h, Request: r, ContentLength: int64(len(body))}
	if status != http.StatusNotModified && status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if r.Method == http.MethodHead {
		body = ""
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp
}

// drawQuestion draws a request for the i-th page.
func drawQuestion(rng *rand.Rand, i int) api.Question {
	q := api.Question{Method: http.MethodGet}
	if often(rng, 2) {
		q.Method = pick(rng, "HEAD", "HEAD", "HEAD", "QUERY", "QUERY", "QUERY", "POST", "PUT")
	}
	q.URL = fmt.Sprintf("http://shop.test/p%d%s", i, pick(rng, "", "", "", "?a=1", "?b=2&a=1", "?a=2"))
	if often(rng, 1) {
		q.URL = "http://shop.test/" + pick(rng, "q/a", "x/..%2fp0", "%70"+"0", "//p1")
	}
	if q.Method == "POST" || q.Method == "QUERY" {
		q.Body = pick(rng, "a", "b", "")
	}
	for _, line := range []string{
		"Cookie: a=" + pick(rng, "1", "2"), "X-A: " + pick(rng, "1", "2"), "Accept-Encoding: " + pick(rng, "gzip", "br, gzip", "identity"), "Authorization: Basic eA==",
		"Range: " + pick(rng, "bytes=1-2", "bytes=0-", "bytes=4-2", "bytes=-2", "bytes=100000-100001", "bytes=0-1,3-4"), `If-None-Match: ` + pick(rng, `"a"`, `"c"`),
		`If-Match: "a"`, "X-Cache-Debug: 1", "User-Agent: " + pick(rng, "iPhone", "x"),
		"Cache-Control: " + pick(rng, "no-cache", "no-store", "max-age=10", "max-stale=30", "min-fresh=30", "only-if-cached", "max-stale"),
	} {
		if rng.IntN(18) == 0 && (!strings.HasPrefix(line, "X-Cache-Debug") || often(rng, 2)) {
			q.Header = append(q.Header, line)
		}
	}
	return q
}
