package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

// located answers POST with its own representation of the target, and GET with "got".
func located(body string, fields ...string) handler {
	return func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPost {
			return respond(200, "got", "Cache-Control", cacheable), nil
		}
		own := []string{"Cache-Control", "max-age=600", "Content-Location", r.URL.RequestURI()}
		return respond(200, body, append(own, fields...)...), nil
	}
}

// RFC 9110 9.3.3: what a POST was answered with answers a GET, if the origin says that
// it may.
func TestPostedAnswersGet(t *testing.T) {
	for _, length := range []string{"known", "unknown"} {
		s := start(t, options{})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			resp, err := located("posted", "Age", "5", "Vary", "Accept-Language", "X-A", "1")(r)
			if length == "unknown" {
				resp.ContentLength, resp.TransferEncoding = -1, []string{"chunked"}
			}
			return resp, err
		})
		r := s.get("POST /a?b=c", "Accept-Language", "de", "Cookie", "a=b")
		r.want(t, "posted", rfc9111.Bypass, rfc9111.StatusMethod)
		if !r.decision.Stored || r.decision.Forward != rfc9111.ForwardMethod || r.header.Get("Age") != "5" {
			t.Errorf("%+v", r)
		}
		h := http.Header{}
		r.decision.Apply(h, "fra")
		if got := h.Get("Cache-Status"); got != "weir-shield; fwd=method; stored, weir-fra; fwd=method" || h.Get("X-Cache") != "bypass" {
			t.Errorf("rendered %v", h)
		}
		r = s.get("/a?b=c", "Accept-Language", "de")
		r.want(t, "posted", rfc9111.Hit, rfc9111.StatusOK)
		if r.header.Get("X-A") != "1" || r.decision.TTL > 595*time.Second {
			t.Errorf("%+v", r)
		}
		s.wantOrigin(1)
		if string(s.memory.filled[s.request("/a?b=c").Keyed.Key.Bytes()]) != "posted" {
			t.Error("not in memory")
		}
		s.get("/a?b=c", "Accept-Language", "en").want(t, "got", rfc9111.Miss, rfc9111.StatusOK)
		s.get("/a?b=d", "Accept-Language", "de").want(t, "got", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	}
}

