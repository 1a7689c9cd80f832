package rfc9111_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

// RFC 9111 4.1.
func TestSelectionMatches(t *testing.T) {
	long := strings.Repeat("x", 65)
	tests := []struct {
		name   string
		vary   string
		first  http.Header
		second http.Header
		want   bool
	}{
		{"no vary", "", header("Foo: 1"), header("Foo: 2"), true},
		{"same", "Foo", header("Foo: 1"), header("Foo: 1"), true},
		{"other", "Foo", header("Foo: 1"), header("Foo: 2"), false},
		{"names have no case", "fOO", header("Foo: 1"), header("Foo: 2"), false},
		{"fields not named do not count", "Foo", header("Foo: 1", "Bar: 1"), header("Foo: 1", "Bar: 2"), true},
		{"left out", "Foo", header("Foo: 1"), header(), false},
		{"left out the first time", "Foo", header(), header("Foo: 1"), false},
		{"left out both times", "Foo", header(), header(), true},
		{"left out is not empty", "Foo", header("Foo:"), header(), false},
		{"two fields", "Foo, Bar", header("Foo: 1", "Bar: 2"), header("Bar: 2", "Foo: 1"), true},
		{"one of two differs", "Foo, Bar", header("Foo: 1", "Bar: 2"), header("Foo: 1", "Bar: 3"), false},
		{"values do not move between fields", "Foo, Bar", header("Foo: 1", "Bar: 2"), header("Foo: 2", "Bar: 1"), false},
		{"one of three left out both times", "Foo, Bar, Baz", header("Foo: 1", "Baz: 3"), header("Foo: 1", "Baz: 3"), true},
		{"named twice", "Foo, foo,, FOO", header("Foo: 1"), header("Foo: 1"), true},

		{"whitespace around commas", "Foo", header("Foo: 1,2"), http.Header{"Foo": {" 1 ,\t2 "}}, true},
		{"empty members", "Foo", header("Foo: 1,2"), header("Foo: ,1,,2,"), true},
		{"lines combine", "Foo", header("Foo: 1, 2"), header("Foo: 1", "Foo: 2"), true},
		{"order counts", "Foo", header("Foo: 1, 2"), header("Foo: 2, 1"), false},
		{"commas in quotes", "Foo", header(`Foo: "a, b"`), header(`Foo: "a,b"`), false},
		{"commas in quotes, escaped quote", "Foo", header(`Foo: "a\", b"`), header(`Foo: "a\",b"`), false},
		{"commas after an open quote", "Foo", header(`Foo: "a, b`), header(`Foo: "a,b`), true},
		{"whitespace inside a member", "Foo", header("Foo: a b"), header("Foo: a  b"), false},

		{"cookies are exact", "Cookie", header("Cookie: a=x, y"), header("Cookie: a=x,y"), false},
		{"cookies on two lines", "Cookie", header("Cookie: a=x", "Cookie: b=y"), header("Cookie: a=x", "Cookie: b=y"), true},
		{"cookies on two lines are not one", "Cookie", header("Cookie: a=x", "Cookie: b=y"), header("Cookie: a=x,b=y"), false},
		{"user agents are exact", "User-Agent", header("User-Agent: a (b, c)"), header("User-Agent: a (b,c)"), false},

		{"long values", "Foo", header("Foo: " + long), header("Foo: " + long), true},
		{"long values differ at the end", "Foo", header("Foo: " + long + "a"), header("Foo: " + long + "b"), false},
		{"long values are normalised", "Foo", header("Foo: " + long + ", a"), header("Foo: "+long, "Foo: a"), true},

		{"languages in another order", "Accept-Language", header("Accept-Language: en, de"), header("Accept-Language: de,en"), true},
		{"languages have no case", "Accept-Language", header("Accept-Language: en, de"), header("Accept-Language: eN , De"), true},
		{"languages on two lines", "Accept-Language", header("Accept-Language: en, de"), header("Accept-Language: de", "Accept-Language: en"), true},
		{"languages named twice", "Accept-Language", header("Accept-Language: en, de, EN"), header("Accept-Language: de, en"), true},
		{"languages with weights in another order", "Accept-Language", header("Accept-Language: de;q=0.5, en"), header("Accept-Language: en;q=1.000, de; Q=0.50"), true},
		{"languages with other weights", "Accept-Language", header("Accept-Language: en, de;q=0.5"), header("Accept-Language: en, de;q=0.4"), false},
		{"languages preferred the other way round", "Accept-Language", header("Accept-Language: en, de;q=0.5"), header("Accept-Language: de, en;q=0.5"), false},
		{"language refused", "Accept-Language", header("Accept-Language: en, de;q=0"), header("Accept-Language: en"), false},
		{"language with a weight that is none", "Accept-Language", header("Accept-Language: en;q=2"), header("Accept-Language: en"), false},
		{"language with a weight that is too exact", "Accept-Language", header("Accept-Language: en;q=0.1234"), header("Accept-Language: en;q=0.123"), false},
		{"language with another parameter", "Accept-Language", header("Accept-Language: en;p=0.5"), header("Accept-Language: en;q=0.5"), false},
		{"language with a bare number", "Accept-Language", header("Accept-Language: en;500"), header("Accept-Language: en;q=0.5"), false},
		{"more of a language", "Accept-Language", header("Accept-Language: en"), header("Accept-Language: en-gb"), false},
		{"too many languages", "Accept-Language", header("Accept-Language: " + strings.Repeat("a,", 20) + "B"), header("Accept-Language: " + strings.Repeat("A,", 20) + "b"), true},
		{"too many languages in another order", "Accept-Language", header("Accept-Language: b," + strings.Repeat("a,", 20)), header("Accept-Language: " + strings.Repeat("a,", 20) + "b"), false},

		{"codings in another order", "Accept-Encoding", header("Accept-Encoding: gzip, br"), header("Accept-Encoding: br,gzip"), true},
		{"codings nobody asks an origin for", "Accept-Encoding", header("Accept-Encoding: gzip, deflate"), header("Accept-Encoding: gzip"), true},
		{"codings with weights", "Accept-Encoding", header("Accept-Encoding: gzip;q=1.0, br;q=0.5"), header("Accept-Encoding: gzip, br"), true},
		{"codings refused", "Accept-Encoding", header("Accept-Encoding: gzip, br;q=0"), header("Accept-Encoding: gzip"), true},
		{"codings refused at length", "Accept-Encoding", header("Accept-Encoding: gzip, br ; Q = 0.000"), header("Accept-Encoding: gzip"), true},
		{"codings hardly wanted", "Accept-Encoding", header("Accept-Encoding: gzip, br;q=0.001"), header("Accept-Encoding: gzip"), false},
		{"any coding", "Accept-Encoding", header("Accept-Encoding: *"), header("Accept-Encoding: gzip, br, zstd"), true},
		{"any coding but one", "Accept-Encoding", header("Accept-Encoding: *, br;q=0"), header("Accept-Encoding: gzip, zstd"), true},
		{"no other coding", "Accept-Encoding", header("Accept-Encoding: gzip, *;q=0"), header("Accept-Encoding: gzip"), true},
		{"codings have no case", "Accept-Encoding", header("Accept-Encoding: GZIP"), header("Accept-Encoding: x-gzip"), true},
		{"no coding that matters", "Accept-Encoding", header("Accept-Encoding: identity, deflate"), header(), true},
		{"no coding and one", "Accept-Encoding", header(), header("Accept-Encoding: br"), false},
		{"codings differ", "Accept-Encoding", header("Accept-Encoding: gzip"), header("Accept-Encoding: br"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, ok := rfc9111.Select([]string{tt.vary}, tt.first)
			if !ok {
				t.Fatal("no selection")
			}
			if !s.Matches(tt.first) {
				t.Error("does not match its own request")
			}
			if got := s.Matches(tt.second); got != tt.want {
				t.Errorf("matches: %v, selection %q", got, s)
			}
			if got := s.Reselect(tt.second) == s; got != tt.want {
				t.Errorf("reselected the same: %v", got)
			}
		})
	}
}

