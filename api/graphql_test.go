package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"weir/api"
	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

const graphqlRoute = `
	{"name": "graphql", "match": {"path": "/graphql", "methods": ["GET", "POST"]}, "graphql": true,
	 "key": {"excludeQueryParameters": ["utm"]}, "edge": {"maxAgeSeconds": 30}},
	{"name": "plain", "match": {"path": "/plain", "methods": ["POST"]}, "edge": {"maxAgeSeconds": 30}}`

// sent is what a tier gets of a request through the GraphQL route: the body that is
// keyed, or the one that is passed.
type sent struct {
	status      rfc9111.CachingStatus
	body, query string
}

func sendGraphQL(t testing.TB, d *api.Door, s *tier, r *http.Request) sent {
	t.Helper()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	req := s.last()
	got := sent{status: req.Bypass, body: string(req.Body)}
	if req.Stream != nil {
		body, err := io.ReadAll(req.Stream)
		if err != nil {
			t.Fatal(err)
		}
		got.body = string(body)
	}
	_, got.query, _ = strings.Cut(req.Target, "?")
	return got
}

// last returns the latest request and forgets all.
func (s *tier) last() *policy.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	req := s.asked[len(s.asked)-1]
	s.asked = nil
	return req
}

func gqlPost(body string, fields ...string) *http.Request {
	r := httptest.NewRequest("POST", "http://a.test/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Content-Type" && r.Header.Get(name) == "application/json" {
			r.Header.Del(name)
		}
		if value != "" {
			r.Header.Add(name, value)
		}
	}
	r.RequestURI = "/graphql"
	return r
}

// document is the body of a request for one document, with further members.
func document(text string, more ...string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return `{"query":` + strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(quoted)) + strings.Join(more, "") + `}`
}

