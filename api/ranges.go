package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"weir/rfc9111"
)

// cut applies a Range field to an answer whose length is known, RFC 9110 14.2.
func (out *outcome) cut(h http.Header, ans *rfc9111.Answer) error {
	field := h.Get("Range")
	if field == "" || len(h["Range"]) > 1 {
		return nil
	}
	size := out.length
	ranges, err := rfc9111.ParseRange(field, size)
	if errors.Is(err, rfc9111.ErrUnsatisfiable) {
		return &fault{
			status: http.StatusRequestedRangeNotSatisfiable, code: "range-not-satisfiable",
			message:      "No byte of the requested range exists.",
			contentRange: fmt.Sprintf("bytes */%d", size),
		}
	}
	if err != nil || len(ranges) == 0 {
		return nil // a field that cannot be read is ignored
	}
	if len(ranges) > 1 && !seekable(ans) && !ascending(ranges) {
		return nil // a stream cannot go back; the whole answers any range
	}
	out.status, out.ranges = http.StatusPartialContent, ranges
	if len(ranges) == 1 {
		out.length = ranges[0].Length
		return nil
	}
	out.multi = newMultipart(ranges, size, ans.Head.Header.Get("Content-Type"))
	out.length = out.multi.length()
	return nil
}

// within says whether an answer that is made of parts has what out needs of it.
func (out *outcome) within(parts *rfc9111.Parts) bool {
	return parts == nil || len(out.ranges) == 1 && parts.Covers(out.ranges[0])
}

func seekable(ans *rfc9111.Answer) bool { return ans.Body == nil || ans.At != nil }

func ascending(ranges []rfc9111.Range) bool {
	end := int64(0)
	for _, r := range ranges {
		if r.Start < end {
			return false
		}
		end = r.Start + r.Length
	}
	return true
}

func contentRange(r rfc9111.Range, size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.Start, r.Start+r.Length-1, size)
}

// multipart is the framing of several ranges in one body, RFC 9110 14.6.
type multipart struct {
	boundary string
	ranges   []rfc9111.Range
	heads    []string // what stands before each range
	tail     string   // what stands after the last
}

func newMultipart(ranges []rfc9111.Range, size int64, contentType string) *multipart {
	m := &multipart{boundary: rand.Text(), ranges: ranges}
	for i, r := range ranges {
		head := "--" + m.boundary + "\r\n"
		if i > 0 {
			head = "\r\n" + head
		}
		if contentType != "" {
			head += "Content-Type: " + contentType + "\r\n"
		}
		m.heads = append(m.heads, head+"Content-Range: "+contentRange(r, size)+"\r\n\r\n")
	}
	m.tail = "\r\n--" + m.boundary + "--\r\n"
	return m
}

func (m *multipart) contentType() string { return "multipart/byteranges; boundary=" + m.boundary }

func (m *multipart) length() int64 {
	n := int64(len(m.tail))
	for i, r := range m.ranges {
		n += int64(len(m.heads[i])) + r.Length
	}
	return n
}
