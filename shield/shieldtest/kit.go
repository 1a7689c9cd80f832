package shieldtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// TestStore checks that a store keeps the contract of shield.Store. open returns
// an empty store, which takes bodies of 8 MiB, and ends it with the test.
func TestStore(t *testing.T, open func(t *testing.T) shield.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s shield.Store)
	}{
		{"nothing stored", nothingStored},
		{"bodies come back", bodiesComeBack},
		{"length not known before", lengthUnknown},
		{"read while written", readWhileWritten},
		{"nothing of an aborted one", aborted},
		{"wrong length", wrongLength},
		{"variants", variants},
		{"replace", replace},
		{"freshen", freshen},
		{"drop", dropped},
		{"objects outlive their store's copy", outlive},
		{"many at once", manyAtOnce},
		{"census", counted},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// Key makes a key for a path.
func Key(t testing.TB, path string) keying.Key {
	t.Helper()
	keyed, err := (&keying.Spec{}).Build(&keying.Request{Method: "GET", Scheme: "http", Host: "example.com", Target: path})
	if err != nil {
		t.Fatal(err)
	}
	return keyed.Key
}

// Response makes a head that is fresh for an hour.
func Response(length int64) *rfc9111.Response {
	now := time.Now().Truncate(0)
	return &rfc9111.Response{
		Status:       200,
		Header:       http.Header{"Content-Type": {"text/plain"}, "Etag": {`"a"`}},
		RequestTime:  now,
		ResponseTime: now,
		Length:       length,
		Terms:        rfc9111.Terms{Lifetime: time.Hour},
	}
}

// Body makes n bytes that no other seed makes, half of them compressible.
func Body(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	copy(b[n/2:], bytes.Repeat([]byte("weir "), n/10))
	return b
}

func put(t *testing.T, s shield.Store, key keying.Key, resp *rfc9111.Response, body []byte) {
	t.Helper()
	w, err := s.Create(key, resp)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	for rest := body; len(rest) > 0; {
		n := min(len(rest), 10_000)
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatalf("write: %v", err)
		}
		rest = rest[n:]
	}
	final := *resp
	final.Length = int64(len(body))
	if err := w.Commit(&final); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func lookup(t *testing.T, s shield.Store, key keying.Key, h http.Header) shield.Object {
	t.Helper()
	o, err := s.Lookup(key, h)
	if err != nil {
		t.Fatalf("look-up: %v", err)
	}
	return o
}

func wantBody(t *testing.T, s shield.Store, key keying.Key, h http.Header, want []byte) {
	t.Helper()
	o := lookup(t, s, key, h)
	if o == nil {
		t.Fatalf("nothing stored, want %d bytes", len(want))
	}
	defer closeObject(t, o)
	if got := o.Response().Length; got != int64(len(want)) {
		t.Errorf("length %d, want %d", got, len(want))
	}
	wantRead(t, o, want)
}

func wantRead(t *testing.T, r io.ReaderAt, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := r.ReadAt(got, 0); n != len(want) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("read %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes than were written")
	}
	for range 20 {
		if len(want) == 0 {
			break
		}
		off := rand.IntN(len(want))
		p := make([]byte, 1+rand.IntN(len(want)-off))
		if n, err := r.ReadAt(p, int64(off)); n != len(p) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("read %d of %d bytes at %d: %v", n, len(p), off, err)
		}
		if !bytes.Equal(p, want[off:off+len(p)]) {
			t.Fatalf("other bytes at %d", off)
		}
	}
	if n, err := r.ReadAt(make([]byte, 1), int64(len(want))); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read at the end: %d bytes and %v, want io.EOF", n, err)
	}
}

