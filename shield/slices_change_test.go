package shield_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

// wantVersion looks into the store: no slice is of another version.
func wantVersion(t testing.TB, s *setup, target string, version int) {
	t.Helper()
	for i := range 64 {
		key := s.request(target).Keyed.Key.Part("slice " + number(sliceSize) + " " + number(i))
		obj, err := s.store.Lookup(key, http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if obj == nil {
			continue
		}
		if tag := obj.Response().Header.Get("Etag"); tag != tagOf(version) {
			t.Errorf("slice %d is of %s", i, tag)
		}
		if err := obj.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A version that comes in the middle of an answer ends it; the next one is all of the
// new version.
func TestChangeInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 6*sliceSize, options{})
		s.getRange("/", "bytes=0-200000") // slices 0 to 3
		time.Sleep(time.Second)
		a.update(2)
		r := s.get("/")
		if !errors.Is(r.err, shield.ErrChanged) || r.body != string(a.content(1)[:4*sliceSize]) {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
		time.Sleep(time.Second)
		wantVersion(t, s, "/", 2)
		s.get("/").want(t, string(a.content(2)), rfc9111.Miss, rfc9111.StatusOK)
		s.get("/").want(t, string(a.content(2)), rfc9111.Hit, rfc9111.StatusOK)
		if st := s.shield.Stats(); st.Changed != 1 {
			t.Errorf("%d changed", st.Changed)
		}
		s.close()
	})
}

// Many clients are in the middle of an old version. Each of them ends with a part of it,
// and each slice of the new one is fetched once.
func TestChangeForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 8*sliceSize, options{})
		s.getRange("/", "bytes=0-300000") // slices 0 to 4
		time.Sleep(time.Second)
		a.update(2)
		a.before = func(*http.Request) { time.Sleep(time.Second) }
		old := string(a.content(1)[:5*sliceSize])
		results := many(50, func(i int) result {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond)
			return s.get("/")
		})
		aborted := 0
		for _, r := range results {
			switch {
			case errors.Is(r.err, shield.ErrChanged) && strings.HasPrefix(old, r.body):
				aborted++
			case r.err != nil || r.body != string(a.content(2)):
				t.Errorf("%d bytes, %v", len(r.body), r.err)
			}
		}
		if aborted == 0 || aborted == len(results) {
			t.Errorf("%d of %d aborted", aborted, len(results))
		}
		wantVersion(t, s, "/", 2)
		if got := a.requests(); len(got) > 5+8+2 {
			t.Errorf("%d requests: %q", len(got), got)
		}
		if a.most > 1 {
			t.Errorf("a slice was asked for %d times at once", a.most)
		}
		s.close()
	})
}

// Before anything went out, the answer starts over with the new version.
func TestChangeBeforeTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 6*sliceSize, options{})
		s.getRange("/", "bytes=0-0")
		time.Sleep(time.Second)
		a.update(2)
		r := s.getRange("/", "bytes=-10")
		r.want(t, string(a.content(2)[6*sliceSize-10:]), rfc9111.Miss, rfc9111.StatusOK)
		if r.header.Get("Etag") != tagOf(2) {
			t.Errorf("head %v", r.header)
		}
		wantVersion(t, s, "/", 2)
		s.close()
	})
}

// An origin whose servers disagree is asked for the whole.
func TestVersionsBackAndForth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 6*sliceSize, options{})
		servers := []*archive{a, {version: 2, size: a.size}}
		var turn atomic.Int32
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Millisecond)
			return servers[turn.Add(1)%2].answer(r)
		})
		for range 10 {
			r := s.get("/")
			if r.err == nil {
				if r.body != string(a.content(1)) && r.body != string(a.content(2)) {
					t.Error("versions are mixed")
				}
				s.close()
				return
			}
			for version := range 3 {
				if len(r.body) > 0 && bytes.HasPrefix(a.content(version), []byte(r.body)) && errors.Is(r.err, shield.ErrChanged) {
					r.err = nil
				}
			}
			if r.err != nil {
				t.Fatalf("%d bytes, %v", len(r.body), r.err)
			}
		}
		t.Error("it never comes")
	})
}

