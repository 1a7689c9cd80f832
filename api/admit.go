package api

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// Limits on a request head. The server bounds its bytes too, with some slop; here
// they are exact.
const (
	MaxHeaderBytes = 16 << 10
	MaxHeaders     = 100
)

// maxHops is how many nodes a request may have come through, RFC 9110 7.6.3. An
// origin whose address leads back here would have them go round until their heads
// are too long, thousands of times each.
const maxHops = 8

var refuseLoop = refusal(508, "loop", "The request has been here too often.", "An origin in the policy leads back to this node.")

// admit checks the request and turns it into what tiers are asked with. It
// returns nil and no error for OPTIONS *, which is not the origin's.
func (x *exchange) admit() (*policy.Request, error) {
	r := x.r
	if !x.plain {
		if bad := checkHead(r); bad != nil {
			return nil, bad
		}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	host, ok := keying.CanonicalHost(r.Host, scheme)
	if !ok {
		return nil, refuseHost
	}
	x.record.Host = host
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		return nil, nil
	}
	var t target
	var bad *fault
	if x.plain {
		t = originForm(r.RequestURI)
	} else if t, bad = parseTarget(r.RequestURI); bad != nil {
		return nil, bad
	}
	if t.authority != "" {
		// RFC 9112 3.2.2 lets the target win over Host. Two names for one request
		// is how one host's cache is filled with another's pages, so both must agree.
		if named, ok := keying.CanonicalHost(t.authority, scheme); !ok || named != host {
			return nil, refuseAuthority
		}
	}
	req := &x.req
	req.Method, req.Scheme, req.Host, req.Target = r.Method, scheme, host, t.form
	req.Client, req.At = x.record.Client, x.record.Began
	if !x.plain {
		if req.MinEpoch, bad = minEpoch(r.Header); bad != nil {
			return nil, bad
		}
		x.upgrade = upgradeOf(r)
	}
	if req.Received = r.Header; !x.usual {
		req.Received = received(r.Header)
	}
	return req, x.place(req, t)
}

// place finds the route of req by its target as the client sent it, and with it origin
// and key.
func (x *exchange) place(req *policy.Request, t target) error {
	header := req.Received
	table, match := x.door.table(), policy.MatchRequest{
		Method: req.Method, Host: req.Host, Path: t.path, RawQuery: t.query, Header: header,
	}
	req.Plan, req.Params = table.Match(&match)
	x.probe.matched(table, match)
	if req.Bypass == "" && table.Ambiguous(&match, req.Plan) {
		req.Bypass = rfc9111.StatusPass
	}
	x.plan, x.record.Route, x.record.Deployment = req.Plan, req.Plan.Route, table.Deployment
	destination := x.choose(req, header)
	x.probe.admits(req, destination)
	if err := x.key(req, header, destination); err != nil {
		return err
	}
	req.Settling = req.Settling || req.Plan.Isolated() && x.door.opts.Settling(table, req.At)
	req.Header = x.forwarded(req, header)
	x.trailers(req)
	return nil
}

