package api

import (
	"maps"
	"net/http"
	"slices"
)

// interim sends a 1xx response, RFC 9110 15.2. It is called while a tier is asked, in
// this exchange's own goroutine.
func (x *exchange) interim(status int, fields http.Header) {
	if x.body.expected() {
		// Whoever reads the body next sends 100, from another goroutine. An interim
		// response may get lost; two written at once would be garbage.
		return
	}
	h := x.w.Header()
	before := maps.Clone(h)
	clear(h)
	for name, values := range fields {
		if !isHopByHop(name) {
			h[name] = slices.Clip(values)
		}
	}
	h.Add("Via", via)
	x.extendWrite()
	x.w.WriteHeader(status)
	clear(h) // RFC 8297 2: they are no part of the response that follows
	maps.Copy(h, before)
}
