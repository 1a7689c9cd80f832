package l2_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/l2"
)

// The test binary runs itself as a child that stores until it is killed, or until its disk is full.
const childEnv = "WEIR_L2_TEST_CHILD"

func child() bool {
	what, dir, ok := strings.Cut(os.Getenv(childEnv), ":")
	if !ok {
		return false
	}
	var err error
	switch what {
	case "store":
		err = storeUntilKilled(dir)
	case "full":
		err = fillDisk(dir)
	case "update":
		err = updateUntilKilled(dir)
	case "full of values":
		err = fillWithValues(dir)
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	return true
}

func runChild(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+what+":"+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

var crashOptions = l2.Options{MaxBytes: 64 << 20, SegmentBytes: 2 << 20}

func crashBody(i int) []byte { return content(uint64(i), i*7919%300_000+1) }

// storeUntilKilled says after each object that is durable which one that was.
func storeUntilKilled(dir string) error {
	s, err := l2.Open(dir, crashOptions)
	if err != nil {
		return err
	}
	var t testing.T
	first := s.Stats().Objects
	for i := first; ; i++ {
		body := crashBody(i)
		put(&t, s, key(&t, fmt.Sprint("/", i)), response(int64(len(body)), "1"), body)
		if i%3 == 0 {
			if err := s.Sync(); err != nil {
				return err
			}
			fmt.Println(i)
		}
	}
}

func TestKilledWhileStoring(t *testing.T) {
	dir := t.TempDir()
	durable := 0
	for round := range 4 {
		cmd := runChild(t, "store", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 5+3*round && lines.Scan(); n++ {
			if durable, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				durable = n
			}
		}
		_ = cmd.Wait() // it was killed
		s := open(t, dir, crashOptions)
		if st := s.Stats(); st.Damaged != 0 || st.Objects <= durable {
			t.Fatalf("round %d: object %d was durable: %+v", round, durable, st)
		}
		for i := range s.Stats().Objects {
			wantBody(t, s, key(t, fmt.Sprint("/", i)), crashBody(i))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		checkFiles(t, dir)
	}
	r, err := l2.Verify(dir)
	if err != nil || len(r.Damage) != 0 || r.Objects <= durable {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestFullDisk(t *testing.T) {
	out, err := runChild(t, "full", t.TempDir()).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// fillDisk stores under a limit on the length of files, which fails writes as a full disk does.
func fillDisk(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var ahead atomic.Int64 // of the clock
	var reports []error
	s, err := l2.Open(dir, l2.Options{
		MaxBytes: 64 << 20, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Report: func(err error) { reports = append(reports, err) },
	})
	if err != nil {
		return err
	}
	var t testing.T
	body := content(1, 50_000)
	put(&t, s, key(&t, "/before"), response(50_000, "1"), body)
	if err := s.Sync(); err != nil {
		return err
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: 300_000, Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for i := 0; ; i++ {
		w, err := s.Create(key(&t, fmt.Sprint("/", i)), response(50_000, "1"))
		if errors.Is(err, l2.ErrUnavailable) {
			break
		}
		if err != nil || i > 100 {
			return fmt.Errorf("object %d: %w", i, err)
		}
		if _, err := w.Write(body); err == nil {
			_ = w.Commit(nil) // may have been told already
		}
		_ = s.Sync() // fails when the disk is full
	}
	if o, err := s.Lookup(key(&t, "/before"), nil); o == nil || err != nil {
		return fmt.Errorf("serving stopped: %w", err)
	} else if _, err := o.ReadAt(make([]byte, 50_000), 0); err != nil {
		return err
	} else if err := o.Close(); err != nil {
		return err
	}
	if st := s.Stats(); !st.Stalled || len(reports) != 1 {
		return fmt.Errorf("%+v, reports %v", st, reports)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	ahead.Store(int64(time.Minute))
	put(&t, s, key(&t, "/after"), response(50_000, "1"), body)
	if err := s.Sync(); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = l2.Open(dir, l2.Options{}); err != nil {
		return err
	}
	for _, target := range []string{"/before", "/after"} {
		if o, err := s.Lookup(key(&t, target), nil); o == nil || err != nil {
			return fmt.Errorf("%s is lost: %w", target, err)
		} else if err := o.Close(); err != nil {
			return err
		}
	}
	return s.Close()
}