// checkHead refuses what net/http lets through although servers disagree on it.
func checkHead(r *http.Request) *fault {
	switch r.Method {
	case http.MethodConnect, http.MethodTrace:
		// A tunnel would go past the cache; TRACE shows a page's script its cookies.
		return refuseMethod
	}
	lines, size := 0, len(r.Method)+len(r.RequestURI)+len(r.Host)
	for name, values := range r.Header {
		lines += len(values)
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if lines > MaxHeaders {
		return refuseManyFields
	}
	if size > MaxHeaderBytes {
		return refuseLongHead
	}
	if hops := r.Header["Via"]; len(hops) > 0 && strings.Count(strings.Join(hops, ","), via) >= maxHops {
		return refuseLoop
	}
	if expect := r.Header["Expect"]; len(expect) > 0 && (len(expect) > 1 || !strings.EqualFold(expect[0], "100-continue")) {
		return refuseExpect
	}
	// net/http removes a Content-Length beside Transfer-Encoding; a server in
	// front of this handler that does not is not to be trusted with the body.
	if len(r.TransferEncoding) > 0 && len(r.Header["Content-Length"]) > 0 || len(r.Header["Transfer-Encoding"]) > 0 {
		return refuseFraming
	}
	return nil
}

// received returns the fields of a client that exist for us. Names with "_" do
// not: CGI and WSGI origins read X_Forwarded_Host as X-Forwarded-Host. Our own
// fields towards origins and between nodes are not a client's to set either.
func received(h http.Header) http.Header {
	drop := func(name string) bool {
		return strings.Contains(name, "_") || name == "X-Original-Qs" || name == "X-Device" ||
			strings.HasPrefix(name, "X-Weir-") || strings.HasPrefix(name, "Weir-")
	}
	for name := range h {
		if drop(name) {
			kept := maps.Clone(h)
			maps.DeleteFunc(kept, func(name string, _ []string) bool { return drop(name) })
			return kept
		}
	}
	return h
}

// key builds the key of req, or says why the request goes past the caches. Key
// inputs are what the client sent, before anything is stripped.
func (x *exchange) key(req *policy.Request, header http.Header, destination string) error {
	bypass, err := x.bypass(req, header)
	if err != nil {
		return err
	}
	if bypass != "" {
		req.Bypass = bypass
		return nil
	}
	asked := keying.Request{
		Method: req.Method, Scheme: req.Scheme, Host: req.Host, Target: req.Target,
		Header: header, Body: req.Body, Destination: destination,
	}
	if x.search = x.searchOf(req, asked); x.search != nil {
		asked.Search = x.search.rule.search
	}
	if x.accepts != nil {
		req.Keyed, err = req.Plan.Key.BuildAccepting(&asked, *x.accepts)
	} else {
		req.Keyed, err = req.Plan.Key.Build(&asked)
	}
	if err != nil {
		f := refuse(400, "bad-request", "The request cannot be mapped to a cache key.")
		f.cause = err
		return f
	}
	if x.search != nil && x.search.rule.search != nil {
		whole, err := req.Plan.Key.Build(&x.search.asked)
		if err == nil {
			req.WholeKey = whole.Key.Digest()
		}
	}
	req.Target = req.Keyed.Target
	x.record.Key, x.record.Keyed = req.Keyed.Key.Digest(), true
	return nil
}

// bypass says why caches must not be used for req, and gives req its body.
func (x *exchange) bypass(req *policy.Request, header http.Header) (rfc9111.CachingStatus, error) {
	reason := req.Bypass
	read := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch p := x.probe; {
	case p.holds(reason != "", &pathAmbiguous):
	case p.holds(x.upgrade != "", &wantsUpgrade):
		reason = rfc9111.StatusPass
	case p.holds(!req.Plan.Edge, &routeDisabled), p.holds(x.door.opts.Disabled(), &nodeDisabled):
		reason = rfc9111.StatusDisabled
	case p.holds(x.debug, &wantsDebug):
		reason = rfc9111.StatusDebug
	case p.holds(!read && !slices.Contains(req.Plan.Rules.Methods, req.Method), &methodUnnamed):
		reason = rfc9111.StatusMethod
	case p.holds(pinnedElsewhere(req.Plan, x.region()), &pinnedRegion):
		reason, x.detail = rfc9111.StatusPass, "region"
	case p.holds(read && x.body != nil, &readWithBody):
		reason = rfc9111.StatusPass // its content is not in the key
	}
	if x.body == nil {
		if reason == "" && req.Plan.GraphQL && x.probe.holds(!graphqlQuery(req, header, nil), &noGraphQLQuery) {
			reason = rfc9111.StatusPass
		}
		return reason, nil
	}
	req.Length = x.r.ContentLength
	req.Stream = x.body
	if reason == "" {
		whole, err := x.keyedBody()
		if err != nil {
			return "", err
		}
		switch {
		case x.probe.holds(len(whole) > keying.MaxBody, &contentTooLong):
			reason = rfc9111.StatusBodyTooBig
		case req.Plan.GraphQL && x.probe.holds(!graphqlQuery(req, header, whole), &noGraphQLQuery):
			reason = rfc9111.StatusPass
		default:
			req.Body, req.Stream, req.Length = whole, nil, 0
			return "", nil
		}
		req.Stream = io.MultiReader(bytes.NewReader(whole), x.body)
	}
	// The origin may answer while the client still sends. Without this, net/http
	// would read what is left of the body away from under the tier.
	_ = x.rc.EnableFullDuplex() // HTTP/2 always is
	return reason, nil
}

// keyedBody reads a body that is to be part of a key: all of it, or one byte more
// than a key can hold.
func (x *exchange) keyedBody() ([]byte, error) {
	if x.r.ContentLength > keying.MaxBody {
		return x.readBody(keying.MaxBody + 1)
	}
	size := keying.MaxBody + 1
	if x.r.ContentLength > 0 {
		size = int(x.r.ContentLength) + 1 // one more, to see its end
	}
	return x.readBody(size)
}

func (x *exchange) readBody(limit int) ([]byte, error) {
	buf := make([]byte, limit)
	n, _ := io.ReadFull(x.body, buf) // how the body ended is x.body's to know
	if fault := x.body.fault(); fault != nil {
		return nil, fault
	}
	return buf[:n], nil
}

// forwarded returns the fields that go on to the tiers: what the client sent end
// to end, less what the route removes. A field that is in the key goes on even if
// Connection names it: the key says that it was there.
func (x *exchange) forwarded(req *policy.Request, header http.Header) http.Header {
	if x.usual && len(req.Plan.RemoveRequestHeaders) == 0 && x.search == nil && !req.Plan.Table.LooksAt("Connection") {
		delete(header, "Connection") // the fields are ours alone, and route and key are found
		if req.Bypass == "" && req.Plan.Key.Recoded {
			header["Accept-Encoding"] = recoded
		}
		return header
	}
	if x.upgrade == "" && goesOn(req.Plan, header) {
		return header // nobody edits it
	}
	h := rfc9111.EndToEnd(header)
	h.Del("Expect") // met by net/http
	h.Del("X-Cache-Debug")
	h.Del(minEpochField)
	if req.Bypass == "" {
		for _, name := range req.Plan.Key.Headers {
			if values, ok := header[name]; ok {
				h[name] = values
			}
		}
		if req.Plan.Key.Device || req.Plan.Key.Browser {
			keepClient(h, header)
		}
	} else if x.upgrade != "" {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", x.upgrade)
	}
	for _, name := range req.Plan.RemoveRequestHeaders {
		h.Del(name)
	}
	if req.Bypass == "" && req.Plan.Key.Recoded { // what Vary: Accept-Encoding selects by
		h["Accept-Encoding"] = recoded
	}
	return h
}

// goesOn says whether header goes on as it is.
func goesOn(plan *policy.Plan, header http.Header) bool {
	for _, name := range [...]string{"Expect", "X-Cache-Debug", minEpochField} {
		if _, ok := header[name]; ok {
			return false
		}
	}
	return len(plan.RemoveRequestHeaders) == 0 && !plan.Key.Recoded && rfc9111.IsEndToEnd(header)
}

var recoded = []string{keying.AllCodings}

// keepClient puts back what the device and browser classes were made of.
func keepClient(h, header http.Header) {
	for name, values := range header {
		if name == "User-Agent" || strings.HasPrefix(name, "Sec-Ch-Ua") {
			h[name] = values
		}
	}
}

// WantsUpgrade says whether a request asks for another protocol, by the rule of the door.
func WantsUpgrade(r *http.Request) bool { return upgradeOf(r) != "" }

// upgradeOf returns the protocols that a request asks to switch to, RFC 9110 7.8,
// or "" when there is nothing to pass on. HTTP/2 by upgrade is not: it would be a
// connection to the origin on which nobody checks requests.
func upgradeOf(r *http.Request) string {
	if r.Method != http.MethodGet || r.ContentLength != 0 || r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return ""
	}
	if !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	protocols := strings.Join(r.Header["Upgrade"], ", ")
	for protocol := range strings.SplitSeq(protocols, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(protocol), "/")
		switch strings.ToLower(name) {
		case "h2c", "h2", "http", "tls":
			return ""
		}
	}
	return protocols
}
