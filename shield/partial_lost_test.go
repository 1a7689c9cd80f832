package shield_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"weir/keying"
	"weir/shield"
	"weir/shield/shieldtest"
)

func TestPurgesCoverParts(t *testing.T) {
	s, _ := startPartial(t, "Etag", `"1"`)
	for range 2 {
		s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
		s.purge("/")
	}
	s.askFor("/").wantStatus(t, 200, letters, miss, uriMiss)
	s.wantAsked(3, "", "")
	if r := s.askFor("/other", "Cache-Control", "only-if-cached", "Range", "bytes=5-9"); !errors.Is(r.err, shield.ErrOnlyIfCached) {
		t.Errorf("%+v", r)
	}
}

// A purge while a part is fetched: who waits gets it, and nothing is stored.
func TestPurgeWhileAPartIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := startPartial(t, "Etag", `"1"`)
		g := closed(d.answer)
		s.origin.answer(g.handle)
		var wg sync.WaitGroup
		wg.Go(func() { s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss) })
		synctest.Wait()
		s.purge("/")
		close(g.open)
		wg.Wait()
		synctest.Wait()
		if s.store.Len() != 0 {
			t.Error("stored")
		}
		s.close()
	})
}

// Parts that cannot be read are gone, and the origin has what is missing then.
func TestDamagedParts(t *testing.T) {
	var broken bool
	store := &shieldtest.Memory{Fault: func(op string, key keying.Key, _ int64) error {
		if op == "read" && broken {
			return io.ErrUnexpectedEOF
		}
		return nil
	}}
	for name, asked := range map[string]string{"part": "bytes=6-7", "whole": ""} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{policy: partialPolicy, store: store})
			d := &document{}
			d.set(letters, "Etag", `"1"`, "Cache-Control", cacheable)
			s.origin.answer(d.answer)
			target := "/" + name
			s.askFor(target, "Range", "bytes=5-9").wantStatus(t, 206, "fghij", miss, uriMiss)
			broken = true
			defer func() { broken = false }()
			if asked == "" {
				s.askFor(target).wantStatus(t, 200, letters, miss, partial)
			} else {
				s.askFor(target, "Range", asked).wantStatus(t, 206, "gh", miss, uriMiss)
			}
		})
	}
}
