package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	missStored = "miss; oc=cached, sc=cached; ok"
	hitMemory  = "hit; oc=hit; ok"
)

// shop is a scripted origin with a node in front of it.
func shop(t *testing.T, args ...string) (*scripted, *running) {
	t.Helper()
	c := newClock()
	origin := newScripted(t, c)
	return origin, serve(t, c, append([]string{"--origin", origin.URL, "--data", folder(t)}, args...)...)
}

// asked checks how often the origin was asked for a path.
func asked(t *testing.T, origin *scripted, path string, want int) {
	t.Helper()
	if got := len(origin.requests(path)); got != want {
		t.Fatalf("the origin was asked for %s %d times, want %d", path, got, want)
	}
}

func TestMissThenHit(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60", "X-Own: 1")
	first := node.fill("/a")
	node.want(first, 200, missStored, "body of a")
	origin.clock.advance(10 * time.Second)
	second := node.get("/a")
	node.want(second, 200, hitMemory, "body of a")
	if second.Header.Get("Age") != "10" || second.Header.Get("X-Own") != "1" || second.Header.Get("Via") != "1.1 weir" {
		t.Errorf("header %v", second.Header)
	}
	if status := second.Header.Get("Cache-Status"); status != "weir-local; hit; ttl=50" {
		t.Errorf("Cache-Status: %s", status)
	}
	asked(t, origin, "/a", 1)
	node.want(node.fill("/a?x=1"), 200, missStored, "body of a") // another query, another key
	asked(t, origin, "/a", 2)
}

func TestHostIsPartOfTheKey(t *testing.T) {
	origin, node := shop(t)
	origin.page("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "for "+r.Host)
	})
	for _, host := range []string{"one.test", "two.test", "one.test", "two.test"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.base+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := node.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "for "+host {
			t.Errorf("%s got %q, %v", host, body, err)
		}
		_ = resp.Body.Close()
	}
	asked(t, origin, "/a", 2)
}

func TestOneOriginRequestForManyClients(t *testing.T) {
	origin, node := shop(t)
	release := make(chan struct{})
	origin.page("/cold", func(w http.ResponseWriter, r *http.Request) {
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "once")
	})
	var clients sync.WaitGroup
	for range 100 {
		clients.Go(func() {
			if got := node.get("/cold"); got.body != "once" || got.Header.Get("X-Cache") != "miss" {
				t.Errorf("%s, %q", got.use(), got.body)
			}
		})
	}
	eventually(t, "100 clients wait", func() bool {
		return node.stats().Shield.Waiters == 100
	})
	close(release)
	clients.Wait()
	asked(t, origin, "/cold", 1)
}

func TestHead(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	if got := node.do("HEAD", "/a"); got.body != "" || got.Header.Get("X-Cache") != "miss" {
		t.Fatalf("HEAD of nothing stored: %s", got.use())
	}
	asked(t, origin, "/a", 1)
	if method := origin.requests("/a")[0].Method; method != "HEAD" {
		t.Errorf("forwarded as %s", method)
	}
	node.want(node.fill("/a"), 200, missStored, "body of a") // HEAD stored nothing
	got := node.do("HEAD", "/a")
	node.want(got, 200, hitMemory, "")
	if got.Header.Get("Content-Length") != "9" {
		t.Errorf("header %v", got.Header)
	}
	asked(t, origin, "/a", 2)
}

func TestConditionalRequestsOfClients(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60", `Etag: "v1"`)
	node.fill("/a")
	got := node.get("/a", `If-None-Match: "v1"`)
	node.want(got, 304, hitMemory, "")
	if got.Header.Get("Etag") != `"v1"` {
		t.Errorf("header %v", got.Header)
	}
	node.want(node.get("/a", `If-None-Match: "v0"`), 200, hitMemory, "body of a")
	asked(t, origin, "/a", 1)
}

func TestRevalidation(t *testing.T) {
	origin, node := shop(t)
	origin.page("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, "body of a")
	})
	node.fill("/a")
	origin.clock.advance(2 * time.Minute)
	if got := node.fill("/a"); got.StatusCode != 200 || got.body != "body of a" {
		t.Errorf("%d, %q", got.StatusCode, got.body)
	}
	asked(t, origin, "/a", 2)
	if origin.requests("/a")[1].Header.Get("If-None-Match") != `"v1"` {
		t.Error("the second request was not conditional")
	}
	node.want(node.get("/a"), 200, hitMemory, "body of a") // fresh again
	asked(t, origin, "/a", 2)
}

func TestStaleWhileRevalidate(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "one", "Cache-Control: max-age=60, stale-while-revalidate=600")
	node.fill("/a")
	origin.text("/a", "two", "Cache-Control: max-age=60, stale-while-revalidate=600")
	origin.clock.advance(2 * time.Minute)
	node.want(node.get("/a"), 200, "stale; oc=hit; ok", "one")
	eventually(t, "the refreshed page is a hit", func() bool {
		got := node.get("/a")
		return got.use() == hitMemory && got.body == "two"
	})
	asked(t, origin, "/a", 2)
}

