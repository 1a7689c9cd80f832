package shield_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

const partialPolicy = `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "edge": {"storePartial": true}}}`

// document is an origin that serves ranges, conditions and If-Range as net/http does.
type document struct {
	mu     sync.Mutex
	body   string
	fields []string
}

func (d *document) set(body string, fields ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.body, d.fields = body, fields
}

func (d *document) answer(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	body, fields := d.body, d.fields
	d.mu.Unlock()
	w := &recorder{header: http.Header{}}
	for i := 0; i < len(fields); i += 2 {
		w.header.Add(fields[i], fields[i+1])
	}
	w.header.Set("Content-Type", "text/plain")
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	resp := respond(w.status, w.body.String())
	resp.Header = w.header
	resp.Header.Del("Content-Length")
	return resp, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// render makes of an answer what a client gets: its status, and its body or the range
// that it asked for.
func render(t *testing.T, h http.Header, ans *rfc9111.Answer) result {
	t.Helper()
	held := read(ans)
	parts := ans.Head.Parts
	if held.err != nil || ans.Head.Status != http.StatusOK {
		return held
	}
	size := int64(len(held.body))
	if parts != nil {
		if size != parts.Bytes() || size != ans.Head.Length {
			t.Errorf("%d bytes of %+v in %d", size, parts, ans.Head.Length)
		}
		size = parts.Size
	}
	verdict := rfc9111.Evaluate(rfc9111.Request{Method: "GET", Header: h}, ans.Head)
	ranges, err := rfc9111.ParseRange(h.Get("Range"), size)
	switch {
	case verdict == rfc9111.NotModified:
		held.status, held.body = http.StatusNotModified, ""
		return held
	case verdict == rfc9111.Failed:
		held.status, held.body = http.StatusPreconditionFailed, ""
		return held
	case err != nil:
		held.status, held.body = http.StatusRequestedRangeNotSatisfiable, ""
		return held
	case len(ranges) == 1 && verdict != rfc9111.IgnoreRange:
		at := ranges[0].Start
		if parts != nil {
			if !parts.Covers(ranges[0]) {
				t.Fatalf("%s was answered with %+v", h.Get("Range"), parts)
			}
			at = parts.Below(at)
		}
		held.status, held.body = http.StatusPartialContent, held.body[at:at+ranges[0].Length]
	case parts != nil:
		t.Fatalf("%q was answered with %+v", h.Get("Range"), parts)
	}
	return held
}

// askFor is get with the range cut out.
func (s *setup) askFor(target string, fields ...string) result {
	s.t.Helper()
	req := s.request(target, fields...)
	ans, err := s.shield.Fetch(context.Background(), req)
	if err != nil {
		return result{err: err}
	}
	return render(s.t.(*testing.T), req.Header, ans)
}

func (r result) wantStatus(t *testing.T, status int, body string, use rfc9111.Use, forward rfc9111.Forward) {
	t.Helper()
	if r.err != nil || r.status != status || r.body != body || r.decision.Use != use || r.decision.Forward != forward {
		t.Errorf("%d %.60q, %s %q, %v; want %d %.60q, %s %q", r.status, r.body, r.decision.Use, r.decision.Forward, r.err, status, body, use, forward)
	}
}

const (
	hit, miss = rfc9111.Hit, rfc9111.Miss
	uriMiss   = rfc9111.ForwardURIMiss
	partial   = rfc9111.ForwardPartial
)

// startPartial is a shield whose origin has the letters.
func startPartial(t *testing.T, fields ...string) (*setup, *document) {
	t.Helper()
	s, d := start(t, options{policy: partialPolicy}), &document{}
	d.set(letters, append(fields, "Cache-Control", "max-age=60")...)
	s.origin.answer(d.answer)
	return s, d
}

// lastRange is the range fields of the last request, and how many there were.
func (s *setup) wantAsked(n int, field, ifRange string) {
	s.t.Helper()
	s.wantOrigin(n)
	h := s.origin.last().Header
	if h.Get("Range") != field || h.Get("If-Range") != ifRange {
		s.t.Errorf("asked for %q if %q, want %q if %q", h.Get("Range"), h.Get("If-Range"), field, ifRange)
	}
}

func TestPartsAreStoredCombinedAndCompleted(t *testing.T) {
	s, _ := startPartial(t, "Etag", `"1"`)
	s.askFor("/", "Range", " BYTES = 5-9 ", "Range", "").wantStatus(t, 200, letters, miss, uriMiss) // malformed: the whole
	s.purge("/")
	s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
	s.wantAsked(2, "bytes=5-9", "")
	s.askFor("/", "Range", "bytes=6-8").wantStatus(t, 206, "ghi", hit, "")
	s.askFor("/", "Range", "bytes=6-8", "If-Range", `"1"`).wantStatus(t, 206, "ghi", hit, "")
	s.get("HEAD /").want(t, "fghij", hit, rfc9111.StatusOK) // what is held; the api leaves it out
	s.askFor("/", "Range", "bytes=7-11").wantStatus(t, 206, "hijkl", miss, partial)
	s.wantAsked(3, "bytes=7-11", "")
	s.askFor("/", "Range", "bytes=-3").wantStatus(t, 206, "xyz", miss, partial)
	s.wantAsked(4, "bytes=-3", "")
	s.askFor("/", "Range", "bytes=5-11").wantStatus(t, 206, "fghijkl", hit, "")
	s.askFor("/", "Range", "bytes=24-").wantStatus(t, 206, "yz", hit, "")
	s.askFor("/", "Range", "bytes=30-").wantStatus(t, 416, "", hit, "")
	s.wantOrigin(4)
	r := s.askFor("/")
	r.wantStatus(t, 200, letters, miss, partial)
	if r.decision.ForwardStatus != 206 || !r.decision.Stored {
		t.Errorf("%+v", r.decision)
	}
	s.wantAsked(5, "bytes=0-22", `"1"`)
	s.askFor("/").wantStatus(t, 200, letters, hit, "")
	s.askFor("/", "Range", "bytes=0-3").wantStatus(t, 206, "abcd", hit, "")
	s.wantOrigin(5)
	if s.store.Len() != 1 {
		t.Errorf("%d stored", s.store.Len())
	}
}

func TestTwoPartsAreTheWhole(t *testing.T) {
	s, _ := startPartial(t, "Etag", `"1"`)
	s.askFor("/", "Range", "bytes=10-").wantStatus(t, 206, letters[10:], miss, uriMiss)
	s.askFor("/", "Range", "bytes=0-12").wantStatus(t, 206, letters[:13], miss, partial)
	s.askFor("/").wantStatus(t, 200, letters, hit, "")
	s.wantOrigin(2)
	if s.store.Len() != 1 {
		t.Errorf("%d stored", s.store.Len())
	}
}

// The 206 has all there is.
func TestPartThatIsAll(t *testing.T) {
	s, _ := startPartial(t)
	s.askFor("/", "Range", "bytes=0-99").wantStatus(t, 206, letters, miss, uriMiss)
	s.askFor("/").wantStatus(t, 200, letters, hit, "")
	s.wantOrigin(1)
}

// An origin without ranges fills the whole, for everybody.
func TestWholeInsteadOfAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := startPartial(t)
		g := closed(always(200, letters, "Cache-Control", cacheable))
		s.origin.answer(g.handle)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				s.askFor("/", "Range", fmt.Sprintf("bytes=5-%d", 9)).wantStatus(t, 206, "fghij", miss, uriMiss)
			})
			if i == 5 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		close(g.open)
		wg.Wait()
		s.wantOrigin(1)
		s.askFor("/").wantStatus(t, 200, letters, hit, "")
		s.close()
	})
}

