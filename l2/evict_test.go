package l2_test

import (
	"fmt"
	"testing"

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
}
