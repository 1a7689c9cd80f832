package l2_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"weir/keying"
	"weir/l2"
	"weir/rfc9111"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	// Each run of the model syncs a disk some hundred times. The command line can ask for more.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func key(t testing.TB, target string) keying.Key {
	t.Helper()
	k, err := new(keying.Spec).Build(&keying.Request{Method: "GET", Scheme: "http", Host: "h", Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return k.Key
}

func response(length int64, version string) *rfc9111.Response {
	now := time.Now()
	return &rfc9111.Response{
		Status: 200, Header: http.Header{"Content-Type": {"text/plain"}, "Etag": {`"` + version + `"`}},
		RequestTime: now, ResponseTime: now, Length: length, Terms: rfc9111.Terms{Lifetime: time.Hour},
	}
}

// content is a body that no other seed has.
func content(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

func open(t testing.TB, dir string, opts l2.Options) *l2.Store {
	t.Helper()
	s, err := l2.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t failer, s *l2.Store, k keying.Key, resp *rfc9111.Response, body []byte) {
	t.Helper()
	w, err := s.Create(k, resp)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(nil); err != nil {
		t.Fatal(err)
	}
}

// get returns the body stored under k, nil when there is none.
func get(t failer, s *l2.Store, k keying.Key, h http.Header) (*rfc9111.Response, []byte) {
	t.Helper()
	o, err := s.Lookup(k, h)
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		return nil, nil
	}
	defer o.Close()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.Response().Length))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != o.Response().Length {
		t.Fatalf("%d bytes of %d", len(b), o.Response().Length)
	}
	return o.Response(), b
}

func wantBody(t testing.TB, s *l2.Store, k keying.Key, want []byte) {
	t.Helper()
	resp, b := get(t, s, k, nil)
	if resp == nil {
		t.Fatal("miss")
	}
	if !bytes.Equal(b, want) {
		t.Fatalf("%d bytes differ from the %d that were stored", len(b), len(want))
	}
}

func wantMiss(t testing.TB, s *l2.Store, k keying.Key) {
	t.Helper()
	if resp, _ := get(t, s, k, nil); resp != nil {
		t.Fatal("hit")
	}
}

func sync(t testing.TB, s *l2.Store) {
	t.Helper()
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
}

// folder adds up the sizes of the files in dir.
func folder(t testing.TB, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	return total
}

