package shield_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

// small makes windows that tests can fill.
func small() shield.Options {
	return shield.Options{FlightWindow: 256 << 10, MemoryObject: 16 << 10}
}

// bodies answers with body in pieces of random sizes.
func bodies(body []byte, length int64) handler {
	return func(*http.Request) (*http.Response, error) {
		return respondWith(200, &pieces{rest: body, rnd: rand.New(rand.NewPCG(1, 2))}, length, "Cache-Control", cacheable), nil
	}
}

type pieces struct {
	rest []byte
	rnd  *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+p.rnd.IntN(40_000))], p.rest)
	p.rest = p.rest[n:]
	if len(p.rest) == 0 && p.rnd.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func TestBodiesOfAllLengths(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 16 << 10, 16<<10 + 1, 256 << 10, 600_000} {
		for _, known := range []bool{true, false} {
			for _, stored := range []bool{true, false} {
				t.Run(fmt.Sprint(n, known, stored), func(t *testing.T) {
					s := start(t, options{noStore: !stored, shield: small()})
					body := shieldtest.Body(1, n)
					length := int64(n)
					if !known {
						length = -1
					}
					s.origin.answer(bodies(body, length))
					for _, r := range many(5, func(int) result { return s.get("/") }) {
						r.want(t, string(body), r.decision.Use, rfc9111.StatusOK)
					}
					if stored {
						s.get("/").want(t, string(body), rfc9111.Hit, rfc9111.StatusOK)
						s.wantOrigin(1)
					}
					if n <= 16<<10 {
						if got := s.memory.filled[s.request("/").Keyed.Key.Bytes()]; !bytes.Equal(got, body) || cap(got) > len(got)+len(got)/16 {
							t.Errorf("listener has %d bytes in %d", len(got), cap(got))
						}
						if got := s.memory.heads[s.request("/").Keyed.Key.Bytes()]; got.Length != int64(n) {
							t.Errorf("listener's head says %d bytes", got.Length)
						}
					} else if s.memory.fillCount() > 0 {
						t.Error("a long body was handed to the listener")
					}
				})
			}
		}
	}
}

// One slow and ten fast readers of a body that is stored: the slow one holds up
// nobody, memory stays at the window, and all get the right bytes.
func TestSlowReaderOfStoredBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{shield: small()})
		body := shieldtest.Body(1, 8<<20)
		s.origin.answer(bodies(body, int64(len(body))))
		slow, err := s.shield.Fetch(context.Background(), s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		var most int64
		for _, r := range many(10, func(int) result { return s.get("/") }) {
			r.want(t, string(body), r.decision.Use, rfc9111.StatusOK)
			most = max(most, s.shield.Stats().StreamBytes)
		}
		synctest.Wait()
		if st := s.shield.Stats(); st.Flights != 0 {
			t.Error("the slow reader holds the fill up")
		}
		if most > 256<<10+2*64<<10 {
			t.Errorf("%d bytes in memory", most)
		}
		got := make([]byte, 0, len(body))
		p := make([]byte, 10_000)
		for {
			n, err := slow.Body.Read(p)
			got = append(got, p[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got)%7 == 0 {
				time.Sleep(time.Second)
			}
		}
		if !bytes.Equal(got, body) {
			t.Error("the slow reader got other bytes")
		}
		if err := slow.Body.Close(); err != nil {
			t.Error(err)
		}
		s.wantOrigin(1)
		s.close()
	})
}

// A reader that is behind the window when the store has committed or replaced
// the object still reads its own.
func TestReaderBehindOutlivesStoredObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{shield: small()})
		body := shieldtest.Body(1, 4<<20)
		s.origin.answer(bodies(body, -1))
		slow, err := s.shield.Fetch(context.Background(), s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := s.store.Drop(s.request("/").Keyed.Key, ""); err != nil {
			t.Fatal(err)
		}
		read(slow).want(t, string(body), rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}

// Nothing is stored: the fill goes as fast as its slowest reader, and one that
// stands still is cut off. Memory stays at the window all the time.
func TestSlowReaderOfBodyThatIsNotStored(t *testing.T) {
	for _, c := range []struct {
		name string
		o    options
	}{
		{"no store", options{noStore: true}},
		{"store full", options{store: &shieldtest.Memory{Fault: failing("create", -1)}}},
		{"write fails", options{store: &shieldtest.Memory{Fault: failing("write", 1<<20)}}},
		{"grows too long", options{store: &shieldtest.Memory{Limit: 1 << 20}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.o.shield = small()
				s := start(t, c.o)
				body := shieldtest.Body(1, 4<<20)
				g := closed(bodies(body, -1))
				s.origin.answer(g.handle)
				opened := make(chan *rfc9111.Answer)
				for range 2 { // both are there before the first byte
					go func() {
						ans, err := s.shield.Fetch(context.Background(), s.request("/"))
						if err != nil {
							t.Error(err)
						}
						opened <- ans
					}()
				}
				synctest.Wait()
				close(g.open)
				still, fast := <-opened, <-opened
				began := time.Now()
				r := read(fast)
				r.want(t, string(body), rfc9111.Miss, rfc9111.StatusOK)
				if took := time.Since(began); took < 30*time.Second || took > 31*time.Second {
					t.Errorf("took %s", took)
				}
				if got := read(still); !errors.Is(got.err, shield.ErrStalled) || !bytes.HasPrefix(body, []byte(got.body)) {
					t.Errorf("%d bytes and %v", len(got.body), got.err)
				}
				synctest.Wait()
				if s.store.Len() != 0 {
					t.Error("something was stored")
				}
				s.get("/").want(t, string(body), rfc9111.Miss, rfc9111.StatusOK)
				s.wantOrigin(2)
				s.close()
			})
		})
	}
}

