package keying_test

import (
	"net/http"
	"testing"

	"weir/keying"
)

func TestAccepts(t *testing.T) {
	for _, tt := range []struct {
		field string
		set   string
		best  string
	}{
		{"", "", ""},
		{"gzip", "gzip", "gzip"},
		{"gzip, deflate, br, zstd", "br, gzip, zstd", "zstd"},
		{"gzip, br", "br, gzip", "br"},
		{"gzip;q=1, br;q=0.9, zstd;q=0.9", "br, gzip, zstd", "gzip"},
		{"zstd;q=0.001, x-gzip;q=0.002", "gzip, zstd", "gzip"},
		{"*", "br, gzip, zstd", "zstd"},
		{"*;q=0.5, gzip", "br, gzip, zstd", "gzip"},
		{"zstd;q=0, *", "br, gzip", "br"},
		{"gzip;q=0.5, identity", "gzip", ""},
		{"gzip, identity", "gzip", "gzip"},
		{"gzip;q=0.5, br;q=0.7, identity;q=0.6", "br, gzip", "br"},
		{"gzip;q=0.5, identity;q=0", "gzip", "gzip"},
		{"gzip;q=2", "", ""},
	} {
		a := keying.Accept(http.Header{"Accept-Encoding": {tt.field}})
		if a.String() != tt.set || a.Best() != tt.best {
			t.Errorf("%q: %q, best %q; want %q, %q", tt.field, a.String(), a.Best(), tt.set, tt.best)
		}
	}
}

func TestAcceptsAnyCoding(t *testing.T) {
	for _, tt := range []struct {
		lines  []string
		coding string
		want   bool
	}{
		{nil, "gzip", false},
		{nil, "deflate", false},
		{nil, "identity", true},
		{[]string{"gzip"}, "x-gzip", true},
		{[]string{"gzip"}, "GZIP", true},
		{[]string{"gzip"}, "br", false},
		{[]string{"deflate, gzip"}, "deflate", true},
		{[]string{"gzip", "Deflate;q=0.1"}, "deflate", true},
		{[]string{"deflate;q=0, *"}, "deflate", false},
		{[]string{"deflate, deflate;q=0"}, "deflate", false},
		{[]string{"*"}, "compress", true},
		{[]string{"*;q=0"}, "compress", false},
		{[]string{"*;q=0"}, "identity", true},
	} {
		if got := keying.Accept(http.Header{"Accept-Encoding": tt.lines}).Has(tt.coding); got != tt.want {
			t.Errorf("%q takes %s: %v", tt.lines, tt.coding, got)
		}
	}
}

// Clients of every coding share the key of a recoded response, which is that of a client
// that accepts all of them. Purges of a URL find it either way.
func TestRecoded(t *testing.T) {
	spec := &keying.Spec{Recoded: true}
	r := get("/a")
	r.Header = http.Header{"Accept-Encoding": {"zstd, br, gzip"}}
	want := build(t, &keying.Spec{}, r)
	for _, field := range []string{"", "gzip", "br;q=0.5", "*", "deflate", "identity;q=0"} {
		r.Header = http.Header{"Accept-Encoding": {field}}
		got := build(t, spec, r)
		if got.Key != want.Key || got.AcceptEncoding != keying.AllCodings || got.Accepts.String() != keying.AcceptEncoding(r.Header) {
			t.Errorf("%q: %+v", field, got)
		}
		if base := keying.Base(r.Scheme, r.Host, r.Target); got.Key.Base() != base || build(t, &keying.Spec{}, r).Key.Base() != base {
			t.Errorf("%q: another base", field)
		}
	}
}
