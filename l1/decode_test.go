package l1_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"weir/l1"
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
	b, _ := l1.DecodeStream(coding, io.NopCloser(src))
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
			body, _ := l1.DecodeStream("gzip", io.NopCloser(io.LimitReader(endless, all)))
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
		body, taken := l1.DecodeStream(coding, io.NopCloser(&b))
		if _, err := io.CopyN(io.Discard, body, 19<<20); err != nil {
			t.Fatal(err)
		}
		if grown := heap() - before; grown > taken() {
			t.Errorf("%s: %d bytes, more than %d", coding, grown, taken())
		}
		if err := body.Close(); err != nil || taken() != 0 {
			t.Errorf("%v, %d bytes taken", err, taken())
		}
		runtime.KeepAlive(&b)
	}
}

// Memory that the window of a body shows not to be needed is for others.
func TestRoomIsForTheWindow(t *testing.T) {
	for _, tt := range []struct {
		name, coding string
		window       int // bits
		least, most  int64
	}{
		{"br, small", "br", 10, 4 << 20, 4<<20 + 1<<10},
		{"br, 16", "br", 16, 4 << 20, 4<<20 + 1<<16},
		{"br, 17", "br", 17, 4 << 20, 4<<20 + 1<<17},
		{"br, 19", "br", 19, 4 << 20, 4<<20 + 1<<19},
		{"br, large", "br", 24, 20 << 20, 20 << 20},
		{"gzip", "gzip", 0, 64 << 10, 64 << 10},
		{"zstd, small", "zstd", 15, 2 << 20, 2 << 20},
		{"zstd", "zstd", 21, 3 << 20, 3 << 20},
		{"zstd, large", "zstd", 23, 9 << 20, 9 << 20},
	} {
		var b bytes.Buffer
		w := encoder(t, tt.coding, &b)
		switch tt.coding {
		case "br":
			w = brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 5, LGWin: tt.window})
		case "zstd":
			var err error
			if w, err = zstd.NewWriter(&b, zstd.WithWindowSize(1<<tt.window), zstd.WithEncoderConcurrency(1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(w, text(1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		body, taken := l1.DecodeStream(tt.coding, io.NopCloser(&b))
		before := taken()
		if got, err := io.ReadAll(body); err != nil || string(got) != text(1<<20) {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		}
		if got := taken(); before < got || got < tt.least || got > tt.most {
			t.Errorf("%s: %d bytes of %d", tt.name, got, before)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Whoever closes a body ends its Read.
func TestADecodedBodyIsClosedWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, coding := range spoken {
			r, w := io.Pipe()
			b, taken := l1.DecodeStream(coding, r)
			done := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, b)
				done <- err
			}()
			if _, err := io.WriteString(w, coded(t, coding, text(1000))[:10]); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := errors.Join(b.Close(), b.Close()); err != nil || taken() != 0 {
				t.Errorf("%v, %d bytes taken", err, taken())
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
			b, _ := l1.DecodeStream(coding, r)
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