func failing(op string, at int64) func(string, keying.Key, int64) error {
	return func(o string, _ keying.Key, n int64) error {
		if o == op && n >= at {
			return errors.New("no space left on device")
		}
		return nil
	}
}

// A reader that is slow but moves is waited for.
func TestSlowReaderThatMovesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{noStore: true, shield: small()})
		body := shieldtest.Body(1, 2<<20)
		s.origin.answer(bodies(body, -1))
		slow, err := s.shield.Fetch(context.Background(), s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		fast := make(chan result)
		go func() { fast <- s.get("/") }()
		var got bytes.Buffer
		p := make([]byte, 16<<10)
		for err == nil {
			var n int
			n, err = slow.Body.Read(p)
			got.Write(p[:n])
			time.Sleep(5 * time.Second)
			if n := s.shield.Stats().StreamBytes; n > 256<<10+2*64<<10 {
				t.Fatalf("%d bytes in memory", n)
			}
		}
		if !errors.Is(err, io.EOF) || !bytes.Equal(got.Bytes(), body) {
			t.Errorf("%d bytes, %v", got.Len(), err)
		}
		(<-fast).want(t, string(body), rfc9111.Miss, rfc9111.StatusOK)
		if err := slow.Body.Close(); err != nil {
			t.Error(err)
		}
		s.close()
	})
}

// Bodies that are known to be too long are not shared: nobody waits for another's
// slow reader.
func TestTooLongToStore(t *testing.T) {
	s := start(t, options{store: &shieldtest.Memory{Limit: 1000}})
	body := shieldtest.Body(1, 5000)
	s.origin.answer(bodies(body, 5000))
	for range 2 {
		r := s.get("/")
		r.want(t, string(body), rfc9111.Miss, rfc9111.StatusPass)
	}
	if s.store.Count("create") != 0 || s.shield.Stats().Uncacheable != 1 {
		t.Error("it was tried to store it")
	}
}

// A body that ends with its connection cannot be told from one that was cut.
func TestCloseDelimitedIsNotStored(t *testing.T) {
	s := start(t, options{})
	s.origin.answer(func(*http.Request) (*http.Response, error) {
		resp := respondWith(200, strings.NewReader("body"), -1, "Cache-Control", cacheable)
		resp.TransferEncoding = nil
		return resp, nil
	})
	s.get("/").want(t, "body", rfc9111.Miss, rfc9111.StatusPass)
	if s.store.Len() != 0 {
		t.Error("stored")
	}
}

