package shield_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// What the origin has no more is not answered with: neither with the slice that showed it
// nor with others, not to HEAD either, and not when the origin fails later.
func TestSlicesThatAreGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		early  string // stale by the time that the origin is asked; the others are fresh
		fresh  string
		asked  string
	}{
		{"all stale", 404, "bytes=0-", "", "bytes=0-"},
		{"all stale, 410", 410, "bytes=0-", "", "bytes=0-"},
		{"one stale", 404, "bytes=140000-", "bytes=0-100000", "bytes=140000-"},
		{"one not stored", 404, "", "bytes=0-100000", "bytes=140000-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := startArchive(t, 3*sliceSize, options{policy: slicedPolicy(`, "staleIfErrorSeconds": 86400`)})
				for _, field := range []string{c.early, c.fresh} {
					if field != "" {
						s.getRange("/", field)
					}
					time.Sleep(50 * time.Second)
				}
				time.Sleep(5 * time.Second)
				s.origin.answer(always(c.status, "gone"))
				if r := s.getRange("/", c.asked); r.status != c.status || r.body != "gone" {
					t.Errorf("status %d, %d bytes, %v", r.status, len(r.body), r.err)
				}
				if n := s.store.Len(); n != 0 {
					t.Errorf("%d slices are stored", n)
				}
				if r := s.get("HEAD /"); r.status != c.status {
					t.Errorf("HEAD: status %d, %+v", r.status, r.decision)
				}
				time.Sleep(3 * time.Minute) // it is not remembered as one that cannot be stored
				s.origin.answer(always(503, "down"))
				if r := s.get("/"); r.status != 503 {
					t.Errorf("later: status %d, %d bytes, %+v", r.status, len(r.body), r.decision)
				}
				s.origin.answer(a.answer)
				s.get("/").want(t, string(a.content(1)), rfc9111.Miss, rfc9111.StatusOK)
				s.close()
			})
		})
	}
}

// endless is a body of as many slices as there may be, all bytes of which are its version.
type endless struct{ version atomic.Int32 }

func (e *endless) answer(r *http.Request) (*http.Response, error) {
	const size = sliceSize << 18
	ranges, err := rfc9111.ParseRange(r.Header.Get("Range"), size)
	if err != nil || len(ranges) != 1 {
		return nil, fmt.Errorf("range %q", r.Header.Get("Range"))
	}
	version, part := int(e.version.Load()), ranges[0]
	return respond(206, string(bytes.Repeat([]byte{byte(version)}, int(part.Length))), "Cache-Control", cacheable, "Etag", tagOf(version),
		"Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.Start, part.Start+part.Length-1, int64(size))), nil
}

// The client that meets another version does not wait until all slices of a long body are
// dropped. Those that are left are not answered with.
func TestChangeOfALongBody(t *testing.T) {
	const far = "bytes=13107200000-13107200003" // in slice 200 000
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: slicedPolicy("")})
		var e endless
		s.origin.answer(e.answer)
		s.getRange("/", far).want(t, "\x00\x00\x00\x00", rfc9111.Miss, rfc9111.StatusOK)
		s.getRange("/", "bytes=0-0")
		time.Sleep(time.Second)
		e.version.Store(1)
		if r := s.getRange("/", "bytes=0-70000"); !errors.Is(r.err, shield.ErrChanged) {
			t.Errorf("%d bytes, %v", len(r.body), r.err)
		}
		if n := s.store.Count("drop"); n < 1 || n > 2000 {
			t.Errorf("%d slices dropped", n)
		}
		s.getRange("/", far).want(t, "\x01\x01\x01\x01", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}

// When the client leaves, the rest of the slices is left too.
func TestLeavingAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &shieldtest.Memory{Fault: func(op string, _ keying.Key, _ int64) error {
			if op == "drop" {
				cancel()
			}
			return nil
		}}
		s := start(t, options{policy: slicedPolicy(""), store: store})
		var e endless
		s.origin.answer(e.answer)
		s.getRange("/", "bytes=0-0")
		time.Sleep(time.Second)
		e.version.Store(1)
		if r := s.fetch(ctx, s.request("/")); r.err == nil {
			t.Errorf("%d bytes", len(r.body))
		}
		if n := store.Count("drop"); n != 1 {
			t.Errorf("%d slices dropped", n)
		}
		s.close()
	})
}

// startOutgrown is a client in the middle of slices of which the origin has no more, and a
// whole response that is stored instead, and stale.
func startOutgrown(t *testing.T, o options) (*setup, *rfc9111.Answer) {
	t.Helper()
	s, _ := startArchive(t, 3*sliceSize, o)
	ans, err := s.shield.Fetch(context.Background(), s.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Second)
	s.origin.answer(always(200, "whole", "Cache-Control", "max-age=1, stale-if-error=600", "Etag", `"2"`))
	s.get("/").want(t, "whole", rfc9111.Miss, rfc9111.StatusOK)
	time.Sleep(5 * time.Second)
	return s, ans
}

// Who joins what was a slice's flight, just before it ends because something whole is
// stored, is answered like others.
func TestWholeFromTheFlightOfASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var whole string
		var armed atomic.Bool
		looking, look := make(chan struct{}), make(chan struct{})
		store := &shieldtest.Memory{Fault: func(op string, key keying.Key, _ int64) error {
			if op == "lookup" && key.Bytes() == whole && armed.CompareAndSwap(true, false) {
				close(looking)
				<-look
			}
			return nil
		}}
		s, ans := startOutgrown(t, options{store: store})
		whole = s.request("/").Keyed.Key.Bytes()
		armed.Store(true)
		sliced, joined := make(chan result, 1), make(chan result, 1)
		go func() { sliced <- read(ans) }()
		<-looking
		go func() { joined <- s.get("/") }()
		synctest.Wait()
		close(look)
		(<-joined).want(t, "whole", rfc9111.Miss, rfc9111.StatusOK)
		if r := <-sliced; !errors.Is(r.err, shield.ErrChanged) {
			t.Errorf("in slices: %d bytes, %v", len(r.body), r.err)
		}
		s.close()
	})
}

// An origin that fails where a slice was asked for is left alone for the whole, too.
func TestFailureForASliceAndTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ans := startOutgrown(t, options{})
		s.origin.answer(always(503, "down"))
		if r := read(ans); r.err == nil {
			t.Errorf("%d bytes", len(r.body))
		}
		asked := s.origin.count()
		r := s.get("/")
		r.want(t, "whole", rfc9111.Stale, rfc9111.StatusOK)
		if r.decision.Detail != "origin-failing" {
			t.Errorf("decision %+v", r.decision)
		}
		s.wantOrigin(asked)
		s.close()
	})
}

// A flight becomes one for the whole while those in it wait for what comes before that.
func TestInterimBeforeTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{policy: slicedPolicy("")})
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			if err := hint(r, "</a>"); err != nil {
				return nil, err
			}
			time.Sleep(time.Second)
			return respond(200, "whole", "Cache-Control", cacheable), nil
		})
		for _, r := range many(3, func(i int) result {
			time.Sleep(time.Duration(i) * time.Millisecond)
			req := s.request("/")
			heard := hearing(req)
			r := s.fetch(context.Background(), req)
			if len(*heard) != 1 {
				t.Errorf("heard %q", *heard)
			}
			return r
		}) {
			r.want(t, "whole", rfc9111.Miss, rfc9111.StatusOK)
		}
		s.wantOrigin(1)
		s.close()
	})
}
