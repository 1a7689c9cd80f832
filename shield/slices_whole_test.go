package shield_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

// What cannot be had in slices is one response under its own key, and is not tried in
// slices again.
func TestWholeInsteadOfSlices(t *testing.T) {
	const n = 3*sliceSize + 1
	span := func(first, last, size int) string { return fmt.Sprintf("bytes %d-%d/%d", first, last, size) }
	set := func(name, value string) func(*http.Request, *http.Response) {
		return func(_ *http.Request, resp *http.Response) {
			if resp.StatusCode == 206 || name == "Etag" {
				resp.Header.Set(name, value)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*http.Request, *http.Response)
		asked  int // for one client
	}{
		"no ranges": {func(r *http.Request, resp *http.Response) {
			resp.StatusCode = 200
			resp.Header.Del("Content-Range")
			body := (&archive{size: n}).content(1)
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), n
		}, 1},
		"no validator":       {func(_ *http.Request, resp *http.Response) { resp.Header.Del("Etag") }, 2},
		"a weak validator":   {set("Etag", `W/"1"`), 2},
		"too new a date":     {func(_ *http.Request, resp *http.Response) { resp.Header.Del("Etag"); stampNow(resp) }, 2},
		"another range":      {set("Content-Range", span(1, sliceSize, n)), 2},
		"less than asked":    {set("Content-Range", span(0, 9, n)), 2},
		"another length":     {set("Content-Range", span(0, sliceSize, n)), 2},
		"no size":            {set("Content-Range", fmt.Sprintf("bytes 0-%d/*", sliceSize-1)), 2},
		"a size too small":   {set("Content-Range", span(0, sliceSize-1, 5)), 2},
		"too large a size":   {set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", sliceSize-1, int64(1)<<60)), 2},
		"no range":           {func(_ *http.Request, resp *http.Response) { resp.Header.Del("Content-Range") }, 2},
		"two ranges":         {func(_ *http.Request, resp *http.Response) { resp.Header.Add("Content-Range", span(0, 1, n)) }, 2},
		"an unreadable size": {set("Content-Range", "bytes 0-65535/many"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := startArchive(t, n, options{})
				a.change = c.change
				s.get("/").want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
				s.wantOrigin(c.asked)
				s.get("/").want(t, string(a.content(1)), rfc9111.Hit, rfc9111.StatusOK)
				if s.store.Len() != 1 || s.memory.fillCount() == 0 {
					t.Errorf("%d objects, %d in memory", s.store.Len(), s.memory.fillCount())
				}
				// Another key, and many clients for all places of it.
				for _, r := range many(40, func(i int) result { return s.get("/2", "Range", fmt.Sprintf("bytes=%d-", i*n/40)) }) {
					if r.err != nil || r.body != string(a.content(1)) {
						t.Errorf("%d bytes, %v", len(r.body), r.err)
					}
				}
				s.purge("/")
				a.requests()
				s.get("/").want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
				wantRanges(t, a, "") // remembered
				time.Sleep(3 * time.Minute)
				s.purge("/")
				s.get("/")
				if got := a.requests(); len(got) != c.asked || got[0] == "" {
					t.Errorf("later asked for %q", got)
				}
				s.close()
			})
		})
	}
}

func stampNow(resp *http.Response) {
	now := time.Now().UTC().Format(http.TimeFormat)
	resp.Header.Set("Last-Modified", now)
	resp.Header.Set("Date", now)
}

