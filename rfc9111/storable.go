package rfc9111

import "slices"

// Storability is the verdict on storing a response.
type Storability struct {
	Store     bool
	Status    CachingStatus // StatusOK, or why not
	Reason    string        // one sentence with the RFC section, for explanations
	Terms     Terms
	Selection Selection
}

func refuse(status CachingStatus, reason string) Storability {
	return Storability{Status: status, Reason: reason}
}

// What may keep a response from being stored.
var (
	otherMethod    = rule{"method", "The method is not GET or HEAD and the route does not name it, RFC 9111 3."}
	requestNoStore = rule{"request-no-store", "The request says no-store, RFC 9111 5.2.1.5."}
	answersHead    = rule{"head", "An answer to HEAD has no body to store, RFC 9110 9.3.2."}

	interimStatus   = rule{"interim", "The response is not final, RFC 9111 3."}
	partialStatus   = rule{"partial", "Partial responses are not stored, RFC 9111 3.3."}
	notModified     = rule{"not-modified", "A 304 has no content of its own, RFC 9111 4.3.4."}
	errorStatus     = rule{"status", "The status is an error and the route has no rule for it."}
	unknownStatus   = rule{"unknown-status", "The status is none of HTTP's, RFC 9110 15."}
	notUnderstood   = rule{"must-understand", "The response says must-understand and its status is not known, RFC 9111 5.2.2.3."}
	setsCookie      = rule{"set-cookie", "The response sets a cookie, RFC 9111 7.3."}
	saysPrivate     = rule{"private", "The response says private, RFC 9111 5.2.2.7."}
	authorizedAlone = rule{"authorization", "The request has Authorization and the response does not allow sharing, RFC 9111 3.5."}
	variesByAll     = rule{"vary", "Vary is *, or names too much to match by, RFC 9111 4.1."}

	noLifetime  = rule{"no-lifetime", "Neither the origin nor the route gives a positive lifetime, RFC 9111 4.2.1."}
	saysNoStore = rule{"no-store", "The response says no-store, RFC 9111 5.2.2.5."}
	blindNoUse  = rule{"no-cache", "The response says no-cache and cannot be validated, RFC 9111 5.2.2.4."}
	tooOld      = rule{"too-old", "The response was too old when it arrived, RFC 9111 4.2."}
)

// Storable decides whether a shared cache may store resp, and for how long, RFC 9111 3.
// resp.Header still has Age and Set-Cookie as received; RequestTime and ResponseTime are set.
//
// A route's lifetime replaces what the origin says about time: max-age,
// s-maxage, Expires and an unqualified no-cache. It replaces neither private nor
// no-store, which only ForcePrivate does, nor the rule for Set-Cookie, which only
// StoreSetCookie does, nor those for Authorization and Vary: *, which nothing does.
//
// A response that is never fresh is stored when the origin said so itself and it
// can be validated: with no-cache, or a lifetime that is over.
//
// What may be stored may not always be handed to those who waited for it: a
// response with Terms.NoCache is only for whoever caused it, RFC 9111 5.2.2.4.
func Storable(req Request, resp *Response, rules *Rules) Storability {
	return storable(req, resp, rules, nil)
}

func storable(req Request, resp *Response, rules *Rules, t *trace) Storability {
	rules = rules.orZero()
	if s := barredRequest(req, rules, t); s.Reason != "" {
		return s
	}
	s := storableResponse(req, resp, rules, t)
	if s.Store && t.holds(req.Method == "HEAD", &answersHead) {
		return refuse(StatusPass, answersHead.says)
	}
	return s
}

// StorableRequest says whether the best of responses to req may be stored, one that a shared
// cache may keep for long, as far as req decides.
func StorableRequest(req Request, rules *Rules) bool {
	return barredRequest(req, rules.orZero(), nil).Reason == "" && req.Method != "HEAD"
}

// barredRequest refuses responses by what was asked for.
func barredRequest(req Request, rules *Rules, t *trace) Storability {
	switch {
	case t.holds(!storableMethod(req.Method, rules), &otherMethod):
		return refuse(StatusMethod, otherMethod.says)
	case t.holds(requestDirectives(req.Header, rules).noStore, &requestNoStore):
		return refuse(StatusPass, requestNoStore.says)
	}
	return Storability{}
}

