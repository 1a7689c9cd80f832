package l2_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/l2"
)

// The folder stays within budget plus one segment while five times the budget passes, and what is asked for again
// and again survives it.
func TestBudget(t *testing.T) {
	dir := t.TempDir()
	opts := l2.Options{MaxBytes: 4 << 20}
	s := open(t, dir, opts)
	const segment = 512 << 10
	hot := content(1, 8000)
	put(t, s, key(t, "/hot"), response(8000, "1"), hot)
	for i := range 3000 {
		body := content(uint64(i), 7000)
		put(t, s, key(t, fmt.Sprint("/", i)), response(7000, "1"), body)
		wantBody(t, s, key(t, "/hot"), hot)
		if i%20 == 0 {
			if n := folder(t, dir); n > opts.MaxBytes+segment {
				t.Fatalf("after %d objects the folder is %d bytes", i, n)
			}
		}
		if i%700 == 699 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, opts)
		}
	}
	sync(t, s)
	st := s.Stats()
	if st.Objects < 300 || st.Damaged != 0 || st.Failures != 0 {
		t.Errorf("%+v", st)
	}
	if st.Disk > opts.MaxBytes+segment || st.Disk < opts.MaxBytes*3/4 {
		t.Errorf("%d bytes of %d are used", st.Disk, opts.MaxBytes)
	}
	found := 0
	for i := range 3000 {
		if resp, b := get(t, s, key(t, fmt.Sprint("/", i)), nil); resp != nil {
			found++
			if string(b) != string(content(uint64(i), 7000)) {
				t.Fatalf("object %d has wrong bytes", i)
			}
		}
	}
	if found != st.Objects-1 {
		t.Errorf("%d of %d objects found", found, st.Objects)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir)
}

// filler stores n objects of 60,000 bytes that are asked for once each, and waits for their place.
func filler(t *testing.T, s *l2.Store, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		put(t, s, key(t, fmt.Sprint("/filler", i)), response(60_000, "1"), content(uint64(i), 60_000))
		if o := must(s.Lookup(key(t, fmt.Sprint("/filler", i)), nil)); o != nil {
			_ = o.Close()
		}
	}
	sync(t, s)
}

func TestLargeObjectIsCarriedSegmentBySegment(t *testing.T) {
	dir := t.TempDir()
	opts := l2.Options{MaxBytes: 16 << 20, SegmentBytes: 1 << 20}
	s := open(t, dir, opts)
	want := content(1, 3<<20)
	large := make([]*l2.Writer, 3) // side by side, so that each segment holds a part of each
	for i := range large {
		large[i] = must(s.Create(key(t, fmt.Sprint("/large", i)), response(-1, "1")))
	}
	for part := range slices.Chunk(want, 50_000) {
		for _, w := range large {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range large {
		if err := w.Commit(nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 45 {
		filler(t, s, 17*i, 17)
		if i%5 == 0 {
			wantBody(t, s, key(t, "/large0"), want)
		} else if o := must(s.Lookup(key(t, "/large0"), nil)); o == nil {
			t.Fatalf("lost after %d", i)
		} else {
			_ = o.Close()
		}
		if n := folder(t, dir); n > opts.MaxBytes+opts.SegmentBytes {
			t.Fatalf("the folder is %d bytes", n)
		}
	}
	wantMiss(t, s, key(t, "/large1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := l2.Verify(dir); err != nil || len(r.Damage) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Who reads an object, or one that is still being written, reads on when its segments are dropped and when the store is closed.
func TestReadersOutliveWhatTheyRead(t *testing.T) {
	s := open(t, t.TempDir(), l2.Options{MaxBytes: 4 << 20, SegmentBytes: 256 << 10})
	want := content(1, 600_000)
	put(t, s, key(t, "/read"), response(-1, "1"), want)
	early := must(s.Lookup(key(t, "/read"), nil)) // not on disk yet
	sync(t, s)
	late := must(s.Lookup(key(t, "/read"), nil))
	w := must(s.Create(key(t, "/written"), response(-1, "1")))
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		filler(t, s, 1000*i, 100)
	}
	if o := must(s.Lookup(key(t, "/read"), nil)); o != nil {
		_ = o.Close()
		t.Error("it was not dropped")
	}
	if err := w.Commit(nil); !errors.Is(err, l2.ErrDropped) {
		t.Errorf("commit of what was dropped: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]*l2.Object{"early": early, "late": late} {
		got := make([]byte, len(want))
		if _, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSmallerBudget(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, l2.Options{MaxBytes: 16 << 20, SegmentBytes: 512 << 10})
	filler(t, s, 0, 240)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, l2.Options{MaxBytes: 4 << 20, SegmentBytes: 512 << 10})
	sync(t, s)
	if n := folder(t, dir); n > 4<<20+512<<10 {
		t.Errorf("the folder is %d bytes", n)
	}
	if st := s.Stats(); st.Objects < 30 {
		t.Errorf("%+v", st)
	}
}

// What has passed all its windows and has no validator answers nothing more: it is not carried over.
func TestExpiredObjectsAreLeftBehind(t *testing.T) {
	s := open(t, t.TempDir(), l2.Options{MaxBytes: 4 << 20, SegmentBytes: 256 << 10})
	resp := response(20_000, "1")
	resp.Header.Del("Etag")
	resp.ResponseTime = time.Now().Add(-2 * time.Hour)
	put(t, s, key(t, "/expired"), resp, content(1, 20_000))
	for i := range 20 {
		if o := must(s.Lookup(key(t, "/expired"), nil)); o != nil {
			_ = o.Close()
		} else if i < 3 {
			t.Fatal("dropped too early to tell")
		}
		filler(t, s, 7*i, 7)
	}
	wantMiss(t, s, key(t, "/expired"))
}

// What was used before a restart is carried over after it.
func TestUsesSurviveReopening(t *testing.T) {
	dir := t.TempDir()
	opts := l2.Options{MaxBytes: 4 << 20, SegmentBytes: 256 << 10}
	s := open(t, dir, opts)
	want := content(1, 9000)
	put(t, s, key(t, "/used"), response(9000, "1"), want)
	put(t, s, key(t, "/unused"), response(9000, "1"), want)
	wantBody(t, s, key(t, "/used"), want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, opts)
	for i := range 80 {
		put(t, s, key(t, fmt.Sprint("/once", i)), response(20_000, "1"), content(uint64(i), 20_000))
	}
	sync(t, s)
	for s.Stats().SegmentsDropped < 4 {
		put(t, s, key(t, fmt.Sprint("/more", s.Stats().Stored)), response(20_000, "1"), want20k)
		sync(t, s)
	}
	wantBody(t, s, key(t, "/used"), want)
	wantMiss(t, s, key(t, "/unused"))
}

var want20k = content(2, 20_000)
