package l2_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	gosync "sync"
	"testing"

	"weir/l2"
)

// folderWith makes a closed folder of several segments and says what is in it.
func folderWith(t *testing.T, opts l2.Options) (dir string, bodies map[string][]byte) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, opts)
	bodies = map[string][]byte{}
	for i := range 60 {
		target := fmt.Sprint("/", i)
		bodies[target] = content(uint64(i), i*900+1)
		put(t, s, key(t, target), response(int64(len(bodies[target])), "1"), bodies[target])
		if i%7 == 0 {
			sync(t, s)
		}
	}
	if err := s.Log().Append(3, []byte("rule")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, bodies
}

var damageOptions = l2.Options{MaxBytes: 16 << 20, SegmentBytes: 512 << 10}

// copyFolder makes a copy to be damaged.
func copyFolder(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// reports collects what an operator is told.
type reports struct {
	mu   gosync.Mutex
	list []error
}

func (r *reports) add(err error) {
	r.mu.Lock()
	r.list = append(r.list, err)
	r.mu.Unlock()
}

func (r *reports) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.list)
}

// survey opens a damaged folder: every object is right or missing. It stores once more, and says how many were right and
// what the operator was told.
func survey(t *testing.T, dir string, bodies map[string][]byte) (right int, told []error) {
	t.Helper()
	var r reports
	opts := damageOptions
	opts.Report = r.add
	s, err := l2.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, target := range slices.Sorted(maps.Keys(bodies)) {
		o, err := s.Lookup(key(t, target), nil)
		if err != nil {
			t.Fatal(err)
		}
		if o == nil {
			continue
		}
		b := make([]byte, len(bodies[target]))
		switch _, err := o.ReadAt(b, 0); {
		case errors.Is(err, l2.ErrDamaged):
		case err != nil || !bytes.Equal(b, bodies[target]):
			t.Fatalf("%s: wrong bytes, %v", target, err)
		default:
			right++
		}
		_ = o.Close()
	}
	put(t, s, key(t, "/more"), response(4, "1"), []byte("more"))
	sync(t, s)
	wantBody(t, s, key(t, "/more"), []byte("more"))
	r.mu.Lock()
	defer r.mu.Unlock()
	return right, r.list
}

func TestTruncatedSegment(t *testing.T) {
	dir, bodies := folderWith(t, damageOptions)
	last := segments(t, dir)
	name := filepath.Base(last[len(last)/2])
	info, err := os.Stat(last[len(last)/2])
	if err != nil {
		t.Fatal(err)
	}
	size := info.Size()
	for _, n := range []int64{0, 1, 100, 4095, 4096, 8191, 8192, 12288, 16384, 20000, size / 2, size - 4096, size - 1, size} {
		to := copyFolder(t, dir)
		if err := os.Truncate(filepath.Join(to, name), n); err != nil {
			t.Fatal(err)
		}
		right, told := survey(t, to, bodies)
		if n == size {
			if right != len(bodies) || len(told) != 0 {
				t.Errorf("whole: %d of %d right, %v", right, len(bodies), told)
			}
			continue
		}
		if right == 0 || right == len(bodies) || len(told) == 0 {
			t.Errorf("%d of %d bytes: %d of %d right, %v", n, size, right, len(bodies), told)
		}
		if bad, _ := filepath.Glob(filepath.Join(to, "bad-*")); len(bad) != 1 {
			t.Errorf("%d of %d bytes: set aside: %v", n, size, bad)
		}
	}
}

// A file that loses its end while it is open is a miss, not a crash: also where bbolt maps it.
func TestTruncatedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	var r reports
	opts := damageOptions
	opts.Report = r.add
	s := open(t, dir, opts)
	body := content(1, 20_000)
	put(t, s, key(t, "/a"), response(20_000, "1"), body)
	sync(t, s)
	for _, name := range segments(t, dir) {
		if err := os.Truncate(name, 4096); err != nil {
			t.Fatal(err)
		}
	}
	wantMiss(t, s, key(t, "/a"))
	put(t, s, key(t, "/b"), response(20_000, "1"), body)
	_ = s.Sync() // may fail, must return
	if resp, b := get(t, s, key(t, "/b"), nil); resp != nil && !bytes.Equal(b, body) {
		t.Error("wrong bytes")
	}
	if r.count() == 0 || s.Stats().Damaged == 0 {
		t.Errorf("%+v", s.Stats())
	}
}