func TestGraphQLPosts(t *testing.T) {
	s := always(ok)
	d := newDoor(t, s, graphqlRoute, api.DoorOptions{})
	two := "query A { a } mutation B { b }"
	for _, c := range []struct {
		name   string
		r      *http.Request
		cached bool
	}{
		{"shorthand", gqlPost(document("{ a }")), true},
		{"named", gqlPost(document("query A { a }")), true},
		{"with everything", gqlPost(document("query A($x: Int = 1) @d { a(b: $x, c: \"}mutation{\") { ...F } } # mutation\nfragment F on T { c }",
			`,"operationName":"A","variables":{"x":1},"extensions":{"clientLibrary":{"name":"x"}}`)), true},
		{"nothing said of the rest", gqlPost(document("{ a }", `,"operationName":null,"variables":null,"extensions":null`)), true},
		{"the query of two", gqlPost(document(two, `,"operationName":"A"`)), true},
		{"white space around", gqlPost(" \r\n\t" + document("{ a }") + "\n"), true},
		{"lines", gqlPost(document("\r\n{\n\ta,\n}\r\n")), true},
		{"escaped names", gqlPost("{\"quer\\u0079\":\"{a}\"}"), true},
		{"not ASCII", gqlPost(document(`{ a(b: "é€😀") }`)), true},
		{"the newer type", gqlPost(document("{ a }"), "Content-Type: application/graphql+json"), true},
		{"a charset", gqlPost(document("{ a }"), "Content-Type: Application/JSON ; charset=UTF-8"), true},
		{"a quoted charset", gqlPost(document("{ a }"), `Content-Type: application/json; charset="utf-8"`), true},
		{"another parameter in the URL", withTarget(gqlPost(document("{ a }")), "/graphql?opname=A&search=1"), true},

		{"mutation", gqlPost(document("mutation { a }")), false},
		{"subscription", gqlPost(document("subscription { a }")), false},
		{"mutation after a comment", gqlPost(document("# query\nmutation { a }")), false},
		{"mutation after commas", gqlPost(document(",,\n mutation{a}")), false},
		{"the mutation of two", gqlPost(document(two, `,"operationName":"B"`)), false},
		{"neither of two", gqlPost(document(two)), false},
		{"neither of two queries", gqlPost(document("query A { a } query B { b }")), false},
		{"one that is not there", gqlPost(document("query A { a }", `,"operationName":"B"`)), false},
		{"a name in another case", gqlPost(document("query A { a }", `,"operationName":"a"`)), false},
		{"two of one name", gqlPost(document("query A { a } mutation A { b }", `,"operationName":"A"`)), false},
		{"one without a name among others", gqlPost(document("{ a } mutation B { b }")), false},
		{"a name of one without", gqlPost(document("{ a }", `,"operationName":"A"`)), false},
		{"a fragment alone", gqlPost(document("fragment F on T { a }")), false},
		{"a schema", gqlPost(document("type T { a: Int }")), false},
		{"nothing", gqlPost(document("")), false},
		{"a comment", gqlPost(document("# { a }")), false},
		{"a syntax error", gqlPost(document("{ a ")), false},
		{"something behind", gqlPost(document("{ a } }")), false},
		{"upper case", gqlPost(document("QUERY { a }")), false},

		{"no body", gqlPost(""), false},
		{"no query", gqlPost(`{"operationName":"A"}`), false},
		{"query is null", gqlPost(`{"query":null}`), false},
		{"query is a list", gqlPost(`{"query":["{a}"]}`), false},
		{"name is a number", gqlPost(document("{ a }", `,"operationName":1`)), false},
		{"variables in a list", gqlPost(document("{ a }", `,"variables":[]`)), false},
		{"batch", gqlPost("[" + document("{ a }") + "]"), false},
		{"batch of a query and a mutation", gqlPost("[" + document("{ a }") + "," + document("mutation { a }") + "]"), false},
		{"query twice", gqlPost(`{"query":"{a}","query":"mutation{a}"}`), false},
		{"query twice, the mutation first", gqlPost(`{"query":"mutation{a}","query":"{a}"}`), false},
		{"query twice by escape", gqlPost(`{"query":"{a}","q\u0075ery":"mutation{a}"}`), false},
		{"query twice by case", gqlPost(`{"query":"{a}","Query":"mutation{a}"}`), false},
		{"name twice", gqlPost(document(two, `,"operationName":"A","operationName":"B"`)), false},
		{"a stored document", gqlPost(`{"id":"x"}`), false},
		{"a stored document beside a query", gqlPost(document("{ a }", `,"documentId":"x"`)), false},
		{"persisted", gqlPost(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}`), false},
		{"persisted, with a text", gqlPost(document("{ a }", `,"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}`)), false},
		{"persisted, in another case", gqlPost(document("{ a }", `,"extensions":{"PersistedQuery":{}}`)), false},
		{"extensions twice named", gqlPost(document("{ a }", `,"extensions":{"a":1,"a":2}`)), false},
		{"extensions in a list", gqlPost(document("{ a }", `,"extensions":[]`)), false},
		{"two values", gqlPost(document("{ a }") + document("mutation { a }")), false},
		{"a trailing comma", gqlPost(`{"query":"{a}",}`), false},
		{"a comment in the JSON", gqlPost(`{"query":"{a}"/*,"query":"mutation{a}"*/}`), false},
		{"single quotes", gqlPost(`{'query':'{a}'}`), false},
		{"byte order mark", gqlPost("\ufeff" + document("{ a }")), false},
		{"UTF-16", gqlPost("\xff\xfe{\x00}\x00"), false},
		{"not UTF-8", gqlPost(document("{ a } # ") + "\xff"), false},
		{"not UTF-8 in the text", gqlPost("{\"query\":\"{ a(b: \\\"\xff\\\") }\"}"), false},
		{"deep JSON", gqlPost(document("{ a }", `,"variables":`+strings.Repeat(`{"a":`, 1000)+"1"+strings.Repeat("}", 1000))), true},

		{"a lone surrogate", gqlPost(`{"query":"{a} #\ud800"}`), false},
		{"a mark in the text", gqlPost(document("\ufeff{ a }")), false},
		{"a line separator", gqlPost(document("#\u2028mutation { b }\n{ a }")), false},
		{"a next line", gqlPost(document("#\u0085mutation { b }\n{ a }")), false},
		{"a bare CR", gqlPost(document("#\rmutation { b } fragment F on Q #\n{ a }")), false},
		{"a NUL", gqlPost(document("{ a }\x00mutation { b }")), false},
		{"a form feed", gqlPost(document("{ a }\f")), false},
		{"a block string", gqlPost(document(`{ a(b: ["""} } " } mutation B { b } # """]) }`)), false},
		{"too many tokens", gqlPost(document("{" + strings.Repeat("a ", 3990) + "}")), true},
		{"one token more", gqlPost(document("{" + strings.Repeat("a", 3) + strings.Repeat("{b}c", 1000) + "}")), false},
		{"too deep", gqlPost(document(strings.Repeat("{a", 1001) + strings.Repeat("}", 1001))), false},

		{"form", gqlPost("query=%7Ba%7D", "Content-Type: application/x-www-form-urlencoded"), false},
		{"multipart", gqlPost(document("{ a }"), "Content-Type: multipart/form-data; boundary=x"), false},
		{"the text alone", gqlPost("{ a }", "Content-Type: application/graphql"), false},
		{"text/plain", gqlPost(document("{ a }"), "Content-Type: text/plain"), false},
		{"no type", gqlPost(document("{ a }"), "Content-Type: "), false},
		{"two types", gqlPost(document("{ a }"), "Content-Type: application/json", "Content-Type: text/plain"), false},
		{"two types in one line", gqlPost(document("{ a }"), "Content-Type: application/json, text/plain"), false},
		{"another charset", gqlPost(document("{ a }"), "Content-Type: application/json; charset=utf-16"), false},
		{"two charsets", gqlPost(document("{ a }"), "Content-Type: application/json; charset=utf-8; charset=utf-7"), false},
		{"a charset in pieces", gqlPost(document("{ a }"), "Content-Type: application/json; charset*=utf-8''utf-7"), false},
		{"another parameter", gqlPost(document("{ a }"), "Content-Type: application/json; profile=x"), false},
		{"a coding", gqlPost(document("{ a }"), "Content-Encoding: gzip"), false},
		{"no coding, but said", gqlPost(document("{ a }"), "Content-Encoding: identity"), false},

		{"query in the URL too", withTarget(gqlPost(document("{ a }")), "/graphql?query=mutation%7Ba%7D"), false},
		{"query in the URL, as a list", withTarget(gqlPost(document("{ a }")), "/graphql?query[]=mutation%7Ba%7D"), false},
		{"query in the URL, by case", withTarget(gqlPost(document("{ a }")), "/graphql?x=1&Query=mutation%7Ba%7D"), false},
		{"query in the URL, after a semicolon", withTarget(gqlPost(document("{ a }")), "/graphql?x=1;query=mutation%7Ba%7D"), false},
		{"name in the URL", withTarget(gqlPost(document(two, `,"operationName":"A"`)), "/graphql?operationName=B"), false},
		{"a URL that does not decode", withTarget(gqlPost(document("{ a }")), "/graphql?%zz=1"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := io.ReadAll(c.r.Body)
			if err != nil {
				t.Fatal(err)
			}
			c.r.Body = io.NopCloser(strings.NewReader(string(body)))
			got := sendGraphQL(t, d, s, c.r)
			want := rfc9111.StatusPass
			if c.cached {
				want = ""
			}
			if got.status != want || got.body != string(body) {
				t.Errorf("%+v; want %q and the body as it was", got, want)
			}
		})
	}
}

func withTarget(r *http.Request, target string) *http.Request {
	r.RequestURI = target
	return r
}

func TestGraphQLGets(t *testing.T) {
	s := always(ok)
	d := newDoor(t, s, graphqlRoute, api.DoorOptions{})
	for _, c := range []struct {
		query  string
		cached bool
	}{
		{"query=%7Ba%7D", true},
		{"query={a}", true},
		{"query=query+A%7Ba%7D%20mutation+B%7Bb%7D&operationName=A", true},
		{"query={a}&variables=%7B%22x%22%3A1%7D&operationName=&extensions=%7B%7D", true},
		{"query={a}&utm=1&search=2&x", true},
		{"qu%65ry={a}", true},

		{"", false},
		{"query=", false},
		{"x=1", false},
		{"query=mutation{a}", false},
		{"query=subscription{a}", false},
		{"query=query+A{a}+mutation+B{b}&operationName=B", false},
		{"query={a}&query=mutation{a}", false},
		{"query={a}&qu%65ry=mutation{a}", false},
		{"query={a}&query[]=mutation{a}", false},
		{"query={a}&query%5B0%5D=mutation{a}", false},
		{"query={a}&QUERY=mutation{a}", false},
		{"query={a}&+query=mutation{a}", false},
		{"query={a}&query.=mutation{a}", false},
		{"query={a}&query_=mutation{a}", false},
		{"query={a};query=mutation{a}", false},
		{"query={a}&x=;query=mutation{a}", false},
		{"query={a}&operationname=B", false},
		{"query={a", false},
		{"query=%7", false},
		{"query=%ff{a}", false},
		{"query=%u007Ba}", false},
		{"query={a}%0D", false},
		{"query={a}&extensions={%22persistedQuery%22:{}}", false},
		{"query={a}&extensions=x", false},
		{"extensions={%22persistedQuery%22:{}}", false},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := httptest.NewRequest(method, "http://a.test/graphql", nil)
			r.RequestURI = "/graphql?" + c.query
			got := sendGraphQL(t, d, s, r)
			want, forwarded := rfc9111.StatusPass, c.query
			if c.cached {
				want, forwarded = "", strings.Replace(c.query, "&utm=1", "", 1)
			}
			if got.status != want || got.query != forwarded {
				t.Errorf("%s %s: %+v", method, c.query, got)
			}
		}
	}
	r := gqlPost(document("mutation { a }"))
	r.RequestURI = "/plain"
	if got := sendGraphQL(t, d, s, r); got.status != "" {
		t.Errorf("a route without the option: %+v", got)
	}
	big := document("{ a }") + strings.Repeat(" ", keying.MaxBody)
	if got := sendGraphQL(t, d, s, gqlPost(big)); got.status != rfc9111.StatusBodyTooBig || got.body != big {
		t.Errorf("a big body: %s", got.status)
	}
}