func storableMethod(method string, rules *Rules) bool {
	return method == "GET" || method == "HEAD" || slices.Contains(rules.Methods, method)
}

// storableResponse is Storable without what the request alone decides.
func storableResponse(req Request, resp *Response, rules *Rules, t *trace) Storability {
	d, targeted := responseDirectives(resp.Header, rules)
	if s := barredStatus(resp.Status, &d, rules, t); s.Reason != "" {
		return s
	}
	if s := barredAudience(req, resp, &d, rules, t); s.Reason != "" {
		return s
	}
	selection, ok := Select(resp.Header["Vary"], req.Header)
	if t.holds(!ok, &variesByAll) {
		return refuse(StatusPass, variesByAll.says)
	}
	terms, stated := termsOf(req, resp, &d, targeted, rules)
	validated := func() bool { return stated && hasValidator(resp.Header) } // useful when stale, too
	s := Storability{Terms: terms, Selection: selection, Status: StatusOK, Reason: "The response may be stored, RFC 9111 3."}
	// Of several reasons the first is told: a no-store without a lifetime lacks the lifetime too.
	switch {
	case t.holds(terms.Lifetime <= 0 && terms.StaleWhileRevalidate <= 0 && !validated(), &noLifetime):
		s.Status, s.Reason = StatusNoMaxAge, noLifetime.says
	case t.holds(d.noStore && !d.mustUnderstand && !rules.ForcePrivate, &saysNoStore):
		s.Status, s.Reason = StatusPass, saysNoStore.says
	case t.holds(terms.NoCache && !hasValidator(resp.Header), &blindNoUse):
		s.Status, s.Reason = StatusNoMaxAge, blindNoUse.says
	case t.holds(terms.InitialAge-terms.Lifetime >= terms.StaleWhileRevalidate && !validated(), &tooOld):
		s.Status, s.Reason = StatusNoMaxAge, tooOld.says
	default:
		s.Store = true
	}
	return s
}

// barredStatus refuses responses by their status code.
func barredStatus(status int, d *directives, rules *Rules, t *trace) Storability {
	_, ruled := rules.StatusLifetimes[status]
	switch {
	case t.holds(status < 200, &interimStatus):
		return refuse(StatusPass, interimStatus.says)
	case t.holds(status == 206, &partialStatus):
		return refuse(StatusPass, partialStatus.says)
	case t.holds(status == 304, &notModified):
		return refuse(StatusPass, notModified.says)
	case t.holds(status >= 400 && !ruled && !rules.ErrorsByHeader, &errorStatus):
		return refuse(StatusCode, errorStatus.says)
	case t.holds(status > 599, &unknownStatus):
		return refuse(StatusPass, unknownStatus.says)
	case t.holds(d.mustUnderstand && !understood(status), &notUnderstood):
		return refuse(StatusPass, notUnderstood.says)
	}
	return Storability{}
}

// barredAudience refuses responses that are for one user.
func barredAudience(req Request, resp *Response, d *directives, rules *Rules, t *trace) Storability {
	switch {
	case t.holds(len(resp.Header["Set-Cookie"]) > 0 && !rules.StoreSetCookie, &setsCookie):
		return refuse(StatusSetCookie, setsCookie.says)
	case t.holds(d.private.about(resp.Header) && !rules.ForcePrivate, &saysPrivate):
		return refuse(StatusPrivate, saysPrivate.says)
	case t.holds(unshared(req, d), &authorizedAlone):
		return refuse(StatusPrivate, authorizedAlone.says)
	}
	return Storability{}
}

// unshared says whether a response is for the one user whose Authorization came with
// the request, RFC 9111 3.5.
func unshared(req Request, d *directives) bool {
	return len(req.Header["Authorization"]) > 0 && !d.public && !d.mustRevalidate && !d.sMaxAge.valid()
}

// understood says whether the caching rules of a final status are known and
// followed here, RFC 9111 5.2.2.3.
func understood(status int) bool {
	switch status {
	case 300, 301, 302, 303, 307, 308,
		200, 201, 202, 203, 204, 205,
		400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426,
		500, 501, 502, 503, 504, 505:
		return true
	}
	return false
}
