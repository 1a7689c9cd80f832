package l1_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

func (n *node) fillCoded(accept, body string, edit func(r *rfc9111.Response)) {
	n.t.Helper()
	resp := page(n.clock.Now(), edit)
	resp.Length, resp.Epoch = int64(len(body)), n.epochs.Current()
	n.Filled(keyed(n.t, "/a", accept).Key, resp, []byte(body))
}

// decode reads an answer's body and undoes its coding.
func decode(t testing.TB, ans *rfc9111.Answer) string {
	t.Helper()
	plain, err := undo(ans.Head.Header.Get("Content-Encoding"), string(read(t, ans)))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func read(t testing.TB, ans *rfc9111.Answer) []byte {
	t.Helper()
	if ans.Body == nil {
		return ans.Bytes
	}
	b, err := io.ReadAll(ans.Body)
	if err := errors.Join(err, ans.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// undo undoes a coding without any of the package's means.
func undo(coding, body string) (string, error) {
	src := strings.NewReader(body)
	var r io.Reader = src
	switch coding {
	case "zstd":
		z, err := zstd.NewReader(src, zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return "", err
		}
		defer z.Close()
		r = z
	case "gzip":
		z, err := gzip.NewReader(src)
		if err != nil {
			return "", err
		}
		r = z
	case "br":
		r = brotli.NewReader(src)
	}
	plain, err := io.ReadAll(io.LimitReader(r, 80<<20))
	return string(plain), err
}

func TestCodings(t *testing.T) {
	tests := []struct {
		name, accept string
		size         int
		edit         func(r *rfc9111.Response)
		ask          func(req *policy.Request)
		want         string
	}{
		{"zstd first", "gzip, br, zstd", 4096, nil, nil, "zstd"},
		{"then br", "gzip, br", 4096, nil, nil, "br"},
		{"gzip", "gzip, deflate", 4096, nil, nil, "gzip"},
		{"what is liked best", "zstd;q=0.5, gzip, br;q=0.9", 4096, nil, nil, "gzip"},
		{"plain is liked best", "gzip;q=0.5, identity", 4096, nil, nil, ""},
		{"a kibibyte", "gzip", 1024, nil, nil, "gzip"},
		{"less", "gzip", 1023, nil, nil, ""},
		{"nothing that is spoken here", "deflate", 4096, nil, nil, ""},
		{"nothing", "", 4096, nil, nil, ""},
		{"JSON", "gzip", 4096, contentType("application/problem+json; charset=utf-8"), nil, "gzip"},
		{"SVG", "gzip", 4096, contentType("image/svg+xml"), nil, "gzip"},
		{"upper case", "gzip", 4096, contentType("Application/JSON"), nil, "gzip"},
		{"a photograph", "gzip", 4096, contentType("image/jpeg"), nil, ""},
		{"of no type", "gzip", 4096, func(r *rfc9111.Response) { r.Header.Del("Content-Type") }, nil, ""},
		{"coded already", "gzip", 4096, with("Content-Encoding", "gzip"), nil, ""},
		{"digested", "gzip", 4096, with("Content-Digest", "sha-256=:AA==:"), nil, ""},
		{"no-transform", "gzip", 4096, with("Cache-Control", "max-age=60, No-Transform"), nil, ""},
		{"no-transform from the client", "gzip", 4096, nil, ask("Cache-Control", "no-transform"), ""},
		{"a range", "gzip", 4096, nil, ask("Range", "bytes=0-9"), ""},
		{"If-Match", "gzip", 4096, nil, ask("If-Match", `"v1"`), ""},
		{"not on this route", "gzip", 4096, nil, func(req *policy.Request) { req.Plan.Compress = false }, ""},
		{"HEAD", "gzip", 4096, nil, func(req *policy.Request) { req.Method = "HEAD" }, "gzip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, l1.Options{})
				defer n.Close()
				n.fillCoded(tt.accept, text(tt.size), tt.edit)
				var fields []string
				if tt.accept != "" {
					fields = []string{"Accept-Encoding", tt.accept}
				}
				req := request(t, "/a", fields...)
				if tt.ask != nil {
					tt.ask(req)
				}
				first := n.expect(req, text(tt.size), rfc9111.Hit)
				if first.Head.Header.Get("Content-Encoding") != "" && tt.name != "coded already" {
					t.Error("the first hit waited for its coding")
				}
				synctest.Wait()
				second := n.get(req)
				if tt.want == "" {
					if second.Head != first.Head || &second.Bytes[0] != &first.Bytes[0] {
						t.Errorf("got %+v", second.Head.Header)
					}
					return
				}
				if got := second.Head.Header.Get("Content-Encoding"); got != tt.want {
					t.Fatalf("coding = %q, want %q", got, tt.want)
				}
				if decode(t, second) != text(tt.size) {
					t.Error("another body")
				}
			})
		})
	}
}

