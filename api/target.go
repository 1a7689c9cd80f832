package api

import (
	"net/netip"
	"strings"
)

// maxTarget is the longest request target that is served, in bytes. It leaves
// half of MaxHeaderBytes to the fields.
const maxTarget = 8 << 10

// target is a request target taken apart, nothing decoded.
type target struct {
	authority string // of absolute-form, "" otherwise
	form      string // the target in origin-form
	path      string
	query     string
}

// parseTarget checks the target of a request other than CONNECT and OPTIONS *,
// RFC 9112 3.2. What it accepts reads the same to every server: no fragment, no
// backslash, no control byte and no encoded NUL, which some of them cut at and
// others do not. Bytes from 0x80 on pass; browsers of old send them.
func parseTarget(uri string) (target, *fault) {
	if len(uri) > maxTarget {
		return target{}, refuseLongTarget
	}
	for i := range len(uri) {
		switch c := uri[i]; {
		case c <= ' ' || c == 0x7f:
			return target{}, badTarget("a control byte or a space")
		case c == '#':
			return target{}, badTarget("a fragment")
		case c == '\\':
			return target{}, badTarget("a backslash")
		case c == '%' && strings.HasPrefix(uri[i:], "%00"):
			return target{}, badTarget("an encoded NUL")
		}
	}
	var t target
	rest := uri
	if !strings.HasPrefix(uri, "/") { // absolute-form, RFC 9112 3.2.2
		scheme, after, ok := strings.Cut(uri, "://")
		if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return target{}, badTarget("a form other than /path or http://host/path")
		}
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		t.authority, rest = after[:end], after[end:]
		if t.authority == "" {
			return target{}, badTarget("an empty host")
		}
		if !strings.HasPrefix(rest, "/") { // RFC 9110 4.2.3: an empty path is "/"
			rest = "/" + rest
		}
	}
	t.form = rest
	t.path, t.query, _ = strings.Cut(rest, "?")
	return t, nil
}

func badTarget(what string) *fault {
	return refusal(400, refuseTarget.code, "The request target has "+what+".", refuseTarget.hint)
}

// canonicalHost returns the form of a Host value that keys and routes use: lower
// case, without a default port and without the dot of an absolute name. ok is
// false for anything but a name or an address with an optional port. Userinfo,
// encoded bytes, lists and non-ASCII names are not.
func canonicalHost(host, scheme string) (canonical string, ok bool) {
	if len(host) > 255 {
		return "", false
	}
	name, port, ok := cutPort(host)
	if !ok {
		return "", false
	}
	if strings.HasPrefix(name, "[") {
		ip, err := netip.ParseAddr(name[1 : len(name)-1])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", false
		}
		name = "[" + ip.String() + "]"
	} else {
		name = strings.TrimSuffix(strings.ToLower(name), ".")
		if !validName(name) {
			return "", false
		}
	}
	if port == "" || port == defaultPort(scheme) {
		return name, true
	}
	return name + ":" + port, true
}

// cutPort splits host:port; an IPv6 name keeps its brackets.
func cutPort(host string) (name, port string, ok bool) {
	end := strings.IndexByte(host, ':')
	if strings.HasPrefix(host, "[") {
		closing := strings.IndexByte(host, ']')
		if closing < 0 {
			return "", "", false
		}
		end = closing + 1
		if end == len(host) {
			end = -1
		}
	}
	if end < 0 {
		return host, "", true
	}
	name, port = host[:end], host[end:]
	if port[0] != ':' {
		return "", "", false
	}
	port = port[1:]
	if port != "" && !validPort(port) {
		return "", "", false
	}
	return name, port, true
}

func validPort(port string) bool {
	if len(port) > 5 || port[0] == '0' {
		return false
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
		n = n*10 + int(port[i]-'0')
	}
	return n <= 65535
}

func validName(name string) bool {
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			label++
		default:
			return false
		}
	}
	return label > 0
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}