func TestSelectRefuses(t *testing.T) {
	many := ""
	for i := range 17 {
		many += fmt.Sprintf("x-%d,", i)
	}
	tests := []struct {
		name string
		vary []string
	}{
		{"star", []string{"*"}},
		{"star twice", []string{"*, *"}},
		{"star on the second line", []string{"", "*"}},
		{"star after nothing", []string{", *"}},
		{"star first", []string{"*, Foo"}},
		{"star last", []string{"Foo , *"}},
		{"space in a name", []string{"Foo Bar"}},
		{"control character", []string{"Foo\x00"}},
		{"quotes", []string{`"Foo"`}},
		{"long name", []string{strings.Repeat("x", 65)}},
		{"too many", []string{many}},
	}
	for _, tt := range tests {
		if s, ok := rfc9111.Select(tt.vary, header("Foo: 1")); ok || s != "" {
			t.Errorf("%s: %q %v", tt.name, s, ok)
		}
	}
	if s, ok := rfc9111.Select([]string{"", " , ,"}, header("Foo: 1")); !ok || s != "" {
		t.Errorf("an empty Vary: %q %v", s, ok)
	}
}

// A selection stays small whatever a client sends.
func TestSelectionIsBounded(t *testing.T) {
	h := http.Header{}
	vary := ""
	for i := range 16 {
		name := http.CanonicalHeaderKey(fmt.Sprintf("%s-%02d", strings.Repeat("n", 61), i))
		h.Set(name, strings.Repeat("v", 1<<16))
		vary += name + ","
	}
	s, ok := rfc9111.Select([]string{vary}, h)
	if !ok || len(s) > 16*(64+66) || !s.Matches(h) {
		t.Errorf("%d bytes, %v", len(s), ok)
	}
}

