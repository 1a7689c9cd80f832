package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// hearing makes req's client hear interim responses, and returns what it heard.
func hearing(req *policy.Request) *[]string {
	heard := new([]string)
	req.Interim = func(status int, h http.Header) {
		*heard = append(*heard, fmt.Sprint(status, " ", strings.Join(h["Link"], ",")))
	}
	return heard
}

// hint sends 103 with a link in the course of r.
func hint(r *http.Request, link string, fields ...string) error {
	h := textproto.MIMEHeader{"Link": {link}}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return httptrace.ContextClientTrace(r.Context()).Got1xxResponse(103, h)
}

func TestInterimResponses(t *testing.T) {
	const twoHints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Secret: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\n" +
		"HTTP/1.1 102 Processing\r\n\r\n"
	for _, c := range []struct {
		name, target, before string
		want                 []string
		fails                bool
	}{
		{"flight", "/", twoHints, []string{"103 </a>", "102 "}, false},
		{"pass", "POST /", twoHints, []string{"103 </a>", "102 "}, false},
		{"head", "HEAD /", twoHints, []string{"103 </a>", "102 "}, false},
		{"100 is for whoever expects it", "POST /", "HTTP/1.1 100 Continue\r\n\r\n", nil, false},
		{"twenty", "/", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 20), repeated("103 </a>", 8), false},
		{"twenty passed", "POST /", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 20), repeated("103 </a>", 8), false},
		{"two thousand", "/", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 2000), repeated("103 ", 8), true},
		{"two thousand passed", "POST /", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 2000), repeated("103 ", 8), true},
		{"a long one", "/", "HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("a", 20<<10) + "\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n", []string{"103 </b>"}, false},
		{"a name that is none", "/", "HTTP/1.1 103 Early Hints\r\nX : 1\r\n\r\n", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, _ := raw(t, func(_ int, r *http.Request, conn net.Conn) {
				_, _ = io.WriteString(conn, c.before+"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n")
				if r.Method != http.MethodHead {
					_, _ = io.WriteString(conn, "body")
				}
			})
			src = strings.Replace(src, `"defaults": {`, `"defaults": {"removeResponseHeaders": ["x-secret"], `, 1)
			s := startReal(t, src)
			req := s.request(c.target)
			heard := hearing(req)
			links := req.Interim
			req.Interim = func(status int, h http.Header) {
				for _, name := range []string{"X-Secret", "Connection", "X-Hop", "Keep-Alive"} {
					if h[name] != nil {
						t.Errorf("%d has %s", status, name)
					}
				}
				links(status, h)
			}
			r := s.fetch(context.Background(), req)
			if c.fails != errors.Is(r.err, shield.ErrOriginProtocol) {
				t.Errorf("error %v", r.err)
			}
			if !reflect.DeepEqual(*heard, c.want) && (len(*heard) > 0 || len(c.want) > 0) {
				t.Errorf("heard %q, want %q", *heard, c.want)
			}
			if r.header["Link"] != nil {
				t.Errorf("the response has the interim one's fields: %v", r.header)
			}
			again := s.request("/")
			again.Interim = func(int, http.Header) { t.Error("a hit has interim responses") }
			if c.target == "/" && !c.fails {
				hit := s.fetch(context.Background(), again)
				hit.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
				if hit.header["Link"] != nil {
					t.Errorf("stored %v", hit.header)
				}
			}
		})
	}
}

func repeated(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

// Who waits for one flight: its own client, one with the same request, one who came
// later, and one whose request differs. The response may turn out to be private.
func TestInterimInAFlight(t *testing.T) {
	for _, control := range []string{cacheable, "private"} {
		t.Run(control, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				step := make(chan struct{})
				s.origin.answer(func(r *http.Request) (*http.Response, error) {
					if s.origin.count() > 1 {
						return respond(200, "own", "Cache-Control", control), nil
					}
					for _, link := range []string{"</1>", "</2>"} {
						if err := hint(r, link, "Set-Cookie", "a=1"); err != nil {
							return nil, err
						}
						<-step
					}
					return respond(200, "body", "Cache-Control", control), nil
				})
				done := make(chan result, 4)
				join := func(fields ...string) *[]string {
					req := s.request("/", fields...)
					heard := hearing(req)
					go func() { done <- s.fetch(context.Background(), req) }()
					synctest.Wait()
					return heard
				}
				leader := join("Cookie", "id=1")
				same, other := join("Cookie", "id=1"), join("Cookie", "id=2")
				step <- struct{}{}
				synctest.Wait()
				late := join("Cookie", "id=1")
				for who, got := range map[string]struct{ heard, want []string }{
					"leader": {*leader, []string{"103 </1>", "103 </2>"}},
					"same":   {*same, []string{"103 </1>", "103 </2>"}},
					"late":   {*late, []string{"103 </1>", "103 </2>"}},
					"other":  {*other, nil},
				} {
					if !reflect.DeepEqual(got.heard, got.want) && len(got.heard)+len(got.want) > 0 {
						t.Errorf("%s heard %q, want %q", who, got.heard, got.want)
					}
				}
				close(step)
				for range 4 {
					if r := <-done; r.err != nil {
						t.Error(r.err)
					}
				}
				s.close()
			})
		})
	}
}

// A refresh in the background has nobody to pass anything to.
func TestInterimOfARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(always(200, "old", "Cache-Control", "max-age=60, stale-while-revalidate=60"))
		s.get("/")
		time.Sleep(90 * time.Second)
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			if err := hint(r, "</a>"); err != nil {
				return nil, err
			}
			return respond(200, "new", "Cache-Control", cacheable), nil
		})
		req := s.request("/")
		heard := hearing(req)
		s.fetch(context.Background(), req).want(t, "old", rfc9111.Stale, rfc9111.StatusOK)
		synctest.Wait()
		if len(*heard) > 0 {
			t.Errorf("heard %q", *heard)
		}
		s.close()
	})
}

// Interim responses of an origin that fails, of a client that leaves, and of a
// transport that panics.
func TestInterimBeforeNothing(t *testing.T) {
	for _, target := range []string{"/", "POST /"} {
		for name, end := range map[string]handler{
			"fails": refused,
			"leaves": func(r *http.Request) (*http.Response, error) {
				select {
				case <-r.Context().Done(): // at once, but for a flight
				case <-time.After(time.Second):
				}
				return nil, io.ErrUnexpectedEOF
			},
			"panics": func(*http.Request) (*http.Response, error) { panic("boom") },
		} {
			t.Run(name+target, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := start(t, options{})
					var trace *httptrace.ClientTrace
					s.origin.answer(func(r *http.Request) (*http.Response, error) {
						trace = httptrace.ContextClientTrace(r.Context())
						if err := hint(r, "</a>"); err != nil {
							return nil, err
						}
						return end(r)
					})
					ctx, leave := context.WithCancel(context.Background())
					req := s.request(target)
					heard := hearing(req)
					done := make(chan result)
					go func() { done <- s.fetch(ctx, req) }()
					if name == "leaves" {
						synctest.Wait()
						leave()
					}
					r := <-done
					leave()
					if r.err == nil || name == "panics" && !errors.Is(r.err, shield.ErrPanic) {
						t.Errorf("error %v", r.err)
					}
					if trace.Got1xxResponse(103, textproto.MIMEHeader{}) != nil || !reflect.DeepEqual(*heard, []string{"103 </a>"}) {
						t.Errorf("heard %q", *heard)
					}
					s.close()
				})
			})
		}
	}
}
