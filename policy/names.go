package policy

import (
	"fmt"
	"net/netip"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"weir/rfc9111"
)

// The functions here say what is wrong with a text, and what would be right; ""
// says that nothing is.

func checkRouteName(s string) string {
	switch {
	case s == "defaults":
		return `"defaults" is what requests without a route are called; choose another name`
	case !isName(s):
		return fmt.Sprintf("%s is not a name; use up to 64 letters, digits, '.', '_' and '-'", shorten(s))
	}
	return ""
}

func checkName(s string) string {
	if !isName(s) {
		return fmt.Sprintf("%s is not a name; use up to 64 letters, digits, '.', '_' and '-'", shorten(s))
	}
	return ""
}

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func checkMethod(s string) string {
	switch {
	case !rfc9111.IsToken(s):
		return fmt.Sprintf("%s is not a method", shorten(s))
	case s != strings.ToUpper(s):
		return fmt.Sprintf("methods are case-sensitive; write %q", strings.ToUpper(s))
	case s == "CONNECT":
		return "CONNECT is never served, so nothing can match it"
	}
	return ""
}

func checkCookieName(s string) string {
	if !rfc9111.IsToken(s) {
		return fmt.Sprintf("%s is not a cookie name", shorten(s))
	}
	return ""
}

func checkHeaderName(s string) string {
	if !rfc9111.IsToken(s) {
		return fmt.Sprintf("%s is not a header name", shorten(s))
	}
	return ""
}

// checkReceived is for headers of requests.
func checkReceived(s string) string {
	switch {
	case among(s, "x-original-qs x-device"), strings.HasPrefix(strings.ToLower(s), "x-weir-"):
		return shorten(s) + " is written by weir itself, a client's own is dropped"
	case among(s, "cache-min-epoch"):
		return shorten(s) + " is for weir itself and goes no further"
	case rfc9111.IsToken(s) && strings.Contains(s, "_"):
		return fmt.Sprintf("%s is always dropped, because many origins take \"_\" for \"-\"; write %q", shorten(s), strings.ReplaceAll(s, "_", "-"))
	}
	return checkHeaderName(s)
}

// hopByHop fields belong to one connection and are never forwarded, RFC 9110, 7.6.1.
const hopByHop = "connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade"

// framing fields say where a message ends or how its bytes are to be read.
const framing = "content-length content-encoding content-range"

// written are the fields that weir writes itself.
const written = "age via cache-status x-cache x-cache-tier x-caching-status x-sw-cache-control weir-epoch"

func among(s, names string) bool {
	s = strings.ToLower(s)
	for name := range strings.FieldsSeq(names) {
		if s == name {
			return true
		}
	}
	return false
}

func checkHeaderCondition(s string) string {
	switch {
	case among(s, "host"):
		return "the host is matched by match.hosts"
	case among(s, "transfer-encoding trailer"):
		return shorten(s) + " belongs to the connection and cannot be matched"
	case among(s, "cookie"):
		return "cookies are matched one by one by match.cookies"
	}
	return checkReceived(s)
}

func checkKeyHeader(s string) string {
	switch {
	case among(s, "host"):
		return "the host is always part of the key; leave it out"
	case among(s, "accept-encoding"):
		return "accept-encoding is always part of the key, in normalised form; leave it out"
	case among(s, "cookie"):
		return "the whole cookie header would give every visitor a cache of their own; name cookies in key.cookies"
	case among(s, hopByHop):
		return shorten(s) + " belongs to the connection, is not forwarded and cannot be part of a key"
	case among(s, "content-length content-encoding expect"):
		return shorten(s) + " describes the request's body and cannot be part of a key"
	case among(s, "range if-match if-none-match if-modified-since if-unmodified-since if-range"):
		return shorten(s) + " is answered by the cache itself and cannot be part of a key"
	}
	return checkReceived(s)
}

func checkRemovedRequestHeader(s string) string {
	switch {
	case among(s, "host"):
		return "a request needs a host; set origins.NAME.host to send another one"
	case among(s, hopByHop):
		return shorten(s) + " belongs to the connection and is never forwarded; leave it out"
	case among(s, framing+" expect"):
		return shorten(s) + " says how the body is to be read and cannot be removed"
	}
	return checkReceived(s)
}

func checkRemovedResponseHeader(s string) string {
	switch {
	case among(s, hopByHop):
		return shorten(s) + " belongs to the connection and is never passed on; leave it out"
	case among(s, framing):
		return shorten(s) + " says how the body is to be read and cannot be removed"
	case among(s, "age date"):
		return shorten(s) + " tells how old a response is and cannot be removed"
	}
	return checkHeaderName(s)
}

func checkSetHeader(s string) string {
	switch {
	case among(s, hopByHop), among(s, framing):
		return shorten(s) + " says how the message is to be read and cannot be set"
	case among(s, written+" date"):
		return shorten(s) + " is written by weir itself and cannot be set"
	case among(s, "set-cookie"):
		return "one cookie for every client is never right; set cookies at the origin"
	case among(s, "etag last-modified vary"):
		return shorten(s) + " says which response this is and cannot be set"
	}
	return checkHeaderName(s)
}

func checkHeaderValue(s string) string {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' || c == '\n':
			return "a header value cannot hold a line break"
		case c < ' ' && c != '\t', c == 0x7f:
			return fmt.Sprintf("a header value cannot hold a control character (%#02x)", c)
		case c > 0x7f:
			return "a header value is ASCII here"
		}
	}
	switch {
	case s == "":
		return "is empty; to remove a header name it in removeResponseHeaders"
	case strings.Trim(s, " \t") != s:
		return "a header value cannot begin or end with white space"
	case len(s) > 8000:
		return "a header value has at most 8000 bytes here"
	}
	return ""
}

