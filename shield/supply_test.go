package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

// cutShort is a body that breaks off with an error.
func cutShort(body string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(body), failingReader{err})
}

// from is the 206 for all that is missing from a byte on.
func from(body string, at int, fields ...string) *http.Response {
	fields = append([]string{"Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(body)-1, len(body))}, fields...)
	return respond(206, body[at:], fields...)
}

// once answers the first request with first and all others with then.
func once(first, then handler) handler {
	asked := false
	return func(r *http.Request) (*http.Response, error) {
		if !asked {
			asked = true
			return first(r)
		}
		return then(r)
	}
}

const letters = "abcdefghijklmnopqrstuvwxyz"

func TestBodiesThatAreCutGoOn(t *testing.T) {
	const tag = `"1"`
	date := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(http.TimeFormat) }
	rest := func(fields ...string) handler {
		return func(*http.Request) (*http.Response, error) {
			return from(letters, 10, append([]string{"Etag", tag}, fields...)...), nil
		}
	}
	ranged := func(status int, contentRange, body string) handler {
		return always(status, body, "Etag", tag, "Content-Range", contentRange)
	}
	for _, c := range []struct {
		name   string
		length int64 // of the first answer
		end    error // of its body
		fields []string
		rest   handler
		asked  int // requests in all
		whole  bool
	}{
		{"honest", 26, io.ErrUnexpectedEOF, nil, rest(), 2, true},
		{"reset", 26, syscall.ECONNRESET, nil, rest(), 2, true},
		{"early end", 26, io.EOF, nil, rest(), 2, true},
		{"unknown length", -1, io.ErrUnexpectedEOF, nil, rest(), 2, true},
		{"rest of unknown length", 26, io.EOF, nil, func(*http.Request) (*http.Response, error) {
			return respondWith(206, strings.NewReader(letters[10:]), -1, "Etag", tag, "Content-Range", "bytes 10-25/26"), nil
		}, 2, true},
		{"coded", 26, io.EOF, []string{"Content-Encoding", "gzip"}, rest("Content-Encoding", "gzip"), 2, true},
		{"in small pieces", 26, io.EOF, nil, once(ranged(206, "bytes 10-11/26", letters[10:12]), ranged(206, "bytes 12-25/26", letters[12:])), 3, true},
		{"refused at first", 26, io.EOF, nil, once(refused, once(refused, rest())), 4, true}, // by both upstreams
		{"503 at first", 26, io.EOF, nil, once(always(503, "later"), rest()), 3, true},

		{"malformed chunks", -1, errors.New("malformed chunked encoding"), nil, rest(), 1, false},
		{"says no ranges", 26, io.EOF, []string{"Accept-Ranges", "none"}, rest(), 1, false},
		{"the whole", 26, io.EOF, nil, always(200, letters, "Etag", tag, "Cache-Control", cacheable), 2, false},
		{"416", 26, io.EOF, nil, ranged(416, "bytes */26", ""), 2, false},
		{"several ranges", 26, io.EOF, nil, always(206, letters[10:], "Etag", tag, "Content-Type", "multipart/byteranges; boundary=b"), 2, false},
		{"two Content-Ranges", 26, io.EOF, nil, rest("Content-Range", "bytes 10-25/26"), 2, false},
		{"another beginning", 26, io.EOF, nil, ranged(206, "bytes 9-25/26", letters[9:]), 2, false},
		{"a later beginning", 26, io.EOF, nil, ranged(206, "bytes 11-25/26", letters[11:]), 2, false},
		{"another length", 26, io.EOF, nil, ranged(206, "bytes 10-26/27", letters[10:]+"0"), 2, false},
		{"no length", -1, io.ErrUnexpectedEOF, nil, ranged(206, "bytes 10-25/*", letters[10:]), 2, false},
		{"shorter than its range", 26, io.EOF, nil, ranged(206, "bytes 10-25/26", letters[10:20]), 2, false},
		{"longer than its range", 26, io.EOF, nil, func(*http.Request) (*http.Response, error) {
			return respondWith(206, strings.NewReader(letters[10:]+"0"), -1, "Etag", tag, "Content-Range", "bytes 10-25/26"), nil
		}, 2, false},
		{"another version", 26, io.EOF, nil, always(206, letters[10:], "Etag", `"2"`, "Content-Range", "bytes 10-25/26"), 2, false},
		{"no validator", 26, io.EOF, nil, always(206, letters[10:], "Content-Range", "bytes 10-25/26"), 2, false},
		{"another coding", 26, io.EOF, nil, rest("Content-Encoding", "gzip"), 2, false},
		{"coding left out", 26, io.EOF, []string{"Content-Encoding", "gzip"}, rest(), 2, false},
		{"now private", 26, io.EOF, nil, rest("Cache-Control", "private"), 2, false},
		{"now no-store", 26, io.EOF, nil, rest("Cache-Control", "no-store"), 2, false},
		{"ends with its connection", 26, io.EOF, nil, func(*http.Request) (*http.Response, error) {
			resp := respondWith(206, strings.NewReader(letters[10:]), -1, "Etag", tag, "Content-Range", "bytes 10-25/26")
			resp.TransferEncoding = nil
			return resp, nil
		}, 2, false},
		{"never there again", 26, io.EOF, nil, refused, 1 + 2*4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{policy: strings.Replace(plainPolicy, `"url": "http://origin.test"`,
					`"upstreams": [{"url": "http://a.test"}, {"url": "http://b.test"}]`, 1)})
				g := closed(func(*http.Request) (*http.Response, error) {
					return respondWith(200, cutShort(letters[:10], c.end), c.length, append([]string{"Etag", tag, "Cache-Control", cacheable}, c.fields...)...), nil
				})
				s.origin.answer(once(g.handle, c.rest))
				done := make(chan []result)
				go func() { done <- many(5, func(int) result { return s.get("/") }) }()
				synctest.Wait()
				close(g.open)
				for _, r := range <-done {
					if c.whole {
						r.want(t, letters, rfc9111.Miss, rfc9111.StatusOK)
					} else if r.err == nil || !strings.HasPrefix(letters, r.body) {
						t.Errorf("%q, %v", r.body, r.err)
					}
				}
				synctest.Wait()
				s.wantOrigin(c.asked)
				if c.whole {
					s.get("/").want(t, letters, rfc9111.Hit, rfc9111.StatusOK)
				} else if s.store.Len() != 0 || s.memory.fillCount() != 0 {
					t.Errorf("%d stored, %d in memory", s.store.Len(), s.memory.fillCount())
				}
				s.close()
			})
		})
	}
	t.Run("by date", func(t *testing.T) {
		s := start(t, options{})
		modified := date(time.Hour)
		s.origin.answer(once(func(*http.Request) (*http.Response, error) {
			return respondWith(200, cutShort(letters[:10], io.EOF), 26, "Last-Modified", modified, "Cache-Control", cacheable), nil
		}, func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-Range") != modified {
				t.Errorf("If-Range: %q", r.Header.Get("If-Range"))
			}
			return from(letters, 10, "Last-Modified", modified), nil
		}))
		s.get("/").want(t, letters, rfc9111.Miss, rfc9111.StatusOK)
	})
	for _, validator := range [][2]string{{"Etag", `W/"1"`}, {"Last-Modified", date(0)}, {"X-No", "validator"}} {
		t.Run(validator[0]+" "+validator[1], func(t *testing.T) {
			s := start(t, options{})
			s.origin.answer(func(*http.Request) (*http.Response, error) {
				return respondWith(200, cutShort(letters[:10], io.EOF), 26, validator[0], validator[1], "Cache-Control", cacheable), nil
			})
			if r := s.get("/"); !errors.Is(r.err, shield.ErrOriginTruncated) {
				t.Errorf("%q, %v", r.body, r.err)
			}
			s.wantOrigin(1)
		})
	}
}