func TestFlippedBytes(t *testing.T) {
	dir, bodies := folderWith(t, damageOptions)
	name := segments(t, dir)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	to := copyFolder(t, dir)
	for at := 5; at < len(whole); at += 4091 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x41
		for _, bad := range must(filepath.Glob(filepath.Join(to, "*-*"))) {
			if err := os.Remove(bad); err != nil {
				t.Fatal(err)
			}
		}
		for _, other := range segments(t, dir)[1:] {
			if err := os.WriteFile(filepath.Join(to, filepath.Base(other)), must(os.ReadFile(other)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if right, _ := survey(t, to, bodies); right < len(bodies) {
			lost++
		}
	}
	if lost == 0 {
		t.Error("no flip was noticed")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestFilesThatAreNotSegments(t *testing.T) {
	dir, bodies := folderWith(t, damageOptions)
	names := segments(t, dir)
	other, _ := folderWith(t, damageOptions)
	cases := map[string]struct {
		do    func(t *testing.T, dir string)
		lost  bool
		aside int
	}{
		"swapped": {lost: true, aside: 2, do: func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, filepath.Base(names[0])), filepath.Join(dir, filepath.Base(names[1]))
			rename(t, a, a+"x")
			rename(t, b, a)
			rename(t, a+"x", b)
		}},
		"empty": {aside: 1, do: func(t *testing.T, dir string) { write(t, dir, "seg-0000000900.db", nil) }},
		"text": {aside: 1, do: func(t *testing.T, dir string) {
			write(t, dir, "seg-0000000900.db", bytes.Repeat([]byte("hello "), 10000))
		}},
		"zeros": {aside: 1, do: func(t *testing.T, dir string) { write(t, dir, "seg-0000000900.db", make([]byte, 1<<20)) }},
		"another database": {aside: 1, do: func(t *testing.T, dir string) {
			write(t, dir, "seg-0000000900.db", must(os.ReadFile(filepath.Join(other, "rules.db"))))
		}},
		"folder": {aside: 1, do: func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "seg-0000000900.db", "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		"link": {aside: 1, do: func(t *testing.T, dir string) {
			if err := os.Symlink("/dev/zero", filepath.Join(dir, "seg-0000000900.db")); err != nil {
				t.Fatal(err)
			}
		}},
		"half made": {do: func(t *testing.T, dir string) { write(t, dir, "seg-0000000900.db.tmp", []byte("x")) }},
		"strangers": {do: func(t *testing.T, dir string) {
			write(t, dir, "README", []byte("x"))
			write(t, dir, "seg-900.db", []byte("x"))
		}},
		"damaged rule log": {aside: 1, do: func(t *testing.T, dir string) { write(t, dir, "rules.db", make([]byte, 1<<16)) }},
		"missing segment": {lost: true, do: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, filepath.Base(names[1]))); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			to := copyFolder(t, dir)
			c.do(t, to)
			right, told := survey(t, to, bodies)
			if (right < len(bodies)) != c.lost {
				t.Errorf("%d of %d right", right, len(bodies))
			}
			if c.aside > 0 && len(told) == 0 {
				t.Error("nobody was told")
			}
			if bad := must(filepath.Glob(filepath.Join(to, "bad-*"))); len(bad) != c.aside {
				t.Errorf("set aside: %v", bad)
			}
			if tmp := must(filepath.Glob(filepath.Join(to, "*.tmp"))); len(tmp) != 0 {
				t.Errorf("left over: %v", tmp)
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSetAsideFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 {
		write(t, dir, fmt.Sprintf("seg-%010d.db", i+1), bytes.Repeat([]byte("x"), 1<<16))
	}
	s := open(t, dir, damageOptions)
	if bad := must(filepath.Glob(filepath.Join(dir, "bad-*"))); len(bad) != 2 {
		t.Errorf("set aside: %v", bad)
	}
	if st := s.Stats(); st.Disk < 2<<16 || st.Damaged != 5 {
		t.Errorf("%+v", st)
	}
}

func TestOneProcessAFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, l2.Options{})
	if _, err := l2.Open(dir, l2.Options{}); !errors.Is(err, l2.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second open: %v", err)
	}
	if _, err := l2.Verify(dir); !errors.Is(err, l2.ErrLocked) {
		t.Errorf("verify: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l2.Verify(dir); err != nil {
		t.Errorf("verify after close: %v", err)
	}
	open(t, dir, l2.Options{})
}

func TestFilesArePrivate(t *testing.T) {
	dir, _ := folderWith(t, damageOptions)
	for _, e := range must(os.ReadDir(dir)) {
		if info := must(e.Info()); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	if _, err := l2.Open(filepath.Join(t.TempDir(), "f", "\x00"), l2.Options{}); err == nil {
		t.Error("opened")
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, filepath.Dir(file), "file", nil)
	if _, err := l2.Open(file, l2.Options{}); err == nil {
		t.Error("opened a file")
	}
	dir, _ := folderWith(t, damageOptions)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(dir, 0o700) }()
	if r, err := l2.Verify(dir); err != nil || len(r.Damage) > 0 || r.Objects != 60 {
		t.Errorf("verify of a folder without write permission: %+v, %v", r, err)
	}
	if os.Geteuid() == 0 {
		return // nothing is read-only to root
	}
	if s, err := l2.Open(dir, l2.Options{}); err == nil {
		_ = s.Close() // possible: every file that is needed exists
	} else if !errors.Is(err, os.ErrPermission) {
		t.Errorf("open: %v", err)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	dir, bodies := folderWith(t, damageOptions)
	name := segments(t, dir)[0]
	b := must(os.ReadFile(name))
	at := bytes.Index(b, bodies["/40"][:64])
	if at < 0 {
		if at = bytes.Index(b, bodies["/10"][:64]); at < 0 {
			t.Fatal("no body found in the file")
		}
	}
	b[at+10] ^= 1
	write(t, dir, filepath.Base(name), b)
	r, err := l2.Verify(dir)
	if err != nil || len(r.Damage) == 0 || r.Bodies != len(bodies)-1 || !strings.Contains(r.Damage[0].Where, filepath.Base(name)) {
		t.Errorf("%+v, %v", r, err)
	}
	if must(os.Stat(name)).Size() != int64(len(b)) {
		t.Error("verify changed the file")
	}
}

func TestInvalidOptions(t *testing.T) {
	for _, o := range []l2.Options{
		{MaxBytes: -1},
		{MaxBytes: 1000},
		{SegmentBytes: 1},
		{MaxBytes: 1 << 20, SegmentBytes: 1 << 20},
		{MaxObject: -1},
		{MaxBytes: 1 << 20, MaxObject: 1 << 20},
		{GroupBytes: -1},
		{GroupDelay: 1 << 40},
	} {
		if _, err := l2.Open(t.TempDir(), o); !errors.Is(err, l2.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
