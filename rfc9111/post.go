package rfc9111

import "net/url"

// StorableForGet decides whether the response to a POST may be stored to answer later
// GETs of its target, an absolute URI: RFC 9110 9.3.3. That takes a 200, a lifetime that
// the origin states, and a Content-Location equal to the target, which says that
// the content is what GET would give. The lifetime of the route is meant for
// what it caches, not for this.
func StorableForGet(req Request, target string, resp *Response, rules *Rules) Storability {
	if req.Method != "POST" || resp.Status != 200 || !locates(resp.Header["Content-Location"], target) {
		return refuse(StatusMethod, "The response to the method does not represent its target, RFC 9110 9.3.3.")
	}
	origins := *rules.orZero()
	origins.Lifetime, origins.StatusLifetimes, origins.Heuristic = nil, nil, false
	if requestDirectives(req.Header, &origins).noStore {
		return refuse(StatusPass, requestNoStore.says)
	}
	s := storableResponse(req, resp, &origins, nil)
	if s.Store && s.Terms.Lifetime <= s.Terms.InitialAge {
		return refuse(StatusNoMaxAge, "The origin gives no positive lifetime, RFC 9110 9.3.3.")
	}
	return s
}

// locates says whether a Content-Location names target.
func locates(lines []string, target string) bool {
	if len(lines) != 1 {
		return false
	}
	base, err := url.Parse(target)
	if err != nil {
		return false
	}
	own := sameOrigin(base, target)
	return own != "" && sameOrigin(base, trimOWS(lines[0])) == own
}
