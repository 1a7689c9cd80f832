package keying_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"weir/keying"
)

func get(target string) *keying.Request {
	return &keying.Request{Method: "GET", Scheme: "http", Host: "shop.example", Target: target}
}

func build(t *testing.T, s *keying.Spec, r *keying.Request) keying.Keyed {
	t.Helper()
	keyed, err := s.Build(r)
	if err != nil {
		t.Fatalf("Build(%+v): %v", r, err)
	}
	return keyed
}

func TestTheDefaultKeyIsTheWholeRequest(t *testing.T) {
	h := http.Header{"Accept-Encoding": {"gzip, deflate, br"}, "Cookie": {"a=1"}, "User-Agent": {"x"}}
	keyed := build(t, &keying.Spec{}, &keying.Request{
		Method: "GET", Scheme: "https", Host: "shop.example", Target: "/p?b=2&a=1",
		Header: h, Body: []byte("ignored"), Destination: "green",
	})
	want := []keying.Part{
		{Kind: "scheme", Form: keying.FormValue, Value: "https"},
		{Kind: "host", Form: keying.FormValue, Value: "shop.example"},
		{Kind: "target", Form: keying.FormValue, Value: "/p?b=2&a=1"},
		{Kind: "accept-encoding", Form: keying.FormValue, Value: "br, gzip"},
		{Kind: "destination", Form: keying.FormValue, Value: "green"},
	}
	if got := keyed.Key.Parts(); !reflect.DeepEqual(got, want) {
		t.Errorf("parts:\n got %+v\nwant %+v", got, want)
	}
	if keyed.Target != "/p?b=2&a=1" || keyed.QueryChanged || keyed.AcceptEncoding != "br, gzip" {
		t.Errorf("keyed = %+v", keyed)
	}
}

// The bytes are on disks and on the wire: they may only change together with
// their version byte.
func TestKeyBytesAreStable(t *testing.T) {
	s := &keying.Spec{
		Cookies: []keying.Cookie{{Name: "c"}, {Name: "p", Partitions: []keying.Partition{{Name: "eu", Values: []string{"de"}}}}},
		Headers: []string{"X-A", "X-B"}, Device: true, Browser: true,
	}
	r := get("/a?b")
	r.Method, r.Body, r.Destination = "POST", []byte("hello"), "d"
	r.Header = http.Header{"Cookie": {"c=1; p=de"}, "X-A": {""}, "Content-Type": {"text/plain"}}
	keyed := build(t, s, r)
	want := "\x01\x01\x04http\x02\x0cshop.example\x03\x04/a?b\x04\x00\x05\x01d\x06\x04POST\x07\x05hello" +
		"\x08\x01c\x01\x011\x08\x01p\x02\x02eu" +
		"\x09\x0cContent-Type\x01\x0atext/plain\x09\x10Content-Encoding\x00\x09\x03X-A\x01\x00\x09\x03X-B\x00" +
		"\x0a\x07desktop\x0b\x05other"
	if got := keyed.Key.Bytes(); got != want {
		t.Errorf("bytes:\n got %q\nwant %q", got, want)
	}
}

