package policy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"weir/rfc9111"
)

const (
	// MaxTag is the longest tag, in bytes.
	MaxTag = 256
	// MaxTags is how many tags one response may have.
	MaxTags = 1000
)

// TagTemplate is a tag with {placeholders} for captured parameters. They are filled
// in with the raw bytes of the path, nothing decoded: /products/a%2Fb has the tag
// product:a%2Fb.
type TagTemplate struct {
	source string
	parts  []part
}

// String returns the template as the policy file has it.
func (t TagTemplate) String() string { return t.source }

func checkTag(s string) string {
	_, wrong := parseTag(s)
	return wrong
}

// parseTag returns the template, or what is wrong with it.
func parseTag(s string) (TagTemplate, string) {
	t := TagTemplate{source: s}
	switch {
	case s == "":
		return t, "a tag cannot be empty"
	case len(s) > MaxTag:
		return t, fmt.Sprintf("a tag has at most %d bytes", MaxTag)
	case !isTag(s):
		return t, "a tag cannot hold control characters"
	case strings.TrimSpace(s) != s:
		return t, "a tag cannot begin or end with white space"
	}
	for rest := s; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			t.parts = append(t.parts, part{literal: rest})
			break
		}
		name, after, closed := strings.Cut(rest[i+1:], "}")
		if rest[i] == '}' || !closed || !isParamName(name) {
			return t, `braces hold the name of a path parameter, as in "product:{id}"`
		}
		if i > 0 {
			t.parts = append(t.parts, part{literal: rest[:i]})
		}
		t.parts = append(t.parts, part{param: name})
		rest = after
	}
	return t, ""
}

// isTag says whether s can be a tag.
func isTag(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= MaxTag
}

// expand returns the tag, "" when a parameter was not captured.
func (t TagTemplate) expand(params Params) string {
	var b strings.Builder
	for _, part := range t.parts {
		b.WriteString(part.literal)
		if part.param == "" {
			continue
		}
		i := slices.IndexFunc(params, func(p Param) bool { return p.Name == part.param })
		if i < 0 {
			return ""
		}
		b.WriteString(params[i].Value)
	}
	return b.String()
}

// ResponseTags returns the tags of a response under the plan: the plan's own, and
// those in the response's cache-tag (separated by commas), surrogate-key (by
// spaces) and cache-groups (RFC 9875) fields. They are sorted and without
// duplicates. What is longer than MaxTag or holds control characters is no tag, and
// no purge can name it; of more than MaxTags the plan's own come first, then the fields'
// in their order, and rfc9111.AnyTag stands for the rest.
func (p *Plan) ResponseTags(params Params, resp *rfc9111.Response) []string {
	set := tagSet{}
	for _, t := range p.Tags {
		set.add(t.expand(params))
	}
	if resp != nil {
		set.addFields(resp.Header)
	}
	if len(set) == 0 {
		return nil
	}
	tags := make([]string, 0, len(set))
	for tag := range set {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

type tagSet map[string]struct{}

func (s tagSet) add(tag string) {
	if !isTag(tag) {
		return
	}
	if _, known := s[tag]; !known && len(s) >= MaxTags {
		tag = rfc9111.AnyTag
	}
	s[tag] = struct{}{}
}

func (s tagSet) addFields(h http.Header) {
	for _, line := range h["Cache-Tag"] {
		for tag := range strings.SplitSeq(line, ",") {
			s.add(strings.Trim(tag, " \t"))
		}
	}
	for _, line := range h["Surrogate-Key"] {
		for tag := range strings.FieldsSeq(line) {
			s.add(tag)
		}
	}
	for _, group := range rfc9111.CacheGroups(h) {
		if group == rfc9111.AnyTag {
			s[group] = struct{}{}
			continue
		}
		s.add(group)
	}
}