func contentType(value string) func(r *rfc9111.Response) { return with("Content-Type", value) }

func with(name, value string) func(r *rfc9111.Response) {
	return func(r *rfc9111.Response) { r.Header.Set(name, value) }
}

func ask(name, value string) func(req *policy.Request) {
	return func(req *policy.Request) { req.Header.Set(name, value) }
}

func TestTheHeadOfACodedAnswer(t *testing.T) {
	tests := []struct{ name, etag, length, wantEtag string }{
		{"bare", "", "", ""},
		{"strong tag", `"v1"`, "4096", `W/"v1"`},
		{"weak tag", `W/"v1"`, "4096", `W/"v1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, l1.Options{})
				defer n.Close()
				n.fillCoded("zstd", text(4096), func(r *rfc9111.Response) {
					for name, value := range map[string]string{"Etag": tt.etag, "Content-Length": tt.length} {
						if value != "" {
							r.Header.Set(name, value)
						}
					}
				})
				req := request(t, "/a", "Accept-Encoding", "zstd")
				identity := n.get(req)
				synctest.Wait()
				ans := n.get(req)
				h := ans.Head.Header
				if got := h.Get("Etag"); got != tt.wantEtag {
					t.Errorf("etag = %q", got)
				}
				if !ans.Varied || !ans.Mixed || !identity.Varied || !identity.Mixed {
					t.Error("nobody would know that Accept-Encoding chose it")
				}
				size := len(ans.Bytes)
				if ans.Head.Length != int64(size) || tt.length != "" && h.Get("Content-Length") != strconv.Itoa(size) || tt.length == "" && h["Content-Length"] != nil {
					t.Errorf("length = %d, %q, of %d bytes", ans.Head.Length, h["Content-Length"], size)
				}
				if identity.Head.Header.Get("Content-Encoding") != "" || identity.Head.Length != 4096 {
					t.Error("the identity head was changed")
				}
			})
		})
	}
}

func TestCodedBodiesAreInTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 256 << 10
		n := newNode(t, l1.Options{MaxBytes: budget})
		defer n.Close()
		n.fillCoded("gzip", text(8<<10), nil)
		before := n.Stats().Bytes
		req := request(t, "/a", "Accept-Encoding", "gzip")
		n.get(req)
		synctest.Wait()
		size := int64(len(n.get(req).Bytes))
		s := n.Stats()
		if grown := s.Bytes - before; grown < size || grown > size+5000 || s.Codings != 1 || s.Objects != 1 {
			t.Errorf("%d bytes for a coded body of %d: %+v", grown, size, s)
		}
		// Another variant does not make it forgotten.
		resp := page(start, varyOn(t, "X", "1"))
		n.Filled(keyed(t, "/a", "gzip").Key, resp, nil)
		if more := n.Stats().Bytes; more <= s.Bytes {
			t.Errorf("%d bytes, and %d with one more variant", s.Bytes, more)
		}
		for i := range 200 {
			target := "/" + strconv.Itoa(i)
			n.Filled(keyed(t, target, "gzip").Key, page(start, nil), []byte(text(8<<10)))
			n.get(request(t, target, "Accept-Encoding", "gzip"))
			synctest.Wait()
			if s := n.Stats(); s.Bytes > budget {
				t.Fatalf("stats = %+v", s)
			}
		}
		n.Clear()
		if s := n.Stats(); s.Bytes != 0 || s.Codings != 201 {
			t.Errorf("stats = %+v", s)
		}
	})
}

func TestABodyThatDoesNotShrinkIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{})
		defer n.Close()
		noise := noise(4096)
		n.fillCoded("zstd", noise, nil)
		req := request(t, "/a", "Accept-Encoding", "zstd")
		n.expect(req, noise, rfc9111.Hit)
		synctest.Wait()
		before := n.Stats()
		n.expect(req, noise, rfc9111.Hit)
		synctest.Wait()
		after := n.Stats()
		if after.Codings != 0 || after.Bytes != before.Bytes {
			t.Errorf("stats = %+v", after)
		}
	})
}

func noise(size int) string {
	var b []byte
	for sum := sha256.Sum256(nil); len(b) < size; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return string(b[:size])
}

// A validation brings a new head for the same bytes; they are not coded again.
func TestACodedBodyOutlivesAValidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{})
		defer n.Close()
		req := request(t, "/a", "Accept-Encoding", "gzip")
		n.fillCoded("gzip", text(4096), with("X-Version", "1"))
		n.get(req)
		synctest.Wait()
		n.clock.advance(90 * time.Second)
		n.fillCoded("gzip", text(4096), with("X-Version", "2"))
		ans := n.get(req)
		if h := ans.Head.Header; ans.Decision.Use != rfc9111.Hit || h.Get("Content-Encoding") != "gzip" || h.Get("X-Version") != "2" {
			t.Errorf("got %s, %v", ans.Decision.Use, h)
		}
		n.fillCoded("gzip", text(4000), nil)
		if ans := n.get(req); decode(t, ans) != text(4000) || ans.Head.Header.Get("Content-Encoding") != "" {
			t.Errorf("another body: %v", ans.Head.Header)
		}
		synctest.Wait()
		n.fillCoded("gzip", text(4000), with("Cache-Control", "no-transform"))
		if ans := n.get(req); ans.Head.Header.Get("Content-Encoding") != "" {
			t.Errorf("no-transform: %v", ans.Head.Header)
		}
		if s := n.Stats(); s.Codings != 2 {
			t.Errorf("stats = %+v", s)
		}
	})
}

// What was coded for an object that is gone by then is nobody's.
func TestACodingThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{})
		defer n.Close()
		req := request(t, "/a", "Accept-Encoding", "gzip")
		n.fillCoded("gzip", text(4096), nil)
		n.get(req)
		n.fillCoded("gzip", text(5000), nil)
		synctest.Wait()
		if ans := n.get(req); decode(t, ans) != text(5000) {
			t.Error("an old body")
		}
		n.Dropped(keyed(t, "/a", "gzip").Key, "")
		synctest.Wait()
		if s := n.Stats(); s.Bytes != 0 || s.Objects != 0 {
			t.Errorf("stats = %+v", s)
		}
	})
}

func TestAStaleAnswerIsCodedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{})
		defer n.Close()
		req := request(t, "/a", "Accept-Encoding", "gzip")
		n.fillCoded("gzip", text(4096), nil)
		n.get(req)
		synctest.Wait()
		n.clock.advance(90 * time.Second)
		ans := n.get(req)
		if ans.Decision.Use != rfc9111.Stale || ans.Head.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("got %s, %v", ans.Decision.Use, ans.Head.Header)
		}
	})
}

func TestMoreCodingsThanAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{})
		defer n.Close()
		reqs := make([]*policy.Request, 100)
		for i := range reqs {
			target := "/" + strconv.Itoa(i)
			n.Filled(keyed(t, target, "gzip").Key, page(start, nil), []byte(text(2000)))
			reqs[i] = request(t, target, "Accept-Encoding", "gzip")
		}
		for range len(reqs) {
			for _, req := range reqs {
				n.get(req)
			}
			synctest.Wait()
		}
		for _, req := range reqs {
			if h := n.get(req).Head.Header; h.Get("Content-Encoding") != "gzip" {
				t.Fatalf("never coded: %v", h)
			}
		}
	})
}

func TestACodedHitAllocatesItsAnswerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, l1.Options{})
		defer n.Close()
		n.fillCoded("zstd", text(4096), nil)
		req := request(t, "/a", "Accept-Encoding", "zstd")
		n.get(req)
		synctest.Wait()
		if got := testing.AllocsPerRun(1000, func() { n.get(req) }); got > 1 {
			t.Errorf("%v allocations, want 1", got)
		}
		if h := n.get(req).Head.Header; h.Get("Content-Encoding") != "zstd" {
			t.Errorf("not coded: %v", h)
		}
	})
}