func TestQueryFiltering(t *testing.T) {
	tests := []struct {
		name         string
		spec         keying.Spec
		target, want string
	}{
		{"all", keying.Spec{}, "/a?b=1&a", "/a?b=1&a"},
		{"all keeps an empty query", keying.Spec{}, "/a?", "/a?"},
		{"none", keying.Spec{Query: keying.QueryNone}, "/a?b=1&a", "/a"},
		{"none of an empty query", keying.Spec{Query: keying.QueryNone}, "/a?", "/a"},
		{"none without a query", keying.Spec{Query: keying.QueryNone}, "/a", "/a"},
		{"only", only("a", "c"), "/?a=1&b=2&c=3&a=4", "/?a=1&c=3&a=4"},
		{"only, none left", only("z"), "/?a=1&b=2", "/"},
		{"only without names", only(), "/?a=1", "/"},
		{"only drops empty parameters", only("a"), "/?&&a=1&", "/?a=1"},
		{"only keeps a parameter without a value", only("a"), "/?a&a=", "/?a&a="},
		{"except", except("utm"), "/?utm=1&a=1&utm=2&b=2", "/?a=1&b=2"},
		{"except, none left", except("utm"), "/?utm=1", "/"},
		{"except keeps empty parameters", except("utm"), "/?&utm=1&", "/?&"},
		{"except keeps an empty query", except("utm"), "/?", "/?"},
		{"names are compared decoded, bytes stay", only("a b"), "/?a%20b=%7e&a+b=1", "/?a%20b=%7e"},
		{"a name encoded needlessly", except("utm"), "/?%75tm=1&u%74m=2&a=1", "/?a=1"},
		{"an undecodable name is compared raw", except("a%z"), "/?a%z=1&a%zz=2&b=%zz", "/?a%zz=2&b=%zz"},
		{"a cut escape is compared raw", except("a%2"), "/?a%2=1&b", "/?b"},
		{"semicolons do not separate", except("b"), "/?a=1;b=2&b=3", "/?a=1;b=2"},
		{"an encoded ampersand does not separate", except("b"), "/?a=1%26b=2&b=3", "/?a=1%26b=2"},
		{"an encoded = is part of the name", except("a"), "/?a%3d1=2&a=1", "/?a%3d1=2"},
		{"a second ? is data", except("b"), "/?a?b=1&b=2", "/?a?b=1"},
		{"NUL and slashes are data", except("b"), "/?a\x00=/../&b", "/?a\x00=/../"},
		{"a name is matched whole", except("a"), "/?ab=1&A=2&a=3", "/?ab=1&A=2"},
		{"sort", keying.Spec{Sort: true}, "/?b=2&a=1&b=1&a=2", "/?a=1&a=2&b=2&b=1"},
		{"sort by decoded name", keying.Spec{Sort: true}, "/?b&%61=2&a=1", "/?%61=2&a=1&b"},
		{"sort compares names, not values", keying.Spec{Sort: true}, "/?a=2&a!=1&a=1", "/?a=2&a=1&a!=1"},
		{"sort puts empty parameters first", keying.Spec{Sort: true}, "/?b&&a", "/?&a&b"},
		{"only and sort", keying.Spec{Query: keying.QueryOnly, Names: []string{"b", "a"}, Sort: true}, "/?b&c&a", "/?a&b"},
		{"the path is untouched", except("b"), "//a/../%2e;x?b&a", "//a/../%2e;x?a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keyed := build(t, &tt.spec, get(tt.target))
			if keyed.Target != tt.want {
				t.Errorf("target = %q, want %q", keyed.Target, tt.want)
			}
			if got := keyed.Key.Parts()[2].Value; got != keyed.Target {
				t.Errorf("key has %q, forwarded is %q", got, keyed.Target)
			}
			_, query, _ := strings.Cut(tt.target, "?")
			if changed := tt.target != tt.want; keyed.QueryChanged != changed {
				t.Errorf("QueryChanged = %v", keyed.QueryChanged)
			} else if changed && keyed.OriginalQuery != query {
				t.Errorf("OriginalQuery = %q, want %q", keyed.OriginalQuery, query)
			}
			if keyed.Key.Base() != keying.Base("http", "shop.example", tt.want) {
				t.Error("Base differs from that of the forwarded URL")
			}
		})
	}
}

// Where the base is the path's, what is forwarded and what tells keys apart stays.
func TestTheBaseOfAPath(t *testing.T) {
	path := &keying.Spec{Query: keying.QueryExcept, Names: []string{"utm"}, BaseIsPath: true, Deployment: "d"}
	seen := map[keying.Digest]string{}
	for _, target := range []string{"/a", "/a?", "/a?b", "/a?b=1&c", "/a?c&b=1"} {
		keyed := build(t, path, get(target))
		if keyed.Target != target || keyed.QueryChanged {
			t.Errorf("%s is forwarded as %+v", target, keyed)
		}
		if keyed.Key.Base() != keying.Base("http", "shop.example", "/a") {
			t.Errorf("the base of %s is not that of its path", target)
		}
		if other, same := seen[keyed.Key.Digest()]; same {
			t.Errorf("%s and %s share a key", target, other)
		}
		seen[keyed.Key.Digest()] = target
	}
	keyed := build(t, path, get("/a?utm=1&b"))
	if keyed.Target != "/a?b" || keyed.OriginalQuery != "utm=1&b" || !keyed.QueryChanged || seen[keyed.Key.Digest()] != "/a?b" {
		t.Errorf("%+v", keyed)
	}
	whole := build(t, &keying.Spec{Deployment: "d"}, get("/a?b"))
	if whole.Key.Digest() == keyed.Key.Digest() {
		t.Error("two layouts share a key")
	}
}

func only(names ...string) keying.Spec {
	return keying.Spec{Query: keying.QueryOnly, Names: names}
}

func except(names ...string) keying.Spec {
	return keying.Spec{Query: keying.QueryExcept, Names: names}
}

