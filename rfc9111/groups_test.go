package rfc9111_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"weir/rfc9111"
)

// RFC 9875 2.
func TestCacheGroups(t *testing.T) {
	long := strings.Repeat("x", 257)
	tests := []struct {
		lines []string
		want  []string
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{`"a"`}, []string{"a"}},
		{[]string{`"a", "b c",	"d"`}, []string{"a", "b c", "d"}},
		{[]string{`"a"`, `"b"`}, []string{"a", "b"}},
		{[]string{`"a;b";p;q="x", "c"`}, []string{"a;b", "c"}},
		{[]string{`"a\"\\"`}, []string{`a"\`}},
		{[]string{`"", "a"`}, []string{"a"}},
		{[]string{`"` + long + `", "a"`}, []string{long, "a"}},
		{[]string{"a"}, nil},
		{[]string{`"a", b`}, nil},
		{[]string{`"a", 1`}, nil},
		{[]string{`("a" "b")`}, nil},
		{[]string{`"a",`}, nil},
		{[]string{`"a" "b"`}, nil},
		{[]string{`"a`}, nil},
		{[]string{"\"\u00e4\""}, nil},
	}
	for _, tt := range tests {
		if got := rfc9111.CacheGroups(http.Header{"Cache-Groups": tt.lines}); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.lines, got, tt.want)
		}
	}
	many := make([]string, 1200)
	for i := range many {
		many[i] = fmt.Sprintf(`"g%d"`, i)
	}
	if got := rfc9111.CacheGroups(http.Header{"Cache-Groups": {strings.Join(many, ",")}}); len(got) != 1001 || got[999] != "g999" || got[1000] != rfc9111.AnyTag {
		t.Errorf("%d groups", len(got))
	}
	if got := rfc9111.CacheGroups(http.Header{"Cache-Groups": {strings.Join(many[:1000], ",")}}); len(got) != 1000 || got[999] != "g999" {
		t.Errorf("%d groups", len(got))
	}
}

// RFC 9875 3.
func TestInvalidatedGroups(t *testing.T) {
	h := header(`Cache-Group-Invalidation: "a", "b"`, `Cache-Groups: "c"`)
	for _, tt := range []struct {
		method string
		status int
		want   []string
	}{
		{"POST", 200, []string{"a", "b"}},
		{"PUT", 204, []string{"a", "b"}},
		{"PATCH", 303, []string{"a", "b"}},
		{"UNKNOWN", 200, []string{"a", "b"}},
		{"POST", 400, nil},
		{"POST", 500, nil},
		{"POST", 103, nil},
		{"GET", 200, nil},
		{"HEAD", 200, nil},
		{"OPTIONS", 200, nil},
		{"QUERY", 200, nil},
	} {
		if got := rfc9111.InvalidatedGroups(tt.method, tt.status, h); !slices.Equal(got, tt.want) {
			t.Errorf("%s %d: %q", tt.method, tt.status, got)
		}
	}
}

// What is read of a list of groups is read again when it is written in the plainest form.
func FuzzCacheGroups(f *testing.F) {
	f.Add(`"a", "b\"c";p=1;q`)
	f.Add(`"a",`)
	f.Fuzz(func(t *testing.T, field string) {
		groups := rfc9111.CacheGroups(http.Header{"Cache-Groups": {field}})
		plain := make([]string, len(groups))
		for i, g := range groups {
			plain[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(g) + `"`
		}
		again := rfc9111.CacheGroups(http.Header{"Cache-Groups": plain})
		if !slices.Equal(groups, again) {
			t.Fatalf("%q: %q, then %q", field, groups, again)
		}
	})
}
