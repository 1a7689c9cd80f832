package l1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

var spoken = []string{"br", "gzip", "zstd"}

// coded is a body in a coding, as an origin would send it.
func coded(t testing.TB, coding, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := encoder(t, coding, &b)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func encoder(t testing.TB, coding string, to io.Writer) io.WriteCloser {
	t.Helper()
	switch coding {
	case "gzip":
		return gzip.NewWriter(to)
	case "br":
		return brotli.NewWriter(to)
	case "zstd":
		z, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	t.Fatalf("coding %q", coding)
	return nil
}

// store has body stored in a coding.
func (n *node) store(coding, body string) {
	n.t.Helper()
	n.fill("/a", coded(n.t, coding, body), func(r *rfc9111.Response) {
		r.Header.Set("Content-Encoding", coding)
		r.Header.Set("Etag", `"v1"`)
	})
}

func TestAStoredCodingServesEveryClient(t *testing.T) {
	for _, stored := range spoken {
		t.Run(stored, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, l1.Options{})
				defer n.Close()
				n.store(stored, text(20_000))
				for _, accepted := range append(spoken, "", "br, gzip, zstd", "deflate", "br;q=0, gzip;q=0, zstd;q=0, *") {
					req := request(t, "/a", "Accept-Encoding", accepted)
					for round := range 2 {
						ans := n.get(req)
						coding := ans.Head.Header.Get("Content-Encoding")
						want := ""
						switch {
						case strings.Contains(accepted, stored) && !strings.Contains(accepted, "q=0"):
							want = stored
						case round == 1: // made in the background of the first
							want = req.Keyed.Accepts.Best()
						}
						if coding != want || decode(t, ans) != text(20_000) || ans.Head.Length != int64(len(ans.Bytes)) {
							t.Errorf("%q got %q, want %q", accepted, coding, want)
						}
						if tag := ans.Head.Header.Get("Etag"); (tag == `"v1"`) != (coding == stored) || !ans.Varied {
							t.Errorf("%q got %q with the tag %s", accepted, coding, tag)
						}
						synctest.Wait()
					}
				}
				if fetched, _ := n.next.asked(); fetched > 0 || n.RoomTaken() != 0 {
					t.Errorf("%d fetches, %d bytes taken", fetched, n.RoomTaken())
				}
				if s := n.Stats(); s.Codings != 3 { // plain, and the two others
					t.Errorf("stats = %+v", s)
				}
				n.Clear()
				if s := n.Stats(); s.Bytes != 0 {
					t.Errorf("stats = %+v", s)
				}
			})
		})
	}
}

// What is too long decoded is decoded as it is sent.
func TestLongBodiesAreDecodedAsTheyAreSent(t *testing.T) {
	for _, stored := range spoken {
		t.Run(stored, func(t *testing.T) {
			n := newNode(t, l1.Options{MaxObject: 64 << 10})
			n.store(stored, text(200_000))
			for range 2 {
				ans := n.get(request(t, "/a", "Range", "bytes=0-9"))
				if ans.Body == nil || ans.At != nil || ans.Head.Length != -1 || ans.Head.Header.Get("Etag") != `W/"v1"` {
					t.Fatalf("%+v", ans.Head)
				}
				if decode(t, ans) != text(200_000) {
					t.Error("another body")
				}
				head := request(t, "/a")
				head.Method = http.MethodHead
				if ans := n.get(head); ans.Head.Length != -1 || ans.Head.Header.Get("Content-Encoding") != "" || len(read(t, ans)) != 0 {
					t.Errorf("HEAD: %+v", ans.Head)
				}
			}
			if n.RoomTaken() != 0 {
				t.Errorf("%d bytes taken", n.RoomTaken())
			}
		})
	}
}

