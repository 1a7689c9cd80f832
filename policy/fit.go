package policy

import (
	"slices"

	"weir/rfc9111"
)

// Fit says how a response can be sent to one client.
type Fit int

const (
	AsItIs  Fit = iota // in the coding that it has
	Decoded            // without its one coding, which the client does not accept
	Unfit              // not at all: the client needs an answer that was made for it
)

// Fit says how resp, which answers r by its key, can be sent to r's client.
//
// An origin that uses a coding which it was not offered, and does not say that its
// response depends on Accept-Encoding, would send it to this client as well: such a
// coding is for everybody, and whoever asked alone would get the same.
func (r *Request) Fit(resp *rfc9111.Response) Fit {
	if !r.Plan.Compress || resp.Header["Content-Encoding"] == nil || r.Whole != nil { // a slice is no answer by itself
		return AsItIs
	}
	codings := rfc9111.ContentCodings(resp.Header)
	vary := resp.Header["Vary"]
	fixed := !rfc9111.ListsToken(vary, "accept-encoding") && !rfc9111.ListsToken(vary, "*")
	refused := func(coding string) bool {
		return !r.Keyed.Accepts.Has(coding) && (Decodable(coding) || !fixed)
	}
	switch {
	case !slices.ContainsFunc(codings, refused):
		return AsItIs
	case len(codings) == 1 && Decodable(codings[0]) && rfc9111.Recodable(resp) && !rfc9111.NoTransform(r.Header):
		return Decoded
	default:
		return Unfit
	}
}

// Decodable says whether a content coding, in lower case, is one that origins are asked for
// and that can be undone here.
func Decodable(coding string) bool { return coding == "br" || coding == "gzip" || coding == "zstd" }
