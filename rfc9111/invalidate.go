package rfc9111

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Invalidates returns the request targets (absolute URIs) that a response to an unsafe method invalidates, RFC 9111 4.4:
// the request's own, and Location and Content-Location of the same origin. target is the request's absolute URI. A method that the route caches is safe by the
// route's word: its answers invalidate nothing, and this is not asked.
func Invalidates(method, target string, status int, h http.Header) []string {
	if safe(method) || status < 200 || status >= 400 {
		return nil
	}
	out := []string{target}
	base, err := url.Parse(target)
	if err != nil {
		return out
	}
	for _, name := range []string{"Location", "Content-Location"} {
		for _, line := range h[name] {
			if other := sameOrigin(base, trimOWS(line)); other != "" && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	}
	return out
}

// safe says whether a method is known not to change anything, RFC 9110 9.2.1 and, for
// QUERY, RFC 10008. CONNECT has no URI that could be stored.
func safe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "CONNECT":
		return true
	}
	return false
}

// sameOrigin resolves ref against base, and returns "" when that is no URI of the same
// origin: nobody may invalidate for others, RFC 9111 4.4.
func sameOrigin(base *url.URL, ref string) string {
	u, err := base.Parse(ref)
	if err != nil || ref == "" || u.Opaque != "" {
		return ""
	}
	if !strings.EqualFold(u.Scheme, base.Scheme) || authority(u) != authority(base) {
		return ""
	}
	u.Scheme, u.Host = base.Scheme, base.Host
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	return u.String()
}

// authority is the host and port of u in one form.
func authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + port
}