// One response of an origin without ranges is enough for everybody.
func TestWholeForManyWithoutRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := shieldtest.Body(1, 20*sliceSize)
		s, _ := startArchive(t, len(body), options{})
		var sent atomic.Int64
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respondWith(200, &counted{bytes.NewReader(body), &sent}, int64(len(body)), "Cache-Control", cacheable, "Etag", `"1"`), nil
		})
		for _, r := range many(50, func(i int) result {
			time.Sleep(time.Duration(i) * time.Millisecond)
			return s.get("/", "Range", "bytes="+number(i*25000)+"-")
		}) {
			if r.err != nil || r.body != string(body) {
				t.Errorf("%d bytes, %v", len(r.body), r.err)
			}
		}
		if got := sent.Load(); got != int64(len(body)) || s.store.Len() != 1 {
			t.Errorf("%d bytes taken from the origin, %d objects", got, s.store.Len())
		}
		s.get("/").want(t, string(body), rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// By a date that is strong, slices are told apart as well.
func TestSlicesByDate(t *testing.T) {
	s, a := startArchive(t, 3*sliceSize, options{})
	a.change = func(_ *http.Request, resp *http.Response) {
		resp.Header.Del("Etag")
		resp.Header.Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
	}
	s.get("/").want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
	if s.store.Len() != 3 {
		t.Errorf("%d objects", s.store.Len())
	}
}

// The coding is part of the version.
func TestSlicesOfAnotherCoding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 3*sliceSize, options{})
		a.change = func(r *http.Request, resp *http.Response) {
			if r.Header.Get("Range") == ranges(1)[0] {
				resp.Header.Set("Content-Encoding", "gzip")
			}
		}
		if r := s.get("/"); !errors.Is(r.err, shield.ErrChanged) || r.body != string(a.content(1)[:sliceSize]) {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
		s.close()
	})
}

func TestEmptyBodyIsNotSliced(t *testing.T) {
	s, a := startArchive(t, 0, options{})
	a.change = func(r *http.Request, resp *http.Response) {
		if r.Header.Get("Range") != "" {
			resp.StatusCode = 416
			resp.Header.Set("Content-Range", "bytes */0")
		}
	}
	s.get("/").want(t, "", rfc9111.Miss, rfc9111.StatusOK)
	wantRanges(t, a, ranges(0)[0], "")
	s.get("/").want(t, "", rfc9111.Hit, rfc9111.StatusOK)
	wantRanges(t, a)
}

// Other statuses than 206 are what they would be without slices.
func TestStatusesInsteadOfSlices(t *testing.T) {
	for _, c := range []struct {
		name   string
		more   string
		answer handler
		status rfc9111.CachingStatus
		stored int
	}{
		{"not found", "", always(404, "no", "Cache-Control", cacheable), rfc9111.StatusCode, 0},
		{"not found, with a rule", `, "statusMaxAgeSeconds": {"404": 10}`, always(404, "no"), rfc9111.StatusOK, 1},
		{"moved", "", always(301, "no", "Location", "/x", "Cache-Control", cacheable), rfc9111.StatusOK, 1},
		{"down", "", always(503, "no"), rfc9111.StatusCode, 0},
		{"too many", "", always(429, "no"), rfc9111.StatusCode, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := startArchive(t, 0, options{policy: slicedPolicy(c.more)})
			s.origin.answer(c.answer)
			for range 2 {
				r := s.getRange("/", "bytes=5-")
				if r.err != nil || r.body != "no" || r.decision.Status != c.status {
					t.Errorf("%q, %v, %+v", r.body, r.err, r.decision)
				}
			}
			for _, r := range many(10, func(int) result { return s.get("/2") }) {
				if r.err != nil || r.body != "no" {
					t.Errorf("%q, %v", r.body, r.err)
				}
			}
			if s.store.Len() != 2*c.stored {
				t.Errorf("%d stored", s.store.Len())
			}
		})
	}
	s, _ := startArchive(t, 0, options{})
	s.origin.answer(refused)
	if r := s.get("/"); !errors.Is(r.err, shield.ErrOriginUnreachable) {
		t.Errorf("error %v", r.err)
	}
}

