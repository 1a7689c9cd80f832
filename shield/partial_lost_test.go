package shield_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
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

// A range costs what it copies: many small ones are not all kept.
func TestSmallPartsDoNotCopyForEver(t *testing.T) {
	s, d := startPartial(t)
	d.set(strings.Repeat(letters, 200_000), "Etag", `"1"`, "Cache-Control", cacheable)
	ask := func(first, n int) {
		s.askFor("/", "Range", fmt.Sprintf("bytes=%d-%d", first, first+n-1))
	}
	held := func() (bytes int64, ranges int) {
		obj := s.stored("/", "partial")
		defer func() { _ = obj.Close() }()
		parts := obj.Response().Parts
		return parts.Bytes(), len(parts.Held)
	}
	for i := range 100 {
		ask(10*i, 1)
	}
	if bytes, ranges := held(); bytes != 64 || ranges != 64 {
		t.Errorf("%d bytes in %d ranges", bytes, ranges)
	}
	s.purge("/")
	const mib = 1 << 20
	ask(0, 2*mib)
	ask(3*mib, 1)
	if bytes, _ := held(); bytes != 2*mib {
		t.Errorf("with one byte more: %d bytes", bytes)
	}
	ask(3*mib, mib/4)
	if bytes, _ := held(); bytes != 2*mib+mib/4 {
		t.Errorf("with a long one more: %d bytes", bytes)
	}
}

// The purge comes while older parts are copied, and names a tag that the newer ones lack.
func TestPurgeWhilePartsAreCopied(t *testing.T) {
	var s *setup
	armed := false
	store := &shieldtest.Memory{Fault: func(op string, _ keying.Key, _ int64) error {
		if armed && op == "commit" {
			if _, err := s.purges.Add(shield.TagRule("old")); err != nil {
				t.Error(err)
			}
		}
		return nil
	}}
	s = start(t, options{policy: partialPolicy, store: store})
	d := &document{}
	s.origin.answer(d.answer)
	d.set(letters, "Etag", `"1"`, "Cache-Control", cacheable, "Cache-Tag", "old")
	s.askFor("/", "Range", "bytes=0-4").wantStatus(t, 206, letters[:5], miss, uriMiss)
	d.set(letters, "Etag", `"1"`, "Cache-Control", cacheable, "Cache-Tag", "new")
	armed = true
	s.askFor("/", "Range", "bytes=5-9").wantStatus(t, 206, letters[5:10], miss, partial)
	if s.store.Len() != 0 {
		t.Error("what was purged is stored")
	}
}
