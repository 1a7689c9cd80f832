package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

const oddRoutes = `
	{"name": "set", "match": {"path": "/set"}, "setResponseHeaders": {"x-a": "1", "server": "weir", "content-type": "text/css"}}`

// inPieces is a body that comes bit by bit, and ends as it is told to.
type inPieces struct {
	pieces []string
	end    func() error
}

func (b *inPieces) Read(p []byte) (int, error) {
	if len(b.pieces) == 0 {
		return 0, b.end()
	}
	n := copy(p, b.pieces[0])
	if b.pieces[0] = b.pieces[0][n:]; b.pieces[0] == "" {
		b.pieces = b.pieces[1:]
	}
	return n, nil
}

func (b *inPieces) Close() error { return nil }

func whole() error   { return io.EOF }
func broken() error  { return fmt.Errorf("%w: a cut", shield.ErrOriginTruncated) }
func panicky() error { panic("in the middle of the body") }

// oddTier answers with all that is hard to pass on, as the path says. Below /fields that is what w says.
func (w *oddWorld) oddTier() *tier {
	return &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		kind, rest, _ := strings.Cut(strings.TrimPrefix(req.Target, "/"), "/")
		length, _ := strconv.ParseInt(rest, 10, 64)
		body := &inPieces{pieces: []string{"abc", strings.Repeat("d", 5000), "", strings.Repeat("e", 70_000), "f"}, end: whole}
		switch kind {
		case "live":
			return streamed(body, -1), nil
		case "empty":
			return streamed(&inPieces{end: whole}, -1), nil
		case "length": // 75004 is right
			return streamed(body, length), nil
		case "cut":
			body.end = broken
			return streamed(body, -1+length), nil
		case "panics":
			body.end = panicky
			return streamed(body, -1), nil
		case "panic":
			panic("before the head")
		case "abort":
			panic(http.ErrAbortHandler)
		case "wrapped":
			panic(fmt.Errorf("%w, that is", http.ErrAbortHandler))
		case "error":
			return nil, oddErrors[length]
		case "interim":
			req.Interim(103, http.Header{"Link": {"</a>", "</b>"}, "Content-Length": {"5"}, "Transfer-Encoding": {"chunked"}, "Connection": {"close"}})
			req.Interim(102, nil)
			return streamed(body, 75_004), nil
		case "status":
			ans := stored("body")
			ans.Head.Status = int(length)
			ans.Head.Header.Set("Content-Length", "4")
			return ans, nil
		case "odd":
			ans := stored("body")
			maps.Copy(ans.Head.Header, http.Header{
				"X-A": {"a\r\nX-Evil: 1", "b\nc", "\x00\x7f\xff", "  d  "}, "X B": {"1"}, "": {"1"}, "X-C": nil, "lower": {"1"}, "Lower": {"2"},
				"Connection": {"close"}, "Transfer-Encoding": {"chunked"}, "Trailer:x": {"1"}, "Trailer": {"X-A"}, "Content-Length": {"99"},
			})
			return ans, nil
		case "many":
			ans := stored("body")
			for i := range length {
				ans.Head.Header.Add("X-"+strconv.FormatInt(i*7919%length, 36), rest)
			}
			return ans, nil
		case "fields":
			ans := stored("body")
			maps.Copy(ans.Head.Header, w.fields)
			return ans, nil
		case "bare":
			ans := stored("<html>")
			ans.Head.Header = http.Header{}
			return ans, nil
		case "claim": // for HEAD
			ans := stored("")
			ans.Head.Header["Content-Length"] = []string{rest}
			return ans, nil
		}
		return stored("body"), nil
	}}
}

var oddErrors = []error{
	shield.ErrOnlyIfCached, shield.ErrOverloaded, shield.ErrClosed, shield.ErrTarget, shield.ErrNoOrigin, shield.ErrOriginTimeout,
	shield.ErrOriginUnreachable, context.Canceled, context.DeadlineExceeded, errors.New("what nobody knows"),
}

// oddWorld is a node in front of an oddTier.
type oddWorld struct {
	hitWorld
	tier   *tier
	lines  *observer.ObservedLogs
	fields http.Header
}

func newOddWorld(t testing.TB, direct bool) *oddWorld {
	t.Helper()
	core, lines := observer.New(zap.InfoLevel)
	w := &oddWorld{lines: lines}
	w.tier = w.oddTier()
	w.door = newDoor(t, w.tier, oddRoutes, api.DoorOptions{Log: zap.New(core)})
	w.opts = api.GuardOptions{Region: "fra", HalfClose: time.Minute, Linger: time.Nanosecond, Refused: w.door.Refused}
	if direct {
		w.opts.Hits = api.NewHits(w.door, empty{})
	}
	return w
}

