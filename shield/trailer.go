package shield

import (
	"net/http"
	"slices"

	"weir/policy"
	"weir/rfc9111"
)

// trailerFor returns what of a response's trailer section goes on to req's client:
// nil when that takes none, RFC 9110 6.5.1. reserved names fields that are for another one.
func trailerFor(req *policy.Request, t *rfc9111.Trailer, reserved []string) *rfc9111.Trailer {
	if t == nil || !req.TakesTrailers {
		return nil
	}
	removed := slices.Concat(req.Plan.RemoveResponseHeaders, reserved)
	return &rfc9111.Trailer{
		Names: slices.DeleteFunc(slices.Clone(t.Names), func(name string) bool { return slices.Contains(removed, name) }),
		Fields: func() http.Header {
			h := t.Fields()
			for _, name := range removed {
				h.Del(name)
			}
			return h
		},
	}
}

// announced returns the trailer fields of req's body that its origin may get, as net/http
// wants them: without values, which upload.Read fills in. Some servers merge them into the
// header, so what could not stand there for us cannot stand here.
func announced(req *policy.Request) http.Header {
	if req.Trailer == nil || req.Length >= 0 { // there are none without chunks
		return nil
	}
	var h http.Header
	for _, name := range req.Trailer.Names {
		if isOwn(req, name) || overrides(name) || slices.Contains(req.Plan.RemoveRequestHeaders, name) {
			continue
		}
		if h == nil {
			h = http.Header{}
		}
		h[name] = nil
	}
	return h
}

// complete fills in the values of the announced fields at the end of the body.
func (u *upload) complete() {
	if u.trailer == nil {
		return
	}
	came := u.fields()
	for name := range u.trailer {
		u.trailer[name] = came[name]
	}
}