// checkQueryText is for what is compared with a decoded query.
func checkQueryText(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return fmt.Sprintf("a query does not hold control characters (%#02x)", s[i])
		}
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			decoded, err := url.PathUnescape(s)
			if err != nil {
				decoded = s[:i] + "..."
			}
			return fmt.Sprintf("queries are decoded before they are compared; write %s", shorten(decoded))
		}
	}
	return ""
}

func checkQueryName(s string) string {
	if s == "" {
		return "a parameter's name cannot be empty"
	}
	return checkQueryText(s)
}

func checkRegexp(s string) string {
	if s == "" {
		return `is empty and would match everything; write {"present": true}`
	}
	if len(s) > 1000 {
		return "a regular expression has at most 1000 bytes here"
	}
	if _, err := regexp.Compile(s); err != nil {
		return fmt.Sprintf("is not an RE2 expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return ""
}

func checkStatus(s string) string {
	status, err := strconv.Atoi(s)
	if err != nil || len(s) != 3 || status < 400 || status > 599 {
		return fmt.Sprintf("%s is not a status from 400 to 599; others follow maxAgeSeconds", shorten(s))
	}
	return ""
}

// checkUpstream is for the URL of a server: scheme and authority.
func checkUpstream(s string) string {
	rest, ok := strings.CutPrefix(s, "http://")
	if !ok {
		rest, ok = strings.CutPrefix(s, "https://")
	}
	if !ok {
		return fmt.Sprintf("%s is not the URL of a server; write %q", shorten(s), likelyUpstream(s))
	}
	scheme := strings.TrimSuffix(s, rest)
	end := strings.IndexAny(rest+"/", "/?#")
	authority, tail := rest[:end], strings.TrimPrefix(rest[end:], "/")
	// The user comes first, so that no message repeats a password.
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		return fmt.Sprintf("an upstream's URL cannot hold a user or password; write %q", clip(scheme+authority[i+1:]))
	}
	if tail != "" {
		part := map[byte]string{'/': "path", '?': "query", '#': "fragment"}[rest[end]]
		return fmt.Sprintf("an upstream has no %s, requests bring their own; write %q", part, clip(scheme+authority))
	}
	return checkAuthority(authority)
}

// likelyUpstream is what was probably meant.
func likelyUpstream(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	switch lower := strings.ToLower(scheme); {
	case !ok && checkAuthority(s) == "":
		return clip("http://" + s)
	case ok && (lower == "http" || lower == "https") && checkAuthority(rest) == "":
		return clip(lower + "://" + rest)
	}
	return "http://HOST:PORT"
}

// checkAuthority is for host[:port].
func checkAuthority(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		return fmt.Sprintf("a host has no scheme; write %q", clip(strings.TrimSuffix(rest, "/")))
	}
	host, port, hasPort := splitPort(s)
	if hasPort {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
			return fmt.Sprintf("%s is not a port from 1 to 65535", shorten(port))
		}
	}
	if strings.HasPrefix(host, "[") {
		address, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil || !address.Is6() || address.Zone() != "" || !strings.HasSuffix(host, "]") {
			return fmt.Sprintf("%s is not an IPv6 address", shorten(host))
		}
		return ""
	}
	if strings.Count(s, ":") > 1 {
		return fmt.Sprintf("an IPv6 address stands in brackets; write %q", clip("["+s+"]"))
	}
	return checkHostName(host)
}

func splitPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") || strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func checkHostName(s string) string {
	if strings.HasSuffix(s, ".") && len(s) > 1 {
		return fmt.Sprintf("hosts have no dot at the end; write %q", clip(strings.TrimSuffix(s, ".")))
	}
	if len(s) > 253 {
		return "a host name has at most 253 bytes"
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return fmt.Sprintf("%s is not a host name", shorten(s))
		}
		for i := 0; i < len(label); i++ {
			switch c := label[i]; {
			case c >= 0x80:
				return fmt.Sprintf("%s is not ASCII; write it in its xn-- form", shorten(s))
			case !isLetter(c) && !isDigit(c) && c != '-' && c != '_':
				return fmt.Sprintf("%s is not a host name", shorten(s))
			}
		}
	}
	return ""
}

// checkHostPattern is for match.hosts: host[:port] or *.host[:port].
func checkHostPattern(s string) string {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		return fmt.Sprintf("a host has no scheme; write %q", clip(strings.TrimSuffix(rest, "/")))
	}
	if s == "*" {
		return "leave hosts out to match every host"
	}
	plain := strings.TrimPrefix(s, "*.")
	if strings.Contains(plain, "*") {
		return fmt.Sprintf(`%s: "*" stands only at the beginning, as in "*.example.com"`, shorten(s))
	}
	if i := strings.IndexByte(plain, '/'); i >= 0 {
		return fmt.Sprintf("a host has no path; write %q", clip(s[:len(s)-len(plain)+i]))
	}
	if _, port, ok := splitPort(plain); ok && (port == "80" || port == "443") {
		return fmt.Sprintf("the default port is left out; write %q", clip(strings.TrimSuffix(s, ":"+port)))
	}
	return checkAuthority(plain)
}

func checkHealthPath(s string) string {
	if !strings.HasPrefix(s, "/") {
		return fmt.Sprintf(`a path begins with "/"; write %q`, clip("/"+s))
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return fmt.Sprintf("%q cannot stand in a path; percent-encode it", string(rune(s[i])))
		}
	}
	return ""
}

// canonical is the form in which http.Header holds a name.
func canonical(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }
