package api

import (
	"slices"

	"weir/rfc9111"
)

// atTheDoor says what to do about what keeps requests from the caches.
var atTheDoor = map[string]string{
	"ambiguous-path": "Ask for the path in its plain form, without escapes of plain characters, dots and doubled slashes, or give both forms one route.",
	"upgrade":        "An upgraded connection has nothing for a cache; leave Upgrade out to explain the page.",
	"edge-false":     "Remove \"edge\": false from the route, and give it a lifetime.",
	"development":    "Start the node without --dev, or with --dev --cache.",
	"debug":          "Leave x-cache-debug out.",
	"method":         "Ask with GET or HEAD, or name the method in match.methods of the route if its answers can be cached.",
	"region":         "Name this node's region in regions of the route.",
	"content":        "Send no content with GET and HEAD; QUERY is the method for that.",
	"body-too-big":   "Keep the content of the request within 8000 bytes.",
	"graphql":        "Send one query document with operationName, in the plain form that the README describes.",
}

// inTheWay says what to do about what keeps responses from being stored.
var inTheWay = map[string]string{
	"method":           atTheDoor["method"],
	"request-no-store": "The client says no-store; edge.ignoreRequestDirectives has the route ignore that.",
	"head":             "Explain a GET: its answer is what a HEAD is answered from.",
	"partial":          "edge.storePartial keeps what came for a range.",
	"status":           "Give the status a lifetime in edge.statusMaxAgeSeconds, or let the origin decide with edge.originErrorLifetimes.",
	"unknown-status":   "Have the origin answer with a status between 200 and 599.",
	"must-understand":  "Have the origin answer with a status that is registered, or without must-understand.",
	"set-cookie":       "If the cookie is not needed, remove it with \"removeResponseHeaders\": [\"set-cookie\"]; if it is one for everybody, edge.cacheSetCookie keeps it.",
	"private":          "If the response is the same for everybody, have the origin leave private out, or set edge.forcePrivateCaching.",
	"authorization":    "If the response is the same for everybody who is authorized, have the origin say public, s-maxage or must-revalidate.",
	"vary":             "Have the origin name the fields in Vary that it really depends on, at most 16.",
	"no-lifetime":      "Give the route edge.maxAgeSeconds, or have the origin send Cache-Control: s-maxage or max-age.",
	"no-store":         "Have the origin leave no-store out, or set edge.forcePrivateCaching if the response is the same for everybody.",
	"no-cache":         "Have the origin send an ETag or Last-Modified, so that what is stored can be validated, or give the route edge.maxAgeSeconds.",
	"too-old":          "Give the route edge.maxAgeSeconds, which counts from arrival, or a longer lifetime at the origin: a cache before weir has used it up.",
}

// inReuse says what to do about what keeps a stored response from being answered with.
var inReuse = map[string]string{
	"no-cache":          "The origin wants each use validated; a lifetime of the route, edge.maxAgeSeconds, replaces that.",
	"request-no-cache":  "The client asks for a fresh answer; edge.ignoreRequestDirectives has the route ignore that.",
	"request-max-age":   "The client asks for a younger answer; edge.ignoreRequestDirectives has the route ignore that.",
	"request-min-fresh": "The client asks for a fresher answer; edge.ignoreRequestDirectives has the route ignore that.",
	"must-revalidate":   "Give the route edge.maxAgeSeconds together with edge.staleWhileRevalidateSeconds to serve it stale while it is refreshed.",
	"stale":             "A longer edge.maxAgeSeconds keeps it fresh, edge.staleWhileRevalidateSeconds lets it be served while it is refreshed.",
}

// advise says what would have the request answered from a cache, the most urgent first.
func advise(x *Explanation) []string {
	advice := []string{}
	add := func(s string) {
		if s != "" && !slices.Contains(advice, s) {
			advice = append(advice, s)
		}
	}
	eachHolding(x.Admission, func(rule string) { add(atTheDoor[rule]) })
	if x.Key == nil {
		return advice
	}
	if x.Policy.Settling {
		add("Wait until the new deployment has settled: deploymentSettleSeconds in the policy.")
	}
	for _, s := range x.Storing {
		eachHolding(s.Findings, func(rule string) {
			if s.Of != "stored" {
				add(inTheWay[rule])
			}
		})
	}
	if x.Shield.HitForPass {
		add("The key was not cacheable a short while ago; that is forgotten within two minutes, and with the next answer that is stored.")
	}
	if x.Now.Asks {
		for _, tier := range []*HeldTier{x.Memory, x.Shield} {
			adviseReuse(tier, add)
		}
	}
	return advice
}

func adviseReuse(t *HeldTier, add func(string)) {
	if t == nil {
		return
	}
	for _, o := range t.Stored {
		switch {
		case !o.Selected:
		case o.Purged:
			add("What is stored was purged; the next answer takes its place.")
		case len(o.Findings) > 0:
			eachHolding(o.Findings, func(rule string) { add(inReuse[rule]) })
		}
	}
}

func eachHolding(findings []rfc9111.Finding, f func(rule string)) {
	for _, finding := range findings {
		if finding.Holds {
			f(finding.Rule)
		}
	}
}
