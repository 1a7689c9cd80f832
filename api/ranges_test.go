package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/api"
	"weir/rfc9111"
)

// at is a body that can be read anywhere.
func at(content []byte) *rfc9111.Answer {
	a := streamed(io.NopCloser(bytes.NewReader(content)), int64(len(content)))
	a.At = bytes.NewReader(content)
	return a
}

// Ranges are compared with what http.ServeContent makes of them, from memory,
// from disk and from a stream.
func TestRangesAreThoseOfServeContent(t *testing.T) {
	sources := map[string]func([]byte) *rfc9111.Answer{
		"memory": func(b []byte) *rfc9111.Answer { return stored(string(b)) },
		"disk":   at,
		"stream": func(b []byte) *rfc9111.Answer {
			return streamed(io.NopCloser(bytes.NewReader(b)), int64(len(b)))
		},
	}
	position := rapid.OneOf(rapid.Just(""), rapid.Map(rapid.IntRange(0, 70), func(n int) string { return fmt.Sprint(n) }))
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				content := rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(rt, "content")
				// ServeContent answers "-0" with an empty range, which RFC 9110 14.1.2
				// says cannot be satisfied; TestConditions has it.
				specs := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
					return position.Draw(rt, "first") + "-" + position.Draw(rt, "last")
				}).Filter(func(spec string) bool { return spec != "-0" }), 1, 3).Draw(rt, "ranges")
				field := "bytes=" + strings.Join(specs, rapid.SampledFrom([]string{",", ", "}).Draw(rt, "comma"))

				resp := ask(t, newDoor(t, always(func() *rfc9111.Answer { return source(content) }), "", api.DoorOptions{}), "GET /", "Range: "+field)
				got := parts(t, resp, content)

				w := httptest.NewRecorder()
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Range", field)
				http.ServeContent(w, r, "x.txt", time.Time{}, bytes.NewReader(content))
				want := parts(t, w.Result(), content)

				if slices.Equal(got, want) {
					return
				}
				// RFC 9110 leaves these to a server: to merge, and to send the whole
				// for a field that is malformed, overlaps or asks for more than all.
				if covers(got, want, content) {
					return
				}
				rt.Fatalf("%s of %d bytes: %q, ServeContent %q", field, len(content), got, want)
			})
		})
	}
}

// parts returns what a response to a range request holds, one element per part.
func parts(t *testing.T, resp *http.Response, content []byte) []string {
	t.Helper()
	switch resp.StatusCode {
	case 200:
		return []string{"whole " + bodyOf(t, resp)}
	case 416:
		return []string{"none"}
	case 206:
	default:
		return []string{fmt.Sprint(resp.StatusCode)}
	}
	if length := resp.Header.Get("Content-Length"); length != "" {
		body := bodyOf(t, resp)
		if length != fmt.Sprint(len(body)) {
			t.Fatalf("content-length %s for %d bytes", length, len(body))
		}
		resp.Body = io.NopCloser(strings.NewReader(body))
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		return []string{resp.Header.Get("Content-Range") + " " + bodyOf(t, resp)}
	}
	var out []string
	for m := multipart.NewReader(resp.Body, params["boundary"]); ; {
		p, err := m.NextPart()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p.Header.Get("Content-Range")+" "+string(b))
	}
}

// covers says whether got, which may have merged ranges, holds right bytes only
// and all that want holds.
func covers(got, want []string, content []byte) bool {
	whole := []string{"whole " + string(content)}
	if slices.Equal(got, whole) {
		return true
	}
	have, asked := make([]bool, len(content)), make([]bool, len(content))
	if slices.Equal(want, whole) { // ServeContent does not merge: too much was asked for
		return mark(have, got, content)
	}
	return mark(have, got, content) && mark(asked, want, content) && slices.Equal(have, asked)
}

func mark(seen []bool, parts []string, content []byte) bool {
	for _, p := range parts {
		var first, last, size int
		if n, _ := fmt.Sscanf(p, "bytes %d-%d/%d ", &first, &last, &size); n != 3 || size != len(content) {
			return false
		}
		if !strings.HasSuffix(p, "/"+fmt.Sprint(size)+" "+string(content[first:last+1])) {
			return false
		}
		for i := first; i <= last; i++ {
			seen[i] = true
		}
	}
	return true
}

// A stream cannot go back, so ranges out of order get the whole.
func TestRangesOutOfOrder(t *testing.T) {
	content := []byte("0123456789")
	const field = "Range: bytes=6-7,0-1"
	resp := ask(t, newDoor(t, always(func() *rfc9111.Answer { return at(content) }), "", api.DoorOptions{}), "GET /", field)
	if got := parts(t, resp, content); !slices.Equal(got, []string{"bytes 6-7/10 67", "bytes 0-1/10 01"}) {
		t.Errorf("from disk: %q", got)
	}
	resp = ask(t, newDoor(t, always(func() *rfc9111.Answer {
		return streamed(io.NopCloser(bytes.NewReader(content)), 10)
	}), "", api.DoorOptions{}), "GET /", field)
	if got := parts(t, resp, content); !slices.Equal(got, []string{"whole 0123456789"}) {
		t.Errorf("from a stream: %q", got)
	}
}

// An answer that is made of parts is cut where it has what is asked for, and never beyond.
func TestPartsOfAnAnswer(t *testing.T) {
	const whole, held = "0123456789", "1256" // 1-2 and 5-6
	sources := map[string]func() *rfc9111.Answer{
		"memory": func() *rfc9111.Answer { return stored(held) },
		"disk":   func() *rfc9111.Answer { return at([]byte(held)) },
		"stream": func() *rfc9111.Answer { return streamed(io.NopCloser(strings.NewReader(held)), 4) },
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			door := newDoor(t, always(func() *rfc9111.Answer {
				ans := source()
				ans.Head.Parts = &rfc9111.Parts{Size: 10, Held: []rfc9111.Range{{Start: 1, Length: 2}, {Start: 5, Length: 2}}}
				return ans
			}), "", api.DoorOptions{})
			for first := range 11 {
				for last := first; last < 12; last++ {
					resp := ask(t, door, "GET /", fmt.Sprintf("Range: bytes=%d-%d", first, last))
					got, _ := io.ReadAll(resp.Body)
					switch {
					case first >= 10:
						if resp.StatusCode != 416 || resp.Header.Get("Content-Range") != "bytes */10" {
							t.Errorf("%d-%d: %d %v", first, last, resp.StatusCode, resp.Header)
						}
					case first >= 1 && last <= 2, first >= 5 && last <= 6:
						if resp.StatusCode != 206 || string(got) != whole[first:last+1] || resp.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/10", first, last) {
							t.Errorf("%d-%d: %d %q %v", first, last, resp.StatusCode, got, resp.Header)
						}
					default:
						if resp.StatusCode != 500 {
							t.Errorf("%d-%d: %d %q", first, last, resp.StatusCode, got)
						}
					}
				}
			}
			if resp := ask(t, door, "HEAD /"); resp.StatusCode != 200 || resp.Header.Get("Content-Length") != "10" {
				t.Errorf("HEAD: %d %v", resp.StatusCode, resp.Header)
			}
			for _, field := range []string{"", "Range: bytes=1-1,5-5", "Range: bytes=x"} {
				lines := []string{"GET /"}
				if field != "" {
					lines = append(lines, field)
				}
				if resp := ask(t, door, lines...); resp.StatusCode != 500 {
					t.Errorf("%q: %d", field, resp.StatusCode)
				}
			}
		})
	}
}
