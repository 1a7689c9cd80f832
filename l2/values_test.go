package l2_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	gosync "sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l2"
)

func openValues(t testing.TB, dir string, opts l2.ValuesOptions) *l2.Values {
	t.Helper()
	v, err := l2.OpenValues(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// setValue is an update that looks at nothing.
func setValue(v *l2.Values, key string, record []byte, until time.Time) error {
	return v.Update(key, func([]byte, uint64) ([]byte, time.Time, error) { return record, until, nil })
}

func wantValue(t testing.TB, v *l2.Values, key string, want []byte) {
	t.Helper()
	got, err := v.Read(key)
	if err != nil {
		t.Fatalf("%q: %v", key, err)
	}
	if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
		t.Fatalf("%q: %d bytes, want %d", key, len(got), len(want))
	}
}

func addOne(old []byte, _ uint64) ([]byte, time.Time, error) {
	n, err := strconv.Atoi("0" + string(old))
	return []byte(strconv.Itoa(n + 1)), time.Time{}, err
}

func TestValues(t *testing.T) {
	dir := t.TempDir()
	v := openValues(t, dir, l2.ValuesOptions{})
	if !v.Empty() {
		t.Error("not empty")
	}
	records := map[string][]byte{
		"": []byte("of no key"), "empty": {}, "a/b c%": []byte("x"), "long": content(1, 8<<20),
		string(bytes.Repeat([]byte("k"), 1024)): content(2, 700),
	}
	for _, n := range []int{900, 920, 925, 930, 940, 950, 980, 1000, 1900, 1960, 2000, 4096, 5000, 70_000} {
		records[fmt.Sprint(n)] = content(uint64(n), n)
	}
	for round := range 2 {
		for key, r := range records {
			wantValue(t, v, "no "+key, nil)
			if round == 0 {
				if err := setValue(v, key, r, time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
			wantValue(t, v, key, r)
		}
		if st := v.Stats(); st.Values != len(records) || v.Empty() {
			t.Errorf("%+v", st)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		v = openValues(t, dir, l2.ValuesOptions{})
	}
	for key := range records {
		if err := setValue(v, key, nil, time.Time{}); err != nil {
			t.Fatal(err)
		}
		wantValue(t, v, key, nil)
	}
	if st := v.Stats(); !v.Empty() || st.Bytes != 0 || st.Damaged != 0 {
		t.Errorf("%+v", st)
	}
}

// Each update sees what the one before it left, whichever transaction they are in; one that fails changes nothing
// and harms nobody; numbers do not repeat.
func TestUpdatesOfOneKey(t *testing.T) {
	v := openValues(t, t.TempDir(), l2.ValuesOptions{})
	var numbers gosync.Map
	refused := errors.New("refused")
	var wg gosync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for j := range 20 {
				err := v.Update("counter", func(old []byte, number uint64) ([]byte, time.Time, error) {
					if _, twice := numbers.LoadOrStore(number, true); twice {
						t.Errorf("number %d again", number)
					}
					if (i+j)%10 == 0 {
						return []byte("nonsense"), time.Time{}, refused
					}
					return addOne(old, number)
				})
				if want := (i+j)%10 == 0; errors.Is(err, refused) != want || (err == nil) == want {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantValue(t, v, "counter", []byte("1800"))
	if st := v.Stats(); st.Commits > 1000 {
		t.Errorf("%d transactions for 2000 updates by 100", st.Commits)
	}
}

// A function that panics does so in the goroutine that called Update.
func TestUpdatePanics(t *testing.T) {
	v := openValues(t, t.TempDir(), l2.ValuesOptions{})
	func() {
		defer func() {
			if p := recover(); p != "no" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = v.Update("k", func([]byte, uint64) ([]byte, time.Time, error) { panic("no") })
	}()
	wantValue(t, v, "k", nil)
	if err := setValue(v, "k", []byte("v"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	wantValue(t, v, "k", []byte("v"))
}

// Numbers go on after a restart, and also when the file is gone.
func TestNumbersDoNotRepeat(t *testing.T) {
	dir := t.TempDir()
	var now atomic.Int64
	now.Store(1e15)
	opts := l2.ValuesOptions{Now: func() time.Time { return time.Unix(0, now.Load()) }}
	last := uint64(0)
	for round := range 4 {
		v := openValues(t, dir, opts)
		for range 3 {
			err := v.Update("k", func(_ []byte, number uint64) ([]byte, time.Time, error) {
				if number <= last || number >= 1<<53 {
					t.Errorf("round %d: number %d after %d", round, number, last)
				}
				last = number
				return nil, time.Time{}, errors.New("nothing is written")
			})
			if err == nil {
				t.Error("no error")
			}
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if round == 2 {
			now.Add(int64(time.Second))
			if err := os.Remove(filepath.Join(dir, "values.db")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestValuesTooLong(t *testing.T) {
	v := openValues(t, t.TempDir(), l2.ValuesOptions{MaxBytes: 8 << 20})
	if err := setValue(v, "k", []byte("before"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := setValue(v, "k", make([]byte, 2<<20), time.Time{}); !errors.Is(err, l2.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	wantValue(t, v, "k", []byte("before"))
	if _, err := l2.OpenValues(t.TempDir(), l2.ValuesOptions{MaxBytes: 1}); !errors.Is(err, l2.ErrOptions) {
		t.Errorf("a budget of a byte: %v", err)
	}
}

func TestValuesLocked(t *testing.T) {
	dir := t.TempDir()
	v := openValues(t, dir, l2.ValuesOptions{})
	if _, err := l2.OpenValues(dir, l2.ValuesOptions{}); !errors.Is(err, l2.ErrLocked) {
		t.Errorf("second: %v", err)
	}
	open(t, dir, l2.Options{}) // the store of the folder is another thing
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if _, err := v.Read("k"); !errors.Is(err, l2.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if err := setValue(v, "k", nil, time.Time{}); !errors.Is(err, l2.ErrClosed) {
		t.Errorf("update after close: %v", err)
	}
	openValues(t, dir, l2.ValuesOptions{})
}

// Far more than fits is written, of all sizes: the file stays within the budget, nothing fails, and what is left is
// right.
func TestValuesWithinBudget(t *testing.T) {
	for _, kind := range []struct {
		name string
		size func(i int) int
		keys int
	}{
		{"small", func(int) int { return 400 }, 1 << 30},
		{"small, again and again", func(int) int { return 400 }, 8000},
		{"middle", func(i int) int { return i*7919%4000 + 1 }, 1 << 30},
		{"large", func(i int) int { return i * 7919 % 300_000 }, 1 << 30},
		{"mixed", func(i int) int { return []int{50, 1000, 50, 20_000, 700_000}[i%5] }, 3000},
	} {
		t.Run(kind.name, func(t *testing.T) {
			const budget = 8 << 20
			dir := t.TempDir()
			v := openValues(t, dir, l2.ValuesOptions{MaxBytes: budget})
			total, last := 0, map[string]int{}
			var mu gosync.Mutex
			var wg gosync.WaitGroup
			var next atomic.Int64
			for range 64 {
				wg.Go(func() {
					for {
						i := int(next.Add(1))
						key := fmt.Sprint(i * 7919 % kind.keys)
						err := v.Update(key, func([]byte, uint64) ([]byte, time.Time, error) {
							mu.Lock()
							defer mu.Unlock()
							last[key] = i
							total += kind.size(i) + 100
							return content(uint64(i), kind.size(i)), time.Time{}, nil
						})
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						enough := total > budget*3/2
						mu.Unlock()
						if enough {
							return
						}
					}
				})
			}
			wg.Wait()
			st := v.Stats()
			if st.Disk > budget || st.Evicted == 0 && kind.keys > 1e6 || st.Failures > 0 || st.Carried > uint64(3*len(last)) {
				t.Errorf("%+v", st)
			}
			found, size := 0, 0
			for key, i := range last {
				if got, err := v.Read(key); err != nil {
					t.Fatal(err)
				} else if got != nil {
					found++
					size += len(got)
					if !bytes.Equal(got, content(uint64(i), kind.size(i))) {
						t.Fatalf("%q has other bytes", key)
					}
				}
			}
			t.Logf("%d of %d values, %d bytes: %+v", found, len(last), size, st)
			if found != st.Values {
				t.Errorf("%d values found, %d counted", found, st.Values)
			}
		})
	}
}
