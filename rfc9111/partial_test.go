package rfc9111_test

import (
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

// RFC 9110 14.1.2.
func TestSingleRange(t *testing.T) {
	for field, want := range map[string]string{
		"bytes=0-4":                    "bytes=0-4",
		" Bytes=00-04 ":                "bytes=0-4",
		"bytes=,5-, ":                  "bytes=5-",
		"bytes=-05":                    "bytes=-5",
		"bytes=0-":                     "",
		"bytes=-0":                     "",
		"bytes=-":                      "",
		"bytes=5":                      "",
		"bytes=5-4":                    "",
		"bytes=0-1,3-4":                "",
		"bytes=0-1-2":                  "",
		"bytes=a-":                     "",
		"bytes=1- 2":                   "",
		"bytes=99999999999999999999-":  "",
		"bytes=1-99999999999999999999": "",
		"items=0-4":                    "",
		"bytes":                        "",
		"":                             "",
	} {
		got, ok := rfc9111.SingleRange(http.Header{"Range": {field}})
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", field, got, ok)
		}
	}
	if _, ok := rfc9111.SingleRange(http.Header{"Range": {"bytes=0-1", "bytes=0-1"}}); ok {
		t.Error("two fields")
	}
	if _, ok := rfc9111.SingleRange(nil); ok {
		t.Error("no field")
	}
}

// What stands for a range asks for the same bytes of anything.
func FuzzSingleRange(f *testing.F) {
	f.Add("bytes=0-4")
	f.Add("bytes=,-5")
	f.Fuzz(func(t *testing.T, field string) {
		got, ok := rfc9111.SingleRange(http.Header{"Range": {field}})
		if !ok {
			return
		}
		for size := range int64(20) {
			a, errA := rfc9111.ParseRange(field, size)
			b, errB := rfc9111.ParseRange(got, size)
			if len(a) > 1 || len(a) != len(b) || (errA == nil) != (errB == nil) || len(a) == 1 && a[0] != b[0] {
				t.Fatalf("%q and %q of %d: %v, %v", field, got, size, a, b)
			}
		}
	})
}

// Positions agree with a plain list of bytes that are held or not.
func TestPositionsInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := make([]bool, 30)
		p := rfc9111.Parts{Size: 30}
		for range rapid.IntRange(1, 6).Draw(t, "parts") {
			start := rapid.IntRange(0, 29).Draw(t, "start")
			length := rapid.IntRange(1, 30-start).Draw(t, "length")
			p, _ = p.Add(rfc9111.Range{Start: int64(start), Length: int64(length)}, 30)
			for i := start; i < start+length; i++ {
				held[i] = true
			}
		}
		below := int64(0)
		for i := range held {
			from := int64(0)
			for from < int64(30-i) && held[i+int(from)] {
				from++
			}
			if p.Below(int64(i)) != below || p.From(int64(i)) != from {
				t.Fatalf("%v at %d: %d below and %d on, want %d and %d", p, i, p.Below(int64(i)), p.From(int64(i)), below, from)
			}
			if held[i] {
				below++
			}
		}
		if p.Bytes() != below {
			t.Fatalf("%v: %d bytes, want %d", p, p.Bytes(), below)
		}
	})
}

// RFC 9111 3.3 and RFC 9110 13.2.2.
func TestSuffices(t *testing.T) {
	for _, tt := range []struct {
		method, request string
		want            bool
	}{
		{"GET", "", false},
		{"HEAD", "", true},
		{"HEAD", "Range: bytes=0-1", true},
		{"GET", "Range: bytes=5-9", true},
		{"GET", "Range: bytes=-5", true},
		{"GET", "Range: bytes=4-9", false},
		{"GET", "Range: bytes=5-6,8-9", false},
		{"GET", "Range: bytes=5-6,7-9", true}, // which is one
		{"GET", "Range: bytes=x", false},
		{"GET", "Range: bytes=10-", true}, // 416
		{"GET", "Range: bytes=5-9; If-Range: \"a\"", true},
		{"GET", "Range: bytes=5-9; If-Range: \"b\"", false},
		{"GET", "If-None-Match: \"a\"", true},
		{"GET", "If-None-Match: \"b\"", false},
		{"GET", "If-Match: \"b\"", true}, // 412
	} {
		var fields []string
		if tt.request != "" {
			fields = strings.Split(tt.request, "; ")
		}
		stored := response(200, `Etag: "a"`)
		stored.Length, stored.Parts = 5, &rfc9111.Parts{Size: 10, Held: []rfc9111.Range{{Start: 5, Length: 5}}}
		if got := rfc9111.Suffices(rfc9111.Request{Method: tt.method, Header: header(fields...)}, stored); got != tt.want {
			t.Errorf("%s %q: %v", tt.method, tt.request, got)
		}
		stored.Parts = nil
		if !rfc9111.Suffices(rfc9111.Request{Method: tt.method, Header: header(fields...)}, stored) {
			t.Errorf("%s %q of a whole", tt.method, tt.request)
		}
	}
}

// RFC 9111 3.4.
func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		name string
		rest []string
		want bool
	}{
		{"the rest", []string{`Etag: "a"`, "Content-Range: bytes 5-9/10"}, true},
		{"less of it", []string{`Etag: "a"`, "Content-Range: bytes 5-6/10"}, true},
		{"another beginning", []string{`Etag: "a"`, "Content-Range: bytes 4-9/10"}, false},
		{"another size", []string{`Etag: "a"`, "Content-Range: bytes 5-9/11"}, false},
		{"another version", []string{`Etag: "b"`, "Content-Range: bytes 5-9/10"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := stored(t, get(), nil, `Etag: "a"`, "Cache-Control: max-age=60", "X-A: 1")
			old.Length, old.Parts = 5, &rfc9111.Parts{Size: 10, Held: []rfc9111.Range{{Start: 0, Length: 5}}}
			rest := response(206, append(tt.rest, "Age: 7")...)
			rest.Length = -1
			whole, r, ok := rfc9111.Complete(get(), old, rest, nil)
			if ok != tt.want {
				t.Fatalf("%v", whole)
			}
			if ok && (whole.Status != 200 || whole.Length != 10 || whole.Parts != nil || r.Start != 5 || whole.Header.Get("X-A") != "1" ||
				whole.Header.Get("Age") != "7" || whole.Header.Get("Content-Range") != "" || old.Header.Get("Age") != "") {
				t.Errorf("%+v, %v", whole, r)
			}
		})
	}
}
