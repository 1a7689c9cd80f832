package l2_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"strings"
	gosync "sync"
	"syscall"
	"testing"
	"time"

	"weir/l2"
)

const (
	crashWriters = 16
	crashBudget  = 16 << 20 // so that values give way meanwhile
)

// updateUntilKilled counts in some values, and says after each update that was acknowledged what it left, and with which
// number. Beside that it writes what is long.
func updateUntilKilled(dir string) error {
	v, err := l2.OpenValues(dir, l2.ValuesOptions{MaxBytes: crashBudget})
	if err != nil {
		return err
	}
	var wg gosync.WaitGroup
	errs := make(chan error, crashWriters)
	for w := range crashWriters {
		wg.Go(func() { errs <- countUntilKilled(v, w) })
	}
	err = <-errs
	wg.Wait()
	return err
}

func countUntilKilled(v *l2.Values, w int) error {
	for i := 0; ; i++ {
		var left []byte
		var number uint64
		err := v.Update(fmt.Sprint(w), func(old []byte, n uint64) ([]byte, time.Time, error) {
			number = n
			var err error
			left, _, err = addOne(old, n)
			return left, time.Time{}, err
		})
		if err != nil {
			return err
		}
		if got, err := v.Read(fmt.Sprint(w)); err != nil || !bytes.Equal(got, left) {
			return fmt.Errorf("%d: %q, want %q: %w", w, got, left, err)
		}
		fmt.Printf("%d %s %d\n", w, left, number)
		if i%8 == 0 {
			if err := setValue(v, fmt.Sprint("long", w, i), content(uint64(i), i%20*10_000), time.Time{}); err != nil {
				return err
			}
		}
	}
}

// What was acknowledged is there after the process was killed, and numbers go on.
func TestKilledWhileUpdating(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]int{}
	last := uint64(0)
	for round := range 4 {
		cmd := runChild(t, "update", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := last
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			key, count, number := parseUpdate(t, lines.Text())
			acknowledged[key] = max(acknowledged[key], count)
			if number <= before {
				t.Fatalf("round %d: number %d after %d", round, number, before)
			}
			last = max(last, number)
			if n == 500 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		v := openValues(t, dir, l2.ValuesOptions{MaxBytes: crashBudget, Report: func(err error) { t.Error(err) }})
		for key, want := range acknowledged {
			got := must(v.Read(key))
			if n, err := strconv.Atoi(string(got)); err != nil || n < want || n > want+1 {
				t.Errorf("round %d: %q has %q, %d was acknowledged", round, key, got, want)
			}
		}
		if n := numberOf(t, v); n <= last {
			t.Errorf("round %d: number %d after %d", round, n, last)
		} else {
			last = n
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		if r := must(l2.Verify(dir)); len(r.Damage) != 0 || r.Values < crashWriters {
			t.Errorf("round %d: %+v", round, r)
		}
	}
}

func parseUpdate(t *testing.T, line string) (key string, count int, number uint64) {
	t.Helper()
	f := strings.Fields(line)
	if len(f) != 3 {
		t.Fatal(line)
	}
	number, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if count, err = strconv.Atoi(f[1]); err != nil {
		t.Fatal(err)
	}
	return f[0], count, number
}

func TestDiskFullOfValues(t *testing.T) {
	out, err := runChild(t, "full of values", t.TempDir()).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// fillWithValues updates under a limit on the length of files. What does not fit fails, all else goes on.
func fillWithValues(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	v, err := l2.OpenValues(dir, l2.ValuesOptions{})
	if err != nil {
		return err
	}
	if err := setValue(v, "before", []byte("1"), time.Time{}); err != nil {
		return err
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: uint64(v.Stats().Disk), Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	body, i := content(1, 1<<20), 0
	for err = nil; err == nil && i < 100; i++ {
		err = setValue(v, fmt.Sprint(i), body, time.Time{})
	}
	if err == nil {
		return errors.New("the disk is not full")
	}
	for range 3 {
		if err := setValue(v, "0", body, time.Time{}); err == nil {
			return errors.New("room on a full disk")
		}
	}
	if st := v.Stats(); st.Failures < 4 || st.Damaged > 0 || st.Values != i {
		return fmt.Errorf("%+v, %d values", st, i)
	}
	if err := v.Update("before", addOne); err != nil { // free pages are left
		return fmt.Errorf("a short value on a full disk: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := setValue(v, "after", body, time.Time{}); err != nil {
		return err
	}
	for range 2 {
		for _, key := range []string{"after", fmt.Sprint(i - 2)} {
			if got, err := v.Read(key); i > 1 && (err != nil || !bytes.Equal(got, body)) {
				return fmt.Errorf("%s: %d bytes, %w", key, len(got), err)
			}
		}
		if got, err := v.Read("before"); err != nil || string(got) != "2" {
			return fmt.Errorf("before: %q, %w", got, err)
		}
		if err := v.Close(); err != nil {
			return err
		}
		if v, err = l2.OpenValues(dir, l2.ValuesOptions{}); err != nil {
			return err
		}
	}
	return v.Close()
}
