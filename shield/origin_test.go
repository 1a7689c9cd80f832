package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// group is an origin of several scripted upstreams.
type group struct {
	*setup
	up map[string]*scripted
}

func startGroup(t *testing.T, origin string, defaults string) *group {
	g := &group{up: map[string]*scripted{}}
	src := fmt.Sprintf(`{"origins": {"o": %s}, "defaults": {"origin": "o"%s}}`, origin, defaults)
	for _, name := range []string{"a", "b", "c"} {
		g.up["http://"+name+".test"] = &scripted{handle: always(200, name, "Cache-Control", "no-store")}
	}
	g.setup = start(t, options{policy: src, shield: shield.Options{
		Transport: func(_ *policy.Origin, u policy.Upstream) http.RoundTripper { return g.up[u.URL] },
	}})
	return g
}

func (g *group) at(name string) *scripted { return g.up["http://"+name+".test"] }

func refused(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

func TestWeights(t *testing.T) {
	g := startGroup(t, `{"upstreams": [{"url": "http://a.test", "weight": 5}, {"url": "http://b.test", "weight": 2}, {"url": "http://c.test"}]}`, "")
	var order strings.Builder
	for i := range 80 {
		order.WriteString(g.get("/" + number(i)).body)
	}
	for name, want := range map[string]int{"a": 50, "b": 20, "c": 10} {
		if n := g.at(name).count(); n != want {
			t.Errorf("%s was asked %d times, want %d", name, n, want)
		}
	}
	if strings.Contains(order.String(), "aaaa") {
		t.Errorf("not smooth: %s", order.String())
	}
}

func TestRetryOnAnotherUpstream(t *testing.T) {
	const two = `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}], "retries": %d}`
	for _, c := range []struct {
		name    string
		retries int
		method  string
		stream  bool
		ok      bool
	}{
		{"GET", 1, "GET", false, true},
		{"no retries", 0, "GET", false, false},
		{"PUT without body", 1, "PUT", false, true},
		{"PUT with a body that was read", 1, "PUT", true, false},
		{"POST", 1, "POST", false, false},
		{"QUERY", 1, "QUERY", false, true},
		{"QUERY with a body that was read", 1, "QUERY", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := startGroup(t, fmt.Sprintf(two, c.retries), "")
			g.at("a").answer(func(r *http.Request) (*http.Response, error) {
				if r.Body != nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				return refused(r)
			})
			req := g.request(c.method + " /")
			if c.stream {
				req.Stream, req.Length = strings.NewReader("a body"), 6
			}
			r := g.fetch(context.Background(), req)
			if c.ok {
				r.want(t, "b", r.decision.Use, r.decision.Status)
			} else if !errors.Is(r.err, shield.ErrOriginUnreachable) {
				t.Errorf("error %v", r.err)
			}
		})
	}
}

func TestPassiveHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}]}`, "")
		g.at("a").answer(refused)
		for i := range 40 {
			g.get("/"+number(i)).want(t, "b", rfc9111.Miss, rfc9111.StatusNoMaxAge)
		}
		if n := g.at("a").count(); n != 3 {
			t.Errorf("asked %d times although nobody answers", n)
		}
		up := map[string]bool{}
		for _, u := range g.shield.Stats().Upstreams {
			up[u.URL] = u.Up
		}
		if up["http://a.test"] || !up["http://b.test"] {
			t.Errorf("states %v", up)
		}
		// Out for longer and longer, and one trial each time.
		var trials []int
		for range 6 {
			time.Sleep(10 * time.Second)
			before := g.at("a").count()
			for i := range 10 {
				g.get("/x" + number(i))
			}
			trials = append(trials, g.at("a").count()-before)
		}
		if got := fmt.Sprint(trials); got != "[1 1 1 0 1 0]" && got != "[1 1 1 1 0 1]" {
			t.Errorf("trials %v", got)
		}
		g.at("a").answer(always(200, "a", "Cache-Control", "no-store"))
		time.Sleep(2 * time.Minute)
		for i := range 10 {
			g.get("/y" + number(i))
		}
		before := g.at("a").count()
		for i := range 10 {
			g.get("/z" + number(i))
		}
		if n := g.at("a").count() - before; n != 5 {
			t.Errorf("asked %d times of 10 after it came back", n)
		}
		g.close()
	})
}

func TestErrorAnswersTakeAnUpstreamOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}]}`, "")
		g.at("a").answer(always(503, "down"))
		for i := range 100 {
			g.get("/" + number(i))
		}
		if n := g.at("a").count(); n != 10 {
			t.Errorf("asked %d times", n)
		}
		g.close()
	})
}

func TestAllUpstreamsOutAreStillTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"url": "http://a.test"}`, "")
		g.at("a").answer(refused)
		for i := range 10 {
			if r := g.get("/" + number(i)); !errors.Is(r.err, shield.ErrOriginUnreachable) {
				t.Errorf("error %v", r.err)
			}
		}
		g.at("a").answer(always(200, "a", "Cache-Control", cacheable))
		g.get("/").want(t, "a", rfc9111.Miss, rfc9111.StatusOK)
		g.close()
	})
}

func TestActiveHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startGroup(t, `{"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}],
			"health": {"path": "/healthz?x=1", "intervalSeconds": 1, "timeoutSeconds": 1, "fall": 2, "rise": 3}}`, "")
		var healthy atomic.Bool
		healthy.Store(true)
		g.at("a").answer(func(r *http.Request) (*http.Response, error) {
			if r.URL.RequestURI() == "/healthz?x=1" && !healthy.Load() {
				return respond(500, ""), nil
			}
			return respond(200, "a", "Cache-Control", "no-store"), nil
		})
		share := func() (a int) {
			for i := range 20 {
				if g.get("/"+number(i)).body == "a" {
					a++
				}
			}
			return a
		}
		synctest.Wait()
		if n := share(); n != 10 {
			t.Errorf("a got %d of 20", n)
		}
		healthy.Store(false)
		time.Sleep(5 * time.Second / 2)
		if n := share(); n != 0 {
			t.Errorf("a got %d of 20 while it is sick", n)
		}
		healthy.Store(true)
		time.Sleep(2 * time.Second)
		if n := share(); n != 0 {
			t.Errorf("a got %d of 20 too early", n)
		}
		time.Sleep(2 * time.Second)
		if n := share(); n != 10 {
			t.Errorf("a got %d of 20 after it came back", n)
		}
		g.close()
	})
}

// A new table keeps the pools of origins that it defines as before; others end,
// but not under a request.
func TestSetTable(t *testing.T) {
	made := map[string]int{}
	s := start(t, options{
		policy: `{"origins": {"keep": {"url": "http://keep.test"}, "change": {"url": "http://one.test",
		"health": {"path": "/h", "intervalSeconds": 100}}}, "defaults": {"origin": "keep"},
		"routes": [{"name": "c", "match": {"path": "/c/*"}, "origin": "change"}]}`,
		shield: shield.Options{Transport: func(_ *policy.Origin, u policy.Upstream) http.RoundTripper {
			made[u.URL]++
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				return respond(200, r.URL.Host, "Cache-Control", "no-store"), nil
			})
		}},
	})
	old := s.request("/c/1")
	s.table = compile(t, `{"origins": {"keep": {"url": "http://keep.test"}, "change": {"url": "http://two.test"}},
		"defaults": {"origin": "keep"}, "routes": [{"name": "c", "match": {"path": "/c/*"}, "origin": "change"}]}`)
	s.shield.SetTable(s.table)
	if r := s.fetch(context.Background(), old); r.body != "one.test" {
		t.Errorf("a request of the old table was answered by %q, %v", r.body, r.err)
	}
	if r := s.get("/c/2"); r.body != "two.test" {
		t.Errorf("answered by %q", r.body)
	}
	if r := s.get("/"); r.body != "keep.test" || made["http://keep.test"] != 1 {
		t.Errorf("answered by %q, %d pools made", r.body, made["http://keep.test"])
	}
	urls := []string{}
	for _, u := range s.shield.Stats().Upstreams {
		urls = append(urls, u.URL)
	}
	if got := fmt.Sprint(urls); got != "[http://two.test http://keep.test]" {
		t.Errorf("upstreams %s", got)
	}
	lost := *old
	lost.Origin = "nowhere"
	if r := s.fetch(context.Background(), &lost); !errors.Is(r.err, shield.ErrNoOrigin) {
		t.Errorf("error %v", r.err)
	}
}

func TestSplitIsPartOfTheKey(t *testing.T) {
	s := start(t, options{
		policy: `{"origins": {"o": {"url": "http://o.test"}, "n": {"url": "http://n.test"}}, "defaults": {"origin": "o"}}`,
		shield: shield.Options{Transport: func(_ *policy.Origin, u policy.Upstream) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				return respond(200, r.URL.Host, "Cache-Control", cacheable), nil
			})
		}},
	})
	for range 2 {
		for _, name := range []string{"o", "n"} {
			if r := s.fetch(context.Background(), s.splitRequest("/", name)); r.body != name+".test" {
				t.Errorf("%s was answered by %q", name, r.body)
			}
		}
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer handler
		fields []string
	}{
		{"999", always(999, ""), nil},
		{"600", always(600, ""), nil},
		{"100", always(100, ""), nil},
		{"unsolicited 101", always(101, "", "Upgrade", "websocket", "Connection", "Upgrade"), nil},
		{"unsolicited 206", always(206, "bo", "Content-Range", "bytes 0-1/4"), nil},
		{"206 in a flight", always(206, "bo", "Content-Range", "bytes 0-1/4"), []string{"Range", "bytes=0-1"}},
		{"unsolicited 304", always(304, ""), nil},
		{"304 in a flight", always(304, ""), []string{"If-None-Match", `"x"`}},
		{"space in name", always(200, "", "X-A ", "1"), nil},
		{"empty name", func(*http.Request) (*http.Response, error) {
			r := respond(200, "")
			r.Header[""] = []string{"x"}
			return r, nil
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(c.answer)
			if r := s.get("/", c.fields...); !errors.Is(r.err, shield.ErrOriginProtocol) {
				t.Errorf("%d %q, error %v", r.status, r.body, r.err)
			}
			if s.store.Len() != 0 {
				t.Error("stored")
			}
			if n := s.shield.Stats().Errors.Protocol; n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
}

// Some broken pages do not take an origin out, many in a row do.
func TestHangUpsAreErrorAnswers(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(func(*http.Request) (*http.Response, error) { return nil, io.EOF })
	hangUp := func(n int) (up bool) {
		for i := range n {
			s.get("POST /" + number(i)) // POST is not tried again
		}
		return s.shield.Stats().Upstreams[0].Up
	}
	if !hangUp(9) {
		t.Error("out after 9 hang-ups")
	}
	if hangUp(1) {
		t.Error("not out after 10 hang-ups")
	}
}