// An answer from below is made to fit as well, whether anybody stores it or not.
func TestAnswersFromBelowFitTheirClient(t *testing.T) {
	for _, tt := range []struct {
		name     string
		streamed bool
		method   string
		fields   []string // of the response
		accepted string
		want     string // coding
		varied   bool
	}{
		{"plain", false, "GET", nil, "gzip", "", true},
		{"plain and fixed", false, "GET", []string{"Cache-Control", "no-transform"}, "gzip", "", false},
		{"accepted", false, "GET", []string{"Content-Encoding", "gzip"}, "gzip", "gzip", true},
		{"decoded", false, "GET", []string{"Content-Encoding", "gzip"}, "br", "", true},
		{"in other letters", false, "GET", []string{"Content-Encoding", "X-GZip"}, "", "", true},
		{"streamed", true, "GET", []string{"Content-Encoding", "gzip"}, "", "", true},
		{"streamed and accepted", true, "GET", []string{"Content-Encoding", "gzip"}, "gzip", "gzip", true},
		{"head", false, "HEAD", []string{"Content-Encoding", "gzip", "Content-Length", "77"}, "", "", true},
		{"fixed", true, "GET", []string{"Content-Encoding", "gzip", "Cache-Control", "no-transform"}, "", "gzip", false},
		{"digested", true, "GET", []string{"Content-Encoding", "gzip", "Content-Digest", "x"}, "", "gzip", false},
		{"a part", true, "GET", []string{"Content-Encoding", "gzip", "Content-Range", "bytes 0-9/10"}, "", "gzip", false},
		{"twice", true, "GET", []string{"Content-Encoding", "gzip, gzip"}, "", "gzip, gzip", false},
		{"another", true, "GET", []string{"Content-Encoding", "deflate"}, "", "deflate", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, l1.Options{})
			src := &body{Reader: strings.NewReader(coded(t, "gzip", text(5000)))}
			n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
				ans := &rfc9111.Answer{Head: page(start, nil), Decision: rfc9111.Decision{Use: rfc9111.Miss}}
				for i := 0; i < len(tt.fields); i += 2 {
					ans.Head.Header.Set(tt.fields[i], tt.fields[i+1])
				}
				switch {
				case tt.method == "HEAD":
				case tt.streamed:
					ans.Body, ans.At = src, strings.NewReader("")
				case ans.Head.Header.Get("Content-Encoding") == "":
					ans.Bytes = []byte(text(5000))
				default:
					ans.Bytes = []byte(coded(t, "gzip", text(5000)))
				}
				return ans, nil
			}
			req := request(t, "/a", "Accept-Encoding", tt.accepted)
			req.Method = tt.method
			ans := n.get(req)
			h := ans.Head.Header
			if h.Get("Content-Encoding") != tt.want || ans.Varied != tt.varied {
				t.Errorf("%v, varied %v", h, ans.Varied)
			}
			switch b := string(read(t, ans)); {
			case tt.method == "HEAD":
				if b != "" || ans.Head.Length != -1 || h["Content-Length"] != nil {
					t.Errorf("%q, %v", b, h)
				}
			case tt.want == "" && b != text(5000), tt.want != "" && b != coded(t, "gzip", text(5000)):
				t.Errorf("%.40q", b)
			}
			if tt.streamed && !src.closed.Load() || n.RoomTaken() != 0 {
				t.Error("something is still open")
			}
			if (tt.want == "") != (ans.At == nil) && tt.streamed {
				t.Error("a decoded stream cannot be read anywhere")
			}
		})
	}
}

// A body that is cut anywhere never looks whole, whichever way it is decoded.
func TestCutBodiesAreErrors(t *testing.T) {
	for _, coding := range spoken {
		for _, size := range []int{0, 1, 3000} {
			whole := coded(t, coding, text(size))
			for cut := 1; cut < len(whole); cut++ {
				part := whole[:cut]
				if _, err := l1.Decode(coding, []byte(part), 1<<20); !errors.Is(err, l1.ErrCoding) || errors.Is(err, io.EOF) {
					t.Fatalf("%s of %d bytes cut at %d: %v", coding, size, cut, err)
				}
				got, err := stream(coding, iotest.OneByteReader(strings.NewReader(part)))
				if !errors.Is(err, l1.ErrCoding) || !strings.HasPrefix(text(size), got) {
					t.Fatalf("%s of %d bytes cut at %d: %d bytes, %v", coding, size, cut, len(got), err)
				}
			}
			got, err := stream(coding, iotest.OneByteReader(strings.NewReader(whole)))
			if err != nil || got != text(size) {
				t.Fatalf("%s of %d bytes: %d bytes, %v", coding, size, len(got), err)
			}
			if _, err := l1.Decode(coding, []byte(whole+"more"), 1<<20); !errors.Is(err, l1.ErrCoding) {
				t.Errorf("%s with a tail: %v", coding, err)
			}
		}
		if got, err := stream(coding, strings.NewReader("")); err != nil || got != "" {
			t.Errorf("%s of nothing: %q, %v", coding, got, err)
		}
	}
}

