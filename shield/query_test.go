package shield_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

const queryPolicy = `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"}, "routes": [
	{"name": "search", "match": {"path": "/search", "methods": ["GET", "QUERY", "POST"]}}]}`

// ask sends a request with a body of some type.
func (s *setup) ask(target, contentType, body string, fields ...string) result {
	s.t.Helper()
	return s.fetch(s.t.Context(), s.admit(admission{
		target: target, body: []byte(body), fields: append(fields, "Content-Type", contentType),
	}))
}

// echo answers with the request's method, type and body.
func echo(fields ...string) handler {
	return func(r *http.Request) (*http.Response, error) {
		body := []byte{}
		if r.Body != nil {
			body, _ = io.ReadAll(r.Body)
		}
		return respond(200, fmt.Sprintf("%s %s %s", r.Method, r.Header.Get("Content-Type"), body), fields...), nil
	}
}

// The result of a QUERY is that of its content, RFC 10008: method, body, type and coding
// are in the key.
func TestQueriesAreKeyedByTheirContent(t *testing.T) {
	s := start(t, options{policy: queryPolicy})
	s.origin.answer(echo("Cache-Control", cacheable))
	for _, use := range []rfc9111.Use{rfc9111.Miss, rfc9111.Hit} {
		for _, c := range []struct{ method, contentType, body string }{
			{"QUERY", "text/sql", "a"},
			{"QUERY", "text/sql", "b"},
			{"QUERY", "text/jsonpath", "a"},
			{"POST", "text/sql", "a"},
			{"GET", "", ""},
		} {
			target := c.method + " /search"
			s.ask(target, c.contentType, c.body).want(t, strings.Join([]string{c.method, c.contentType, c.body}, " "), use, rfc9111.StatusOK)
		}
		s.wantOrigin(5)
	}
	s.ask("QUERY /search", "text/sql", "a", "Content-Encoding", "gzip").want(t, "QUERY text/sql a", rfc9111.Miss, rfc9111.StatusOK)
}

func TestQueriesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: queryPolicy})
		g := closed(echo("Cache-Control", cacheable))
		s.origin.answer(g.handle)
		done := make(chan []result)
		go func() { done <- many(20, func(i int) result { return s.ask("QUERY /search", "t/t", number(i%2)) }) }()
		synctest.Wait()
		close(g.open)
		for i, r := range <-done {
			r.want(t, "QUERY t/t "+number(i%2), rfc9111.Miss, rfc9111.StatusOK)
		}
		s.wantOrigin(2)
		s.close()
	})
}

// QUERY is safe: it outdates nothing, whether a route names it or not. Nor does a
// method that a route names; one that it does not name does.
func TestWhatQueriesOutdate(t *testing.T) {
	for _, c := range []struct {
		target   string
		outdates bool
	}{
		{"QUERY /search", false},
		{"POST /search", false},
		{"QUERY /", false},
		{"POST /", true},
		{"SEARCH /", true},
	} {
		s := start(t, options{policy: queryPolicy})
		_, target, _ := strings.Cut(c.target, " ")
		s.get(target)
		r := s.ask(c.target, "t/t", "q")
		if named := target == "/search"; named != (r.decision.Status == rfc9111.StatusOK) || named == (r.decision.Status == rfc9111.StatusMethod) {
			t.Errorf("%s: %+v", c.target, r.decision)
		}
		if r := s.get(target); (r.decision.Use == rfc9111.Hit) == c.outdates {
			t.Errorf("%s: what was stored before is a %s", c.target, r.decision.Use)
		}
	}
}

// A stored result of QUERY is validated. An origin that takes QUERY for any method,
// RFC 9110 13.1.2, answers 412, and is asked again.
func TestQueriesAreValidated(t *testing.T) {
	for status, asked := range map[int]int{304: 2, 412: 3} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, options{policy: queryPolicy})
			answer := echo("Cache-Control", cacheable, "Etag", `"1"`)
			s.origin.answer(func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("If-None-Match") == `"1"` {
					return respond(status, "", "Cache-Control", cacheable, "Etag", `"1"`), nil
				}
				return answer(r)
			})
			for range 2 {
				r := s.ask("QUERY /search", "t/t", "a")
				r.want(t, "QUERY t/t a", rfc9111.Miss, rfc9111.StatusOK)
				if r.status != 200 {
					t.Errorf("status %d", r.status)
				}
				s.ask("QUERY /search", "t/t", "a").want(t, "QUERY t/t a", rfc9111.Hit, rfc9111.StatusOK)
				time.Sleep(61 * time.Second)
			}
			s.wantOrigin(asked)
			s.close()
		})
	}
}

// An origin answers 412 to a POST whose condition does not hold, RFC 9110 13.1.2, so
// no condition is sent.
func TestStoredPostsAreFetchedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: queryPolicy})
		s.origin.answer(echo("Cache-Control", cacheable, "Etag", `"1"`, "Last-Modified", "Sat, 14 Mar 2026 14:09:26 GMT"))
		for range 2 {
			s.ask("POST /search", "t/t", "a").want(t, "POST t/t a", rfc9111.Miss, rfc9111.StatusOK)
			if h := s.origin.last().Header; hasAny(h, "If-None-Match", "If-Modified-Since") {
				t.Errorf("%v", h)
			}
			time.Sleep(61 * time.Second)
		}
		s.close()
	})
}

func hasAny(h http.Header, names ...string) bool {
	for _, name := range names {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}

// A connection that breaks after a QUERY was sent on it is replaced, as for GET. A
// POST may have been acted on.
func TestQueriesAreRepeatable(t *testing.T) {
	for _, method := range []string{"GET", "QUERY", "POST"} {
		src, _ := raw(t, func(n int, r *http.Request, c net.Conn) {
			body, _ := io.ReadAll(r.Body)
			if n == 2 {
				_ = c.Close()
				return
			}
			if r.Header.Get("Idempotency-Key") != "" {
				t.Error("an Idempotency-Key is sent")
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body)+2, "ok"+string(body))
		})
		s := startReal(t, src)
		query := func(target string) result {
			req := s.request(method + " " + target)
			if method != "GET" { // as a body that a route keys
				req.Bypass, req.Body = "pass", []byte("body")
			}
			return s.fetch(t.Context(), req)
		}
		query("/1")
		switch r := query("/2"); {
		case method == "POST" && !errors.Is(r.err, shield.ErrOriginUnreachable):
			t.Errorf("POST: %q, error %v", r.body, r.err)
		case method != "POST" && (r.err != nil || !strings.HasPrefix(r.body, "ok")):
			t.Errorf("%s: %q, error %v", method, r.body, r.err)
		}
	}
}
