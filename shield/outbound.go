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
	fields fields

	body   []byte // of a keyed request
	stream *upload

	filter  interimFilter
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
	out := &outgoing{method: req.Method, body: req.Body}
	out.fields = goingOn(req, func(name string) bool { return asksForLess(name) || steers(req, name) })
	if stored != nil && rfc9111.MayBeConditional(req.Method) { // or an origin that has nothing newer would answer 412
		out.validate(stored)
	}
	if req.Whole != nil {
		out.fields.set("Range", rangeOf(req.Slice))
		out.ranged = true
	}
	out.address(req)
	out.fitKey(req, accepted)
	return out
}

// validate makes out a request for what is newer than stored.
func (out *outgoing) validate(stored *rfc9111.Response) {
	h := http.Header{}
	rfc9111.MakeConditional(h, stored)
	for name, values := range h {
		out.fields.set(name, values...)
		out.conditional = true
	}
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
		if values := header[name]; values != nil {
			out.fields.set(name, values...)
			out.ranged = true
		}
	}
}

// forPass makes the request of a pass: the client's own, conditional and range
// fields included, with its address. accepted is its Accept-Encoding, unless the caches
// are bypassed.
func forPass(req *policy.Request, accepted string) *outgoing {
	out := &outgoing{method: req.Method, body: req.Body}
	out.fields = goingOn(req, func(name string) bool { return req.Bypass == "" && steers(req, name) })
	if req.Stream != nil && req.Length != 0 {
		out.stream = &upload{src: req.Stream, length: req.Length, trailer: announced(req)}
		if out.stream.trailer != nil {
			out.stream.fields = req.Trailer.Fields
		}
	}
	out.conditional = slices.ContainsFunc(conditionalFields, func(f string) bool { return out.fields.get(f) != "" })
	out.ranged = out.fields.get("Range") != ""
	via := req.Header.Get("Via")
	out.address(req)
	if req.TakesTrailers { // RFC 9110 10.1.4
		out.fields.set("Te", "trailers")
		out.fields.set("Connection", "TE")
	}
	if via != "" {
		out.fields.set("Via", via+", "+ownVia)
	}
	if req.Bypass == "" {
		out.fitKey(req, accepted)
		return out
	}
	out.fields.set("X-Forwarded-For", req.Client)
	if up := req.Header.Get("Upgrade"); up != "" {
		out.upgrade = up
		out.fields.set("Connection", "Upgrade")
		out.fields.set("Upgrade", up)
	}
	return out
}

var conditionalFields = []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"}

const ownVia = "1.1 weir"

// ownRoom is for the fields that most requests to origins have and clients did not send.
const ownRoom = 6

// goingOn returns the fields of a client's request that go on, but those that drops names.
func goingOn(req *policy.Request, drops func(name string) bool) fields {
	h := req.Header
	if !rfc9111.IsEndToEnd(h) {
		h = rfc9111.EndToEnd(h)
	}
	on := make(fields, 0, len(h)+ownRoom)
	for name, values := range h {
		if isOwn(req, name) || drops(name) {
			continue
		}
		for _, v := range values {
			on = append(on, field{name, v})
		}
	}
	return on
}

// isOwn says whether a field is no client's to set.
func isOwn(req *policy.Request, name string) bool {
	switch name {
	case "Forwarded", "Expect", "Surrogate-Capability", "X-Original-Qs", "X-Device", "X-Forwarded-Proto", "X-Forwarded-Host", "Via":
		return true
	}
	return (strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Weir-")) && !keyed(req, name)
}

// asksForLess says whether a field asks for a part, or for something newer: what is fetched for all is whole.
func asksForLess(name string) bool {
	return name == "Range" || slices.Contains(conditionalFields, name)
}

// address sets what every request to an origin has.
func (out *outgoing) address(req *policy.Request) {
	for _, name := range req.Plan.RemoveRequestHeaders {
		out.fields.remove(name)
	}
	out.fields = append(out.fields, field{"X-Forwarded-Proto", req.Scheme}, field{"X-Forwarded-Host", req.Host}, field{"Via", ownVia})
	if req.Plan.Rules.SurrogateControl {
		out.fields.set("Surrogate-Capability", rfc9111.SurrogateCapability)
	}
	out.target, out.host = req.Target, req.Host
}

// fitKey makes the header agree with the key: what names a class in the key is set from it.
func (out *outgoing) fitKey(req *policy.Request, accepted string) {
	if accepted != "" {
		out.fields.set("Accept-Encoding", accepted)
	}
	if req.Keyed.QueryChanged {
		out.fields.set("X-Original-Qs", req.Keyed.OriginalQuery)
	}
	if req.Keyed.Device != "" {
		out.fields.set("X-Device", req.Keyed.Device)
	}
}

// steers says whether a field could steer the response past the key.
func steers(req *policy.Request, name string) bool {
	return name == "Accept-Encoding" || overrides(name) && !keyed(req, name)
}

func keyed(req *policy.Request, name string) bool {
	return req.Plan.Key != nil && slices.Contains(req.Plan.Key.Headers, name)
}

// overrides says whether frameworks, proxies and middlewares read a field in place of the
// request line, the Host or the connection's address.
func overrides(name string) bool {
	switch name {
	case "Base-Url", "Cf-Connecting-Ip", "Client-Ip", "Fastly-Client-Ip", "Fastly-Host", "Forwarded-For",
		"Forwarded-Host", "Front-End-Https", "Proxy", "Proxy-Host", "Request-Uri", "True-Client-Ip",
		"X-Accel-Mapping", "X-Arr-Ssl", "X-Backend-Host", "X-Client-Ip", "X-Cluster-Client-Ip",
		"X-Forward-For", "X-Forwarder-For", "X-Forwarded", "X-Host", "X-Host-Override",
		"X-Http-Destinationurl", "X-Http-Host", "X-Http-Host-Override", "X-Http-Method",
		"X-Http-Method-Override", "X-Http-Path-Override", "X-Method", "X-Method-Override",
		"X-Now-Route-Matches", "X-Original-Forwarded-For", "X-Original-Host", "X-Original-Path",
		"X-Original-Remote-Addr", "X-Original-Uri", "X-Original-Url", "X-Originating-Ip", "X-Override-Url",
		"X-Proxy-Url", "X-Proxyuser-Ip", "X-Real-Ip", "X-Remote-Addr", "X-Remote-Ip", "X-Request-Uri",
		"X-Rewrite-Url", "X-Scheme", "X-Sendfile-Type", "X-Server-Name", "X-Url-Scheme":
		return true
	}
	return strings.Contains(name, "_") || strings.HasPrefix(name, "X-Middleware-") || strings.HasPrefix(name, "X-Envoy-")
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