func stream(coding string, src io.Reader) (string, error) {
	b := l1.DecodeStream(coding, io.NopCloser(src), func() {})
	got, err := io.ReadAll(b)
	return string(got), errors.Join(err, b.Close())
}

// Several members or frames are one body, RFC 1952 2.2, RFC 8878 3.
func TestBodiesOfSeveralPieces(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} {
		whole := coded(t, coding, text(2000)) + coded(t, coding, text(1000))
		got, err := l1.Decode(coding, []byte(whole), 1<<20)
		if err != nil || string(got) != text(2000)+text(1000) {
			t.Errorf("%s: %d bytes, %v", coding, len(got), err)
		}
	}
}

func TestTheLimitOfWhatIsDecodedInMemory(t *testing.T) {
	for _, coding := range spoken {
		whole := []byte(coded(t, coding, text(3000)))
		if got, err := l1.Decode(coding, whole, 3000); err != nil || string(got) != text(3000) {
			t.Errorf("%s: %v", coding, err)
		}
		if _, err := l1.Decode(coding, whole, 2999); !errors.Is(err, l1.ErrTooLong) {
			t.Errorf("%s: %v", coding, err)
		}
	}
}

// The source's own error is what a reader of a decoded body gets.
func TestAnErrorOfTheSourceIsPassedOn(t *testing.T) {
	for _, coding := range spoken {
		whole := coded(t, coding, text(30_000))
		for _, cut := range []int{0, 1, 10, len(whole) / 2, len(whole) - 1} {
			src := io.MultiReader(strings.NewReader(whole[:cut]), iotest.ErrReader(errOrigin))
			if got, err := stream(coding, src); !errors.Is(err, errOrigin) || !strings.HasPrefix(text(30_000), got) {
				t.Errorf("%s at %d: %v", coding, cut, err)
			}
		}
	}
}

// A small body that would fill memory or a client's disk ends soon, and where it is held it
// is not tried again.
func TestBombs(t *testing.T) {
	for _, coding := range spoken {
		bomb := bomb(t, coding, 8<<20)
		t.Run(coding, func(t *testing.T) {
			got, err := stream(coding, strings.NewReader(bomb))
			if !errors.Is(err, l1.ErrCoding) || len(got) > 2<<20 && len(got) > 101*len(bomb) {
				t.Errorf("%d bytes of %d: %v", len(got), len(bomb), err)
			}
			n := newNode(t, l1.Options{})
			n.fill("/a", bomb, with("Content-Encoding", coding))
			for range 2 {
				if ans, err := n.Fetch(t.Context(), request(t, "/a")); !errors.Is(err, l1.ErrCoding) {
					t.Errorf("%v, %v", ans, err)
				}
				if ans := n.get(request(t, "/a", "Accept-Encoding", coding)); string(ans.Bytes) != bomb {
					t.Error("it is good for those who accept it")
				}
			}
			if n.RoomTaken() != 0 {
				t.Errorf("%d bytes taken", n.RoomTaken())
			}
		})
	}
}