func TestStaleIfError(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "good", "Cache-Control: max-age=60, stale-if-error=600")
	node.fill("/a")
	origin.page("/a", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	origin.clock.advance(2 * time.Minute)
	if got := node.get("/a"); got.StatusCode != 200 || got.body != "good" || got.Header.Get("X-Cache") != "stale" {
		t.Errorf("the origin answers 503: %d, %s, %q", got.StatusCode, got.use(), got.body)
	}
	origin.Close() // nobody answers at all
	if got := node.get("/a"); got.StatusCode != 200 || got.body != "good" || got.Header.Get("X-Cache") != "stale" {
		t.Errorf("no origin: %d, %s, %q", got.StatusCode, got.use(), got.body)
	}
	origin.clock.advance(time.Hour)
	got := node.get("/a")
	if got.StatusCode != http.StatusBadGateway || !strings.Contains(got.body, `"error"`) || got.Header.Get("X-Cache") == "" {
		t.Errorf("nothing usable left: %d, %s, %q", got.StatusCode, got.use(), got.body)
	}
}

func TestRange(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "0123456789", "Cache-Control: max-age=60")
	got := node.fill("/a", "Range: bytes=2-4") // a miss: the whole is fetched and stored
	if got.StatusCode != 206 || got.body != "234" || got.Header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("%d, %q, %v", got.StatusCode, got.body, got.Header)
	}
	if origin.requests("/a")[0].Header.Get("Range") != "" {
		t.Error("the origin was asked for a range")
	}
	if got := node.get("/a", "Range: bytes=-3"); got.StatusCode != 206 || got.body != "789" || got.use() != hitMemory {
		t.Errorf("%d, %q, %s", got.StatusCode, got.body, got.use())
	}
	if got := node.get("/a", "Range: bytes=10-"); got.StatusCode != 416 || got.Header.Get("Content-Range") != "bytes */10" {
		t.Errorf("%d, %v", got.StatusCode, got.Header)
	}
	asked(t, origin, "/a", 1)
}

func TestUnsafeMethodInvalidates(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	node.fill("/a")
	node.want(node.get("/a"), 200, hitMemory, "body of a")
	node.want(node.do("POST", "/a"), 200, "bypass; oc=pass, sc=pass; method", "body of a")
	node.want(node.fill("/a"), 200, missStored, "body of a")
	asked(t, origin, "/a", 3)

	origin.page("/a", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusConflict) })
	node.do("POST", "/a") // an error changes nothing
	node.want(node.get("/a"), 200, hitMemory, "body of a")
}

func TestVary(t *testing.T) {
	origin, node := shop(t)
	origin.page("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Accept-Language")
		_, _ = io.WriteString(w, "in "+r.Header.Get("Accept-Language"))
	})
	for _, use := range []string{missStored, hitMemory} {
		for _, language := range []string{"de", "fr"} {
			node.want(node.fill("/a", "Accept-Language: "+language), 200, use, "in "+language)
		}
	}
	asked(t, origin, "/a", 2)
}

func TestWhatIsForOneClientIsNotShared(t *testing.T) {
	origin, node := shop(t)
	n := 0
	origin.page("/cookie", func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Set-Cookie", fmt.Sprintf("id=%d", n))
	})
	for want := 1; want <= 3; want++ {
		got := node.get("/cookie")
		node.want(got, 200, "miss; oc=pass, sc=pass; set-cookie", "")
		if got.Header.Get("Set-Cookie") != fmt.Sprintf("id=%d", want) {
			t.Errorf("%v", got.Header)
		}
	}
	origin.text("/private", "mine", "Cache-Control: private, max-age=60")
	for range 2 {
		node.want(node.get("/private"), 200, "miss; oc=pass, sc=pass; private", "mine")
	}
	origin.text("/account", "mine", "Cache-Control: max-age=60")
	for range 2 {
		if got := node.get("/account", "Authorization: Basic eDp5"); got.Header.Get("X-Cache") == "hit" {
			t.Errorf("an answer to a request with Authorization was reused: %s", got.use())
		}
	}
	asked(t, origin, "/account", 2)
}

func TestCodingsForClients(t *testing.T) {
	origin, node := shop(t)
	page := strings.Repeat("a page that compresses well. ", 200)
	origin.text("/a", page, "Cache-Control: max-age=60", "Content-Type: text/plain")
	plain := node.fill("/a")
	if plain.body != page || plain.Header.Get("Content-Encoding") != "" {
		t.Fatalf("%v", plain.Header)
	}
	eventually(t, "a coded body", func() bool {
		got := node.get("/a", "Accept-Encoding: gzip")
		return got.Header.Get("Content-Encoding") == "gzip" && len(got.body) < len(page)
	})
	if got := node.get("/a"); got.body != page {
		t.Error("the identity body is gone")
	}
}

func TestErrorsSayWhatHappened(t *testing.T) {
	origin, node := shop(t)
	origin.Close()
	got := node.get("/a")
	if got.StatusCode != http.StatusBadGateway || got.Header.Get("X-Cache") == "" || !strings.Contains(got.body, `"code"`) {
		t.Errorf("%d, %v, %s", got.StatusCode, got.Header, got.body)
	}
	if got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an error may be stored downstream: %v", got.Header)
	}
}