// Two bodies that differ in a byte differ in their keys: what was judged is what is
// forwarded, and nothing else is answered for it.
func TestGraphQLKeysAreBytes(t *testing.T) {
	s := always(ok)
	d := newDoor(t, s, graphqlRoute, api.DoorOptions{})
	seen := map[keying.Digest]string{}
	for _, body := range []string{`{"query":"{a}"}`, `{"query":"{a }"}`, `{"query": "{a}"}`, `{"query":"{a}","variables":{}}`} {
		d.ServeHTTP(httptest.NewRecorder(), gqlPost(body))
		key := s.last().Keyed.Key
		if other, same := seen[key.Digest()]; same {
			t.Errorf("%s and %s share a key", body, other)
		}
		seen[key.Digest()] = body
		if key.Base() != keying.Base("http", "a.test", "/graphql") {
			t.Error("the base is not the path's")
		}
	}
}

// An operation as the plainest reader finds it.
type operation struct{ kind, name string }

// operations reads the top level of a document: comments and strings skipped, the
// words before each selection set taken.
func operations(text string) (found []operation) {
	var words []string
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '#':
			for i+1 < len(text) && text[i+1] != '\n' && text[i+1] != '\r' {
				i++
			}
		case c == '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case c == '{' && depth == 0:
			op := operation{"query", ""}
			if len(words) > 0 {
				op.kind = words[0]
			}
			if len(words) > 1 {
				op.name = words[1]
			}
			if op.kind != "fragment" {
				found = append(found, op)
			}
			words = nil
			depth++
		case strings.IndexByte("{([", c) >= 0:
			if depth++; depth == 1 { // ( of variables: what follows is no name
				words = append(words, "", "")
			}
		case strings.IndexByte("})]", c) >= 0:
			depth--
		case depth == 0 && isNameByte(c):
			end := i
			for end < len(text) && isNameByte(text[end]) {
				end++
			}
			words = append(words, text[i:end])
			i = end - 1
		case c == '@' && depth == 0:
			words = append(words, "")
		}
	}
	for i := range found {
		found[i].name = strings.TrimSpace(found[i].name)
	}
	return found
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// FuzzGraphQL: whatever is taken for a query is one to a plain reader too.
func FuzzGraphQL(f *testing.F) {
	for _, seed := range []string{
		document("{ a }"), document("query A($x: [Int] = [1]) @d(e: {f: 1}) { a } mutation B { b }", `,"operationName":"A"`),
		document("mutation { a }"), document("# {\n{ a(b: \"}\") }"), `[{"query":"{a}"}]`, `{"query":"{a}","query":"mutation{a}"}`,
		document("query A { a } fragment F on T { b }", `,"variables":{"a":{"a":1}},"extensions":{}`),
	} {
		f.Add(seed, "application/json", "")
		f.Add("", "", url.Values{"query": {seed}}.Encode())
	}
	s := always(ok)
	d := newDoor(f, s, graphqlRoute, api.DoorOptions{})
	f.Fuzz(func(t *testing.T, body, contentType, query string) {
		target := "/graphql?" + query
		if len(body) > keying.MaxBody || len(target) > 4000 || strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r == '#' || r == '\\' || r == 0x7f }) {
			return
		}
		r := httptest.NewRequest("GET", "http://a.test/graphql", nil)
		if body != "" {
			r = gqlPost(body)
		}
		r.Header["Content-Type"] = []string{contentType}
		r.RequestURI = target
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if w.Code != 200 {
			return
		}
		req := s.last()
		if req.Bypass != "" {
			return
		}
		checkQuery(t, req, body, query)
	})
}

