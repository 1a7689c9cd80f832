package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask sends the built-in origin one request, in fake time.
func ask(origin http.Handler, method, target string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	origin.ServeHTTP(recorder, httptest.NewRequest(method, target, nil))
	return recorder
}

func TestDemoPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := newDemoOrigin()
		for _, c := range []struct {
			method, target string
			status         int
			control, body  string
		}{
			{"GET", "/", 200, "max-age=60", "href=\"/search?q=tea&amp;utm_source=mail\""},
			{"GET", "/fast", 200, "max-age=60", "made this page once."},
			{"GET", "/fast", 200, "max-age=60", "made this page 2 times"},
			{"GET", "/slow", 200, "", "two seconds"},
			{"GET", "/swr", 200, "max-age=2, stale-while-revalidate=600", "made"},
			{"GET", "/search?q=tea", 200, "", "/search?q=tea"},
			{"GET", "/device", 200, "", "x-device"},
			{"GET", "/cookie", 200, "max-age=60", "visitor 1"},
			{"GET", "/private", 200, "private, max-age=60", "made"},
			{"GET", "/admin/users", 200, "max-age=60", "made"},
			{"GET", "/flaky", 200, "max-age=1, stale-if-error=86400", "only good answer"},
			{"GET", "/flaky", 503, "no-store", "failed once."},
			{"GET", "/error", 500, "max-age=60", "failed once."},
			{"GET", "/counter", 200, "max-age=3600", "made"},
			{"POST", "/counter", 200, "", "Counted"},
			{"GET", "/nowhere", 404, "", "not found"},
		} {
			got := ask(origin, c.method, c.target)
			if got.Code != c.status || got.Header().Get("Cache-Control") != c.control || !strings.Contains(got.Body.String(), c.body) {
				t.Errorf("%s %s: %d, %v, %q", c.method, c.target, got.Code, got.Header(), got.Body)
			}
		}
	})
}

func TestDemoTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := newDemoOrigin()
		begin := time.Now()
		ask(origin, "GET", "/slow")
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("the slow page took %v", d)
		}
		begin = time.Now()
		events := ask(origin, "GET", "/events")
		if d := time.Since(begin); d != 9*time.Second || !events.Flushed || strings.Count(events.Body.String(), "data: ") != 10 {
			t.Errorf("the events took %v: %q", d, events.Body)
		}
	})
}

// counter is a response that is only counted.
type counter struct {
	header http.Header
	bytes  int
}

func (c *counter) Header() http.Header { return c.header }
func (c *counter) WriteHeader(int)     {}
func (c *counter) Write(p []byte) (int, error) {
	c.bytes += len(p)
	return len(p), nil
}

func TestDemoLargePage(t *testing.T) {
	got := &counter{header: make(http.Header)}
	newDemoOrigin().ServeHTTP(got, httptest.NewRequest("GET", "/large", nil))
	if got.bytes != 32<<20 || got.header.Get("Content-Length") != "33554432" {
		t.Errorf("%d bytes, Content-Length %s", got.bytes, got.header.Get("Content-Length"))
	}
}

func TestDemoCookieIsSet(t *testing.T) {
	if got := ask(newDemoOrigin(), "GET", "/cookie").Header().Get("Set-Cookie"); !strings.HasPrefix(got, "visitor=1") {
		t.Errorf("Set-Cookie: %s", got)
	}
}

func TestDemoCurlLines(t *testing.T) {
	var out strings.Builder
	printDemo(&out, "http://localhost:8080")
	for _, page := range demoPages() {
		if !strings.Contains(out.String(), "http://localhost:8080"+page.path) {
			t.Errorf("no line for %s", page.path)
		}
	}
	if strings.Contains(out.String(), "BASE") {
		t.Error(out.String())
	}
}