func TestBodiesThatFail(t *testing.T) {
	body := shieldtest.Body(1, 600_000)
	for _, c := range []struct {
		name   string
		length int64
		sent   []byte
		end    error
		want   error
	}{
		{"short", 700_000, body, io.EOF, shield.ErrOriginTruncated},
		{"empty", 700_000, nil, io.EOF, shield.ErrOriginTruncated},
		{"long", 500_000, body, io.EOF, shield.ErrOriginProtocol},
		{"reset", 700_000, body, errors.New("connection reset by peer"), shield.ErrOriginTruncated},
		{"chunks cut", -1, body, io.ErrUnexpectedEOF, shield.ErrOriginTruncated},
	} {
		for _, window := range []int64{1 << 20, 64 << 10} {
			t.Run(fmt.Sprint(c.name, window), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := start(t, options{shield: shield.Options{FlightWindow: window}})
					g := closed(func(*http.Request) (*http.Response, error) {
						src := io.MultiReader(bytes.NewReader(c.sent), failingReader{c.end})
						return respondWith(200, src, c.length, "Cache-Control", cacheable), nil
					})
					s.origin.answer(g.handle)
					done := make(chan []result)
					go func() { done <- many(10, func(int) result { return s.get("/") }) }()
					synctest.Wait()
					close(g.open)
					for _, r := range <-done {
						if !errors.Is(r.err, c.want) {
							t.Errorf("error %v, want %v", r.err, c.want)
						}
						if !bytes.HasPrefix(body, []byte(r.body)) {
							t.Error("wrong bytes before the end")
						}
					}
					synctest.Wait()
					if s.store.Len() != 0 || s.memory.fillCount() != 0 {
						t.Error("stored")
					}
					s.close()
				})
			})
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// A body may be closed from another goroutine, which ends a read of it.
func TestCloseEndsRead(t *testing.T) {
	for _, control := range []string{cacheable, "private"} {
		t.Run(control, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				f := feed()
				s.origin.answer(func(*http.Request) (*http.Response, error) {
					return respondWith(200, f.r, -1, "Cache-Control", control), nil
				})
				ans, err := s.shield.Fetch(context.Background(), s.request("/"))
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error)
				go func() {
					_, err := ans.Body.Read(make([]byte, 10))
					ended <- err
				}()
				synctest.Wait()
				if err := ans.Body.Close(); err != nil {
					t.Error(err)
				}
				if err := <-ended; err == nil || errors.Is(err, io.EOF) {
					t.Errorf("the read ended with %v", err)
				}
				_ = f.w.Close()
				s.close()
			})
		})
	}
}

// A client's context ends its wait for a body that does not come.
func TestContextEndsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		f := feed()
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			return respondWith(200, f.r, -1, "Cache-Control", cacheable), nil
		})
		ctx, leave := context.WithCancel(context.Background())
		ans, err := s.shield.Fetch(ctx, s.request("/"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, leave)
		if r := read(ans); !errors.Is(r.err, context.Canceled) {
			t.Errorf("error %v", r.err)
		}
		_, _ = io.WriteString(f.w, "rest")
		_ = f.w.Close()
		synctest.Wait()
		s.get("/").want(t, "rest", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

// When bodies in flight hold too much together, windows shrink.
func TestStreamMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{shield: shield.Options{StreamMemory: 4 << 20, FlightWindow: 2 << 20, MemoryObject: 1000}})
		body := shieldtest.Body(1, 3<<20)
		s.origin.answer(bodies(body, -1))
		var open []*rfc9111.Answer
		for i := range 20 {
			ans, err := s.shield.Fetch(context.Background(), s.request("/"+number(i)))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, ans)
			synctest.Wait()
		}
		if n := s.shield.Stats().StreamBytes; n > 4<<20+20*(256+64+64)<<10 {
			t.Errorf("%d bytes in memory", n)
		}
		for _, ans := range open {
			read(ans).want(t, string(body), rfc9111.Miss, rfc9111.StatusOK)
		}
		s.close()
	})
}

// Many readers that come, go, and read at their own pace, in a store that fails
// now and then: everyone gets exactly the body, or an error.
func TestReadersAtRandom(t *testing.T) {
	body := shieldtest.Body(3, 1<<20)
	sum := func(b []byte) uint64 { h := fnv.New64(); _, _ = h.Write(b); return h.Sum64() }
	want := sum(body)
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 9))
			o := options{shield: small(), noStore: seed%3 == 0}
			o.shield.StallTimeout = 5 * time.Second
			o.store = &shieldtest.Memory{}
			if seed%3 == 1 {
				o.store.Fault = failing("write", 1+rnd.Int64N(1<<20))
			}
			s := start(t, o)
			s.origin.answer(bodies(body, -1))
			var wg sync.WaitGroup
			for i := range 12 {
				after, pace, leaves := time.Duration(rnd.IntN(3000))*time.Millisecond, rnd.IntN(300), rnd.IntN(4) == 0
				wg.Go(func() {
					time.Sleep(after)
					ans, err := s.shield.Fetch(context.Background(), s.request("/"))
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					if ans.Body == nil {
						if sum(ans.Bytes) != want {
							t.Error("other bytes")
						}
						return
					}
					defer func() { _ = ans.Body.Close() }()
					var got bytes.Buffer
					p := make([]byte, 20_000)
					for err == nil {
						var n int
						n, err = ans.Body.Read(p)
						got.Write(p[:n])
						time.Sleep(time.Duration(pace) * time.Millisecond)
						if leaves && got.Len() > 200_000 {
							return
						}
					}
					switch {
					case errors.Is(err, io.EOF) && sum(got.Bytes()) == want:
					case errors.Is(err, shield.ErrStalled), errors.Is(err, shield.ErrStore):
					default:
						t.Errorf("client %d: %d bytes, %v", i, got.Len(), err)
					}
				})
			}
			wg.Wait()
			s.close()
		})
	}
}
