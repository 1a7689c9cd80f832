package keying_test

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/keying"
)

func TestSearch(t *testing.T) {
	drop := func(names ...string) *keying.Search { return &keying.Search{Names: names} }
	only := func(names ...string) *keying.Search { return &keying.Search{All: true, Names: names} }
	sorted := &keying.Search{AnyOrder: true}
	for _, tt := range []struct {
		name         string
		spec         keying.Spec
		search       *keying.Search
		target, want string
	}{
		{"no query", keying.Spec{}, drop("a"), "/p", "/p"},
		{"some", keying.Spec{}, drop("utm", "ref"), "/p?utm=1&a=2&ref&utm=3", "/p?a=2"},
		{"none of them", keying.Spec{}, drop("utm"), "/p?a=1&b", "/p?a=1&b"},
		{"none left", keying.Spec{}, drop("utm"), "/p?utm=1", "/p"},
		{"an empty query stays", keying.Spec{}, drop("utm"), "/p?", "/p?"},
		{"all", keying.Spec{}, only(), "/p?a=1&&b", "/p"},
		{"all but some", keying.Spec{}, only("id"), "/p?a=1&id=2&b&id=1", "/p?id=2&id=1"},
		{"names are decoded, bytes stay", keying.Spec{}, only("a b"), "/p?a+b=%7e&a%20b&a b&ab", "/p?a+b=%7e&a%20b&a b"},
		{"not ASCII", keying.Spec{}, drop("é"), "/p?%C3%A9=1&é=2&%c3=3", "/p?%c3=3"},
		{"what cannot be decoded stays", keying.Spec{}, only("id"), "/p?%zz=1&%=2&%ff=3&x=4", "/p?%zz=1&%=2&%ff=3"},
		{"even if it is named", keying.Spec{}, drop("%zz", "\xff"), "/p?%zz=1&%ff=3", "/p?%zz=1&%ff=3"},
		{"any order", keying.Spec{}, sorted, "/p?b=1&a=2&b=0", "/p?a=2&b=1&b=0"},
		{"values of one name keep theirs", keying.Spec{}, sorted, "/p?a+b=2&a%20b=1&A", "/p?A&a+b=2&a%20b=1"},
		{"no order where a name is unsure", keying.Spec{}, sorted, "/p?b&a&%zz", "/p?b&a&%zz"},
		{"the spec goes first", keying.Spec{Query: keying.QueryExcept, Names: []string{"x"}}, drop("y"), "/p?x&y&z", "/p?z"},
		{"both keep", keying.Spec{Query: keying.QueryOnly, Names: []string{"x", "y"}, Sort: true}, only("y", "z"), "/p?z&y&x&y", "/p?y&y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := get(tt.target)
			r.Search = tt.search
			keyed := build(t, &tt.spec, r)
			if keyed.Target != tt.want || keyed.QueryChanged != (tt.target != tt.want) {
				t.Errorf("%+v, want %s", keyed, tt.want)
			}
		})
	}
}

// parameter is one as the form parser of browsers reads it.
type parameter struct{ name, value string }

// form parses as application/x-www-form-urlencoded is parsed.
func form(query string) (all []parameter) {
	plain := func(s string) string {
		s = strings.ReplaceAll(s, "+", " ")
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if s[i] == '%' && i+2 < len(s) {
				if c, err := url.PathUnescape(s[i : i+3]); err == nil {
					b.WriteString(c)
					i += 2
					continue
				}
			}
			b.WriteByte(s[i])
		}
		return string([]rune(b.String())) // what is not UTF-8 is read as U+FFFD
	}
	for piece := range strings.SplitSeq(query, "&") {
		if piece != "" {
			name, value, _ := strings.Cut(piece, "=")
			all = append(all, parameter{plain(name), plain(value)})
		}
	}
	return all
}

// significant is what of a query makes a difference, by the draft's comparison.
func significant(query string, s *keying.Search) []parameter {
	all := slices.DeleteFunc(form(query), func(p parameter) bool { return slices.Contains(s.Names, p.name) != s.All })
	if s.AnyOrder {
		slices.SortStableFunc(all, func(a, b parameter) int { return cmp.Compare(a.name, b.name) })
	}
	return all
}

// Two queries share a key only where they are equivalent, and what is forwarded is
// equivalent to what was asked for.
func TestSearchFollowsTheDraft(t *testing.T) {
	query := rapid.StringMatching(`([abé&=+;%]|%61|%62|%2B|%20|%ff|%fe|%C3%A9|%zz|a=1|b=2){0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		s := &keying.Search{
			All: rapid.Bool().Draw(t, "all"), AnyOrder: rapid.Bool().Draw(t, "any order"),
			Names: rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "ab", "é", "a b", " "}), 0, 3).Draw(t, "names"),
		}
		spec := &keying.Spec{BaseIsPath: rapid.Bool().Draw(t, "base is path")}
		forwarded := func(query string) (keying.Keyed, []parameter) {
			r := get("/p?" + query)
			r.Search = s
			keyed, err := spec.Build(r)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(keyed.Target, "?")
			if want, got := significant(query, s), significant(rest, s); !slices.Equal(got, want) {
				t.Fatalf("%q is forwarded as %q: %v, want %v", query, rest, got, want)
			}
			r.Target = keyed.Target
			if again, err := spec.Build(r); err != nil || again.Key != keyed.Key {
				t.Fatalf("%q is forwarded as %q, and that as %q", query, keyed.Target, again.Target)
			}
			return keyed, significant(query, s)
		}
		a, paramsA := forwarded(query.Draw(t, "a"))
		b, paramsB := forwarded(query.Draw(t, "b"))
		if a.Key == b.Key && !slices.Equal(paramsA, paramsB) {
			t.Fatalf("%v and %v share a key", paramsA, paramsB)
		}
	})
}