// Each slice is validated by itself.
func TestValidationOfSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 4*sliceSize, options{})
		s.get("/")
		time.Sleep(61 * time.Second)
		a.requests()
		whole := 0
		a.change = func(_ *http.Request, resp *http.Response) {
			if resp.StatusCode != 304 {
				whole++
			}
		}
		for _, r := range many(10, func(int) result { return s.get("/") }) {
			r.want(t, string(a.content(1)), r.decision.Use, rfc9111.StatusOK)
		}
		r := s.get("/")
		r.want(t, string(a.content(1)), rfc9111.Hit, rfc9111.StatusOK)
		if whole != 0 {
			t.Errorf("%d slices were sent again", whole)
		}
		if got := a.requests(); len(got) != 4 {
			t.Errorf("asked for %q", got)
		}
		s.close()
	})
}

// Slices of one version, of which some are stale: what validation brings is another
// version, so the answer ends and the next one is right.
func TestValidationThatBringsANewVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 4*sliceSize, options{})
		s.getRange("/", "bytes=150000-150000") // slice 2
		time.Sleep(50 * time.Second)
		s.getRange("/", "bytes=0-100000")
		s.getRange("/", "bytes=200000-200000")
		time.Sleep(20 * time.Second)
		a.update(2)
		r := s.get("/")
		if !errors.Is(r.err, shield.ErrChanged) || r.body != string(a.content(1)[:2*sliceSize]) {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
		time.Sleep(time.Second)
		s.get("/").want(t, string(a.content(2)), rfc9111.Miss, rfc9111.StatusOK)
		wantVersion(t, s, "/", 2)
		s.close()
	})
}

// A stale slice is answered with and refreshed behind the answer. A new version replaces
// the old one slice by slice without an abort, as long as nobody needs both.
func TestStaleSlicesAreRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 4*sliceSize, options{})
		a.fields = []string{"Cache-Control", "max-age=60, stale-while-revalidate=600"}
		s.get("/")
		time.Sleep(61 * time.Second)
		a.update(2)
		r := s.getRange("/", "bytes=0-100000")
		r.want(t, string(a.content(1)[:100_001]), rfc9111.Stale, rfc9111.StatusOK)
		synctest.Wait()
		// Slices 0 and 1 are new by now, and 2 and 3 are stale ones of the old version.
		s.get("/").want(t, string(a.content(2)), rfc9111.Hit, rfc9111.StatusOK)
		s.get("/").want(t, string(a.content(2)), rfc9111.Hit, rfc9111.StatusOK)
		if st := s.shield.Stats(); st.Changed != 0 {
			t.Errorf("%d changed", st.Changed)
		}
		s.close()
	})
}

// With an origin that fails, stale slices are used inside their window; a slice that is
// not stored ends the body.
func TestSlicesWhenTheOriginFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 4*sliceSize, options{})
		a.fields = []string{"Cache-Control", "max-age=60, stale-if-error=600"}
		s.getRange("/", "bytes=0-150000") // 0 to 2
		time.Sleep(61 * time.Second)
		s.origin.answer(always(503, "down"))
		r := s.getRange("/", "bytes=100-150000")
		r.want(t, string(a.content(1)[100:150_001]), rfc9111.Stale, rfc9111.StatusOK)
		if r = s.get("/"); !errors.Is(r.err, shield.ErrOriginFailed) || r.body != string(a.content(1)[:3*sliceSize]) {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
		if r = s.getRange("/", "bytes=200000-"); r.status != 503 || r.body != "down" {
			t.Errorf("status %d, %v", r.status, r.err)
		}
		s.origin.answer(a.answer)
		time.Sleep(10 * time.Second)
		s.get("/").want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
		if st := s.shield.Stats(); st.Changed != 0 {
			t.Errorf("%d changed", st.Changed)
		}
		s.close()
	})
}

// An error status before the head is the answer, whichever slice it is for.
func TestErrorForTheSliceWithTheFirstByte(t *testing.T) {
	s, a := startArchive(t, 4*sliceSize, options{})
	s.getRange("/", "bytes=0-0")
	s.origin.answer(always(503, "down"))
	if r := s.get("/", "Range", "bytes=-1"); r.status != 503 || r.body != "down" || r.decision.Use != rfc9111.Miss {
		t.Errorf("status %d, %q, %v", r.status, r.body, r.err)
	}
	s.origin.answer(a.answer)
	s.getRange("/", "bytes=-1").want(t, string(a.content(1)[4*sliceSize-1:]), rfc9111.Miss, rfc9111.StatusOK)
}

