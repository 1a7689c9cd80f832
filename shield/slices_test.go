package shield_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

func wantRanges(t testing.TB, a *archive, want ...string) {
	t.Helper()
	if got := a.requests(); !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// A cold body comes slice by slice, each from a flight of its own, under the head of
// the whole; and then from the store.
func TestSlicedBody(t *testing.T) {
	for _, n := range []int{1, sliceSize - 1, sliceSize, sliceSize + 1, 3*sliceSize + 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, a := startArchive(t, n, options{})
			r := s.get("/")
			r.want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
			if r.status != 200 || r.header.Get("Content-Range") != "" || r.header.Get("Etag") != tagOf(1) {
				t.Errorf("status %d, %v", r.status, r.header)
			}
			if d := r.decision; !d.Stored || d.Shield != rfc9111.TierCached || d.Forward != rfc9111.ForwardURIMiss || d.ForwardStatus != 206 {
				t.Errorf("decision %+v", d)
			}
			count := (n-1)/sliceSize + 1
			if got := a.requests(); len(got) != count || got[0] != ranges(0)[0] {
				t.Errorf("asked for %q", got)
			}
			r = s.get("/")
			r.want(t, string(a.content(1)), rfc9111.Hit, rfc9111.StatusOK)
			if d := r.decision; d.Stored || d.Shield != rfc9111.TierHit || d.TTL <= 0 || !d.HasTTL {
				t.Errorf("decision %+v", d)
			}
			wantRanges(t, a)
			if s.store.Len() != count || s.memory.fillCount() != 0 {
				t.Errorf("%d objects stored, want %d; %d in memory", s.store.Len(), count, s.memory.fillCount())
			}
			if st := s.shield.Stats(); st.Sliced != 2 || st.Changed != 0 {
				t.Errorf("%d sliced, %d changed", st.Sliced, st.Changed)
			}
		})
	}
}

// Of a cold body the slices with the bytes asked for are fetched, and the first where
// only it can tell where those are.
func TestSlicesOfRanges(t *testing.T) {
	const n = 10*sliceSize + 5
	for _, c := range []struct {
		field string
		want  []int
	}{
		{"bytes=0-0", []int{0}},
		{"bytes=65535-65536", []int{0, 1}},
		{"bytes=300000-300001", []int{4}},
		{"bytes=655360-", []int{10}},
		{"bytes=600000-99999999", []int{9, 10}},
		{"bytes=-1", []int{0, 10}},
		{"bytes=-9999999999", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{"bytes=400000-400001,100-101", []int{0, 6}},
		{"bytes=0-1,2-3", []int{0}},
		{"bytes=-9223372036854775807", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
	} {
		t.Run(c.field, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := startArchive(t, n, options{})
				parts, err := rfc9111.ParseRange(c.field, n)
				if err != nil {
					t.Fatal(err)
				}
				r := s.getRange("/", c.field)
				r.want(t, joined(a.content(1), parts), rfc9111.Miss, rfc9111.StatusOK)
				synctest.Wait()
				got, want := a.requests(), ranges(c.want...)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("asked for %q, want %q", got, want)
				}
				s.getRange("/", c.field).want(t, joined(a.content(1), parts), rfc9111.Hit, rfc9111.StatusOK)
				wantRanges(t, a)
				s.close()
			})
		})
	}
}

// A range past the end costs a look at the first slice, which tells the size for the 416.
func TestSlicesBeyondTheEnd(t *testing.T) {
	for _, field := range []string{"bytes=999999-", "bytes=9223372036854775807-", "bytes=9223372036854775806-9223372036854775807"} {
		s, a := startArchive(t, 100_000, options{})
		ans, err := s.shield.Fetch(context.Background(), s.request("/", "Range", field))
		if err != nil || ans.Head.Status != 200 || ans.Head.Length != 100_000 {
			t.Fatalf("%v, %v", ans, err)
		}
		if err := ans.Body.Close(); err != nil {
			t.Error(err)
		}
		if got := a.requests(); got[len(got)-1] != ranges(0)[0] || len(got) > 2 {
			t.Errorf("asked for %q", got)
		}
	}
}

