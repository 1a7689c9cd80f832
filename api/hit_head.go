package api

import (
	"bytes"
	"unsafe"
)

// glance is what a head says that matters to a request which may be answered from the
// connection itself. The slices are views of the buffer that was parsed.
type glance struct {
	odd      bool   // it has a field that only the door can deal with
	encoding []byte // Accept-Encoding, nil without one
	ifNone   []byte // If-None-Match, nil without one
	ifSince  []byte // If-Modified-Since, nil without one
}

// field notes a field line. Everything is odd that the door, a tier or net/http reads from a request which
// has no body, apart from what routes and keys are made of: those are known to need it.
func (g *glance) field(name, value []byte) {
	switch len(name) {
	case len("TE"):
		g.strange(name, "te")
	case len("Via"):
		g.odd = g.odd || equalFold(name, "via") && bytes.Contains(value, []byte(via)) // it may go round
	case len("Range"):
		g.strange(name, "range")
	case len("Pragma"): // and Expect
		g.strange(name, "pragma")
		g.strange(name, "expect")
	case len("Upgrade"):
		g.strange(name, "upgrade")
		g.strange(name, "trailer")
	case len("If-Range"):
		g.strange(name, "if-range")
		g.strange(name, "if-match")
	case len("Connection"):
		g.odd = g.odd || equalFold(name, "connection") && !equalFold(value, "keep-alive")
	case len("Cache-Control"):
		g.strange(name, "cache-control")
		g.strange(name, "authorization")
		g.strange(name, "x-cache-debug")
		g.once(name, "if-none-match", value, &g.ifNone)
	case len("Content-Length"):
		g.strange(name, "content-length")
	case len("Accept-Encoding"):
		g.strange(name, "cache-min-epoch")
		g.once(name, "accept-encoding", value, &g.encoding)
	case len("If-Modified-Since"):
		g.once(name, "if-modified-since", value, &g.ifSince)
		g.strange(name, "transfer-encoding")
	case len("If-Unmodified-Since"):
		g.strange(name, "if-unmodified-since")
	}
}

func (g *glance) strange(name []byte, lower string) {
	g.odd = g.odd || equalFold(name, lower)
}

// once notes a field that may come once.
func (g *glance) once(name []byte, lower string, value []byte, to *[]byte) {
	if !equalFold(name, lower) {
		return
	}
	g.odd = g.odd || *to != nil || len(value) == 0
	*to = value
}

// glanced says whether h is one of those that a hit may answer.
func (h *head) glanced() bool {
	read := string(h.method) == "GET" || string(h.method) == "HEAD"
	return read && !h.glance.odd && !h.http10 && h.skip == 0 && h.target[0] == '/'
}

// view lets functions of strings read bytes in place. Whoever is given one keeps nothing of it
// beyond the call: the bytes change with the next request.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