func TestCookies(t *testing.T) {
	partitions := []keying.Partition{{Name: "euro", Values: []string{"EUR", "eur"}}, {Name: "", Values: []string{""}}}
	tests := []struct {
		name  string
		lines []string
		parts []keying.Partition
		form  keying.Form
		value string
	}{
		{"absent", nil, nil, keying.FormAbsent, ""},
		{"other names", []string{"xc=1; cx=2; C=3"}, nil, keying.FormAbsent, ""},
		{"alone", []string{"c=1"}, nil, keying.FormValue, "1"},
		{"empty", []string{"c="}, nil, keying.FormValue, ""},
		{"without =", []string{"a=1; c"}, nil, keying.FormValue, ""},
		{"among others", []string{"a=1;c=2 ;\tb=3"}, nil, keying.FormValue, "2"},
		{"with = in its value", []string{"c=a=b"}, nil, keying.FormValue, "a=b"},
		{"quotes are kept", []string{`c="1"`}, nil, keying.FormValue, `"1"`},
		{"spaces around =", []string{"c = 1"}, nil, keying.FormValue, "1"},
		{"a comma is data", []string{"c=1, c=2"}, nil, keying.FormValue, "1, c=2"},
		{"in a second line", []string{"a=1", "c=2"}, nil, keying.FormValue, "2"},
		{"twice", []string{"c=1; c=2"}, nil, keying.FormValue, "1;2"},
		{"twice in two lines", []string{"c=1", "c=2; c"}, nil, keying.FormValue, "1;2;"},
		{"twice the same", []string{"c=1; c=1"}, nil, keying.FormValue, "1;1"},
		{"partition", []string{"c=eur"}, partitions, keying.FormPartition, "euro"},
		{"partition of the empty value", []string{"c="}, partitions, keying.FormPartition, ""},
		{"no partition", []string{"c=USD"}, partitions, keying.FormNoPartition, ""},
		{"twice is in no partition", []string{"c=EUR; c=USD"}, partitions, keying.FormNoPartition, ""},
		{"absent with partitions", nil, partitions, keying.FormAbsent, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := get("/")
			if tt.lines != nil {
				r.Header = http.Header{"Cookie": tt.lines}
			}
			s := &keying.Spec{Cookies: []keying.Cookie{{Name: "c", Partitions: tt.parts}}}
			parts := build(t, s, r).Key.Parts()
			want := keying.Part{Kind: "cookie", Name: "c", Form: tt.form, Value: tt.value}
			if got := parts[len(parts)-1]; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		form  keying.Form
		value string
	}{
		{"absent", nil, keying.FormAbsent, ""},
		{"empty", []string{""}, keying.FormValue, ""},
		{"one", []string{" de\t"}, keying.FormValue, "de"},
		{"two lines are one list", []string{"de ", "en"}, keying.FormValue, "de, en"},
		{"two empty lines", []string{"", ""}, keying.FormValue, ", "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := get("/")
			if tt.lines != nil {
				r.Header = http.Header{"X-Language": tt.lines}
			}
			parts := build(t, &keying.Spec{Headers: []string{"x-language"}}, r).Key.Parts()
			want := keying.Part{Kind: "header", Name: "X-Language", Form: tt.form, Value: tt.value}
			if got := parts[len(parts)-1]; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// Pairs that glued keys confuse.
func TestDifferentRequestsHaveDifferentKeys(t *testing.T) {
	s := &keying.Spec{Headers: []string{"X-A", "X-B"}, Cookies: []keying.Cookie{{Name: "a"}, {Name: "b"}}}
	request := func(edit func(r *keying.Request)) *keying.Request {
		r := get("/")
		r.Header = http.Header{}
		edit(r)
		return r
	}
	tests := []struct {
		name string
		a, b func(r *keying.Request)
	}{
		{"host and path", func(r *keying.Request) { r.Host, r.Target = "a", "/b/c" }, func(r *keying.Request) { r.Host, r.Target = "a/b", "/c" }},
		{"scheme", func(*keying.Request) {}, func(r *keying.Request) { r.Scheme = "https" }},
		{"method", func(r *keying.Request) { r.Method = "POST" }, func(r *keying.Request) { r.Method = "PUT" }},
		{"GET and POST", func(*keying.Request) {}, func(r *keying.Request) { r.Method = "POST" }},
		{"case of the method", func(*keying.Request) {}, func(r *keying.Request) { r.Method = "get" }},
		{"body", func(r *keying.Request) { r.Method, r.Body = "POST", []byte("a") }, func(r *keying.Request) { r.Method, r.Body = "POST", []byte("b") }},
		{"type of the body", func(r *keying.Request) { r.Method = "POST"; r.Header["Content-Type"] = []string{"a/b"} }, func(r *keying.Request) { r.Method = "POST" }},
		{"coding of the body", func(r *keying.Request) { r.Method = "POST"; r.Header["Content-Encoding"] = []string{"gzip"} }, func(r *keying.Request) { r.Method = "POST" }},
		{"value of another field", func(r *keying.Request) { r.Header["X-A"] = []string{"v"} }, func(r *keying.Request) { r.Header["X-B"] = []string{"v"} }},
		{"absent and empty field", func(r *keying.Request) { r.Header["X-A"] = []string{""} }, func(*keying.Request) {}},
		{"absent and empty cookie", func(r *keying.Request) { r.Header["Cookie"] = []string{"a="} }, func(*keying.Request) {}},
		{"cookie or two", func(r *keying.Request) { r.Header["Cookie"] = []string{"a=1; b=2"} }, func(r *keying.Request) { r.Header["Cookie"] = []string{"a=1, b=2"} }},
		{"order of duplicate cookies", func(r *keying.Request) { r.Header["Cookie"] = []string{"a=1; a=2"} }, func(r *keying.Request) { r.Header["Cookie"] = []string{"a=2; a=1"} }},
		{"destination", func(r *keying.Request) { r.Destination = "a" }, func(*keying.Request) {}},
		{"empty query", func(r *keying.Request) { r.Target = "/?" }, func(*keying.Request) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := build(t, s, request(tt.a)).Key, build(t, s, request(tt.b)).Key
			if a.Bytes() == b.Bytes() || a.Digest() == b.Digest() {
				t.Errorf("both are %q", a.Bytes())
			}
		})
	}
}

func TestSameRequestsShareAKey(t *testing.T) {
	head := get("/a")
	head.Method = "HEAD"
	if a, b := build(t, &keying.Spec{}, get("/a")).Key, build(t, &keying.Spec{}, head).Key; a != b {
		t.Error("GET and HEAD differ")
	}
	chrome, firefox := get("/a"), get("/a")
	chrome.Header = http.Header{"Accept-Encoding": {"gzip, deflate, br, zstd"}}
	firefox.Header = http.Header{"Accept-Encoding": {"zstd;q=0.5, br;q=1.0", "gzip"}}
	if a, b := build(t, &keying.Spec{}, chrome).Key, build(t, &keying.Spec{}, firefox).Key; a != b {
		t.Error("accept-encoding is not normalised")
	}
}

func TestBuildRefuses(t *testing.T) {
	big := get("/")
	big.Method, big.Body = "POST", make([]byte, keying.MaxBody+1)
	for _, tt := range []struct {
		r    *keying.Request
		want error
	}{
		{get(""), keying.ErrTarget},
		{get("*"), keying.ErrTarget},
		{get("http://a/"), keying.ErrTarget},
		{big, keying.ErrBodyTooBig},
	} {
		if _, err := new(keying.Spec).Build(tt.r); !errors.Is(err, tt.want) {
			t.Errorf("Build(%q): %v, want %v", tt.r.Target, err, tt.want)
		}
	}
	big.Body = big.Body[1:]
	build(t, &keying.Spec{}, big)
	big.Method, big.Body = "GET", make([]byte, 2*keying.MaxBody) // not part of the key
	build(t, &keying.Spec{}, big)
}

func TestBuildAllocations(t *testing.T) {
	h := http.Header{
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Cookie":          {"session=0123456789abcdef; currency=EUR; theme=dark"},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"},
		"X-Language":      {"de"},
	}
	r := get("/products/42?page=2&utm_source=mail&sort=price")
	r.Header = h
	everything := &keying.Spec{
		Query: keying.QueryOnly, Names: []string{"page", "sort"}, Sort: true,
		Cookies: []keying.Cookie{{Name: "currency"}}, Headers: []string{"X-Language"}, Device: true, Browser: true,
	}
	for _, tt := range []struct {
		name string
		spec *keying.Spec
		want float64
	}{
		{"default", &keying.Spec{}, 1}, // the key's bytes
		{"everything", everything, 1},
		{"the query aside", &keying.Spec{BaseIsPath: true}, 3}, // and the query, and the target
	} {
		var sink keying.Keyed
		if got := testing.AllocsPerRun(100, func() { sink, _ = tt.spec.Build(r) }); got > tt.want {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, got, tt.want)
		}
		if sink.Target == "" {
			t.Error("nothing built")
		}
	}
	if got := testing.AllocsPerRun(100, func() { keying.Base("http", "shop.example", "/a?b") }); got > 0 {
		t.Errorf("Base: %v allocations", got)
	}
}

func BenchmarkBuild(b *testing.B) {
	r := get("/products/42?page=2&sort=price")
	r.Header = http.Header{"Accept-Encoding": {"gzip, deflate, br, zstd"}}
	s := &keying.Spec{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Build(r); err != nil {
			b.Fatal(err)
		}
	}
}