// Whatever a GET's origin would not have seen, or its route would not have kept, is not
// kept for a GET either.
func TestPostedIsNotKept(t *testing.T) {
	route := func(fields string) string {
		return `{"origins": {"o": {"url": "http://origin.test"}, "p": {"url": "http://other.test"}}, "defaults": {"origin": "o"},
			"routes": [{"name": "get", "match": {"path": "/", "methods": ["GET"]}, ` + fields + `}]}`
	}
	for _, c := range []struct {
		name, policy string
		answer       []string
		request      []string
	}{
		{"no Content-Location", "", []string{"Content-Location", "/"}, nil}, // twice
		{"private", "", []string{"Cache-Control", "private"}, nil},
		{"a cookie", "", []string{"Set-Cookie", "a=b"}, nil},
		{"a cookie that the route of the GET removes", route(`"removeResponseHeaders": ["set-cookie"]`), []string{"Set-Cookie", "a=b"}, nil},
		{"a lifetime that the route of the GET removes", route(`"removeResponseHeaders": ["cache-control"], "edge": {"maxAgeSeconds": 60}`), nil, nil},
		{"for one user", "", nil, []string{"Authorization", "x"}},
		{"the client keeps out", "", nil, []string{"Cache-Control", "no-store"}},
		{"a field that steers origins", "", nil, []string{"X-Host", "evil"}},
		{"a method in a field", "", nil, []string{"X-Http-Method-Override", "PUT"}},
		{"a field that no GET takes along", route(`"removeRequestHeaders": ["cookie"]`), nil, []string{"Cookie", "a=b"}},
		{"GET is not cached", route(`"edge": false`), nil, nil},
		{"GET goes elsewhere", route(`"origin": "p"`), nil, nil},
		{"GET is split", route(`"split": {"cookie": "s", "destinations": [{"name": "a", "origin": "o", "weight": 1}, {"name": "b", "origin": "p", "weight": 1}]}`), nil, nil},
		{"GET is told the device", route(`"key": {"device": true}`), nil, nil},
		{"a coding that others do not accept", "", []string{"Content-Encoding", "deflate"}, []string{"Accept-Encoding", "deflate"}},
		{"Vary: *", "", []string{"Vary", "*"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, options{policy: c.policy})
			s.origin.answer(located("posted", c.answer...))
			req := s.request("POST /", c.request...)
			req.Origin = "o"
			if r := s.fetch(t.Context(), req); r.err != nil || r.body != "posted" || r.decision.Stored {
				t.Errorf("%+v", r)
			}
			if n := s.store.Len() + s.memory.fillCount(); n != 0 {
				t.Errorf("%d are stored", n)
			}
		})
	}
	t.Run("parameters that the route of the GET drops", func(t *testing.T) {
		s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "key": {"excludeAllQueryParametersExcept": ["page"]}}}`})
		s.origin.answer(located("posted"))
		s.get("POST /b?page=1&utm=2")
		if s.store.Len() != 0 {
			t.Error("kept for a URL that the origin has not seen")
		}
	})
	t.Run("another method", func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(always(200, "put", "Cache-Control", cacheable, "Content-Location", "/"))
		s.get("PUT /")
		if s.store.Len() != 0 {
			t.Error("kept")
		}
	})
}

// The key is that of a GET with the same header, by the route that such a GET has.
func TestPostedIsKeptUnderItsKey(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"}, "routes": [
		{"name": "get", "match": {"path": "/:id", "methods": ["GET"]}, "key": {"cookies": ["currency"]}, "tags": ["page:{id}"],
		 "removeResponseHeaders": ["x-internal"]}]}`})
	s.origin.answer(located("euros", "X-Internal", "1", "Cache-Tag", "t", "Cache-Groups", `"g"`))
	if r := s.get("POST /7", "Cookie", "currency=eur"); !r.decision.Stored || r.header.Get("X-Internal") != "1" {
		t.Errorf("%+v", r)
	}
	r := s.get("/7", "Cookie", "currency=eur")
	r.want(t, "euros", rfc9111.Hit, rfc9111.StatusOK)
	if r.header.Get("X-Internal") != "" {
		t.Error("stored with a field that the route removes")
	}
	s.get("/7", "Cookie", "currency=usd").want(t, "got", rfc9111.Miss, rfc9111.StatusOK)
	for _, rule := range []shield.Rule{shield.TagRule("page:7"), shield.TagRule("t"), shield.GroupRule("http", "example.com", "g")} {
		s.get("POST /7", "Cookie", "currency=eur")
		s.get("/7", "Cookie", "currency=eur").want(t, "euros", rfc9111.Hit, rfc9111.StatusOK)
		if _, err := s.purges.Add(rule); err != nil {
			t.Fatal(err)
		}
		s.get("/7", "Cookie", "currency=eur").want(t, "got", rfc9111.Miss, rfc9111.StatusOK)
	}
}

// Whatever comes between a POST and its answer, the answer is not kept as newer.
func TestPostedRaces(t *testing.T) {
	for name, between := range map[string]func(s *setup){
		"a purge of the URL":  func(s *setup) { s.purge("/") },
		"a purge of a tag":    func(s *setup) { _, _ = s.purges.Add(shield.TagRule("t")) },
		"a purge of a group":  func(s *setup) { _, _ = s.purges.Add(shield.GroupRule("http", "example.com", "g")) },
		"a purge of all":      func(s *setup) { _, _ = s.purges.Add(shield.AllRule()) },
		"another POST":        func(s *setup) { s.get("POST /") },
		"a DELETE":            func(s *setup) { s.get("DELETE /") },
		"a POST that is kept": func(s *setup) { s.origin.answer(located("second")); s.get("POST /") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				g := closed(located("first", "Cache-Tag", "t", "Cache-Groups", `"g"`))
				s.origin.answer(g.handle)
				first := make(chan result)
				go func() { first <- s.get("POST /") }()
				synctest.Wait()
				s.origin.answer(always(200, "other"))
				between(s)
				close(g.open)
				if r := <-first; r.body != "first" || r.decision.Stored {
					t.Errorf("%+v", r)
				}
				s.origin.answer(always(200, "new", "Cache-Control", cacheable))
				s.get("/").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
				s.close()
			})
		})
	}
}