func closeObject(t *testing.T, o shield.Object) {
	t.Helper()
	if err := o.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func wantNothing(t *testing.T, s shield.Store, key keying.Key, h http.Header) {
	t.Helper()
	if o := lookup(t, s, key, h); o != nil {
		closeObject(t, o)
		t.Error("something is stored, want nothing")
	}
}

func nothingStored(t *testing.T, s shield.Store) {
	key := Key(t, "/")
	wantNothing(t, s, key, http.Header{})
	if v := s.Varies(key); len(v) != 0 {
		t.Errorf("varies by %q", v)
	}
	if err := s.Drop(key, ""); err != nil {
		t.Errorf("drop: %v", err)
	}
	if s.MaxObject() < 8<<20 {
		t.Errorf("takes only %d bytes", s.MaxObject())
	}
}

var sizes = []int{0, 1, 1000, 4096, 64 << 10, 64<<10 + 1, 1 << 20, 3<<20 + 17}

func bodiesComeBack(t *testing.T, s shield.Store) {
	for i, n := range sizes {
		put(t, s, Key(t, fmt.Sprint("/", n)), Response(int64(n)), Body(uint64(i), n))
	}
	for i, n := range sizes {
		wantBody(t, s, Key(t, fmt.Sprint("/", n)), http.Header{}, Body(uint64(i), n))
	}
	o := lookup(t, s, Key(t, "/1000"), http.Header{})
	defer closeObject(t, o)
	if got := o.Response(); got.Status != 200 || got.Header.Get("Etag") != `"a"` || got.Terms.Lifetime != time.Hour {
		t.Errorf("head came back as %+v", got)
	}
}

func lengthUnknown(t *testing.T, s shield.Store) {
	for i, n := range sizes {
		key := Key(t, fmt.Sprint("/", n))
		put(t, s, key, Response(-1), Body(uint64(i), n))
		wantBody(t, s, key, http.Header{}, Body(uint64(i), n))
	}
}

func readWhileWritten(t *testing.T, s shield.Store) {
	body := Body(1, 2<<20)
	w, err := s.Create(Key(t, "/"), Response(-1))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(body); at += 100_000 {
		end := min(at+100_000, len(body))
		if _, err := w.Write(body[at:end]); err != nil {
			t.Fatal(err)
		}
		wantRead(t, w, body[:end])
	}
	wantNothing(t, s, Key(t, "/"), http.Header{})
	final := Response(int64(len(body)))
	if err := w.Commit(final); err != nil {
		t.Fatal(err)
	}
	wantBody(t, s, Key(t, "/"), http.Header{}, body)
}

func aborted(t *testing.T, s shield.Store) {
	key := Key(t, "/")
	put(t, s, key, Response(10), Body(1, 10))
	w, err := s.Create(key, Response(-1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(Body(2, 200_000)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	wantBody(t, s, key, http.Header{}, Body(1, 10))
}

func wrongLength(t *testing.T, s shield.Store) {
	key := Key(t, "/")
	w, err := s.Create(key, Response(-1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(Body(1, 10)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(Response(11)); err == nil {
		t.Error("committed a body that is shorter than its head says")
	}
	w.Abort()
	wantNothing(t, s, key, http.Header{})
}

func selected(t *testing.T, resp *rfc9111.Response, h http.Header) *rfc9111.Response {
	t.Helper()
	sel, ok := rfc9111.Select([]string{"Accept-Language"}, h)
	if !ok {
		t.Fatal("no selection")
	}
	resp.Selection = sel
	return resp
}

func variants(t *testing.T, s shield.Store) {
	key := Key(t, "/")
	de, en := http.Header{"Accept-Language": {"de"}}, http.Header{"Accept-Language": {"en"}}
	put(t, s, key, selected(t, Response(10), de), Body(1, 10))
	wantNothing(t, s, key, en)
	if v := s.Varies(key); len(v) != 1 || !v[0].Matches(de) {
		t.Errorf("varies by %q", v)
	}
	put(t, s, key, selected(t, Response(20), en), Body(2, 20))
	wantBody(t, s, key, de, Body(1, 10))
	wantBody(t, s, key, en, Body(2, 20))
	if err := s.Drop(key, selected(t, Response(0), de).Selection); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, s, key, de)
	wantBody(t, s, key, en, Body(2, 20))
	if err := s.Drop(key, ""); err != nil {
		t.Fatal(err)
	}
	wantBody(t, s, key, en, Body(2, 20))
}

func replace(t *testing.T, s shield.Store) {
	key := Key(t, "/")
	for i, n := range []int{100, 200_000, 50} {
		put(t, s, key, Response(int64(n)), Body(uint64(i), n))
		wantBody(t, s, key, http.Header{}, Body(uint64(i), n))
	}
}

func freshen(t *testing.T, s shield.Store) {
	key := Key(t, "/")
	old := Response(100_000)
	put(t, s, key, old, Body(1, 100_000))
	fresh := Response(100_000)
	fresh.Header.Set("X-New", "1")
	fresh.Epoch = 7
	other := Response(100_000)
	other.Header.Set("Etag", `"another"`)
	if err := s.Freshen(key, other, fresh); !errors.Is(err, shield.ErrReplaced) {
		t.Errorf("a head over the body of another: %v", err)
	}
	if err := s.Freshen(key, old, fresh); err != nil {
		t.Fatal(err)
	}
	wantBody(t, s, key, http.Header{}, Body(1, 100_000))
	o := lookup(t, s, key, http.Header{})
	defer closeObject(t, o)
	if got := o.Response(); got.Header.Get("X-New") != "1" || got.Epoch != 7 {
		t.Errorf("head after freshen: %+v", got)
	}
}

func dropped(t *testing.T, s shield.Store) {
	key, other := Key(t, "/"), Key(t, "/other")
	put(t, s, key, Response(10), Body(1, 10))
	put(t, s, other, Response(10), Body(2, 10))
	if err := s.Drop(key, ""); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, s, key, http.Header{})
	wantBody(t, s, other, http.Header{}, Body(2, 10))
}

func outlive(t *testing.T, s shield.Store) {
	key := Key(t, "/")
	body := Body(1, 500_000)
	put(t, s, key, Response(int64(len(body))), body)
	o := lookup(t, s, key, http.Header{})
	put(t, s, key, Response(5), Body(2, 5))
	wantRead(t, o, body)
	if err := s.Drop(key, ""); err != nil {
		t.Fatal(err)
	}
	wantRead(t, o, body)
	closeObject(t, o)
}

func manyAtOnce(t *testing.T, s shield.Store) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				key := Key(t, fmt.Sprint("/", (g+i)%5))
				// Every body under a key is the same, so that any of them is right.
				put(t, s, key, Response(30_000), Body(uint64((g+i)%5), 30_000))
				if o := lookup(t, s, key, http.Header{}); o != nil {
					wantRead(t, o, Body(uint64((g+i)%5), 30_000))
					closeObject(t, o)
				}
			}
		})
	}
	wg.Wait()
}
