package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	hitDisk    = "hit; oc=pass, sc=hit; ok"
	partStored = "miss; oc=pass, sc=cached; ok"
)

// partialShop is a node that asks for ranges alone, and its origin, started by open.
func partialShop(t *testing.T) (origin *scripted, open func() *running) {
	t.Helper()
	c := newClock()
	origin = newScripted(t, c)
	policy := writeFile(t, filepath.Join(t.TempDir(), "policy.json"), fmt.Sprintf(
		`{"origins": {"o": {"url": %q}}, "defaults": {"origin": "o", "edge": {"storePartial": true}}}`, origin.URL))
	data := folder(t)
	return origin, func() *running { return serve(t, c, "--policy", policy, "--data", data) }
}

// document serves a body with ranges and conditions under an entity tag.
func (s *scripted) document(path, body, tag string) {
	s.page(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Etag", tag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	})
}

func TestPartsAreStoredAndCompleted(t *testing.T) {
	origin, open := partialShop(t)
	node := open()
	body := strings.Repeat("0123456789", 100_000)
	origin.document("/a", body, `"1"`)
	got := node.fill("/a", "Range: bytes=100000-399999")
	node.want(got, 206, partStored, body[100_000:400_000])
	if got.Header.Get("Content-Range") != "bytes 100000-399999/1000000" || got.Header.Get("Cache-Status") != "weir-shield; fwd=uri-miss; stored, weir-local; fwd=miss" {
		t.Errorf("%v", got.Header)
	}
	if r := origin.requests("/a")[0]; r.Header.Get("Range") != "bytes=100000-399999" {
		t.Errorf("%v", r.Header)
	}
	node.stop()

	node = open()
	got = node.get("/a", "Range: bytes=399990-399999")
	node.want(got, 206, hitDisk, "0123456789")
	if got.Header.Get("Content-Range") != "bytes 399990-399999/1000000" || got.Header.Get("Content-Length") != "10" {
		t.Errorf("%v", got.Header)
	}
	if got := node.do("HEAD", "/a"); got.Header.Get("Content-Length") != "1000000" || got.use() != hitDisk {
		t.Errorf("%v", got.Header)
	}
	node.want(node.fill("/a", "Range: bytes=-10"), 206, partStored, body[999_990:])
	got = node.get("/a", "Range: bytes=100000-100001", "If-None-Match: \"1\"")
	node.want(got, 304, missStored, "")
	node.quiet()
	node.want(node.get("/a"), 200, hitMemory, body)
	r := origin.requests("/a")[2]
	if r.Header.Get("Range") != "bytes=0-999989" || r.Header.Get("If-Range") != `"1"` {
		t.Errorf("%v", r.Header)
	}
	asked(t, origin, "/a", 3)
}

// Random requests get through the cache what the origin gives directly.
func TestPartsEqualTheOrigins(t *testing.T) {
	origin, open := partialShop(t)
	node := open()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	direct := *node
	direct.base = origin.URL
	for i := range 12 {
		path := fmt.Sprintf("/%d", i)
		body := strings.Repeat("0123456789abcdefghij", 1+rnd.IntN(20))
		origin.document(path, body, []string{`"1"`, `W/"1"`, ""}[rnd.IntN(3)])
		for range 25 {
			method, fields := http.MethodGet, []string(nil)
			a, b := rnd.IntN(len(body)+10), rnd.IntN(len(body)+10)
			switch rnd.IntN(12) {
			case 0:
			case 1:
				method = http.MethodHead
			case 2, 3:
				fields = append(fields, fmt.Sprintf("Range: bytes=-%d", 1+a))
			case 4, 5:
				fields = append(fields, fmt.Sprintf("Range: bytes=%d-", a))
			default:
				fields = append(fields, fmt.Sprintf("Range: bytes=%d-%d", min(a, b), max(a, b)))
			}
			if rnd.IntN(4) == 0 {
				fields = append(fields, []string{`If-Range: "1"`, `If-Range: "0"`, `If-None-Match: "1"`, `If-Match: "0"`}[rnd.IntN(4)])
			}
			if rnd.IntN(15) == 0 {
				node.do("POST", path)
			}
			got, want := node.do(method, path, fields...), direct.do(method, path, fields...)
			if got.StatusCode != want.StatusCode || got.StatusCode != 412 && got.StatusCode != 416 && got.body != want.body ||
				got.Header.Get("Content-Range") != want.Header.Get("Content-Range") || got.StatusCode < 300 && got.Header.Get("Content-Length") != want.Header.Get("Content-Length") {
				t.Fatalf("%s %s %q of %d: %d %q, %v; want %d %q, %v", method, path, fields, len(body),
					got.StatusCode, got.body, got.Header, want.StatusCode, want.body, want.Header)
			}
		}
	}
	if st := node.stats(); st.Shield.Hits == 0 || st.L1.Hits == 0 || st.Shield.Filled == 0 {
		t.Errorf("%+v", st)
	}
}

// The origin is asked for any coding. That a range lies beyond what it has coded says nothing
// to a client who does not accept that coding.
func TestRangeBeyondACodedBody(t *testing.T) {
	origin, open := partialShop(t)
	node := open()
	body := strings.Repeat("0123456789", 1000)
	coded := encoded(t, "gzip", body)
	origin.page("/a", func(w http.ResponseWriter, r *http.Request) {
		h, chosen := w.Header(), body
		h.Set("Cache-Control", "max-age=60")
		h.Set("Content-Type", "text/plain")
		h.Set("Vary", "Accept-Encoding")
		h.Set("Etag", `"1"`)
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Etag", `"1.gzip"`)
			h.Set("Content-Encoding", "gzip")
			chosen = coded
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(chosen))
	})
	for _, codings := range []string{"identity", "br"} {
		got := node.fill("/a", "Range: bytes=9000-9009", "Accept-Encoding: "+codings)
		if got.StatusCode != 206 || got.body != "0123456789" || got.Header.Get("Content-Range") != "bytes 9000-9009/10000" {
			t.Errorf("%s: %d, %q, %v", codings, got.StatusCode, got.body, got.Header)
		}
	}
	got := node.fill("/a", "Range: bytes=9000-9009", "Accept-Encoding: gzip")
	if got.StatusCode != 416 || got.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", len(coded)) {
		t.Errorf("gzip: %d, %v", got.StatusCode, got.Header)
	}
}
