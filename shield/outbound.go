package shield

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"weir/policy"
	"weir/rfc9111"
)

// An outgoing is a request to an origin before an upstream is chosen for it.
type outgoing struct {
	method string
	target string // byte for byte what the origin gets to see
	host   string
	header http.Header

	body   []byte // of a keyed request
	stream *upload

	interim func(interim) // told of 1xx responses, nil when nobody wants them
	control *controlWatch // of the response, nil when its connection is not ours
	leash   *leash        // of a flight; nil: the context says when the request ends

	upgrade     string // protocol that the client asks for
	conditional bool   // 304 is an answer
	ranged      bool   // 206 is an answer
}

// forFlight makes the request of a flight: conditional when stored has a
// validator, and without anything that the key does not name and the response
// might reflect. accepted is its Accept-Encoding.
func forFlight(req *policy.Request, stored *rfc9111.Response, accepted string) *outgoing {
	if !rfc9111.MayBeConditional(req.Method) {
		stored = nil // or an origin that has nothing newer would answer 412
	}
	h := rfc9111.EndToEndWith(req.Header, ownRoom)
	rfc9111.MakeConditional(h, stored)
	out := &outgoing{method: req.Method, body: req.Body, header: h}
	out.conditional = h["If-None-Match"] != nil || h["If-Modified-Since"] != nil
	if req.Whole != nil {
		h.Set("Range", rangeOf(req.Slice))
		out.ranged = true
	}
	out.address(req)
	out.fitKey(req, accepted)
	return out
}

// forRest makes the request for what is missing of a flight's body: the flight's
// own, with the range fields of header.
func forRest(req *policy.Request, header http.Header) *outgoing {
	out := forFlight(req, nil, req.Keyed.AcceptEncoding)
	out.setRange(header)
	return out
}

// setRange has only the range of header asked for, if it is not nil.
func (out *outgoing) setRange(header http.Header) {
	for _, name := range []string{"Range", "If-Range"} {
		if header[name] != nil {
			out.header[name], out.ranged = header[name], true
		}
	}
}

// forPass makes the request of a pass: the client's own, conditional and range
// fields included, with its address. accepted is its Accept-Encoding, unless the caches
// are bypassed.
func forPass(req *policy.Request, accepted string) *outgoing {
	h := rfc9111.EndToEnd(req.Header)
	out := &outgoing{method: req.Method, body: req.Body, header: h}
	if req.Stream != nil && req.Length != 0 {
		out.stream = &upload{src: req.Stream, length: req.Length, trailer: announced(req)}
		if out.stream.trailer != nil {
			out.stream.fields = req.Trailer.Fields
		}
	}
	out.conditional = slices.ContainsFunc(conditionalFields, func(f string) bool { return h.Get(f) != "" })
	out.ranged = h.Get("Range") != ""
	via := req.Header.Get("Via")
	out.address(req)
	if req.TakesTrailers { // RFC 9110 10.1.4
		h.Set("Te", "trailers")
		h.Set("Connection", "TE")
	}
	if via != "" {
		h.Set("Via", via+", "+ownVia)
	}
	if req.Bypass == "" {
		out.fitKey(req, accepted)
		return out
	}
	h.Set("X-Forwarded-For", req.Client)
	if up := req.Header.Get("Upgrade"); up != "" {
		out.upgrade = up
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", up)
	}
	return out
}

var conditionalFields = []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"}

const ownVia = "1.1 weir"

// ownRoom is for the fields that most requests to origins have and clients did not send.
const ownRoom = 4

// ownFields are no client's to set.
var ownFields = []string{"Forwarded", "Expect", "Surrogate-Capability", "X-Original-Qs", "X-Device"}

// address sets what every request to an origin has, over anything of that name
// that the client sent.
func (out *outgoing) address(req *policy.Request) {
	h := out.header
	for _, name := range req.Plan.RemoveRequestHeaders {
		h.Del(name)
	}
	for name := range h {
		if (strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Weir-")) && !keyed(req, name) {
			delete(h, name)
		}
	}
	for _, name := range ownFields {
		delete(h, name)
	}
	if h.Get("User-Agent") == "" {
		h["User-Agent"] = []string{""} // keeps net/http from sending its own
	}
	told := []string{req.Scheme, req.Host, ownVia}
	h["X-Forwarded-Proto"], h["X-Forwarded-Host"], h["Via"] = told[:1:1], told[1:2:2], told[2:]
	if req.Plan.Rules.SurrogateControl {
		h.Set("Surrogate-Capability", rfc9111.SurrogateCapability)
	}
	out.target, out.host = req.Target, req.Host
}