// What comes while the client still reads is not undone either.
func TestPostedIsOvertakenWhileItStreams(t *testing.T) {
	for name, c := range map[string]struct {
		between func(s *setup)
		want    string
	}{
		"a purge":                {func(s *setup) { s.purge("/") }, ""},
		"another POST":           {func(s *setup) { s.origin.answer(always(200, "")); s.get("POST /") }, ""},
		"a purge of another URL": {func(s *setup) { s.purge("/b") }, "posted"},
		"a GET": {func(s *setup) {
			time.Sleep(time.Second)
			s.origin.answer(always(200, "newer", "Cache-Control", cacheable))
			s.get("/").want(s.t, "newer", rfc9111.Miss, rfc9111.StatusOK)
		}, "newer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				body := feed()
				s.origin.answer(func(r *http.Request) (*http.Response, error) {
					resp, err := located("")(r)
					resp.Body, resp.ContentLength, resp.TransferEncoding = body.r, -1, []string{"chunked"}
					return resp, err
				})
				ans, err := s.shield.Fetch(t.Context(), s.request("POST /"))
				if err != nil {
					t.Fatal(err)
				}
				c.between(s)
				go func() { _, _ = io.WriteString(body.w, "posted"); _ = body.w.Close() }()
				if r := read(ans); r.body != "posted" || r.err != nil {
					t.Errorf("%+v", r)
				}
				s.origin.answer(always(200, "fetched", "Cache-Control", "no-store"))
				want := c.want
				if want == "" {
					want = "fetched"
				}
				if r := s.get("/"); r.body != want {
					t.Errorf("%+v, want %q", r, want)
				}
				s.close()
			})
		})
	}
}

// Only what its client has read whole is kept.
func TestPostedInPart(t *testing.T) {
	long := string(shieldtest.Body(1, 100_000))
	for name, c := range map[string]struct {
		length int64
		end    error // of the origin's body
		leave  bool  // the client does
		limit  int64 // of the store
		fault  string
	}{
		"the client leaves":     {length: 100_000, leave: true},
		"cut short":             {length: 100_001},
		"longer than said":      {length: 99_999},
		"the connection breaks": {length: -1, end: io.ErrUnexpectedEOF},
		"too long, as it says":  {length: 100_000, limit: 99_999},
		"too long":              {length: -1, limit: 99_999},
		"the store fails":       {length: -1, fault: "write"},
		"the store is full":     {length: -1, fault: "create"},
		"the store does not":    {length: -1, fault: "commit"},
	} {
		t.Run(name, func(t *testing.T) {
			store := &shieldtest.Memory{Limit: c.limit}
			store.Fault = func(op string, _ keying.Key, _ int64) error {
				if op == c.fault {
					return errors.New("no space left")
				}
				return nil
			}
			s := start(t, options{store: store, shield: shield.Options{MemoryObject: 1000}})
			s.origin.answer(func(r *http.Request) (*http.Response, error) {
				resp, err := located("")(r)
				src := io.Reader(strings.NewReader(long))
				if c.end != nil {
					src = io.MultiReader(src, breaking{c.end})
				}
				resp.Body, resp.ContentLength = io.NopCloser(src), c.length
				if c.length < 0 {
					resp.TransferEncoding = []string{"chunked"}
				}
				return resp, err
			})
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			ans, err := s.shield.Fetch(ctx, s.request("POST /"))
			if err != nil {
				t.Fatal(err)
			}
			if c.leave {
				_, _ = ans.Body.Read(make([]byte, 10))
				leave()
				_ = ans.Body.Close()
			} else {
				read(ans)
			}
			if store.Len() != 0 || s.memory.fillCount() != 0 {
				t.Error("stored")
			}
			s.close()
		})
	}
}

type breaking struct{ err error }

func (b breaking) Read([]byte) (int, error) { return 0, b.err }

// A long body goes to the store alone, and without a store a short one to memory.
func TestPostedWhereItFits(t *testing.T) {
	body := string(shieldtest.Body(1, 5000))
	for _, c := range []struct {
		noStore  bool
		memory   int64
		stored   int
		filled   int
		streamed int64 // StreamMemory
	}{
		{false, 5000, 1, 1, 0},
		{false, 4999, 1, 0, 0},
		{true, 5000, 0, 1, 0},
		{true, 4999, 0, 0, 0},
		{false, 5000, 0, 0, 1000}, // no room in memory
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			s := start(t, options{noStore: c.noStore, shield: shield.Options{MemoryObject: c.memory, StreamMemory: c.streamed}})
			s.origin.answer(located(body))
			s.get("POST /").want(t, body, rfc9111.Bypass, rfc9111.StatusMethod)
			if s.store.Len() != c.stored || s.memory.fillCount() != c.filled {
				t.Errorf("%d stored, %d in memory", s.store.Len(), s.memory.fillCount())
			}
			s.close()
		})
	}
}

// A rule that could not be made durable vouches for nothing.
func TestPostedWithoutALog(t *testing.T) {
	log := new(faultyLog)
	s := start(t, options{log: log})
	log.fail = errors.New("no space left")
	s.origin.answer(located("posted"))
	if r := s.get("POST /"); r.err != nil || r.decision.Stored {
		t.Errorf("%+v", r)
	}
	if s.store.Len() != 0 {
		t.Error("stored")
	}
}
