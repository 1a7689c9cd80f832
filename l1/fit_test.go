package l1_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

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

func TestDecodersWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{MaxObject: 64 << 10, DecoderRoom: 1}) // one at a time
		defer n.Close()
		n.store("gzip", text(200_000))
		n.fill("/short", coded(t, "gzip", text(2000)), with("Content-Encoding", "gzip"))
		first := n.get(request(t, "/a"))
		began := time.Now()
		if decode(t, n.get(request(t, "/short"))) != text(2000) || time.Since(began) > 0 {
			t.Error("a stream keeps others from decoding in memory")
		}
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

// Clients, purges and refreshes meet while bodies are coded and decoded.
func TestCodingsUnderTraffic(t *testing.T) {
	n := newNode(t, l1.Options{MaxBytes: 1 << 20})
	bodies := map[string]bool{}
	type storable struct {
		coding string
		body   []byte
	}
	var stored []storable
	for i := range 3 {
		bodies[text(3000+i)] = true
		stored = append(stored, storable{"gzip", []byte(coded(t, "gzip", text(3000+i)))}, storable{"", []byte(text(3000 + i))})
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 150 {
				resp, now := page(start, nil), stored[(worker+i/25)%len(stored)]
				if now.coding != "" {
					resp.Header.Set("Content-Encoding", now.coding)
				}
				resp.Epoch = n.epochs.Current()
				n.Filled(key(t, "/a"), resp, now.body)
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
