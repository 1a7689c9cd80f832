package shield

import (
	"bufio"
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

// write sends a bare request.
func (out *outgoing) write(w *bufio.Writer, host string) error {
	if err := forwardable(out.target); err != nil {
		return err
	}
	_, _ = w.WriteString(out.method)
	_ = w.WriteByte(' ')
	_, _ = w.WriteString(out.target)
	_, _ = w.WriteString(" HTTP/1.1\r\n")
	if err := writeField(w, "Host", host); err != nil {
		return err
	}
	for name, values := range out.header {
		switch {
		case name == "Host", name == "Content-Length", name == "Transfer-Encoding", name == "Trailer":
			continue // are not of the header but of the message
		case name == "User-Agent" && len(values) > 0 && values[0] == "":
			continue
		}
		for _, v := range values {
			if err := writeField(w, name, v); err != nil {
				return err
			}
		}
	}
	_, _ = w.WriteString("\r\n")
	return w.Flush() // also what went wrong before
}

// writeField refuses what would be more than one field, or none, RFC 9110 5.5.
func writeField(w *bufio.Writer, name, value string) error {
	if !isToken(name) {
		return fmt.Errorf("request field name %.100q", name)
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("value of request field %s: %.100q", name, value)
		}
	}
	_, _ = w.WriteString(name)
	_, _ = w.WriteString(": ")
	_, _ = w.WriteString(value)
	_, _ = w.WriteString("\r\n")
	return nil
}