// fitKey makes the header agree with the key: what names a class in the key is
// set from it, and what could steer the response past the key is removed.
func (out *outgoing) fitKey(req *policy.Request, accepted string) {
	h := out.header
	for name := range h {
		if overrides(name) && !keyed(req, name) {
			delete(h, name)
		}
	}
	h.Del("Accept-Encoding")
	if accepted != "" {
		h.Set("Accept-Encoding", accepted)
	}
	if req.Keyed.QueryChanged {
		h.Set("X-Original-Qs", req.Keyed.OriginalQuery)
	}
	if req.Keyed.Device != "" {
		h.Set("X-Device", req.Keyed.Device)
	}
}

func keyed(req *policy.Request, name string) bool {
	return req.Plan.Key != nil && slices.Contains(req.Plan.Key.Headers, name)
}

// overrideFields are read by frameworks, proxies and middlewares in place of the
// request line, the Host or the connection's address.
var overrideFields = map[string]bool{
	"Base-Url":                 true,
	"Cf-Connecting-Ip":         true,
	"Client-Ip":                true,
	"Fastly-Client-Ip":         true,
	"Fastly-Host":              true,
	"Forwarded-For":            true,
	"Forwarded-Host":           true,
	"Front-End-Https":          true,
	"Proxy":                    true,
	"Proxy-Host":               true,
	"Request-Uri":              true,
	"True-Client-Ip":           true,
	"X-Accel-Mapping":          true,
	"X-Arr-Ssl":                true,
	"X-Backend-Host":           true,
	"X-Client-Ip":              true,
	"X-Cluster-Client-Ip":      true,
	"X-Forward-For":            true,
	"X-Forwarder-For":          true,
	"X-Forwarded":              true,
	"X-Host":                   true,
	"X-Host-Override":          true,
	"X-Http-Destinationurl":    true,
	"X-Http-Host":              true,
	"X-Http-Host-Override":     true,
	"X-Http-Method":            true,
	"X-Http-Method-Override":   true,
	"X-Http-Path-Override":     true,
	"X-Method":                 true,
	"X-Method-Override":        true,
	"X-Now-Route-Matches":      true,
	"X-Original-Forwarded-For": true,
	"X-Original-Host":          true,
	"X-Original-Path":          true,
	"X-Original-Remote-Addr":   true,
	"X-Original-Uri":           true,
	"X-Original-Url":           true,
	"X-Originating-Ip":         true,
	"X-Override-Url":           true,
	"X-Proxy-Url":              true,
	"X-Proxyuser-Ip":           true,
	"X-Real-Ip":                true,
	"X-Remote-Addr":            true,
	"X-Remote-Ip":              true,
	"X-Request-Uri":            true,
	"X-Rewrite-Url":            true,
	"X-Scheme":                 true,
	"X-Sendfile-Type":          true,
	"X-Server-Name":            true,
	"X-Url-Scheme":             true,
}

func overrides(name string) bool {
	return overrideFields[name] || strings.Contains(name, "_") ||
		strings.HasPrefix(name, "X-Middleware-") || strings.HasPrefix(name, "X-Envoy-")
}

// locate puts target on an upstream so that net/http writes its very bytes, or
// says that it cannot.
func locate(base *url.URL, target string) (*url.URL, error) {
	if err := forwardable(target); err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: base.Scheme, Host: base.Host}
	if strings.HasPrefix(target, "//") {
		// An opaque part that begins so would be taken for an authority.
		path, query, has := strings.Cut(target, "?")
		u.RawPath, u.RawQuery, u.ForceQuery = path, query, has
		u.Path, _ = url.PathUnescape(path)
	} else {
		u.Opaque = target
	}
	if u.RequestURI() != target {
		return nil, fmt.Errorf("%w: %.200q", ErrTarget, target)
	}
	return u, nil
}

// forwardable refuses a target that would end the request line.
func forwardable(target string) error {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f {
			return fmt.Errorf("%w: %.200q", ErrTarget, target)
		}
	}
	if target == "" {
		return fmt.Errorf("%w: it is empty", ErrTarget)
	}
	return nil
}
