package keying_test

import (
	"net/http"
	"testing"

	"pgregory.net/rapid"

	"weir/keying"
)

// AppendPlain and Build are two ways to the same bytes.
func TestPlainKeysAreTheKeys(t *testing.T) {
	param := rapid.SampledFrom([]string{"a=1", "b=2", "a=3", "c", "", "%61=x", "%zz=1", "d=%26", "page=2", "=", "a+b=1"})
	names := rapid.SampledFrom([]string{"a", "b", "page", "", "a b", "%zz"})
	rapid.Check(t, func(t *rapid.T) {
		s := &keying.Spec{
			Query:      keying.QueryMode(rapid.IntRange(0, 3).Draw(t, "query")),
			Names:      rapid.SliceOfN(names, 0, 3).Draw(t, "names"),
			Sort:       rapid.Bool().Draw(t, "sort"),
			Recoded:    rapid.Bool().Draw(t, "recoded"),
			BaseIsPath: rapid.Bool().Draw(t, "path"),
			Conditions: rapid.SampledFrom([]string{"", `header "X-A"`}).Draw(t, "conditions"),
			Deployment: rapid.SampledFrom([]string{"", "d1"}).Draw(t, "deployment"),
		}
		target := rapid.SampledFrom([]string{"/", "/a/b", "//", "/é", "", "*", "a"}).Draw(t, "path")
		for i, p := range rapid.SliceOfN(param, 0, 40).Draw(t, "params") {
			target += map[bool]string{true: "?", false: "&"}[i == 0] + p
		}
		h := http.Header{}
		if coding := rapid.SampledFrom([]string{"", "br", "gzip;q=0, *", "zstd, x-gzip;q=0.5"}).Draw(t, "coding"); coding != "" {
			h.Set("Accept-Encoding", coding)
		}
		r := &keying.Request{
			Method: rapid.SampledFrom([]string{"GET", "HEAD"}).Draw(t, "method"), Scheme: "https",
			Host: rapid.SampledFrom([]string{"a.test", "b.test:8080"}).Draw(t, "host"), Target: target, Header: h,
		}
		want, err := s.Build(r)
		got, ok := s.AppendPlain([]byte("before"), r, keying.Accept(h))
		if ok != (err == nil) {
			t.Fatalf("ok is %t, but Build says %v", ok, err)
		}
		if ok && string(got) != "before"+want.Key.Bytes() {
			t.Errorf("%q\ngot  %q\nwant %q", target, got[len("before"):], want.Key.Bytes())
		}
		if !s.Plain() {
			t.Error("is not plain")
		}
	})
}

func TestSpecsThatAreNotPlain(t *testing.T) {
	for _, s := range []keying.Spec{
		{Cookies: []keying.Cookie{{Name: "a"}}}, {Headers: []string{"X-A"}}, {Device: true}, {Browser: true},
	} {
		if s.Plain() {
			t.Errorf("%+v is plain", s)
		}
	}
}

func TestPlainKeysDoNotAllocate(t *testing.T) {
	accepts := keying.Accept(http.Header{"Accept-Encoding": {"br, gzip"}})
	for _, s := range []*keying.Spec{
		{}, {Recoded: true, BaseIsPath: true}, {Query: keying.QueryOnly, Names: []string{"page"}, Sort: true}, {Query: keying.QueryNone},
	} {
		r := &keying.Request{Method: "GET", Scheme: "http", Host: "a.test", Target: "/products/42?utm=x&page=2&a=1&page=1"}
		b := make([]byte, 0, 512)
		if n := testing.AllocsPerRun(100, func() { b, _ = s.AppendPlain(b[:0], r, accepts) }); n != 0 {
			t.Errorf("%+v: %v allocations", s, n)
		}
	}
}
