package keying_test

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/keying"
)

func TestParseRefuses(t *testing.T) {
	const head = "\x01\x01\x04http\x02\x01h\x03\x01/\x04\x00\x05\x00"
	if _, err := keying.Parse(head); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"nothing":                      "",
		"only a version":               "\x01",
		"another version":              "\x02" + head[1:],
		"a part missing":               head[:len(head)-2],
		"a part cut":                   head[:len(head)-1],
		"a part twice":                 head + "\x05\x00",
		"parts swapped":                "\x01\x02\x01h\x01\x04http" + head[10:],
		"a kind that does not exist":   head + "\x10\x01x",
		"a part of a part":             head + "\x0f\x01x\x0f\x01x",
		"a part without a name":        head + "\x0f\x00",
		"a deployment after a part":    head + "\x0f\x01x\x0d\x01x",
		"a query that is none":         head + "\x0e\x00",
		"conditions that are none":     head + "\x0c\x00",
		"conditions twice":             head + "\x0c\x01x\x0c\x01x",
		"kind zero":                    head + "\x00\x00",
		"a method without a body":      head + "\x06\x03PUT",
		"a body without a method":      head + "\x07\x01x",
		"a method, then a device":      head + "\x06\x03PUT\x0a\x00",
		"a device twice":               head + "\x0a\x00\x0a\x00",
		"a cookie after a header":      head + "\x09\x01X\x00\x08\x01c\x00",
		"a cookie without a form":      head + "\x08\x01c",
		"a cookie of unknown form":     head + "\x08\x01c\x04",
		"a header in a partition":      head + "\x09\x01X\x02\x00",
		"an absent cookie with a text": head + "\x08\x01c\x00\x01x",
		"a cookie without its value":   head + "\x08\x01c\x01",
		"a length too long":            head + "\x0a\x05xxxx",
		"a length that is padded":      head + "\x0a\x81\x00x",
		"a length of zero, padded":     head + "\x0a\x80\x00",
		"a length that never ends":     head + "\x0a\x80\x80\x80\x80\x80\x80",
		"a length beyond all":          head + "\x0a\xff\xff\xff\xff\x7f",
	}
	for name, raw := range tests {
		if _, err := keying.Parse(raw); !errors.Is(err, keying.ErrMalformed) {
			t.Errorf("%s: Parse(%q): %v", name, raw, err)
		}
	}
}

// Pieces of a response are keys of their own, which a purge of the URL names too.
func TestAPieceOfAResponse(t *testing.T) {
	spec := keying.Spec{Deployment: "d1"}
	keyed, err := spec.Build(&keying.Request{Method: "GET", Scheme: "http", Host: "h", Target: "/a?b", Header: http.Header{}})
	if err != nil {
		t.Fatal(err)
	}
	piece := keyed.Key.Part("slice 7")
	if piece.Base() != keyed.Key.Base() || piece.Digest() == keyed.Key.Digest() {
		t.Errorf("the piece has base %x and digest %x", piece.Base(), piece.Digest())
	}
	again, err := keying.Parse(piece.Bytes())
	if err != nil || again != piece {
		t.Errorf("Parse: %+v, %v", again, err)
	}
	parts := piece.Parts()
	if n := len(parts); n < 2 || parts[n-2].Value != "d1" || parts[n-1].Kind != "part" || parts[n-1].Value != "slice 7" {
		t.Errorf("parts: %+v", parts)
	}
}

// The keys of one origin begin alike, and those of no other do.
func TestOrigin(t *testing.T) {
	seen := map[string]string{}
	for _, scheme := range []string{"http", "https"} {
		for _, host := range []string{"a", "ab", "a:81", strings.Repeat("a", 200), ""} {
			for _, target := range []string{"/", "/b?c"} {
				k, err := new(keying.Spec).Build(&keying.Request{Method: "GET", Scheme: scheme, Host: host, Target: target})
				if err != nil {
					t.Fatal(err)
				}
				origin := k.Key.Origin()
				if origin != keying.Origin(scheme, host) || !strings.HasPrefix(k.Key.Bytes(), origin) || k.Key.Part("1").Origin() != origin {
					t.Errorf("%s %s: %q", scheme, host, origin)
				}
				if other, ok := seen[origin]; ok && other != scheme+" "+host {
					t.Errorf("%s %s is %s", scheme, host, other)
				}
				seen[origin] = scheme + " " + host
			}
		}
	}
	if got := (keying.Key{}).Origin(); got != "" {
		t.Errorf("of no key: %q", got)
	}
}

