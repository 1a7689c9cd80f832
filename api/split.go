package api

import (
	"net/http"

	"weir/policy"
)

// stickyAge is how long a client stays with its side of a split test, in seconds.
const stickyAge = 30 * 24 * 60 * 60

// choose sets the origin of req and returns the destination that is part of its
// key: the one in the client's cookie, or one by weight that the client then gets
// a cookie for. The cookie is put on this client's response at the very end, so
// no cache ever sees it.
func (x *exchange) choose(req *policy.Request, header http.Header) string {
	split := req.Plan.Split
	if split == nil {
		req.Origin = req.Plan.Origin
		return ""
	}
	if x.peer != nil && x.peer.Destination != "" { // the edge has chosen, and has set the cookie
		for i := range split.Destinations {
			if d := &split.Destinations[i]; d.Name == x.peer.Destination {
				req.Origin = d.Origin
				return d.Name
			}
		}
	}
	for _, c := range cookies(header, split.Cookie) {
		for i := range split.Destinations {
			// A destination that was taken out, by its weight, lets its clients go.
			if d := &split.Destinations[i]; d.Name == c && d.Weight > 0 {
				req.Origin = d.Origin
				return d.Name
			}
		}
	}
	d := x.byWeight(split.Destinations)
	if d == nil {
		req.Origin = req.Plan.Origin
		return ""
	}
	req.Origin = d.Origin
	x.sticky = &http.Cookie{
		Name: split.Cookie, Value: d.Name, Path: "/", MaxAge: stickyAge,
		Secure: req.Scheme == "https", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	return d.Name
}

func (x *exchange) byWeight(destinations []policy.Destination) *policy.Destination {
	total := 0
	for _, d := range destinations {
		total += max(d.Weight, 0)
	}
	if total == 0 {
		return nil
	}
	n := x.door.opts.Pick(total)
	for i := range destinations {
		if n -= max(destinations[i].Weight, 0); n < 0 {
			return &destinations[i]
		}
	}
	return nil
}

// cookies returns the values that a client sent for a cookie.
func cookies(h http.Header, name string) []string {
	var values []string
	for _, c := range (&http.Request{Header: h}).CookiesNamed(name) {
		values = append(values, c.Value)
	}
	return values
}