// What must not be stored is not cut either: each client gets its own answer to what it
// asked for.
func TestUncacheableIsNotSliced(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []string
	}{
		{"private", []string{"Cache-Control", "private, max-age=60"}},
		{"no-store", []string{"Cache-Control", "no-store, max-age=60"}},
		{"set-cookie", []string{"Cache-Control", cacheable, "Set-Cookie", "a=1"}},
		{"no lifetime", []string{"X", "y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, a := startArchive(t, 4*sliceSize, options{})
			a.fields = c.fields
			want := func(r result) {
				t.Helper()
				if r.err != nil || r.status != 206 || r.body != string(a.content(1)[70_000:200_001]) || r.decision.Use != rfc9111.Miss || r.decision.Stored {
					t.Errorf("%d bytes, %v, status %d, %+v", len(r.body), r.err, r.status, r.decision)
				}
			}
			want(s.get("/", "Range", "bytes=70000-200000"))
			wantRanges(t, a, ranges(1)[0], "bytes=70000-200000")
			want(s.get("/", "Range", "bytes=70000-200000"))
			wantRanges(t, a, "bytes=70000-200000")
			for _, r := range many(10, func(int) result { return s.get("/2", "Range", "bytes=70000-200000") }) {
				want(r)
			}
			if s.store.Len() != 0 || s.memory.fillCount() != 0 {
				t.Error("something was stored")
			}
			r := s.get("/")
			if r.body != string(a.content(1)) || r.status != 200 {
				t.Errorf("the whole: status %d, %d bytes, %v", r.status, len(r.body), r.err)
			}
		})
	}
}

// A request that goes alone without slices goes alone with them: its part is not cut
// into others.
func TestRequestsThatAreNotSliced(t *testing.T) {
	for _, fields := range [][]string{
		{"Authorization", "Basic x"},
		{"Cache-Control", "no-store"},
	} {
		s, a := startArchive(t, 4*sliceSize, options{})
		r := s.get("/", append(fields, "Range", "bytes=5-200000")...)
		if r.err != nil || r.status != 206 || len(r.body) != 199_996 {
			t.Errorf("%q: status %d, %d bytes, %v", fields, r.status, len(r.body), r.err)
		}
		wantRanges(t, a, "bytes=5-200000")
		r = s.get("/", fields...)
		if r.err != nil || r.body != string(a.content(1)) {
			t.Errorf("%q: status %d, %d bytes, %v", fields, r.status, len(r.body), r.err)
		}
		wantRanges(t, a, "")
	}
	s, a := startArchive(t, 4*sliceSize, options{})
	s.get("POST /")
	wantRanges(t, a, "")
}

// A stored slice is for a request with Authorization when the origin says so, and so are
// the ones after it.
func TestAuthorizedSlices(t *testing.T) {
	for _, public := range []bool{false, true} {
		s, a := startArchive(t, 4*sliceSize, options{})
		if public {
			a.fields = []string{"Cache-Control", "public, max-age=60"}
		}
		s.getRange("/", "bytes=0-0")
		r := s.get("/", "Authorization", "Basic x")
		if r.err != nil || r.body != string(a.content(1)) || (r.decision.Use == rfc9111.Hit) != public {
			t.Errorf("%v: %d bytes, %v, %+v", public, len(r.body), r.err, r.decision)
		}
		if got := s.store.Len(); public && got != 4 || !public && got != 1 {
			t.Errorf("%v: %d stored", public, got)
		}
	}
}

// Fields that are for one client go to whoever caused them, with the slices that all share.
func TestSlicesWithFieldsForOneClient(t *testing.T) {
	s, a := startArchive(t, 3*sliceSize, options{})
	a.fields = []string{"Cache-Control", `max-age=60, private="X-Own"`, "X-Own", "mine", "Vary", "Accept-Language"}
	for i := range 2 {
		r := s.get("/")
		r.want(t, string(a.content(1)), r.decision.Use, rfc9111.StatusOK)
		if own := r.header.Get("X-Own"); (own == "mine") != (i == 0) {
			t.Errorf("%d: %q", i, own)
		}
	}
	if s.store.Len() != 3 {
		t.Errorf("%d stored", s.store.Len())
	}
}

// A response that is validated before each use is sliced, and validated slice by slice,
// for each client, without one in the way of another.
func TestSlicesThatAreValidatedEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 4*sliceSize, options{})
		a.fields = []string{"Cache-Control", "no-cache, max-age=60"}
		a.before = func(*http.Request) { time.Sleep(time.Second) }
		for range 3 {
			for _, r := range many(10, func(i int) result {
				time.Sleep(time.Duration(i) * 300 * time.Millisecond)
				return s.get("/")
			}) {
				r.want(t, string(a.content(1)), rfc9111.Miss, r.decision.Status)
			}
			time.Sleep(time.Second)
		}
		if s.store.Len() != 4 {
			t.Errorf("%d stored", s.store.Len())
		}
		s.close()
	})
}

