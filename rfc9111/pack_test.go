package rfc9111_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

func TestAPackedHeaderIsTheSame(t *testing.T) {
	names := []string{
		"", "A", "Accept-Ranges", "Cache-Control", "Content-Type", "Date", "ETag", "Etag", "Set-Cookie", "Vary", "X-Xss-Protection",
		"X-Zzz", "content-type", "\x00", strings.Repeat("N", 300),
	}
	rapid.Check(t, func(rt *rapid.T) {
		h := http.Header{}
		for _, name := range rapid.SliceOf(rapid.SampledFrom(names)).Draw(rt, "names") {
			h[name] = append(h[name], rapid.String().Draw(rt, "value"))
		}
		packed := string(rfc9111.PackHeader(nil, h))
		if got := rfc9111.UnpackHeader(packed); !reflect.DeepEqual(got, h) {
			rt.Fatalf("%q is unpacked as %q", h, got)
		}
	})
}

func TestAPackedHeaderIsSmall(t *testing.T) {
	h := http.Header{"Content-Type": {"text/html"}, "Cache-Control": {"max-age=60"}, "Set-Cookie": {"a=1", "b=2"}}
	if n := len(rfc9111.PackHeader(nil, h)); n > 40 {
		t.Errorf("%d bytes", n)
	}
}

// What was not packed is no reason to fail, nor to use more memory than it has bytes for.
func FuzzUnpackHeader(f *testing.F) {
	f.Add(string(rfc9111.PackHeader(nil, http.Header{"Content-Type": {"text/html"}, "X": {"1", ""}})))
	f.Add("\x01\x01\x00\xff\x01\x00")
	f.Fuzz(func(_ *testing.T, packed string) { rfc9111.UnpackHeader(packed) })
}