// Spelling the same fields in another way never changes the selection, and changing a
// value always does.
func TestSelectionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,40}`), 1, 5).Draw(t, "members")
		one := http.Header{"Foo": {strings.Join(members, ",")}}
		other := http.Header{"Foo": {}}
		for _, m := range members {
			space := rapid.SampledFrom([]string{"", " ", "\t", ", "}).Draw(t, "space")
			if n := len(other["Foo"]); n > 0 && rapid.Bool().Draw(t, "same line") {
				other["Foo"][n-1] += "," + space + m
				continue
			}
			other["Foo"] = append(other["Foo"], space+m)
		}
		s, ok := rfc9111.Select([]string{"foo"}, one)
		if !ok || !s.Matches(other) || s.Reselect(other) != s {
			t.Fatalf("%q and %q differ", one, other)
		}
		members[0] += "x"
		changed := http.Header{"Foo": {strings.Join(members, ",")}}
		if s.Matches(changed) || s.Reselect(changed) == s {
			t.Fatalf("%q and %q are the same", one, changed)
		}
	})
}

func FuzzSelection(f *testing.F) {
	f.Add("Foo, Bar", "1, 2", "1,2", "")
	f.Add("Accept-Encoding", "gzip;q=0, *", "br", "\x03Fooa")
	f.Add("Accept-Language", "de;q=0.5, EN", "en,de;q=.5", "")
	f.Add("Cookie", strings.Repeat("c", 70), "x", "\x03Food"+strings.Repeat("x", 32))
	f.Fuzz(func(t *testing.T, vary, a, b, raw string) {
		one, two := http.Header{}, http.Header{}
		for _, name := range []string{"Foo", "Bar", "Accept-Encoding", "Accept-Language", "Cookie"} {
			one[name], two[name] = []string{a}, []string{b, a}
		}
		if s, ok := rfc9111.Select([]string{vary}, one); ok {
			agree(t, s, one)
			agree(t, s, two)
			if !s.Matches(one) || s.Reselect(two).Reselect(one) != s {
				t.Fatalf("%q does not come back to %q", s.Reselect(two), s)
			}
		}
		agree(t, rfc9111.Selection(raw), one) // as a damaged disk may hold it
	})
}

// agree checks that Matches and Reselect tell the same.
func agree(t *testing.T, s rfc9111.Selection, h http.Header) {
	t.Helper()
	if s.Matches(h) != (s.Reselect(h) == s) {
		t.Fatalf("%q: matches %v, reselects to %q", s, s.Matches(h), s.Reselect(h))
	}
}
