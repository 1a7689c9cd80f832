package keying

import (
	"net/netip"
	"strings"
)

// CanonicalHost returns the form of a Host value that keys and routes use: lower
// case, without a default port and without the dot of an absolute name. ok is
// false for anything but a name or an address with an optional port. Userinfo,
// encoded bytes, lists and non-ASCII names are not.
func CanonicalHost(host, scheme string) (canonical string, ok bool) {
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
	if len(host) == len(name)+len(":")+len(port) && host[:len(name)] == name {
		return host, true
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