// A key is the same in a longer string that begins with its bytes, and stays as it is for any other.
func TestAKeyInALongerString(t *testing.T) {
	k := build(t, &keying.Spec{}, get("/a?b=c")).Key
	for _, s := range []string{k.Bytes() + "and more", k.Bytes(), "something else", ""} {
		if got := k.In(s); got != k || got.Target() != "/a?b=c" || got.Base() != k.Base() {
			t.Errorf("in %q it is %q", s, got.Bytes())
		}
	}
}

func TestTheZeroKeyHasNoParts(t *testing.T) {
	if parts := (keying.Key{}).Parts(); parts != nil {
		t.Errorf("got %+v", parts)
	}
}

// model is what a key is meant to hold, found in the plainest way.
func model(s *keying.Spec, r *keying.Request) []keying.Part {
	value := func(kind, v string) keying.Part { return keying.Part{Kind: kind, Form: keying.FormValue, Value: v} }
	target, query := modelTarget(s, r.Target), ""
	if path, _, _ := strings.Cut(target, "?"); s.BaseIsPath {
		target, query = path, target[len(path):]
	}
	parts := []keying.Part{
		value("scheme", r.Scheme), value("host", r.Host), value("target", target),
		value("accept-encoding", keying.AcceptEncoding(r.Header)), value("destination", r.Destination),
	}
	headers := s.Headers
	if r.Method != "GET" && r.Method != "HEAD" {
		parts = append(parts, value("method", r.Method), value("body", string(r.Body)))
		headers = append([]string{"Content-Type", "Content-Encoding"}, headers...)
	}
	for _, c := range s.Cookies {
		parts = append(parts, modelCookie(c, strings.Join(r.Header["Cookie"], ";")))
	}
	for _, name := range headers {
		part := keying.Part{Kind: "header", Name: name}
		if lines, ok := r.Header[name]; ok {
			part.Form, part.Value = keying.FormValue, strings.Join(lines, ", ")
		}
		parts = append(parts, part)
	}
	if s.Device {
		parts = append(parts, value("device", keying.Device(r.Header)))
	}
	if s.Browser {
		parts = append(parts, value("browser", keying.Browser(r.Header)))
	}
	if s.Conditions != "" {
		parts = append(parts, value("conditions", s.Conditions))
	}
	if s.Deployment != "" {
		parts = append(parts, value("deployment", s.Deployment))
	}
	if query != "" {
		parts = append(parts, value("query", query))
	}
	return parts
}

func modelTarget(s *keying.Spec, target string) string {
	name := func(param string) string {
		raw := strings.SplitN(param, "=", 2)[0]
		if decoded, err := url.PathUnescape(raw); err == nil {
			return decoded
		}
		return raw
	}
	halves := strings.SplitN(target, "?", 2)
	if len(halves) == 1 || s.Query == keying.QueryNone {
		return halves[0]
	}
	params := strings.Split(halves[1], "&")
	params = slices.DeleteFunc(params, func(p string) bool {
		listed := slices.Contains(s.Names, name(p))
		return s.Query == keying.QueryOnly && !listed || s.Query == keying.QueryExcept && listed
	})
	if s.Sort {
		slices.SortStableFunc(params, func(a, b string) int { return strings.Compare(name(a), name(b)) })
	}
	if len(params) == 0 {
		return halves[0]
	}
	return halves[0] + "?" + strings.Join(params, "&")
}

func modelCookie(c keying.Cookie, line string) keying.Part {
	part := keying.Part{Kind: "cookie", Name: c.Name}
	var values []string
	for _, pair := range strings.Split(line, ";") {
		halves := strings.SplitN(pair+"=", "=", 2)
		if strings.TrimSpace(halves[0]) == c.Name {
			values = append(values, strings.TrimSpace(strings.TrimSuffix(halves[1], "=")))
		}
	}
	if values == nil {
		return part
	}
	part.Form, part.Value = keying.FormValue, strings.Join(values, ";")
	if c.Partitions == nil {
		return part
	}
	for _, p := range c.Partitions {
		if slices.Contains(p.Values, part.Value) {
			part.Form, part.Value = keying.FormPartition, p.Name
			return part
		}
	}
	part.Form, part.Value = keying.FormNoPartition, ""
	return part
}