// Those who want the same range wait for one request, and a fetch of the whole serves
// those who want a part of it.
func TestPartsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := startPartial(t, "Etag", `"1"`)
		g := closed(d.answer)
		s.origin.answer(g.handle)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { s.askFor("/", "Range", "bytes=05-9").wantStatus(t, 206, "fghij", miss, uriMiss) })
			wg.Go(func() {
				s.askFor("/", "Range", "bytes=5-9", "If-Range", `"1"`).wantStatus(t, 206, "fghij", miss, uriMiss)
			})
		}
		synctest.Wait()
		s.wantOrigin(1)
		wg.Go(func() { s.askFor("/").wantStatus(t, 200, letters, miss, uriMiss) })
		synctest.Wait()
		s.wantOrigin(2)
		wg.Go(func() { s.askFor("/", "Range", "bytes=1-2").wantStatus(t, 206, "bc", miss, uriMiss) })
		wg.Go(func() { s.askFor("/", "Range", "bytes=1-2,4-5").want(t, letters, miss, rfc9111.StatusOK) })
		synctest.Wait()
		s.wantOrigin(2)
		close(g.open)
		wg.Wait()
		s.wantOrigin(2)
		s.close()
	})
}

// One client's If-Range fails: it gets the whole, and the others what they asked for.
func TestIfRangeOfAnotherVersion(t *testing.T) {
	s, _ := startPartial(t, "Etag", `"1"`)
	if r := s.askFor("/", "Range", "bytes=5-9", "If-Range", `"0"`); r.status != 200 || r.body != letters {
		t.Errorf("%+v", r) // completed, if the part was there already
	}
	s.wantOrigin(2)
	s.purge("/")
	s.askFor("/", "Range", "bytes=0-4").wantStatus(t, 206, "abcde", miss, uriMiss)
	s.askFor("/", "Range", "bytes=0-3", "If-None-Match", `"1"`).wantStatus(t, 304, "", miss, partial)
}

func TestStalePartsAreValidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := startPartial(t, "Etag", `"1"`)
		s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
		time.Sleep(2 * time.Minute)
		r := s.askFor("/", "Range", "bytes=6-8")
		r.wantStatus(t, 206, "ghi", miss, rfc9111.ForwardStale)
		if r.decision.ForwardStatus != 304 || s.origin.last().Header.Get("If-None-Match") != `"1"` {
			t.Errorf("%+v, %v", r.decision, s.origin.last().Header)
		}
		s.wantAsked(2, "bytes=6-8", "")
		s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", hit, "")
		time.Sleep(2 * time.Minute)
		d.set(strings.ToUpper(letters), "Etag", `"2"`, "Cache-Control", cacheable)
		s.askFor("/", "Range", "bytes=6-8").wantStatus(t, 206, "GHI", miss, rfc9111.ForwardStale)
		s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "FGHIJ", miss, partial)
		s.askFor("/").wantStatus(t, 200, strings.ToUpper(letters), miss, partial)
		s.close()
	})
}

// A newer version is not put together with what is held, whoever meets it.
func TestPartsOfAnotherVersion(t *testing.T) {
	for name, asked := range map[string]string{"part": "bytes=10-14", "whole": ""} {
		t.Run(name, func(t *testing.T) {
			s, d := startPartial(t, "Etag", `"1"`)
			s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
			upper := strings.ToUpper(letters)
			d.set(upper, "Etag", `"2"`, "Cache-Control", cacheable)
			if asked == "" {
				s.askFor("/").wantStatus(t, 200, upper, miss, partial)
				s.wantAsked(2, "bytes=0-", `"1"`)
			} else {
				s.askFor("/", "Range", asked).wantStatus(t, 206, "KLMNO", miss, partial)
			}
			r := s.askFor("/", "Range", "bytes=5-9")
			if r.body != "FGHIJ" {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestPartsWithoutAStrongValidatorStayAlone(t *testing.T) {
	for _, tag := range []string{"", `W/"1"`} {
		t.Run(tag, func(t *testing.T) {
			s, _ := startPartial(t, "Etag", tag)
			s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
			s.askFor("/", "Range", "bytes=6-7").wantStatus(t, 206, "gh", hit, "")
			s.askFor("/", "Range", "bytes=10-11").wantStatus(t, 206, "kl", miss, partial)
			s.askFor("/", "Range", "bytes=6-7").wantStatus(t, 206, "gh", miss, partial)
			s.askFor("/").wantStatus(t, 200, letters, miss, uriMiss)
			s.wantAsked(4, "", "")
		})
	}
}

// What an origin says of a part that is not so reaches the one who asked, or nobody.
func TestPartsThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func() *http.Response
		body   string
		err    error
	}{
		{"shorter than it says", func() *http.Response {
			return respond(206, "01234", "Content-Range", "bytes 4-9/10", "Cache-Control", cacheable)
		}, "01234", nil},
		{"no size", func() *http.Response {
			return respond(206, "01234", "Content-Range", "bytes 5-9/*", "Cache-Control", cacheable)
		}, "01234", nil},
		{"no range", func() *http.Response { return respond(206, "01234", "Cache-Control", cacheable) }, "01234", nil},
		{"several parts", func() *http.Response {
			return respond(206, "01234", "Content-Type", "multipart/byteranges; boundary=b", "Cache-Control", cacheable)
		}, "01234", nil},
		{"private", func() *http.Response {
			return respond(206, "01234", "Content-Range", "bytes 5-9/10", "Cache-Control", "private")
		}, "01234", nil},
		{"with a cookie", func() *http.Response {
			return respond(206, "01234", "Content-Range", "bytes 5-9/10", "Cache-Control", cacheable, "Set-Cookie", "a=1")
		}, "01234", nil},
		{"unsatisfiable", func() *http.Response {
			return respond(416, "", "Content-Range", "bytes */10", "Cache-Control", cacheable)
		}, "", nil},
		{"shorter in the end", func() *http.Response {
			return respondWith(206, strings.NewReader("0123"), -1, "Content-Range", "bytes 5-9/10", "Cache-Control", cacheable)
		}, "0123", shield.ErrOriginTruncated},
		{"longer in the end", func() *http.Response {
			return respondWith(206, strings.NewReader("012345"), -1, "Content-Range", "bytes 5-9/10", "Cache-Control", cacheable)
		}, "", shield.ErrOriginProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := startPartial(t)
			s.origin.answer(func(*http.Request) (*http.Response, error) { return c.answer(), nil })
			for range 2 {
				ans, err := s.shield.Fetch(context.Background(), s.request("/", "Range", "bytes=5-9", "Accept-Encoding", "br, gzip, zstd"))
				if err != nil {
					t.Fatal(err)
				}
				if r := read(ans); !errors.Is(r.err, c.err) || !strings.HasPrefix(r.body, c.body) || r.decision.Use != miss {
					t.Errorf("%q, %v, %+v", r.body, r.err, r.decision)
				}
			}
			s.wantOrigin(2)
			if s.store.Len() != 0 {
				t.Error("stored")
			}
		})
	}
}

// An origin may send less than it was asked for, and those who asked are told.
func TestLessThanWasAskedFor(t *testing.T) {
	s, d := startPartial(t)
	s.origin.answer(once(always(206, "fgh", "Etag", `"1"`, "Content-Range", "bytes 5-7/26", "Cache-Control", cacheable), d.answer))
	r := s.get("/", "Range", "bytes=5-9")
	r.want(t, "fgh", miss, rfc9111.StatusOK)
	if r.status != 206 || r.header.Get("Content-Range") != "bytes 5-7/26" {
		t.Errorf("%d %v", r.status, r.header)
	}
	s.askFor("/", "Range", "bytes=5-7").wantStatus(t, 206, "fgh", hit, "")
	s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, partial)
}

// What is not kept is served all the same.
func TestPartsAreBounded(t *testing.T) {
	s, d := startPartial(t)
	body := strings.Repeat(string(shieldtest.Body(1, 1<<20+7)), 20)[:20<<20]
	d.set(body, "Etag", `"1"`, "Cache-Control", cacheable)
	mib := 1 << 20
	s.askFor("/", "Range", fmt.Sprintf("bytes=%d-", 15*mib)).wantStatus(t, 206, body[15*mib:], miss, uriMiss)
	if s.store.Len() != 0 {
		t.Error("a long part is stored")
	}
	for i := range 5 {
		first, last := i*4*mib, (i+1)*4*mib-1-i // with gaps
		if r := s.askFor("/", "Range", fmt.Sprintf("bytes=%d-%d", first, last)); r.err != nil || r.body != body[first:last+1] {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
	}
	obj := s.stored("/", "partial")
	if obj == nil || obj.Response().Length != 16<<20-6 {
		t.Fatalf("%+v", obj)
	}
	_ = obj.Close()
	s.askFor("/").wantStatus(t, 200, body, miss, partial)
	s.askFor("/").wantStatus(t, 200, body, hit, "")
}

// stored looks into the store.
func (s *setup) stored(target, part string) shield.Object {
	s.t.Helper()
	key := s.request(target).Keyed.Key
	if part != "" {
		key = key.Part(part)
	}
	obj, err := s.store.Lookup(key, http.Header{})
	if err != nil {
		s.t.Fatal(err)
	}
	return obj
}

func TestStalePartsOnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := startPartial(t)
		d.set(letters, "Etag", `"1"`, "Cache-Control", "max-age=60, stale-if-error=600")
		s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
		time.Sleep(2 * time.Minute)
		s.origin.answer(always(503, "down"))
		s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", rfc9111.Stale, rfc9111.ForwardStale)
		if r := s.askFor("/", "Range", "bytes=1-9"); r.status != 503 {
			t.Errorf("%+v", r)
		}
		s.close()
	})
}

