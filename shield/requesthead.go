package shield

import (
	"fmt"
	"net/http"
)

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
	for name, values := range out.header {
		switch {
		case name == "Host", name == "Content-Length", name == "Transfer-Encoding", name == "Trailer":
			continue // are not of the header but of the message
		case name == "User-Agent" && len(values) > 0 && values[0] == "":
			continue
		}
		for _, v := range values {
			if err == nil {
				p, err = appendField(p, name, v)
			}
		}
	}
	return append(p, "\r\n"...), err
}

// appendField refuses what would be more than one field, or none, RFC 9110 5.5.
func appendField(p []byte, name, value string) ([]byte, error) {
	if !isToken(name) {
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
