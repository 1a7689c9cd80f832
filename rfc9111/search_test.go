package rfc9111_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"weir/rfc9111"
)

// The examples of the draft, and what surrounds them.
func TestNoVarySearch(t *testing.T) {
	type variance = rfc9111.SearchVariance
	for _, tt := range []struct {
		lines []string
		want  *variance // nil: no effect
	}{
		{[]string{"key-order"}, &variance{AnyOrder: true}},
		{[]string{"key-order=?1"}, &variance{AnyOrder: true}},
		{[]string{"params"}, &variance{All: true}},
		{[]string{"params=?1"}, &variance{All: true}},
		{[]string{`params=("a")`}, &variance{Names: []string{"a"}}},
		{[]string{`params=("utm_source" "utm_medium")`}, &variance{Names: []string{"utm_source", "utm_medium"}}},
		{[]string{`params, except=("x")`}, &variance{All: true, Names: []string{"x"}}},
		{[]string{`params, key-order, except=("x")`}, &variance{All: true, AnyOrder: true, Names: []string{"x"}}},
		{[]string{`except=("x"), params`}, &variance{All: true, Names: []string{"x"}}},
		{[]string{"params, except=()"}, &variance{All: true}},
		{[]string{"key-order", `params=("a")`}, &variance{AnyOrder: true, Names: []string{"a"}}},
		{[]string{`params=("%C3%A9+%E6%B0%97")`}, &variance{Names: []string{"é 気"}}},
		{[]string{`params=("a%zz" "%")`}, &variance{Names: []string{"a%zz", "%"}}},
		{[]string{`params=("a" "%ff")`}, &variance{Names: []string{"a"}}},
		{[]string{`params=("a";x=1 "b");y, key-order;z`}, &variance{AnyOrder: true, Names: []string{"a", "b"}}},
		{[]string{`params=("a"), params=("b")`}, &variance{Names: []string{"b"}}},
		{[]string{`unknown=(1 2), params=("a")`}, &variance{Names: []string{"a"}}},

		{nil, nil},
		{[]string{""}, nil},
		{[]string{"params=?0"}, nil},
		{[]string{"params=()"}, nil},
		{[]string{"key-order=?0"}, nil},
		{[]string{"unknown-key"}, nil},
		{[]string{`key-order="not a boolean"`}, nil},
		{[]string{"key-order=1"}, nil},
		{[]string{"key-order=()"}, nil},
		{[]string{`params="not a boolean or inner list"`}, nil},
		{[]string{"params=(not-a-string)"}, nil},
		{[]string{`params=("a" 1)`}, nil},
		{[]string{`params=("a"), except=("x")`}, nil},
		{[]string{"params=(), except=()"}, nil},
		{[]string{`params=?0, except=("x")`}, nil},
		{[]string{"params, except=(not-a-string)"}, nil},
		{[]string{`params, except="not an inner list"`}, nil},
		{[]string{"params, except=?1"}, nil},
		{[]string{`except=("x")`}, nil},
		{[]string{"except=()"}, nil},
		{[]string{`params=("a"`}, nil},
		{[]string{`params=("a"),`}, nil},
		{[]string{`params=("a" "b`}, nil},
		{[]string{`Params=("a")`}, nil},
		{[]string{`params=('a')`}, nil},
		{[]string{`params=("é")`}, nil},
		{[]string{"params=?2"}, nil},
		{[]string{"params", "key-order=5"}, nil},
		{[]string{`params=("` + strings.Repeat("a", 2048) + `")`}, nil},
	} {
		h := header()
		for _, line := range tt.lines {
			h.Add("No-Vary-Search", line)
		}
		got, ok := rfc9111.NoVarySearch(h)
		if ok != (tt.want != nil) || ok && !reflect.DeepEqual(got, *tt.want) {
			t.Errorf("%.80q: %+v, %v", tt.lines, got, ok)
		}
	}
}

func TestNoVarySearchIsBounded(t *testing.T) {
	for n, want := range map[int]bool{100: true, 101: false} {
		names := strings.Repeat(`"a" `, n)
		v, ok := rfc9111.NoVarySearch(header("No-Vary-Search: params=(" + names + ")"))
		if ok != want || ok && len(v.Names) != n {
			t.Errorf("%d names: %v, %d", n, ok, len(v.Names))
		}
	}
}

func FuzzNoVarySearch(f *testing.F) {
	for _, seed := range []string{`params=("a" "%C3%A9+b"), key-order`, `params, except=("x";a=1)`, "key-order=?0;x", `params=(1.5 :YQ==: tok)`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		h := header()
		h["No-Vary-Search"] = []string{field}
		v, ok := rfc9111.NoVarySearch(h)
		if !ok {
			if !reflect.DeepEqual(v, rfc9111.SearchVariance{}) {
				t.Fatalf("%+v although it has no effect", v)
			}
			return
		}
		for _, name := range v.Names {
			if !utf8.ValidString(name) {
				t.Fatalf("name %q", name)
			}
		}
		// A member that is unknown, and the order of members, change nothing.
		h["No-Vary-Search"] = []string{"x=1", field}
		if again, ok := rfc9111.NoVarySearch(h); !ok && len(field) < 2000 || ok && !reflect.DeepEqual(again, v) {
			t.Fatalf("%+v with another member, %+v without", again, v)
		}
	})
}
