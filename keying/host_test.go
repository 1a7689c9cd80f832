package keying_test

import (
	"strings"
	"testing"

	"weir/keying"
)

func TestCanonicalHost(t *testing.T) {
	for _, c := range []struct{ host, scheme, want string }{
		{"Example.COM", "http", "example.com"},
		{"a.", "http", "a"},
		{"a:80", "http", "a"},
		{"a:80", "https", "a:80"},
		{"a:443", "https", "a"},
		{"a:", "http", "a"},
		{"[::1]:80", "http", "[::1]"},
		{"[0:0::1]", "https", "[::1]"},
		{"", "http", ""},
		{"a b", "http", ""},
		{"u@a", "http", ""},
		{"a:0", "http", ""},
		{"a:65536", "http", ""},
		{"a..b", "http", ""},
		{"[::1", "http", ""},
		{strings.Repeat("a", 256), "http", ""},
	} {
		got, ok := keying.CanonicalHost(c.host, c.scheme)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s %.40q: %q %v, want %q", c.scheme, c.host, got, ok, c.want)
		}
	}
}

// What a purge compares is in every key, however its query is treated.
func TestPiecesOfKeys(t *testing.T) {
	for _, spec := range []*keying.Spec{{}, {BaseIsPath: true}, {Device: true, Headers: []string{"X"}, BaseIsPath: true}} {
		for _, target := range []string{"/", "/x?q=1", "/x?"} {
			keyed, err := spec.Build(&keying.Request{Method: "GET", Scheme: "https", Host: "a:81", Target: target})
			if err != nil {
				t.Fatal(err)
			}
			key := keyed.Key
			part := key.Part("slice 1")
			for name, k := range map[string]keying.Key{"whole": key, "part": part} {
				origin, rest, ok := keying.CutOrigin(k.Bytes())
				switch {
				case k.Target() != target:
					t.Errorf("%s: target %q, want %q", name, k.Target(), target)
				case k.Whole() != key.Digest():
					t.Errorf("%s of %q: the whole is another key", name, target)
				case !ok || origin != k.Origin() || origin+rest != k.Bytes() || keying.HostOf(origin) != "a:81":
					t.Errorf("%s: origin %q of host %q", name, origin, keying.HostOf(origin))
				}
			}
		}
	}
	none := keying.Key{}
	if none.Target() != "" || none.Origin() != "" || keying.HostOf("") != "" || none.Whole() != none.Digest() {
		t.Error("no key has pieces")
	}
	for _, s := range []string{"", "\x01", "\x02\x01\x00\x02\x00", "\x01\x01\x04http\x02\x05a", "\x01\x02\x00\x01\x00"} {
		if _, _, ok := keying.CutOrigin(s); ok {
			t.Errorf("%q begins with an origin", s)
		}
	}
}