// An answer without a body needs one slice, whichever tells the validator.
func TestSlicesAndPreconditions(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   []int
	}{
		{[]string{"If-None-Match", tagOf(1)}, []int{0}},
		{[]string{"If-Match", tagOf(2)}, []int{0}},
		{[]string{"Range", "bytes=200000-", "If-None-Match", tagOf(1)}, []int{3}},
		{[]string{"Range", "bytes=200000-", "If-Range", tagOf(1)}, []int{3}},
		{[]string{"Range", "bytes=200000-", "If-Range", tagOf(2)}, []int{3, 0}}, // the whole
	} {
		t.Run(strings.Join(c.fields, " "), func(t *testing.T) {
			s, a := startArchive(t, 4*sliceSize, options{})
			ans, err := s.shield.Fetch(context.Background(), s.request("/", c.fields...))
			if err != nil || ans.Head.Status != 200 || ans.Head.Header.Get("Etag") != tagOf(1) {
				t.Fatalf("%+v, %v", ans, err)
			}
			if err := ans.Body.Close(); err != nil {
				t.Error(err)
			}
			wantRanges(t, a, ranges(c.want...)...)
		})
	}
}

// Law 1, slice by slice: however many clients want whichever ranges, each slice is
// asked for once.
func TestSlicesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 64*sliceSize - 7
		s, a := startArchive(t, n, options{})
		a.before = func(*http.Request) { time.Sleep(time.Second) }
		content := a.content(1)
		many(200, func(i int) result {
			rnd := rand.New(rand.NewPCG(uint64(i), 5))
			first := rnd.IntN(n)
			field := fmt.Sprintf("bytes=%d-%d", first, first+rnd.IntN(5*sliceSize))
			switch i % 20 {
			case 0:
				field = fmt.Sprintf("bytes=-%d", 1+rnd.IntN(sliceSize))
			case 1:
				field = "bytes=0-"
			}
			time.Sleep(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			parts, err := rfc9111.ParseRange(field, n)
			if err != nil {
				t.Error(err)
			}
			r := s.getRange("/", field)
			if r.err != nil || r.body != joined(content, parts) {
				t.Errorf("%s: %d bytes, %v", field, len(r.body), r.err)
			}
			return r
		})
		synctest.Wait()
		got := a.requests()
		slices.Sort(got)
		var all []int
		for i := range 64 {
			all = append(all, i)
		}
		want := ranges(all...)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d requests: %q", len(got), got)
		}
		s.close()
	})
}

// One slice is fetched ahead, not more, however slow the client is.
func TestOneSliceAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 5*sliceSize, options{})
		ans, err := s.shield.Fetch(context.Background(), s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantRanges(t, a, ranges(0)...) // nothing before it is read
		p := make([]byte, 10)
		for i := range 4 {
			if _, err := ans.At.ReadAt(p, int64(i*sliceSize)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			wantRanges(t, a, ranges(i+1)...)
		}
		if err := ans.Body.Close(); err != nil {
			t.Error(err)
		}
		s.getRange("/other", "bytes=0-65530")
		synctest.Wait()
		wantRanges(t, a, ranges(0)...) // the next one is not asked for
		s.get("/third", "Cache-Control", "max-age=0")
		wantRanges(t, a, ranges(0, 1, 2, 3, 4)...)
		s.close()
	})
}

// A client that leaves ends nothing that is stored, and starts nothing more.
func TestLeavingASlicedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 8*sliceSize, options{})
		ctx, leave := context.WithCancel(context.Background())
		ans, err := s.shield.Fetch(ctx, s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		a.before = func(*http.Request) { <-release }
		done := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, ans.Body)
			done <- err
		}()
		synctest.Wait() // it waits for the second slice
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if err := ans.Body.Close(); err != nil {
			t.Error(err)
		}
		if _, err := ans.Body.Read(make([]byte, 1)); err == nil {
			t.Error("read of a closed body")
		}
		close(release)
		synctest.Wait()
		wantRanges(t, a, ranges(0, 1)...)
		if s.store.Len() != 2 {
			t.Errorf("%d slices stored", s.store.Len())
		}
		s.close()
	})
}