// bomb is size zeros in a coding.
func bomb(t testing.TB, coding string, size int) string {
	t.Helper()
	var b bytes.Buffer
	w := encoder(t, coding, &b)
	for zeros := make([]byte, 1<<20); size > 0; size -= len(zeros) {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Long streams need no more memory than short ones, and 4 GiB of zeros do not get far.
func TestLongStreamsNeedLittleMemory(t *testing.T) {
	for _, tt := range []struct {
		name, member string
		size         int64 // of all members, decoded
		want         error
	}{
		{"honest", text(64 << 10), 32 << 20, nil},
		{"a bomb", strings.Repeat("\x00", 64<<10), 4 << 30, l1.ErrCoding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			member, sent := coded(t, "gzip", tt.member), 0
			endless := readerFunc(func(p []byte) (int, error) {
				n := copy(p, member[sent%len(member):])
				sent += n
				return n, nil
			})
			all := int64(len(member)) * (tt.size / int64(len(tt.member)))
			body := l1.DecodeStream("gzip", io.NopCloser(io.LimitReader(endless, all)), func() {})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{body}, make([]byte, 32<<10))
			runtime.ReadMemStats(&after)
			if !errors.Is(err, tt.want) || err == nil && got != tt.size || err != nil && got > 2<<20 {
				t.Errorf("%d bytes: %v", got, err)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
				t.Errorf("%d bytes were allocated for %d", grown, got)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A window that no client has to have room for is refused, RFC 9659 3.
func TestWideWindowsAreRefused(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(16<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := io.WriteString(w, noise(1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream("zstd", &b); !errors.Is(err, l1.ErrCoding) {
		t.Error(err)
	}
}

// A decoder in the middle of a body holds no more than it counts with.
func TestDecodersStayInTheirRoom(t *testing.T) {
	for _, coding := range spoken {
		var b bytes.Buffer
		w := encoder(t, coding, &b)
		switch coding {
		case "br":
			w = brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 0, LGWin: 24})
		case "zstd":
			var err error
			if w, err = zstd.NewWriter(&b, zstd.WithWindowSize(8<<20), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
				t.Fatal(err)
			}
		}
		some := []byte(noise(1 << 20))
		for range 20 {
			if _, err := w.Write(some); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		before := heap()
		body := l1.DecodeStream(coding, io.NopCloser(&b), func() {})
		if _, err := io.CopyN(io.Discard, body, 19<<20); err != nil {
			t.Fatal(err)
		}
		if grown, most := heap()-before, l1.DecoderBytes(coding); grown > most {
			t.Errorf("%s: %d bytes, more than %d", coding, grown, most)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
		runtime.KeepAlive(&b)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestDecodersWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{MaxObject: 64 << 10, DecoderRoom: 1}) // one at a time
		defer n.Close()
		n.store("gzip", text(200_000))
		first := n.get(request(t, "/a"))
		began := time.Now()
		if _, err := n.Fetch(t.Context(), request(t, "/a")); !errors.Is(err, l1.ErrBusy) || time.Since(began) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, leave := context.WithCancel(t.Context())
		go leave()
		if _, err := n.Fetch(ctx, request(t, "/a")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if ans, err := n.Fetch(t.Context(), request(t, "/a")); err != nil || decode(t, ans) != text(200_000) {
				t.Error(err)
			}
		})
		synctest.Wait()
		if decode(t, first) != text(200_000) {
			t.Error("another body")
		}
		wg.Wait()
		if n.RoomTaken() != 0 {
			t.Errorf("%d bytes taken", n.RoomTaken())
		}
	})
}

// Whoever closes a body ends its Read.
func TestADecodedBodyIsClosedWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, coding := range spoken {
			r, w := io.Pipe()
			ended := 0
			b := l1.DecodeStream(coding, r, func() { ended++ })
			done := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, b)
				done <- err
			}()
			if _, err := io.WriteString(w, coded(t, coding, text(1000))[:10]); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := errors.Join(b.Close(), b.Close()); err != nil || ended != 1 {
				t.Errorf("%v, ended %d times", err, ended)
			}
			if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
			if _, err := b.Read(make([]byte, 1)); err == nil {
				t.Error("it can be read after it was closed")
			}
		}
	})
}

// What was flushed by the origin reaches the client before there is more.
func TestFlushedBytesAreDecodedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, coding := range spoken {
			r, w := io.Pipe()
			enc := encoder(t, coding, w)
			b := l1.DecodeStream(coding, r, func() {})
			heard := make(chan string, 10)
			go func() {
				defer close(heard)
				buf := make([]byte, 100)
				for {
					n, err := b.Read(buf)
					if n > 0 {
						heard <- string(buf[:n])
					}
					if err != nil {
						return
					}
				}
			}()
			for _, event := range []string{"data: 1\n\n", "data: 2\n\n"} {
				go func() {
					_, err := io.WriteString(enc, event)
					if err := errors.Join(err, enc.(interface{ Flush() error }).Flush()); err != nil {
						t.Error(err)
					}
				}()
				synctest.Wait()
				got := ""
				for len(heard) > 0 {
					got += <-heard
				}
				if got != event {
					t.Errorf("%s: %q of %q", coding, got, event)
				}
			}
			_ = b.Close()
			synctest.Wait()
			for range heard {
				t.Error("more was heard")
			}
		}
	})
}

