package rfc9111

import "strings"

// A Version tells one state of a selected representation from all others: bytes of
// responses with equal Versions may be put together, RFC 9110 15.3.7.3. The zero
// Version is that of no response.
type Version struct {
	Validator string    // a strong entity tag, or else a strong Last-Modified
	Coding    string    // the Content-Encoding
	Size      int64     // of the whole in bytes
	Selection Selection // the variant
}

// Version returns the version that r is of, or is parts of. ok is false when r cannot be
// put together with anything: it has no strong validator or its whole size is not known.
func (r *Response) Version() (v Version, ok bool) {
	v = Version{
		Validator: strongValidator(r),
		Coding:    strings.Join(r.Header["Content-Encoding"], ", "),
		Size:      r.Length,
		Selection: r.Selection,
	}
	if r.Parts != nil {
		v.Size = r.Parts.Size
	}
	if v.Validator == "" || v.Size < 0 {
		return Version{}, false
	}
	return v, true
}

// WholeOf returns the head that a whole response would have had in place of a 206 with one
// part: status 200, the whole length or -1, no field about the part alone. part is what of
// it the 206 carries. ok is false for other responses, and for one that is known to carry
// another number of bytes than its Content-Range says, RFC 9110 14.4 and 15.3.7.
func WholeOf(partial *Response) (whole *Response, part Range, ok bool) {
	lines := partial.Header["Content-Range"]
	if partial.Status != 206 || len(lines) != 1 {
		return nil, Range{}, false
	}
	part, size, ok := ParseContentRange(lines[0])
	if !ok || partial.Length >= 0 && partial.Length != part.Length {
		return nil, Range{}, false
	}
	head := *partial
	head.Status, head.Length, head.Header = 200, size, partial.Header.Clone()
	for _, name := range partFields {
		delete(head.Header, name)
	}
	return &head, part, true
}

// partFields say something about the content of a message, which of a 206 is the part:
// RFC 9110 14.4, RFC 9530 2.
var partFields = [...]string{"Content-Range", "Content-Length", "Content-Md5", "Content-Digest"}
