package shield

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// readResponse reads the head of a response to a bare request.
func readResponse(in *bufio.Reader, asked *http.Request) (*http.Response, error) {
	if asked == bareGet {
		if resp := plainResponse(in); resp != nil {
			return resp, nil
		}
	}
	return http.ReadResponse(in, asked)
}

// plainResponse reads the head of a response to GET of the plainest kind, which has come whole, or nothing. There is one
// way to read such a head: a status that has content, fields without odd bytes, one length, and nothing else that
// says where the content ends. All others are net/http's, which needs twice as many allocations.
func plainResponse(in *bufio.Reader) *http.Response {
	p, _ := in.Peek(in.Buffered())
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	size := end + 4
	line, rest, _ := strings.Cut(string(p[:end+2]), "\r\n")
	status := plainStatus(line)
	if status == 0 {
		return nil
	}
	fields := strings.Count(rest, "\n")
	h, all, length := make(http.Header, fields), make([]string, 0, fields), int64(-1)
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := plainField(line)
		if !ok {
			return nil
		}
		switch name {
		case "Transfer-Encoding", "Trailer", "Upgrade", "Pragma":
			return nil
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return nil
			}
		case "Content-Length":
			n, err := strconv.ParseUint(value, 10, 62)
			if err != nil || length >= 0 {
				return nil
			}
			length = int64(n) //nolint:gosec // has 62 bits
		}
		if all = append(all, value); h[name] == nil {
			h[name] = all[len(all)-1 : len(all) : len(all)]
		} else {
			h[name] = append(h[name], value)
		}
	}
	if length < 0 {
		return nil
	}
	_, _ = in.Discard(size)
	read := &struct {
		http.Response
		lengthBody
	}{
		http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: length, Body: http.NoBody},
		lengthBody{in, length},
	}
	if length > 0 {
		read.Body = &read.lengthBody
	}
	return &read.Response
}

// plainStatus returns a status with content, or 0.
func plainStatus(line string) int {
	rest, ok := strings.CutPrefix(line, "HTTP/1.1 ")
	if !ok || len(rest) < 4 || rest[3] != ' ' || !isPlain(rest) {
		return 0
	}
	n, err := strconv.ParseUint(rest[:3], 10, 16)
	if err != nil || n < 200 || n > 599 || n == http.StatusNoContent || n == http.StatusNotModified {
		return 0
	}
	return int(n)
}

// plainField takes a line apart.
func plainField(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, ":")
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return "", "", false
		}
	}
	return textproto.CanonicalMIMEHeaderKey(name), strings.Trim(value, " "), ok && name != "" && isPlain(value)
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// A lengthBody is content of a known length.
type lengthBody struct {
	in   *bufio.Reader
	left int64
}

func (b *lengthBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		err = io.EOF // or whoever reads would have to come again for it
	case err == io.EOF: //nolint:errorlint // a wrapped one says more
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close leaves the rest to whoever closes the connection.
func (b *lengthBody) Close() error { return nil }
