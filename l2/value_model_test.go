package l2_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/l2"
)

// Against a map: each update is given what is there, each look-up finds it, and so does each after a restart. With a
// budget that is too small, what is there may be gone, and that is counted.
func TestValuesModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		opts := l2.ValuesOptions{MaxBytes: 8 << 20}
		long := rapid.SampledFrom([]int{1000, 1000, 500_000}).Draw(r, "long")
		v := openValues(t, dir, opts)
		defer func() { _ = v.Close() }()
		model := map[string][]byte{}
		keys := rapid.StringN(0, 2, 8)
		refused := errors.New("refused")
		for i := range rapid.IntRange(1, 40).Draw(r, "steps") {
			key := keys.Draw(r, "key")
			what := rapid.IntRange(0, 9).Draw(r, "what")
			if what == 0 {
				if err := v.Close(); err != nil {
					r.Fatal(err)
				}
				v = openValues(t, dir, opts)
				continue
			}
			next := content(uint64(i), rapid.IntRange(0, long).Draw(r, "size"))
			if what == 1 {
				next = nil
			}
			was := model[key]
			err := v.Update(key, func(old []byte, _ uint64) ([]byte, time.Time, error) {
				if !bytes.Equal(old, was) && (old != nil || v.Stats().Evicted == 0) {
					r.Errorf("%q: %d bytes, want %d", key, len(old), len(was))
				}
				if what == 2 {
					return next, time.Time{}, refused
				}
				return next, time.Time{}, nil
			})
			if errors.Is(err, refused) != (what == 2) || err != nil && what != 2 {
				r.Fatal(err)
			}
			if what != 2 {
				model[key] = next
			}
		}
		found := 0
		for key, want := range model {
			got, err := v.Read(key)
			if err != nil || got != nil && !bytes.Equal(got, want) {
				r.Fatalf("%q: %d bytes, want %d, %v", key, len(got), len(want), err)
			}
			if got != nil {
				found++
			} else if want != nil && long < 100_000 {
				r.Fatalf("%q is gone", key)
			}
		}
		if st := v.Stats(); st.Values != found || st.Disk > st.Budget || st.Damaged > 0 || st.Failures > 0 {
			r.Fatalf("%d found, %+v", found, st)
		}
	})
}

// No value gives way while another has expired; and what was read stays rather than what was not.
func TestWhichValuesGiveWay(t *testing.T) {
	var now atomic.Int64
	now.Store(1e18)
	clock := func() time.Time { return time.Unix(0, now.Load()) }
	v := openValues(t, t.TempDir(), l2.ValuesOptions{MaxBytes: 8 << 20, Now: clock})
	record := content(1, 60_000)
	set := func(key string, until time.Time) {
		t.Helper()
		if err := setValue(v, key, record, until); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 8 {
		set(fmt.Sprint("for ever ", i), time.Time{})
		set(fmt.Sprint("a while ", i), clock().Add(time.Hour))
		set(fmt.Sprint("a moment ", i), clock().Add(time.Second))
	}
	now.Add(int64(time.Minute))
	i := 0
	for ; v.Stats().Expired < 8 && i < 1000; i++ {
		if st := v.Stats(); st.Evicted > 0 {
			t.Fatalf("evicted first: %+v", st)
		}
		set(fmt.Sprint("more ", i), time.Time{})
	}
	for i := range 8 {
		wantValue(t, v, fmt.Sprint("a moment ", i), nil)
		wantValue(t, v, fmt.Sprint("for ever ", i), record)
	}
	for ; v.Stats().Evicted < 16; i++ {
		set(fmt.Sprint("more ", i), time.Time{})
	}
	for i := range 8 {
		wantValue(t, v, fmt.Sprint("for ever ", i), record)
		wantValue(t, v, fmt.Sprint("a while ", i), nil)
	}
	for ; v.Stats().Evicted < 400; i++ {
		set(fmt.Sprint("more ", i), time.Time{})
	}
	for i := range 8 {
		wantValue(t, v, fmt.Sprint("for ever ", i), nil) // read twice is not used for ever
	}
	if st := v.Stats(); st.Carried != 16 || st.Expired != 8 {
		t.Errorf("%+v", st)
	}
}