// Alphabets that are small and full of delimiters make near collisions likely.
var (
	genText  = rapid.StringMatching(`[ab=&;,|\x00\x01\x02/]{0,4}`)
	genValue = rapid.StringMatching(`[ab]{0,2}`)
	genQuery = rapid.StringMatching(`[ab&=%6123;+?]{0,10}`)
)

func genSpec() *rapid.Generator[*keying.Spec] {
	return rapid.Custom(func(t *rapid.T) *keying.Spec {
		s := &keying.Spec{
			Query:   rapid.SampledFrom([]keying.QueryMode{keying.QueryAll, keying.QueryOnly, keying.QueryExcept, keying.QueryNone}).Draw(t, "mode"),
			Names:   rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "ab", "a%"}), 0, 3).Draw(t, "names"),
			Sort:    rapid.Bool().Draw(t, "sort"),
			Headers: rapid.SliceOfN(rapid.SampledFrom([]string{"X-A", "X-B"}), 0, 2).Draw(t, "headers"),
			Device:  rapid.Bool().Draw(t, "device"),
			Browser: rapid.Bool().Draw(t, "browser"),

			Conditions: genText.Draw(t, "conditions"),
			Deployment: genText.Draw(t, "deployment"),
			BaseIsPath: rapid.Bool().Draw(t, "base is path"),
		}
		for range rapid.IntRange(0, 2).Draw(t, "cookies") {
			c := keying.Cookie{Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "cookie")}
			for range rapid.IntRange(0, 2).Draw(t, "partitions") {
				c.Partitions = append(c.Partitions, keying.Partition{
					Name: genText.Draw(t, "partition"), Values: rapid.SliceOfN(genValue, 0, 2).Draw(t, "values"),
				})
			}
			s.Cookies = append(s.Cookies, c)
		}
		return s
	})
}

func genRequest() *rapid.Generator[*keying.Request] {
	return rapid.Custom(func(t *rapid.T) *keying.Request {
		r := &keying.Request{
			Method:      rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT"}).Draw(t, "method"),
			Scheme:      rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme"),
			Host:        genText.Draw(t, "host"),
			Target:      "/" + genText.Draw(t, "path"),
			Header:      http.Header{},
			Body:        []byte(genText.Draw(t, "body")),
			Destination: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "destination"),
		}
		if rapid.Bool().Draw(t, "has a query") {
			r.Target += "?" + genQuery.Draw(t, "query")
		}
		for _, name := range []string{"X-A", "X-B", "Content-Type", "Cookie"} {
			lines := rapid.SliceOfN(rapid.StringMatching(`([ab]?=?[ab]?(; ?)?){0,3}`), 0, 2).Draw(t, name)
			for i := range lines {
				lines[i] = strings.TrimSpace(lines[i])
			}
			if len(lines) > 0 {
				r.Header[name] = lines
			}
		}
		if ua := rapid.SampledFrom([]string{"", "iPhone", "iPad", "Firefox/1"}).Draw(t, "ua"); ua != "" {
			r.Header["User-Agent"] = []string{ua}
		}
		return r
	})
}

// mixed is a with one thing of b.
func mixed(a, b *keying.Request, what int) *keying.Request {
	r := *a
	switch what {
	case 0:
		r.Method = b.Method
	case 1:
		r.Scheme = b.Scheme
	case 2:
		r.Host = b.Host
	case 3:
		r.Target = b.Target
	case 4:
		r.Header = b.Header
	case 5:
		r.Body = b.Body
	case 6:
		r.Destination = b.Destination
	}
	return &r
}

func TestKeysDecodeToTheirRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSpec().Draw(t, "spec")
		a, b := genRequest().Draw(t, "a"), genRequest().Draw(t, "b")
		if rapid.Bool().Draw(t, "alike") {
			b = mixed(a, b, rapid.IntRange(0, 6).Draw(t, "difference"))
		}
		keyA, err := s.Build(a)
		if err != nil {
			t.Fatal(err)
		}
		keyB, err := s.Build(b)
		if err != nil {
			t.Fatal(err)
		}
		want := model(s, a)
		if got := keyA.Key.Parts(); !reflect.DeepEqual(got, want) {
			t.Fatalf("parts:\n got %+v\nwant %+v", got, want)
		}
		if same := reflect.DeepEqual(want, model(s, b)); same != (keyA.Key == keyB.Key) || same != (keyA.Key.Digest() == keyB.Key.Digest()) {
			t.Fatalf("requests the same: %v, keys the same: %v", same, !same)
		}
		named := keyA.Target
		if s.BaseIsPath {
			named, _, _ = strings.Cut(named, "?")
		}
		if keyA.Key.Base() != keying.Base(a.Scheme, a.Host, named) {
			t.Fatal("Base differs from that of the forwarded URL")
		}
		if again, err := keying.Parse(keyA.Key.Bytes()); err != nil || again != keyA.Key {
			t.Fatalf("Parse(Build()) = %+v, %v", again, err)
		}
		// Sorting what a spec has sorted, and filtering what it has filtered, changes nothing.
		a.Target = keyA.Target
		if twice, err := s.Build(a); err != nil || twice.Key != keyA.Key || twice.QueryChanged {
			t.Fatalf("a forwarded target is changed again: %+v, %v", twice, err)
		}
	})
}

// encode writes parts down again, without the package's help.
func encode(parts []keying.Part) string {
	kinds := []string{"", "scheme", "host", "target", "accept-encoding", "destination", "method", "body", "cookie", "header", "device", "browser", "conditions", "deployment", "query", "part"}
	var b []byte
	text := func(s string) {
		n := len(s)
		for ; n > 127; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		b = append(append(b, byte(n)), s...)
	}
	b = append(b, 1)
	for _, p := range parts {
		b = append(b, byte(slices.Index(kinds, p.Kind)))
		if p.Kind == "cookie" || p.Kind == "header" {
			text(p.Name)
			b = append(b, byte(p.Form))
		}
		if p.Form == keying.FormValue || p.Form == keying.FormPartition {
			text(p.Value)
		}
	}
	return string(b)
}

func FuzzParse(f *testing.F) {
	s := &keying.Spec{Cookies: []keying.Cookie{{Name: "c"}}, Headers: []string{"X"}, Device: true, Browser: true}
	for _, method := range []string{"GET", "POST"} {
		keyed, err := s.Build(&keying.Request{Method: method, Target: "/" + strings.Repeat("a", 200), Body: []byte("b")})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(keyed.Key.Bytes())
	}
	f.Add("\x01\x01\x00\x02\x00\x03\x00\x04\x00\x05\x00")
	f.Fuzz(func(t *testing.T, raw string) {
		key, err := keying.Parse(raw)
		if err != nil {
			return
		}
		if key.Bytes() != raw {
			t.Fatalf("Parse kept %q of %q", key.Bytes(), raw)
		}
		parts := key.Parts()
		if again := encode(parts); again != raw {
			t.Fatalf("re-encoded:\n got %q\nwant %q", again, raw)
		}
		if key.Base() != keying.Base(parts[0].Value, parts[1].Value, parts[2].Value) {
			t.Fatal("Base differs from that of the parts")
		}
	})
}

func FuzzBuild(f *testing.F) {
	f.Add("/a?b=1&utm=2", 2, true, false)
	f.Add("/?%75tm&&%zz=%", 1, false, true)
	f.Add("/a?", 3, true, true)
	f.Fuzz(func(t *testing.T, target string, mode int, sorted, baseIsPath bool) {
		if len(target) > 4096 {
			return
		}
		s := &keying.Spec{Query: keying.QueryMode(uint(mode) % 4), Names: []string{"utm", "", "b"}, Sort: sorted, BaseIsPath: baseIsPath}
		keyed, err := s.Build(&keying.Request{Method: "GET", Scheme: "http", Host: "h", Target: target})
		if err != nil {
			if strings.HasPrefix(target, "/") {
				t.Fatal(err)
			}
			return
		}
		if want := modelTarget(s, target); keyed.Target != want {
			t.Fatalf("target = %q, want %q", keyed.Target, want)
		}
		if path, query, _ := strings.Cut(target, "?"); keyed.QueryChanged && keyed.OriginalQuery != query {
			t.Fatalf("original query of %q = %q", target, keyed.OriginalQuery)
		} else if !strings.HasPrefix(keyed.Target, path) {
			t.Fatalf("path of %q became %q", target, keyed.Target)
		}
		if key, err := keying.Parse(keyed.Key.Bytes()); err != nil || key != keyed.Key {
			t.Fatalf("Parse(Build()) = %+v, %v", key, err)
		}
	})
}