// Close from another goroutine ends a read.
func TestClosingASlicedBodyWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 3*sliceSize, options{})
		ans, err := s.shield.Fetch(context.Background(), s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		a.before = func(*http.Request) { <-release }
		done := make(chan error)
		go func() {
			_, err := ans.At.ReadAt(make([]byte, 10), 2*sliceSize)
			done <- err
		}()
		synctest.Wait()
		if err := ans.Body.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("error %v", err)
		}
		close(release)
		s.close()
	})
}

// A slice that is still coming is read as it comes.
func TestReadingASliceThatFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 2*sliceSize, options{})
		f := feed()
		a.change = func(r *http.Request, resp *http.Response) {
			if r.Header.Get("Range") == ranges(1)[0] {
				resp.Body = f.r
			}
		}
		content := a.content(1)
		ans, err := s.shield.Fetch(context.Background(), s.request("/", "Range", "bytes=65536-"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = f.w.Write(content[sliceSize : sliceSize+100]) }()
		got := make([]byte, 50)
		if _, err := ans.At.ReadAt(got, sliceSize+50); err != nil || string(got) != string(content[sliceSize+50:sliceSize+100]) {
			t.Errorf("%v", err)
		}
		// Going back is a new look at the slice, which is still the same flight.
		if _, err := ans.At.ReadAt(got, sliceSize); err != nil || string(got) != string(content[sliceSize:sliceSize+50]) {
			t.Errorf("%v", err)
		}
		s.origin.answer(always(404, "gone"))
		_ = f.w.CloseWithError(io.ErrUnexpectedEOF)
		if n, err := ans.At.ReadAt(got, sliceSize+90); n != 10 || !errors.Is(err, shield.ErrOriginTruncated) {
			t.Errorf("%d, %v", n, err)
		}
		if err := ans.Body.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if s.store.Len() != 0 {
			t.Error("a slice that was cut short is stored")
		}
		s.close()
	})
}

// A slice that is cut off goes on where it ended, and ends where it should.
func TestASliceThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 3*sliceSize-5, options{})
		a.change = func(r *http.Request, resp *http.Response) {
			if r.Header.Get("If-Range") == "" {
				resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, 1000), failingReader{io.ErrUnexpectedEOF}))
			}
		}
		s.get("/", "Cache-Control", "max-age=0").want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
		wantRanges(t, a, ranges(0)[0], "bytes=1000-65535", ranges(1)[0], "bytes=66536-131071", ranges(2)[0], "bytes=132072-196602")
		s.get("/").want(t, string(a.content(1)), rfc9111.Hit, rfc9111.StatusOK)

		// The rest of another version, or of more than the slice, is not the rest.
		for i, change := range []func(*http.Response){
			func(resp *http.Response) { resp.Header.Set("Etag", `"other"`) },
			func(resp *http.Response) { resp.Header.Set("Content-Range", "bytes 1000-196602/196603") },
			func(resp *http.Response) { resp.Header.Set("Content-Range", "bytes 1000-65535/65536") },
			func(resp *http.Response) { resp.Header.Set("Content-Range", "bytes 0-64535/196603") },
		} {
			cutOff := a.change
			a.change = func(r *http.Request, resp *http.Response) {
				if cutOff(r, resp); r.Header.Get("If-Range") != "" {
					change(resp)
				}
			}
			r := s.get("/" + number(i))
			if r.err == nil || r.body != string(a.content(1)[:1000]) {
				t.Errorf("%d: %d bytes, %v", i, len(r.body), r.err)
			}
			synctest.Wait()
			a.change = cutOff
		}
		if s.store.Len() != 3 {
			t.Errorf("%d objects", s.store.Len())
		}
		s.close()
	})
}

func TestHeadOfSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := startArchive(t, 3*sliceSize, options{})
		if r := s.get("HEAD /"); r.decision.Use != rfc9111.Miss || s.origin.last().Method != http.MethodHead {
			t.Errorf("cold: %+v", r.decision)
		}
		s.getRange("/", "bytes=0-0")
		a.requests()
		ans, err := s.shield.Fetch(context.Background(), s.request("HEAD /", "Range", "bytes=0-1"))
		if err != nil || ans.Head.Status != 200 || ans.Head.Length != 3*sliceSize || ans.Decision.Use != rfc9111.Hit || ans.Head.Header.Get("Content-Range") != "" {
			t.Errorf("%+v, %v", ans, err)
		}
		if err := ans.Body.Close(); err != nil {
			t.Error(err)
		}
		wantRanges(t, a)
		time.Sleep(61 * time.Second)
		if r := s.get("HEAD /"); r.decision.Use != rfc9111.Miss {
			t.Errorf("stale: %+v", r.decision)
		}
		wantRanges(t, a, "")
		s.close()
	})
}

// Slices are cut for variants apart.
func TestSlicesOfVariants(t *testing.T) {
	s, a := startArchive(t, 3*sliceSize, options{})
	a.fields = []string{"Cache-Control", cacheable, "Vary", "Accept-Language"}
	other := &archive{version: 2, size: 2*sliceSize + 1, fields: a.fields}
	s.origin.answer(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Accept-Language") == "de" {
			return other.answer(r)
		}
		return a.answer(r)
	})
	for range 2 {
		for _, r := range many(20, func(i int) result { return s.get("/", "Accept-Language", []string{"en", "de"}[i%2]) }) {
			if r.err != nil || r.body != string(a.content(1)) && r.body != string(other.content(2)) {
				t.Errorf("%d bytes, %v", len(r.body), r.err)
			}
		}
	}
	for lang, version := range map[string]*archive{"en": a, "de": other} {
		r := s.get("/", "Accept-Language", lang)
		r.want(t, string(version.content(version.version)), rfc9111.Hit, rfc9111.StatusOK)
	}
	if st := s.shield.Stats(); st.Changed != 0 {
		t.Errorf("%d changed", st.Changed)
	}
}

// A slice of another variant is as bad as one of another version.
func TestASliceThatVariesOtherwise(t *testing.T) {
	s, a := startArchive(t, 3*sliceSize, options{})
	a.change = func(r *http.Request, resp *http.Response) {
		if r.Header.Get("Range") == ranges(2)[0] {
			resp.Header.Set("Vary", "Accept-Language")
		}
	}
	for try := range 10 {
		r := s.get("/", "Accept-Language", "en")
		if r.err == nil && try > 0 { // fetched whole in the end
			r.want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
			return
		}
		if !errors.Is(r.err, shield.ErrChanged) || len(r.body) > 2*sliceSize {
			t.Fatalf("%d bytes, %v", len(r.body), r.err)
		}
	}
	t.Error("it never comes")
}

func TestOnlyIfCachedAndSlices(t *testing.T) {
	s, a := startArchive(t, 3*sliceSize, options{})
	if r := s.get("/", "Cache-Control", "only-if-cached"); !errors.Is(r.err, shield.ErrOnlyIfCached) {
		t.Errorf("error %v", r.err)
	}
	s.getRange("/", "bytes=0-100000")
	a.requests()
	s.getRange("/", "bytes=0-100000", "Cache-Control", "only-if-cached").want(t, string(a.content(1)[:100_001]), rfc9111.Hit, rfc9111.StatusOK)
	if r := s.getRange("/", "bytes=0-", "Cache-Control", "only-if-cached"); !errors.Is(r.err, shield.ErrOnlyIfCached) || r.body != "" {
		t.Errorf("%d bytes, error %v", len(r.body), r.err)
	}
	if r := s.getRange("/", "bytes=-1", "Cache-Control", "only-if-cached"); !errors.Is(r.err, shield.ErrOnlyIfCached) {
		t.Errorf("error %v", r.err)
	}
	wantRanges(t, a)
}
