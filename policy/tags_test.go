package policy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"weir/policy"
	"weir/rfc9111"
)

func TestTemplates(t *testing.T) {
	table := mustCompile(t, `, "routes": [{"name": "r", "match": {"path": "/:a/:b"}, "tags": ["x", "a:{a}", "{b}{a}", "{b}"]}]`)
	for path, want := range map[string][]string{
		"/1/2":                                {"21", "2", "a:1", "x"},
		"/a%2Fb/%C3%A9":                       {"%C3%A9", "%C3%A9a%2Fb", "a:a%2Fb", "x"}, // as sent, nothing decoded
		"/x/x":                                {"a:x", "x", "xx"},
		"/1/" + strings.Repeat("y", 257):      {"a:1", "x"}, // too long to be a tag
		"/" + strings.Repeat("y", 255) + "/1": {"1", "1" + strings.Repeat("y", 255), "x"},
		"/\x01/2":                             {"2", "x"}, // no control characters
	} {
		plan, params := table.Match(get(path))
		slices.Sort(want)
		if got := plan.ResponseTags(params, nil); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if got := plan.ResponseTags(nil, nil); !slices.Equal(got, []string{"x"}) {
			t.Errorf("without parameters: %q", got)
		}
	}
	var sources []string
	for _, tag := range table.Plans()[0].Tags {
		sources = append(sources, tag.String())
	}
	if !slices.Equal(sources, []string{"x", "a:{a}", "{b}{a}", "{b}"}) {
		t.Errorf("sources %q", sources)
	}
}

func TestTagFields(t *testing.T) {
	tests := []struct {
		header http.Header
		want   []string
	}{
		{http.Header{"Cache-Tag": {"b, a,,a ,\tc d ", "e"}}, []string{"a", "b", "c d", "e"}},
		{http.Header{"Surrogate-Key": {" b  a\ta ", "c,d"}}, []string{"a", "b", "c,d"}},
		{http.Header{"Cache-Tag": {"a\x01, b\x7f, c"}}, []string{"c"}},
		{http.Header{"Cache-Tag": {"", " ", ","}}, nil},
		{http.Header{"Cache-Groups": {`"a", "b c"`, `"d,\"e\\"`}}, []string{"a", "b c", `d,"e\`}},
		{http.Header{"Cache-Groups": {`"a";x=1;y="z\"";*w;v=?0;u=:YQ==:, "b"`}}, []string{"a", "b"}},
		{http.Header{"Cache-Groups": {` "a"	,	"b" `}}, []string{"a", "b"}},
		{http.Header{"Cache-Groups": {`""`}}, nil},
		{http.Header{"Cache-Groups": {``}}, nil},
		{http.Header{"Cache-Groups": {`"a", b`}}, nil},
		{http.Header{"Cache-Groups": {`"a" "b"`}}, nil},
		{http.Header{"Cache-Groups": {`"a",`}}, nil},
		{http.Header{"Cache-Groups": {`,"a"`}}, nil},
		{http.Header{"Cache-Groups": {`"a`}}, nil},
		{http.Header{"Cache-Groups": {`"a\b"`}}, nil},
		{http.Header{"Cache-Groups": {`"ä"`}}, nil},
		{http.Header{"Cache-Groups": {`"a";`}}, nil},
		{http.Header{"Cache-Groups": {`"a";X=1`}}, nil},
		{http.Header{"Cache-Groups": {`"a";x=`}}, nil},
		{http.Header{"Cache-Groups": {`"a";x="`}}, nil},
		{http.Header{"Cache-Groups": {`("a" "b")`}}, nil},
		{http.Header{"Cache-Tag": {"a"}, "Surrogate-Key": {"b"}, "Cache-Groups": {`"a", "c"`}}, []string{"a", "b", "c"}},
	}
	plan, _ := mustCompile(t, "").Match(get("/"))
	for _, tt := range tests {
		if got := plan.ResponseTags(nil, &rfc9111.Response{Header: tt.header}); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.header, got, tt.want)
		}
	}
}

func TestTagsAreBounded(t *testing.T) {
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("t%04d", i))
	}
	plan, _ := mustCompile(t, `, "defaults": {"tags": ["zz"]}`).Match(get("/"))
	tags := plan.ResponseTags(nil, &rfc9111.Response{Header: http.Header{"Surrogate-Key": {strings.Join(many, " ")}}})
	if len(tags) != policy.MaxTags+1 || tags[len(tags)-1] != "zz" || tags[0] != rfc9111.AnyTag || tags[1] != "t0000" || !slices.IsSorted(tags) {
		t.Errorf("%d tags from %q to %q", len(tags), tags[0], tags[len(tags)-1])
	}
	tags = plan.ResponseTags(nil, &rfc9111.Response{Header: http.Header{"Surrogate-Key": {strings.Join(many[:999], " ") + " t0001"}}})
	if len(tags) != policy.MaxTags || tags[0] != "t0000" {
		t.Errorf("%d tags from %q", len(tags), tags[0])
	}
	groups := `"` + strings.Join(many[:1001], `","`) + `"`
	tags = plan.ResponseTags(nil, &rfc9111.Response{Header: http.Header{"Cache-Groups": {groups}}})
	if tags[0] != rfc9111.AnyTag {
		t.Errorf("%d tags from %q", len(tags), tags[0])
	}
}

func FuzzResponseTags(f *testing.F) {
	f.Add("a, b", "c d", `"e", "f";x="y"`)
	f.Add("", "", `"\\", "\"";*=:a:`)
	table := mustCompile(f, `, "defaults": {"tags": ["x", "y"]}`)
	plan, _ := table.Match(get("/"))
	f.Fuzz(func(t *testing.T, tag, key, groups string) {
		tags := plan.ResponseTags(nil, &rfc9111.Response{Header: http.Header{"Cache-Tag": {tag}, "Surrogate-Key": {key}, "Cache-Groups": {groups}}})
		if !slices.IsSorted(tags) || len(slices.Compact(slices.Clone(tags))) != len(tags) || len(tags) > policy.MaxTags+1 {
			t.Fatalf("%q", tags)
		}
		if len(tags) > 0 && tags[0] == rfc9111.AnyTag {
			tags = tags[1:]
		}
		for _, tag := range tags {
			if tag == "" || len(tag) > policy.MaxTag || strings.ContainsAny(tag, "\x00\r\n\x7f") {
				t.Fatalf("%q is a tag", tag)
			}
		}
	})
}
