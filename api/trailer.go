package api

import (
	"net/http"
	"strings"

	"weir/policy"
	"weir/rfc9111"
)

// trailers notes what has to be known about trailer fields in both directions. A
// client gets some only if it says TE: trailers, RFC 9110 6.5.1: any other may
// drop them, or take them for something else.
func (x *exchange) trailers(req *policy.Request) {
	if x.peer == nil && !x.plain {
		req.TakesTrailers = x.upgrade == "" && x.r.ProtoAtLeast(1, 1) && rfc9111.AcceptsTrailers(x.r.Header)
	}
	if req.Stream == nil {
		return
	}
	if names := rfc9111.TrailerNames(received(x.r.Trailer)); len(names) > 0 {
		req.Trailer = &rfc9111.Trailer{
			Names:  names,
			Fields: func() http.Header { return rfc9111.TrailerFields(x.r.Trailer) },
		}
	}
}

// trails says whether a trailer section may follow what is sent of ans: the
// whole body, chunked.
func (out *outcome) trails(req *policy.Request, ans *rfc9111.Answer) bool {
	return req.TakesTrailers && ans.Trailer != nil && out.hasBody && out.length < 0 && len(out.ranges) == 0
}

// announce names the trailer fields that will come, RFC 9110 6.6.2.
func announce(h http.Header, t *rfc9111.Trailer) {
	if len(t.Names) > 0 {
		h.Set("Trailer", strings.Join(t.Names, ", "))
	}
}

// trail sends the trailer section after the body.
func (x *exchange) trail(t *rfc9111.Trailer) {
	h := x.w.Header()
	clear(h) // or net/http takes fields of the head for those of the same name that were announced
	for name, values := range t.Fields() {
		h[http.TrailerPrefix+name] = values
	}
}
