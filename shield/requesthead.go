package shield

import (
	"fmt"
	"net/http"
	"slices"

	"weir/rfc9111"
)

// A field is a line of a request head.
type field struct{ name, value string } // the name is canonical

// fields are those of a request, in the order in which they are sent.
type fields []field

func (f fields) get(name string) string {
	for _, one := range f {
		if one.name == name {
			return one.value
		}
	}
	return ""
}

func (f *fields) remove(name string) {
	*f = slices.DeleteFunc(*f, func(one field) bool { return one.name == name })
}

// set puts values in the place of all there are.
func (f *fields) set(name string, values ...string) {
	f.remove(name)
	for _, v := range values {
		*f = append(*f, field{name, v})
	}
}

// header is for net/http, with what keeps it from adding a User-Agent of its own.
func (f fields) header() http.Header {
	h := make(http.Header, len(f)+1)
	for _, one := range f {
		h[one.name] = append(h[one.name], one.value)
	}
	if h.Get("User-Agent") == "" {
		h["User-Agent"] = []string{""}
	}
	return h
}

// bare says whether out is a request head and nothing else, now and later.
func (out *outgoing) bare() bool {
	return out.stream == nil && len(out.body) == 0 && out.upgrade == "" &&
		(out.method == http.MethodGet || out.method == http.MethodHead)
}

// What net/http has to know of a request to read the response to it.
var (
	bareGet  = &http.Request{Method: http.MethodGet}
	bareHead = &http.Request{Method: http.MethodHead}
)

// asked is a bare request as net/http knows it.
func (out *outgoing) asked() *http.Request {
	if out.method == http.MethodHead {
		return bareHead
	}
	return bareGet
}

// appendTo appends a bare request to p.
func (out *outgoing) appendTo(p []byte, host string) ([]byte, error) {
	if err := forwardable(out.target); err != nil {
		return nil, err
	}
	p = append(p, out.method...)
	p = append(p, ' ')
	p = append(p, out.target...)
	p = append(p, " HTTP/1.1\r\n"...)
	p, err := appendField(p, "Host", host)
	for _, f := range out.fields {
		switch {
		case err != nil:
			return nil, err
		case f.name == "Host", f.name == "Content-Length", f.name == "Transfer-Encoding", f.name == "Trailer":
			continue // are not of the header but of the message
		case f.name == "User-Agent" && f.value == "":
			continue
		}
		p, err = appendField(p, f.name, f.value)
	}
	return append(p, "\r\n"...), err
}

// appendField refuses what would be more than one field, or none, RFC 9110 5.5.
func appendField(p []byte, name, value string) ([]byte, error) {
	if !rfc9111.IsToken(name) {
		return p, fmt.Errorf("request field name %.100q", name)
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return p, fmt.Errorf("value of request field %s: %.100q", name, value)
		}
	}
	p = append(p, name...)
	p = append(p, ": "...)
	p = append(p, value...)
	return append(p, "\r\n"...), nil
}
