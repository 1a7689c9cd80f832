package rfc9111

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ContentCodings returns the codings that a response's content was put through, in
// that order and in lower case, RFC 9110 8.4; none for plain content. x-gzip is
// gzip, RFC 9110 8.4.1.3, and identity is no coding.
func ContentCodings(h http.Header) []string {
	lines := h["Content-Encoding"]
	if len(lines) == 1 {
		switch lines[0] { // as nearly all are
		case "br", "gzip", "zstd":
			return lines
		}
	}
	var out []string
	for _, line := range lines {
		for line != "" {
			var coding string
			coding, line, _ = strings.Cut(line, ",")
			switch coding = strings.ToLower(trimOWS(coding)); coding {
			case "", "identity":
			case "x-gzip":
				out = append(out, "gzip")
			default:
				out = append(out, coding)
			}
		}
	}
	return out
}

// NoTransform says whether a request or a response forbids to change the coding of the
// content, RFC 9111 5.2.1.6 and 5.2.2.6.
func NoTransform(h http.Header) bool {
	for _, field := range [...]string{"Cache-Control", targetedFields[0], targetedFields[1]} {
		for _, line := range h[field] {
			for line != "" {
				var name string
				name, _, _, line = nextDirective(line)
				if strings.EqualFold(name, "no-transform") {
					return true
				}
			}
		}
	}
	return false
}

// exactFields vouch for the bytes as they are, or say that they are a part: RFC 9530 2
// and 3, RFC 9110 14.4 and what came before them.
var exactFields = [...]string{"Content-Digest", "Repr-Digest", "Digest", "Content-Md5", "Content-Range"}

// Recodable says whether resp may be sent in another content coding, as far as resp is
// concerned, RFC 9110 7.7. Its request can forbid it, too: NoTransform.
func Recodable(resp *Response) bool {
	if resp.Status == http.StatusPartialContent || resp.Parts != nil || NoTransform(resp.Header) {
		return false
	}
	for _, name := range exactFields {
		if resp.Header[name] != nil {
			return false
		}
	}
	return true
}

// Recoded returns the head of resp in another content coding, "" for none, and length
// bytes long, -1 if that is not known. It is another representation, and so none that a
// strong entity tag of resp names, RFC 9110 8.8.1 and 8.8.3.3.
func Recoded(resp *Response, coding string, length int64) *Response {
	head := *resp
	head.Length = length
	head.Header = resp.Header.Clone()
	h := head.Header
	delete(h, "Content-Encoding")
	if coding != "" {
		h["Content-Encoding"] = []string{coding}
	}
	if h["Content-Length"] != nil {
		delete(h, "Content-Length")
		if length >= 0 {
			h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
		}
	}
	if length < 0 {
		delete(h, "Accept-Ranges") // no part can be found without the whole
	}
	if tag, ok := entityTag(h); ok && !strings.HasPrefix(tag, "W/") {
		h["Etag"] = []string{"W/" + tag}
	}
	return &head
}

// Recoded returns t without what would name the bytes that came instead of those that are
// sent; nil stays nil.
func (t *Trailer) Recoded() *Trailer {
	if t == nil {
		return nil
	}
	exact := func(name string) bool { return name == "Etag" || slices.Contains(exactFields[:], name) }
	return &Trailer{
		Names: slices.DeleteFunc(slices.Clone(t.Names), exact),
		Fields: func() http.Header {
			h := maps.Clone(t.Fields())
			maps.DeleteFunc(h, func(name string, _ []string) bool { return exact(name) })
			return h
		},
	}
}

// ListsToken says whether name is a member of a comma-separated field.
func ListsToken(lines []string, name string) bool {
	for _, line := range lines {
		for item, more := "", true; more; {
			item, line, more = strings.Cut(line, ",")
			if strings.EqualFold(trimOWS(item), name) {
				return true
			}
		}
	}
	return false
}