// A whole response that is stored is answered with and validated as such.
func TestStoredWholeIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shieldtest.Memory{}
		plain, a := startArchive(t, 4*sliceSize, options{policy: plainPolicy, store: store})
		plain.get("/")
		a.requests()
		s := start(t, options{policy: slicedPolicy(""), store: store})
		s.origin.answer(a.answer)
		s.getRange("/", "bytes=100000-").want(t, string(a.content(1)[100_000:]), rfc9111.Hit, rfc9111.StatusOK)
		wantRanges(t, a)
		time.Sleep(61 * time.Second)
		r := s.get("/")
		if r.body != string(a.content(1)) || r.decision.ForwardStatus != 304 {
			t.Errorf("%d bytes, %+v", len(r.body), r.decision)
		}
		wantRanges(t, a, "")
		plain.close()
		s.close()
	})
}

// Disk trouble costs requests, and no answer.
func TestSlicesAndDiskTrouble(t *testing.T) {
	for _, op := range []string{"lookup", "create", "write", "commit", "drop", "freshen", "read"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := startArchive(t, 6*sliceSize, options{shield: small()})
				s.store.Fault = func(o string, _ keying.Key, _ int64) error {
					if o == op {
						return errors.New("disk trouble")
					}
					return nil
				}
				for range 3 {
					for _, r := range many(5, func(int) result { return s.get("/") }) {
						if r.err != nil || r.body != string(a.content(1)) {
							t.Errorf("%d bytes, %v", len(r.body), r.err)
						}
					}
					time.Sleep(45 * time.Second)
				}
				s.close()
			})
		})
	}
}

// Without a store, or with one that takes no slice, nothing is sliced.
func TestNoRoomForSlices(t *testing.T) {
	for _, o := range []options{{noStore: true}, {store: &shieldtest.Memory{Limit: sliceSize - 1}}} {
		s, a := startArchive(t, 3*sliceSize, o)
		r := s.get("/")
		if r.err != nil || r.body != string(a.content(1)) {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
		wantRanges(t, a, "")
	}
}

// However slow its client and however long the body, an answer in slices holds little.
func TestMemoryOfSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = 4 << 20
		s, a := startArchive(t, 3*long, options{
			policy: fmt.Sprintf(`{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "edge": {"sliceBytes": %d}}}`, long),
			shield: small(),
		})
		slow, err := s.shield.Fetch(context.Background(), s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 1000)
		if _, err := slow.Body.Read(p); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := s.shield.Stats().StreamBytes; got > 2*(256<<10+2*64<<10) {
			t.Errorf("%d bytes in memory", got)
		}
		rest, err := io.ReadAll(slow.Body)
		if err != nil || !bytes.HasSuffix(a.content(1), rest) || len(rest) < 3*long-1000 {
			t.Errorf("%d bytes, %v", len(rest), err)
		}
		if err := slow.Body.Close(); err != nil {
			t.Error(err)
		}
		s.close()
	})
}

// Clients who hear interim responses wait for a slice that turns out to be the whole: what they compare with is
// what the flight began with.
func TestInterimBeforeTheWholeInsteadOfASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 3*sliceSize, options{})
		a.before = func(*http.Request) { time.Sleep(time.Second) }
		a.change = func(_ *http.Request, resp *http.Response) {
			resp.StatusCode = 200
			resp.Header.Del("Content-Range")
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(a.content(1))), int64(a.size)
		}
		for _, r := range many(5, func(i int) result {
			time.Sleep(time.Duration(i) * time.Millisecond)
			req := s.request("/")
			hearing(req)
			return s.fetch(t.Context(), req)
		}) {
			if r.err != nil || r.body != string(a.content(1)) {
				t.Errorf("%d bytes, %v", len(r.body), r.err)
			}
		}
		s.wantOrigin(1)
		s.close()
	})
}
