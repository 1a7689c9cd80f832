package shield_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// Whatever the target is, the origin sees these bytes or no request.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{"/", "//x", "//a|b", "/a?b=%zz;c", "*", "", "/%2f..", "?", "a:b", "http://x/", "//?", "/\x00", "/\r\nX: 1"} {
		f.Add(target)
	}
	s := start(f, options{})
	s.origin.answer(always(200, "", "Cache-Control", "no-store"))
	options := s.request("OPTIONS /")
	f.Fuzz(func(t *testing.T, target string) {
		if len(target) > 8<<10 {
			return
		}
		req := *options
		req.Target = target
		before := s.origin.count()
		r := s.fetch(context.Background(), &req)
		switch {
		case r.err == nil:
			if got := s.origin.last().URL.RequestURI(); got != target {
				t.Errorf("%q was forwarded as %q", target, got)
			}
		case !errors.Is(r.err, shield.ErrTarget) || s.origin.count() != before:
			t.Errorf("%q: %v", target, r.err)
		}
	})
}

// A purge log may be damaged: what is not understood is refused, never skipped.
func FuzzReplay(f *testing.F) {
	f.Add(uint64(1), []byte("u0123456789abcdef"))
	f.Add(uint64(2), []byte("a"))
	f.Add(uint64(3), []byte(""))
	f.Add(uint64(4), []byte("s12"))
	f.Add(uint64(5), []byte("n0123456789abcdef"))
	f.Add(uint64(6), []byte("m12"))
	f.Add(uint64(7), []byte("i0123456789abcdef"))
	f.Add(uint64(8), []byte("v0123456789abcdef"))
	f.Add(uint64(9), []byte("y"))
	f.Add(uint64(math.MaxUint64), []byte("u"))
	f.Fuzz(func(t *testing.T, epoch uint64, rule []byte) {
		log := &memoryLog{epochs: []uint64{epoch}, rules: [][]byte{rule}}
		p, err := shield.NewPurges(log)
		if err != nil {
			return
		}
		if bytes.IndexByte([]byte("ivwxy"), rule[0]) >= 0 { // no rules about responses: whatever is stored is older than the log
			if !p.Purged(keying.Key{}, &rfc9111.Response{Epoch: epoch}) || p.Current() <= epoch && epoch < math.MaxUint64 {
				t.Errorf("log that only begins, at epoch %d: current %d", epoch, p.Current())
			}
			return
		}
		base := keying.Key{}.Base()
		named := string(rule) == "a" || string(rule) == "s"+string(base[:2]) || string(rule) == "u"+string(base[:])
		if epoch > 0 && p.Purged(keying.Key{}, &rfc9111.Response{Epoch: epoch - 1}) != named {
			t.Errorf("rule %q: purged is not %v", rule, named)
		}
		if p.Current() != epoch {
			t.Errorf("current epoch %d, want %d", p.Current(), epoch)
		}
	})
}
