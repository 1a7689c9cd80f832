package l1_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"weir/keying"
	"weir/l1"
)

const largeBody = 200 << 10

// sent has a hit and counts it, as often as that is.
func (n *node) sent(target string, times int) (found l1.Found) {
	n.t.Helper()
	k := keyed(n.t, target, "")
	ask := l1.Ask{
		Key: k.Key.Bytes(), Plan: compressing, Accepts: k.Accepts, Now: n.clock.Now(),
		Header: http.Header{"Accept-Encoding": {keying.AllCodings}},
	}
	for range times {
		found = l1.Found{}
		if !n.Hit(&ask, &found) {
			n.t.Fatalf("%s is no hit", target)
		}
		n.CountHit(&found)
	}
	return found
}

// largePage is a body that is no other page's.
func (n *node) largePage(i int) (target, body string) {
	target = fmt.Sprintf("/%d", i)
	body = strings.Repeat(fmt.Sprintf("%08d", i), largeBody/8)
	n.fill(target, body, nil)
	return target, body
}

// contents returns what a file holds, and false if it is gone.
func contents(t *testing.T, f *l1.BodyFile) (string, bool) {
	t.Helper()
	p := make([]byte, 2*largeBody)
	size := 0
	err := f.Use(func(fd uintptr) {
		n, err := unix.Pread(int(fd), p, 0)
		if err != nil {
			t.Error(err)
		}
		size = n
	})
	return string(p[:size]), err == nil
}

// What clients get cannot be changed by anybody who finds the file.
func TestFilesAreSealed(t *testing.T) {
	n := newNode(t, l1.Options{MaxFiles: 1})
	target, body := n.largePage(0)
	file := n.sent(target, 20).File
	err := file.Use(func(fd uintptr) {
		if _, err := unix.Pwrite(int(fd), []byte("x"), 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("a write: %v", err)
		}
		if err := unix.Ftruncate(int(fd), 1); !errors.Is(err, unix.EPERM) {
			t.Errorf("a cut: %v", err)
		}
	})
	if got, ok := contents(t, file); err != nil || !ok || got != body {
		t.Error("another body")
	}
}

// openFiles counts the bodies that lie in files of this process.
func openFiles(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, _ := os.Readlink(filepath.Join("/proc/self/fd", e.Name())) // the directory itself is closed by now
		if strings.Contains(name, "weir-body") {
			n++
		}
	}
	return n
}

func TestALargeBodyThatIsSentOftenHasAFile(t *testing.T) {
	for name, c := range map[string]struct {
		size, max int
		want      bool
	}{
		"large": {largeBody, 1, true}, "small": {64 << 10, 1, false}, "no files": {largeBody, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, l1.Options{MaxFiles: c.max})
			body := strings.Repeat("x", c.size)
			n.fill("/a", body, nil)
			if found := n.sent("/a", 10); found.File != nil {
				t.Error("a file before it is known to be sent often")
			}
			before := n.Stats().Bytes
			found := n.sent("/a", 10)
			if found.File == nil {
				if c.want {
					t.Error("no file")
				}
				return
			}
			if got, ok := contents(t, found.File); !c.want || !ok || got != body || string(found.Body) != body {
				t.Errorf("a file of %d bytes, %t", len(got), ok)
			}
			if n.Stats().Bytes < before+largeBody {
				t.Error("it does not count")
			}
		})
	}
}

// Whatever ends an object's time in memory ends its file's, and what that took is given back.
func TestFilesEndWithTheirObjects(t *testing.T) {
	for name, end := range map[string]func(n *node){
		"cleared":  func(n *node) { n.Clear() },
		"replaced": func(n *node) { n.fill("/0", "another", nil) },
		"dropped":  func(n *node) { n.Dropped(key(n.t, "/0"), "") },
		"closed":   func(n *node) { n.Close() },
		"evicted": func(n *node) {
			for i := range 100 {
				target, _ := n.largePage(1 + i)
				n.sent(target, 5)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, l1.Options{MaxFiles: 4, MaxBytes: 4 << 20})
			target, _ := n.largePage(0)
			file := n.sent(target, 20).File
			if file == nil || openFiles(t) != 1 {
				t.Fatalf("%d files", openFiles(t))
			}
			end(n)
			if _, ok := contents(t, file); ok || openFiles(t) != 0 {
				t.Errorf("%d files are left", openFiles(t))
			}
			n.Clear()
			if held := n.Stats().Bytes; held != 0 {
				t.Errorf("%d bytes are held by nothing", held)
			}
		})
	}
}

func TestFilesAreBounded(t *testing.T) {
	const pages = 40
	for name, c := range map[string]struct {
		opts l1.Options
		most int
	}{
		"in number":           {l1.Options{MaxBytes: 64 << 20, MaxFiles: 8}, 8},
		"in bytes":            {l1.Options{MaxBytes: 16 << 20, MaxFiles: pages}, 16 << 20 * 12 / 100 / largeBody},
		"when memory is full": {l1.Options{MaxBytes: pages / 2 * largeBody, MaxFiles: pages}, pages / 2 * 12 / 100},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, c.opts)
			for i := range pages {
				target, _ := n.largePage(i)
				n.sent(target, 33)
				if held := n.Stats().Bytes; held > c.opts.MaxBytes {
					t.Fatalf("%d bytes of %d are held", held, c.opts.MaxBytes)
				}
				if files := openFiles(t); files > c.most || files == 0 {
					t.Fatalf("%d files, at most %d may be", files, c.most)
				}
			}
		})
	}
}

// However many bodies are due for a file at once, files lie within their bounds also while they are made.
func TestFilesAreBoundedWhileTheyAreMade(t *testing.T) {
	const pages, most = 200, 4
	n := newNode(t, l1.Options{MaxBytes: 128 << 20, MaxFiles: most})
	due := make([]l1.Found, pages)
	for i := range due {
		target, _ := n.largePage(i)
		due[i] = n.sent(target, 15)
	}
	var counting sync.WaitGroup
	for i := range due {
		counting.Go(func() { n.CountHit(&due[i]) })
	}
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		counting.Wait()
	}()
	for over := false; !over; {
		select {
		case <-counted:
			over = true
		default:
		}
		if files := openFiles(t); files > 3*most { // one that gives way to another meanwhile can be counted, too
			t.Fatalf("%d files, at most %d may be", files, most)
		}
	}
}

// A file that is used stays where another one gives way.
func TestUsedFilesStay(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 64 << 20, MaxFiles: 4})
	popular, body := n.largePage(0)
	file := n.sent(popular, 20).File
	for i := range 40 {
		target, _ := n.largePage(1 + i)
		n.sent(target, 20)
		n.sent(popular, 1)
	}
	if got, ok := contents(t, file); !ok || got != body {
		t.Error("it gave way to what was sent less")
	}
}