// Whatever an answer is like, its way to the client changes nothing about it, nor about the
// request that was asked, nor about what is counted and logged.
func TestDirectAnswersAreWhatTheServerWrites(t *testing.T) {
	targets := []string{
		"/", "/live", "/empty", "/length/75004", "/length/75003", "/length/75005", "/length/0", "/cut", "/cut/75004", "/cut/75005", "/panics", "/panic", "/abort",
		"/wrapped", "/interim", "/odd", "/many/20", "/many/33", "/many/200", "/", "/bare", "/set", "/claim/5", "/%zz", "/?%zz", "/a%2fb", "//a", "/\xff",
	}
	for i := range oddErrors {
		targets = append(targets, "/error/"+strconv.Itoa(i))
	}
	for _, status := range []int{199, 200, 204, 205, 206, 299, 301, 304, 404, 416, 599, 600} {
		targets = append(targets, "/status/"+strconv.Itoa(status))
	}
	direct, slow := newOddWorld(t, true), newOddWorld(t, false)
	for _, target := range targets {
		for _, in := range []string{
			get(target), head1(target), get(target) + get("/"), get(target, browser...), get(target, "x-a: 1", "X-A:\t2 ", "X-a:", `If-None-Match: "a"`),
		} {
			equalWays(t, direct, slow, in)
		}
	}
	if got, want := direct.door.Stats(), slow.door.Stats(); !reflect.DeepEqual(got.Requests, want.Requests) || got.Aborted != want.Aborted || got.Active != 0 || got.BytesSent != want.BytesSent {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	got, want := direct.lines.All(), slow.lines.All()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		g, w := got[i].ContextMap(), want[i].ContextMap()
		delete(g, "stack")
		delete(w, "stack")
		if !reflect.DeepEqual(g, w) {
			t.Errorf("%v\nwant %v", g, w)
		}
	}
}

// equalWays has the same bytes answered in both ways.
func equalWays(t *testing.T, direct, slow *oddWorld, in string) {
	t.Helper()
	got, want := undated(direct.play(in, 1<<20)), undated(slow.play(in, 1<<20))
	if !bytes.Equal(got, want) {
		t.Errorf("%.200q\n got %.900q\nwant %.900q", in, got, want)
	}
	gotAsked, wantAsked := direct.tier.requests(), slow.tier.requests()
	if len(gotAsked) != len(wantAsked) {
		t.Fatalf("%.200q: %d requests, want %d", in, len(gotAsked), len(wantAsked))
	}
	for i, want := range wantAsked {
		if got := *gotAsked[i]; !alike(got, *want) {
			t.Errorf("%.200q\n got %+v\nwant %+v", in, got, *want)
		}
	}
	direct.tier.asked, slow.tier.asked = nil, nil
}

// FuzzDirect compares what becomes of any fields of a request, and of an answer.
func FuzzDirect(f *testing.F) {
	f.Add(strings.Join(browser, "\r\n")+"\r\n", "X-A", "a\r\nb", "d")
	f.Add("x-a: 1\r\nX-A:\t2 \r\nX-a:\r\nx_b: 3\r\nWeir-C: 4\r\n", "Date", " ", "\n")
	f.Add("accept: a\r\nACCEPT-ENCODING: br;q=0\r\nKeep-Alive: 5\r\nProxy-A: 1\r\n", "Connection", "close", "")
	direct, slow := newOddWorld(f, true), newOddWorld(f, false)
	f.Fuzz(func(t *testing.T, lines, name, first, second string) {
		direct.fields = http.Header{name: {first, second}}
		slow.fields = direct.fields
		equalWays(t, direct, slow, "GET /fields?a HTTP/1.1\r\nHost: a.test\r\n"+lines+"\r\n"+get("/fields"))
		direct.lines.TakeAll()
		slow.lines.TakeAll()
	})
}

// What a route looks at gets as far as to the shield of an edge.
func TestReceivedFieldsThatRoutesLookAt(t *testing.T) {
	for _, c := range []struct{ routes, want string }{
		{"", ""},
		{`{"name": "x", "match": {"headers": {"connection": {"present": false}}}}`, "keep-alive"},
	} {
		w := hitWorld{opts: api.GuardOptions{Region: "fra"}}
		s := always(func() *rfc9111.Answer { return stored("body") })
		w.door = newDoor(t, s, c.routes, api.DoorOptions{})
		w.opts.Hits = api.NewHits(w.door, empty{})
		w.play(get("/", browser...), 1<<20)
		req := s.one(t)
		if got := req.Received.Get("Connection"); got != c.want || req.Header["Connection"] != nil || req.Header.Get("Cookie") == "" {
			t.Errorf("%s: %q, want %q; %v", c.routes, got, c.want, req.Header)
		}
	}
}

// alike compares what a tier gets to know of a request.
func alike(a, b policy.Request) bool {
	return a.Method == b.Method && a.Scheme == b.Scheme && a.Host == b.Host && a.Target == b.Target && a.Client == b.Client &&
		a.Bypass == b.Bypass && a.Keyed.Key == b.Keyed.Key && a.Length == b.Length && (a.Stream == nil) == (b.Stream == nil) &&
		reflect.DeepEqual(a.Header, b.Header) && reflect.DeepEqual(received(a), received(b))
}

// received are the fields that a client sent, as an edge tells its shield.
func received(r policy.Request) http.Header {
	h := r.Received.Clone()
	delete(h, "Connection")
	if r.Bypass == "" {
		h["Accept-Encoding"] = r.Keyed.Accepts.Lines()
	}
	return h
}