func checkQuery(t *testing.T, req *policy.Request, body, query string) {
	t.Helper()
	var text struct{ Query, OperationName string }
	if body != "" {
		if string(req.Body) != body {
			t.Fatalf("%q is forwarded as %q", body, req.Body)
		}
		if err := json.Unmarshal(req.Body, &text); err != nil {
			t.Fatal(err)
		}
	} else {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		text.Query, text.OperationName = values.Get("query"), values.Get("operationName")
	}
	found := operations(text.Query)
	chosen := slices.IndexFunc(found, func(op operation) bool { return len(found) == 1 || op.name == text.OperationName })
	if chosen < 0 || found[chosen].kind != "query" {
		t.Fatalf("taken for a query: %q, operation %q; a plain reader finds %v", text.Query, text.OperationName, found)
	}
}

func BenchmarkGraphQL(b *testing.B) {
	s := always(ok)
	d := newDoor(b, s, graphqlRoute, api.DoorOptions{})
	typical := document("query Product($id: ID!) { product(id: $id) { id name price { amount currency } reviews(first: 10) { edges { node { id text rating author { name } } } } } }", `,"variables":{"id":"42"}`)
	worst := document(strings.Repeat("{a", 990) + strings.Repeat(" b", 1000) + strings.Repeat("}", 990))
	for name, body := range map[string]string{"typical": typical, "worst": worst} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.ServeHTTP(httptest.NewRecorder(), gqlPost(body))
				s.last()
			}
		})
	}
}