// A response that can no longer be had in slices in the middle of an answer ends it, and
// the next one is what the origin has by then.
func TestSlicesThatEndInTheMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*http.Request, *http.Response)
		status int
	}{
		"gone": {func(_ *http.Request, resp *http.Response) { *resp = *respond(404, "gone") }, 404},
		"short": {func(_ *http.Request, resp *http.Response) {
			*resp = *respond(416, "", "Content-Range", "bytes */5")
		}, 0},
		"private":      {func(_ *http.Request, resp *http.Response) { resp.Header.Set("Cache-Control", "private") }, 200},
		"no validator": {func(_ *http.Request, resp *http.Response) { resp.Header.Del("Etag") }, 200},
		"not by range": {func(_ *http.Request, resp *http.Response) {
			*resp = *respond(200, "all", "Cache-Control", cacheable, "Etag", tagOf(1))
		}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := startArchive(t, 4*sliceSize, options{})
				s.getRange("/", "bytes=0-100000")
				time.Sleep(time.Second)
				a.change = c.change
				r := s.get("/")
				if !errors.Is(r.err, shield.ErrChanged) || r.body != string(a.content(1)[:2*sliceSize]) {
					t.Errorf("%d bytes, %v", len(r.body), r.err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if r = s.get("/"); r.err != nil || c.status != 0 && r.status != c.status || len(r.body) == 2*sliceSize {
					t.Errorf("then: status %d, %d bytes, %v", r.status, len(r.body), r.err)
				}
				s.close()
			})
		})
	}
}

// A purge of the URL is one of all its slices.
func TestPurgeOfSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 4*sliceSize, options{})
		s.get("/")
		s.purge("/")
		a.update(2)
		for i := range 4 {
			r := s.getRange("/", "bytes="+number(i*sliceSize)+"-")
			if r.err != nil || r.body != string(a.content(2)[i*sliceSize:]) {
				t.Errorf("slice %d: %d bytes, %v", i, len(r.body), r.err)
			}
			s.purge("/")
		}
		s.close()
	})
}

// A purge in the middle of an answer: its client gets the old version to the end, as far
// as the origin still has it, or an abort, and nothing old is stored as fresh.
func TestPurgeInTheMiddle(t *testing.T) {
	for _, changes := range []bool{false, true} {
		for _, stored := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s, a := startArchive(t, 6*sliceSize, options{})
				if stored {
					s.get("/")
					time.Sleep(time.Second)
				}
				// A slice is on its way when the purge comes.
				f := feed()
				content := a.content(1)
				var purged atomic.Bool
				a.change = func(r *http.Request, resp *http.Response) {
					if !stored && r.Header.Get("Range") == ranges(2)[0] && !purged.Load() {
						resp.Body = f.r
					}
				}
				ans, err := s.shield.Fetch(context.Background(), s.request("/"))
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 2*sliceSize+100)
				go func() { _, _ = f.w.Write(content[2*sliceSize : 2*sliceSize+100]) }()
				if _, err := io.ReadFull(ans.Body, got); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				s.purge("/")
				purged.Store(true)
				if changes {
					a.update(2)
				}
				go func() {
					_, _ = f.w.Write(content[2*sliceSize+100 : 3*sliceSize])
					_ = f.w.Close()
				}()
				rest, err := io.ReadAll(ans.Body)
				got = append(got, rest...)
				if changes && (!errors.Is(err, shield.ErrChanged) || !bytes.Equal(got, content[:3*sliceSize])) ||
					!changes && (err != nil || !bytes.Equal(got, content)) {
					t.Errorf("%v: %d bytes, %v", changes, len(got), err)
				}
				if err := ans.Body.Close(); err != nil {
					t.Error(err)
				}
				_ = f.w.Close()
				synctest.Wait()
				version := 1
				if changes {
					version = 2
				}
				time.Sleep(time.Second)
				s.get("/").want(t, string(a.content(version)), rfc9111.Miss, rfc9111.StatusOK)
				s.get("/").want(t, string(a.content(version)), rfc9111.Hit, rfc9111.StatusOK)
				s.close()
			})
		}
	}
}

// A slice that was evicted is fetched again, whenever that is noticed.
func TestEvictedSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 6*sliceSize, options{})
		s.get("/")
		synctest.Wait() // for flights that are about to end
		a.requests()
		ans, err := s.shield.Fetch(context.Background(), s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if i == 2 || i == 4 {
				continue
			}
			if err := s.store.Drop(s.request("/").Keyed.Key.Part("slice 65536 "+number(i)), ""); err != nil {
				t.Fatal(err)
			}
		}
		r := read(ans)
		r.want(t, string(a.content(1)), rfc9111.Hit, rfc9111.StatusOK)
		synctest.Wait()
		wantRanges(t, a, ranges(1, 3, 5)...) // slice 0 was open
		s.close()
	})
}