// Clients, purges and refreshes meet while bodies are coded and decoded.
func TestCodingsUnderTraffic(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 1 << 20})
	bodies := map[string]bool{}
	var stored [][]byte
	for i := range 4 {
		bodies[text(3000+i)] = true
		stored = append(stored, []byte(coded(t, "gzip", text(3000+i))))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 150 {
				resp := page(start, with("Content-Encoding", "gzip"))
				resp.Epoch = n.epochs.Current()
				n.Filled(key(t, "/a"), resp, stored[(worker+i/50)%len(stored)])
				switch {
				case worker == 0 && i%10 == 0:
					n.Dropped(key(t, "/a"), "")
				case worker == 1 && i%20 == 0:
					n.epochs.purge(everything)
				case worker == 2 && i%30 == 0:
					n.Clear()
				}
				for _, accepted := range []string{"", "br", "zstd", "gzip"} {
					ans, err := n.Fetch(t.Context(), request(t, "/a", "Accept-Encoding", accepted))
					if err != nil {
						t.Error(err)
						return
					}
					if ans.Decision.Use == rfc9111.Hit && !bodies[decode(t, ans)] {
						t.Error("another body")
					}
				}
				if s := n.Stats(); s.Bytes < 0 || s.Bytes > 1<<20 {
					t.Errorf("stats = %+v", s)
				}
			}
		})
	}
	wg.Wait()
	n.Clear()
	if s := n.Stats(); s.Bytes != 0 || n.RoomTaken() != 0 {
		t.Errorf("stats = %+v, %d bytes taken", s, n.RoomTaken())
	}
}

func TestADecodedHitAllocatesItsAnswerAlone(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.store("br", text(4096))
	for _, accepted := range []string{"", "br", "br, gzip, zstd"} {
		req := request(t, "/a", "Accept-Encoding", accepted)
		n.get(req)
		if got := testing.AllocsPerRun(1000, func() { n.get(req) }); got > 1 {
			t.Errorf("%q: %v allocations, want 1", accepted, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for i, coding := range spoken {
		for _, size := range []int{0, 10, 5000} {
			f.Add(uint8(i), []byte(coded(f, coding, text(size))), uint16(7))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte, flip uint16) {
		coding := spoken[int(which)%len(spoken)]
		const limit = 1 << 16
		for _, data := range [][]byte{data, flipped(data, flip)} {
			want, wantErr := undoUpTo(coding, data, limit+1)
			got, err := l1.Decode(coding, data, limit)
			switch {
			case err == nil && (wantErr != nil && len(data) > 0 || !bytes.Equal(got, want)):
				t.Errorf("%s: %d bytes, want %d, %v", coding, len(got), len(want), wantErr)
			case int64(len(got)) > limit:
				t.Errorf("%s: %d bytes", coding, len(got))
			case err != nil && !errors.Is(err, l1.ErrCoding) && !errors.Is(err, l1.ErrTooLong):
				t.Errorf("%s: %v", coding, err)
			}
			streamed, streamErr := stream(coding, io.LimitReader(iotest.HalfReader(bytes.NewReader(data)), 1<<20))
			if err == nil && (streamErr != nil || streamed != string(got)) || streamErr == nil && err != nil && !errors.Is(err, l1.ErrTooLong) {
				t.Errorf("%s: %v in memory, %v streamed", coding, err, streamErr)
			}
		}
		// What is made here is understood by others, and here.
		made, err := l1.Encode(coding, data)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := undo(coding, string(made)); err != nil || plain != string(data) {
			t.Errorf("%s: made %d bytes of %d: %v", coding, len(made), len(data), err)
		}
		if plain, err := l1.Decode(coding, made, int64(len(data))); err != nil || !bytes.Equal(plain, data) {
			t.Errorf("%s: %v", coding, err)
		}
	})
}

func flipped(data []byte, flip uint16) []byte {
	if len(data) == 0 {
		return data
	}
	data = slices.Clone(data)
	data[int(flip)%len(data)] ^= byte(flip>>8) | 1
	return data
}

func undoUpTo(coding string, data []byte, limit int64) ([]byte, error) {
	plain, err := undo(coding, string(data))
	return []byte(plain[:min(int64(len(plain)), limit)]), err
}

// BenchmarkEncode is what the levels were chosen by: speed, and the share that is left.
func BenchmarkEncode(b *testing.B) {
	for _, coding := range spoken {
		b.Run(coding, func(b *testing.B) {
			plain, err := os.ReadFile("decode_test.go")
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(plain)))
			left := 0
			for b.Loop() {
				made, err := l1.Encode(coding, plain)
				if err != nil {
					b.Fatal(err)
				}
				left = len(made)
			}
			b.ReportMetric(float64(left)/float64(len(plain)), "left")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, coding := range spoken {
		b.Run(coding, func(b *testing.B) {
			made := []byte(coded(b, coding, text(64<<10)))
			b.SetBytes(64 << 10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l1.Decode(coding, made, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