// A part whose connection breaks goes on, as any body does.
func TestPartThatIsCut(t *testing.T) {
	s, d := startPartial(t, "Etag", `"1"`)
	s.origin.answer(once(func(r *http.Request) (*http.Response, error) {
		resp, err := d.answer(r)
		resp.Body = io.NopCloser(cutShort("fgh", io.ErrUnexpectedEOF))
		return resp, err
	}, d.answer))
	s.askFor("/", "Range", "bytes=5-14").wantStatus(t, 206, letters[5:15], miss, uriMiss)
	s.wantAsked(2, "bytes=8-14", `"1"`)
	s.askFor("/", "Range", "bytes=6-14").wantStatus(t, 206, letters[6:15], hit, "")
}

// Fields that a part reserves for the one who caused it reach nobody else.
func TestPersonalFieldsOfParts(t *testing.T) {
	s, d := startPartial(t)
	d.set(letters, "Etag", `"1"`, "Cache-Control", `max-age=60, private="x-own"`, "X-Own", "1")
	for _, asked := range []string{"bytes=5-9", "bytes=8-11", ""} {
		for _, own := range []string{"1", ""} {
			r := s.get("/", "Range", asked)
			if r.err != nil || r.status != 200 || r.header.Get("X-Own") != own {
				t.Errorf("%q: %v", asked, r)
			}
		}
	}
	s.wantAsked(4, "", "") // the rest came with a field of its own
}