// checkFiles lets bbolt check every file of a closed folder.
func checkFiles(t *testing.T, dir string) {
	t.Helper()
	for _, name := range append(segments(t, dir), filepath.Join(dir, "rules.db")) {
		db, err := bolt.Open(name, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(func(tx *bolt.Tx) error {
			for err := range tx.Check() {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "seg-*.db"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestStoreAndReopen(t *testing.T) {
	dir := t.TempDir()
	sizes := []int{0, 1, 511, 4096, 100 << 10, 256<<10 - 1, 256 << 10, 256<<10 + 1, 3 << 20}
	text := []byte(strings.Repeat("compressible text, chunk after chunk. ", 40000))
	s := open(t, dir, l2.Options{MaxBytes: 256 << 20})
	check := func(s *l2.Store) {
		t.Helper()
		for i, n := range sizes {
			wantBody(t, s, key(t, fmt.Sprint("/", n)), content(uint64(i), n))
		}
		wantBody(t, s, key(t, "/text"), text)
		wantMiss(t, s, key(t, "/none"))
	}
	for i, n := range sizes {
		put(t, s, key(t, fmt.Sprint("/", n)), response(int64(n), "a"), content(uint64(i), n))
	}
	put(t, s, key(t, "/text"), response(-1, "a"), text)
	check(s) // in memory
	sync(t, s)
	check(s) // on disk
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := folder(t, dir); got > 6<<20 {
		t.Errorf("folder is %d bytes: text was not compressed", got)
	}
	s = open(t, dir, l2.Options{MaxBytes: 256 << 20})
	check(s)
	if st := s.Stats(); st.Objects != len(sizes)+1 || st.Damaged != 0 {
		t.Errorf("%+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := l2.Verify(dir)
	if err != nil || len(r.Damage) != 0 || r.Bodies != len(sizes)+1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What is dense already is not compressed again, however its bytes look.
func TestDenseContentIsStoredAsItIs(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, c := range []struct {
		field, value string
		dense        bool
	}{
		{"Content-Type", "text/html; charset=utf-8", false},
		{"Content-Type", "application/json", false},
		{"Content-Type", "image/svg+xml", false},
		{"X-None", "", false},
		{"Content-Type", "Image/PNG", true},
		{"Content-Type", "video/mp4; codecs=avc1", true},
		{"Content-Type", "font/woff2", true},
		{"Content-Type", "application/zip", true},
		{"Content-Encoding", "br", true},
	} {
		dir := t.TempDir()
		s := open(t, dir, l2.Options{})
		head := response(int64(len(body)), "a")
		head.Header.Set(c.field, c.value)
		put(t, s, key(t, "/"), head, body)
		wantBody(t, s, key(t, "/"), body)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := folder(t, dir); (got > int64(len(body))) != c.dense {
			t.Errorf("%s: %s: the folder has %d bytes, dense is to be %v", c.field, c.value, got, c.dense)
		}
	}
}

func TestReplaceDeleteAndFreshenSurviveReopening(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("sync between: ", clean), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, l2.Options{})
			step := func() {
				if clean {
					sync(t, s)
				}
			}
			put(t, s, key(t, "/replaced"), response(3, "1"), []byte("one"))
			put(t, s, key(t, "/deleted"), response(3, "1"), []byte("one"))
			put(t, s, key(t, "/freshened"), response(3, "1"), []byte("one"))
			big := content(1, 1<<20)
			put(t, s, key(t, "/big"), response(1<<20, "1"), big)
			step()
			put(t, s, key(t, "/replaced"), response(3, "2"), []byte("two"))
			if err := s.Delete(key(t, "/deleted")); err != nil {
				t.Fatal(err)
			}
			for _, target := range []string{"/freshened", "/big"} {
				if err := s.Freshen(key(t, target), nil, response(-1, "2")); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Freshen(key(t, "/none"), nil, response(3, "2")); !errors.Is(err, l2.ErrNotStored) {
				t.Errorf("freshen of nothing: %v", err)
			}
			check := func() {
				t.Helper()
				wantBody(t, s, key(t, "/replaced"), []byte("two"))
				wantMiss(t, s, key(t, "/deleted"))
				wantBody(t, s, key(t, "/big"), big)
				resp, b := get(t, s, key(t, "/freshened"), nil)
				if resp == nil || string(b) != "one" || resp.Header.Get("Etag") != `"2"` {
					t.Errorf("freshened: %v %q", resp, b)
				}
			}
			check()
			step()
			check()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, l2.Options{})
			check()
		})
	}
}

func TestVariants(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, l2.Options{})
	k := key(t, "/page")
	header := func(lang string) http.Header { return http.Header{"Accept-Language": {lang}} }
	store := func(lang, body string) {
		t.Helper()
		resp := response(int64(len(body)), "1")
		resp.Selection, _ = rfc9111.Select([]string{"Accept-Language"}, header(lang))
		put(t, s, k, resp, []byte(body))
	}
	store("en", "hello")
	store("de", "hallo")
	sync(t, s)
	store("en", "good day")
	check := func() {
		t.Helper()
		for lang, want := range map[string]string{"en": "good day", "de": "hallo", "fr": ""} {
			if _, b := get(t, s, k, header(lang)); string(b) != want {
				t.Errorf("%s: %q, want %q", lang, b, want)
			}
		}
		if n := len(s.Varies(k)); n < 2 {
			t.Errorf("%d selections", n)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, l2.Options{})
	check()
	for i := range 100 {
		store(fmt.Sprint("x", i), "x")
	}
	sync(t, s)
	if n := len(s.Varies(k)); n > 64 {
		t.Errorf("%d variants kept", n)
	}
	if _, b := get(t, s, k, header("x99")); string(b) != "x" {
		t.Errorf("the newest variant is gone")
	}
}

func TestWriterIsReadWhileItIsWritten(t *testing.T) {
	s := open(t, t.TempDir(), l2.Options{MaxBytes: 64 << 20})
	want := content(5, 5<<20)
	w, err := s.Create(key(t, "/big"), response(-1, "1"))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 70_000)
	for off := 0; off < len(want); off += 333_333 {
		end := min(off+333_333, len(want))
		if _, err := w.Write(want[off:end]); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, off, end - len(got), end / 2} {
			n, err := w.ReadAt(got[:min(len(got), end-at)], int64(at))
			if err != nil || !bytes.Equal(got[:n], want[at:at+n]) {
				t.Fatalf("at %d: %d bytes, %v", at, n, err)
			}
		}
		if n, err := w.ReadAt(got, int64(end)); n != 0 || !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %d, %v", n, err)
		}
	}
	wantMiss(t, s, key(t, "/big"))
	if err := w.Commit(nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(nil); !errors.Is(err, l2.ErrCommitted) {
		t.Errorf("second commit: %v", err)
	}
	wantBody(t, s, key(t, "/big"), want)
}

// A body in any pieces is read while it is written and after, if it is as long as it was said to be.
func TestBodyIsAsLongAsAnnounced(t *testing.T) {
	s := open(t, t.TempDir(), l2.Options{})
	body := append(content(7, 700), make([]byte, 700)...) // a part that compression shortens
	for name, tt := range map[string]struct {
		announced int64
		pieces    []int
		ok        bool
	}{
		"in one piece":                {1400, []int{1400}, true},
		"in pieces":                   {1400, []int{1, 700, 699}, true},
		"of unknown length":           {-1, []int{1400}, true},
		"too short":                   {1401, []int{1400}, false},
		"too long in one piece":       {1399, []int{1400}, false},
		"too long by a further piece": {700, []int{700, 700}, false},
		"too long after pieces":       {1000, []int{500, 500, 400}, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := key(t, "/"+name)
			w, err := s.Create(k, response(tt.announced, name))
			if err != nil {
				t.Fatal(err)
			}
			written := 0
			for _, n := range tt.pieces {
				var wrote int
				wrote, err = w.Write(body[written : written+n])
				if written += wrote; err != nil {
					break
				}
			}
			got := make([]byte, written)
			if _, err := w.ReadAt(got, 0); err != nil || !bytes.Equal(got, body[:written]) {
				t.Errorf("read %d of %d bytes while they were written: %v", len(got), written, err)
			}
			if err == nil {
				err = w.Commit(nil)
			}
			w.Abort()
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, l2.ErrLength) {
				t.Fatalf("stored: %v", err)
			}
			if !tt.ok {
				wantMiss(t, s, k)
				return
			}
			wantBody(t, s, k, body)
			sync(t, s)
			wantBody(t, s, k, body)
		})
	}
}

// A body whose last chunk came in pieces and is full takes no more.
func TestFullBodyTakesNoMore(t *testing.T) {
	s := open(t, t.TempDir(), l2.Options{})
	half := content(8, 128<<10)
	w, err := s.Create(key(t, "/full"), response(2*int64(len(half)), "1"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := w.Write(half); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.Write(half); n != 0 || !errors.Is(err, l2.ErrLength) {
		t.Errorf("took %d bytes more: %v", n, err)
	}
	w.Abort()
	wantMiss(t, s, key(t, "/full"))
}

func TestNothingOfAnAbortedObjectIsVisible(t *testing.T) {
	s := open(t, t.TempDir(), l2.Options{})
	cases := map[string]func(w *l2.Writer) error{
		"abort": func(w *l2.Writer) error { w.Abort(); return w.Commit(nil) },
		"short": func(w *l2.Writer) error { return w.Commit(response(1000, "1")) },
		"long":  func(w *l2.Writer) error { return w.Commit(response(3, "1")) },
		"long head": func(w *l2.Writer) error {
			resp := response(-1, "1")
			resp.Header.Set("X", strings.Repeat("x", 100<<20))
			return w.Commit(resp)
		},
	}
	for name, end := range cases {
		w, err := s.Create(key(t, "/"+name), response(-1, "1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 600_000)); err != nil {
			t.Fatal(err)
		}
		if err := end(w); err == nil {
			t.Errorf("%s: committed", name)
		}
		w.Abort()
		wantMiss(t, s, key(t, "/"+name))
	}
	if _, err := s.Create(key(t, "/huge"), response(s.MaxObject()+1, "1")); !errors.Is(err, l2.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// failer is a test, or one run of a property.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