// The request for the rest is the flight's own but for its range, and comes when the
// first one is over.
func TestRequestForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		first := &closing{Reader: cutShort(letters[:10], io.EOF)}
		began := time.Now()
		s.origin.answer(once(func(*http.Request) (*http.Response, error) {
			return respondWith(200, first, 26, "Etag", `"1"`, "Cache-Control", cacheable), nil
		}, func(*http.Request) (*http.Response, error) {
			if !first.closed {
				t.Error("the first request is not over")
			}
			if time.Since(began) == 0 {
				t.Error("asked again at once")
			}
			return from(letters, 10, "Etag", `"1"`), nil
		}))
		s.get("/", "Range", "bytes=3-4", "If-None-Match", `"x"`, "Accept-Language", "de").want(t, letters, rfc9111.Miss, rfc9111.StatusOK)
		want := s.origin.requests[0].Header.Clone()
		want.Set("Range", "bytes=10-")
		want.Set("If-Range", `"1"`)
		if got := s.origin.last(); fmt.Sprint(got.Header) != fmt.Sprint(want) || got.URL.String() != s.origin.requests[0].URL.String() {
			t.Errorf("asked for %v with %v, want %v", got.URL, got.Header, want)
		}
		if st := s.shield.Stats(); st.Resumed != 1 || st.Errors.Truncated != 0 {
			t.Errorf("%+v", st)
		}
		s.close()
	})
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// Nobody asks for the rest when nobody wants it, when it was purged, or when the
// flight's time is up.
func TestRestThatNobodyWants(t *testing.T) {
	for name, spoil := range map[string]func(s *setup, leave func()){
		"left":     func(_ *setup, leave func()) { leave() },
		"purged":   func(s *setup, _ func()) { s.purge("/") },
		"time out": func(*setup, func()) { time.Sleep(2 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{
					noStore: name == "left",
					policy:  strings.Replace(plainPolicy, `"url"`, `"totalTimeoutMs": 1000, "url"`, 1),
					shield:  shield.Options{MemoryObject: 10},
				})
				body := feed()
				s.origin.answer(func(*http.Request) (*http.Response, error) {
					return respondWith(200, body.r, 26, "Etag", `"1"`, "Cache-Control", cacheable), nil
				})
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan result)
				go func() { done <- s.fetch(ctx, s.request("/")) }()
				_, _ = io.WriteString(body.w, letters[:10])
				synctest.Wait()
				spoil(s, cancel)
				_ = body.w.Close()
				if r := <-done; r.err == nil {
					t.Errorf("%q", r.body)
				}
				synctest.Wait()
				s.wantOrigin(1)
				cancel()
				s.close()
			})
		})
	}
}

// An origin whose body falls silent is asked for the rest, as one that hangs up is.
func TestSilentBodyGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		body := feed()
		defer func() { _ = body.w.Close() }()
		s.origin.answer(once(func(r *http.Request) (*http.Response, error) {
			context.AfterFunc(r.Context(), func() { _ = body.r.CloseWithError(context.Cause(r.Context())) })
			return respondWith(200, body.r, 26, "Etag", `"1"`, "Cache-Control", cacheable), nil
		}, func(*http.Request) (*http.Response, error) { return from(letters, 10, "Etag", `"1"`), nil }))
		go func() { _, _ = io.WriteString(body.w, letters[:10]) }()
		for _, r := range many(3, func(int) result { return s.get("/") }) {
			r.want(t, letters, rfc9111.Miss, rfc9111.StatusOK)
		}
		s.wantOrigin(2)
		s.close()
	})
}
