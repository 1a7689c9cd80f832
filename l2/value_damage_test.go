package l2_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	gosync "sync"
	"testing"
	"time"

	"weir/l2"
)

// Verify reads the values of a folder, with a store in it or without.
func TestVerifyValues(t *testing.T) {
	dir := t.TempDir()
	v := openValues(t, dir, l2.ValuesOptions{})
	secret := []byte("a record that is found in the file")
	for i, r := range [][]byte{secret, content(1, 100_000), content(2, 50)} {
		if err := setValue(v, fmt.Sprint(i), r, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l2.Verify(dir); !errors.Is(err, l2.ErrLocked) {
		t.Errorf("in use: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if r := must(l2.Verify(dir)); r.Values != 3 || len(r.Damage) != 0 {
		t.Errorf("values alone: %+v", r)
	}
	if err := open(t, dir, l2.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "values.db")
	write(t, dir, "values.db", bytes.ReplaceAll(must(os.ReadFile(name)), secret, bytes.Repeat([]byte("?"), len(secret))))
	if r := must(l2.Verify(dir)); r.Values != 2 || len(r.Damage) != 1 {
		t.Errorf("one damaged: %+v", r)
	}
	var reports []error
	v = openValues(t, dir, l2.ValuesOptions{Report: func(err error) { reports = append(reports, err) }})
	for range 2 {
		wantValue(t, v, "0", nil)
	}
	wantValue(t, v, "1", content(1, 100_000))
	if st := v.Stats(); st.Damaged != 2 || len(reports) != 1 || !errors.Is(reports[0], l2.ErrDamaged) {
		t.Errorf("%+v, reports %v", st, reports)
	}
	if err := v.Update("0", addOne); err != nil {
		t.Fatal(err)
	}
	wantValue(t, v, "0", []byte("1"))
}

// A file that is no database is set aside, with what was set aside before.
func TestValuesSetAside(t *testing.T) {
	dir := t.TempDir()
	for _, what := range [][]byte{[]byte("short"), bytes.Repeat([]byte("long enough"), 10_000)} {
		write(t, dir, "values.db", what)
		var reports []error
		v := openValues(t, dir, l2.ValuesOptions{Report: func(err error) { reports = append(reports, err) }})
		if err := setValue(v, "k", []byte("v"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if st := v.Stats(); len(reports) != 1 || st.Damaged != 1 || st.Values != 1 {
			t.Errorf("%+v, reports %v", st, reports)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if got := must(os.ReadFile(filepath.Join(dir, "bad-values.db"))); !bytes.Equal(got, what) {
			t.Errorf("%d bytes set aside of %d", len(got), len(what))
		}
	}
}

// A page that is damaged costs the values on it, or below it. All others go on in a new file, numbers included.
func TestValuesWithDamagedPages(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "values.db")
	record := func(i int) []byte { return content(uint64(i), 50+i%3*1000) }
	const n = 2000
	v := openValues(t, dir, l2.ValuesOptions{})
	var wg gosync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := setValue(v, fmt.Sprint(i), record(i), time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	whole := must(os.ReadFile(name))
	replaced := 0
	for page := 2; page < len(whole)/4096; page += 97 {
		b := bytes.Clone(whole)
		clear(b[page*4096 : page*4096+4096])
		write(t, dir, "values.db", b)
		if err := os.RemoveAll(filepath.Join(dir, "bad-values.db")); err != nil {
			t.Fatal(err)
		}
		var reports []error
		v := openValues(t, dir, l2.ValuesOptions{Report: func(err error) { reports = append(reports, err) }})
		missing, last := 0, uint64(0)
		for i := range n {
			key := fmt.Sprint(i)
			if got := must(v.Read(key)); bytes.Equal(got, record(i)) {
				continue
			} else if got != nil {
				t.Fatalf("page %d: %d has other bytes", page, i)
			}
			missing++
			err := v.Update(key, func(_ []byte, number uint64) ([]byte, time.Time, error) {
				if number <= last {
					t.Errorf("number %d after %d", number, last)
				}
				last = number
				return record(i), time.Time{}, nil
			})
			if err != nil {
				t.Fatalf("page %d: %v", page, err)
			}
		}
		atMost := 200
		if isBranch(whole[page*4096:]) {
			atMost = n
		}
		if missing > atMost || missing > 0 && len(reports) == 0 {
			t.Errorf("page %d: %d missing, reports %v", page, missing, reports)
		}
		for i := range n {
			wantValue(t, v, fmt.Sprint(i), record(i))
		}
		if _, err := os.Stat(filepath.Join(dir, "bad-values.db")); err == nil {
			replaced++
			if st := v.Stats(); st.Values != n || st.Disk < int64(len(whole)) {
				t.Errorf("page %d: %+v", page, st)
			}
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if r := must(l2.Verify(dir)); missing > 0 && len(r.Damage) > 0 {
			t.Errorf("page %d: %+v", page, r)
		}
	}
	if replaced == 0 {
		t.Error("no file was replaced")
	}
}

// isBranch tells by the flags in its header, after the eight bytes of its number, whether bbolt's page leads to others.
func isBranch(page []byte) bool { return binary.NativeEndian.Uint16(page[8:])&1 != 0 }

// A file that is longer than a budget that was made smaller is written anew, with what was written last.
func TestValuesWithLessBudget(t *testing.T) {
	dir := t.TempDir()
	v := openValues(t, dir, l2.ValuesOptions{})
	record := func(i int) []byte { return content(uint64(i), 1<<20) }
	for i := range 20 {
		if err := setValue(v, fmt.Sprint(i), record(i), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	last := numberOf(t, v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "values.db.tmp", []byte("what an attempt left that did not end"))
	var reports []error
	v = openValues(t, dir, l2.ValuesOptions{MaxBytes: 8 << 20, Report: func(err error) { reports = append(reports, err) }})
	if st := v.Stats(); st.Disk > 8<<20 || st.Values < 3 || len(reports) != 1 || st.Damaged != 0 {
		t.Errorf("%+v, reports %v", st, reports)
	}
	for i := 20 - v.Stats().Values; i < 20; i++ {
		wantValue(t, v, fmt.Sprint(i), record(i))
	}
	if n := numberOf(t, v); n <= last {
		t.Errorf("number %d after %d", n, last)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if r := must(l2.Verify(dir)); len(r.Damage) > 0 || r.Values < 3 {
		t.Errorf("%+v", r)
	}
}

// numberOf is a number.
func numberOf(t *testing.T, v *l2.Values) (n uint64) {
	t.Helper()
	stop := errors.New("no change")
	err := v.Update("", func(_ []byte, number uint64) ([]byte, time.Time, error) {
		n = number
		return nil, time.Time{}, stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	return n
}
