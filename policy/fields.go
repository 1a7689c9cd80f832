package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file is the policy's vocabulary: every field, what it may be, and what it
// means. Decoding and the JSON Schema are both made from it.

const (
	maxSeconds = 1<<31 - 1 // RFC 9111, 1.2.2: what every recipient can hold
	maxMillis  = 7 * 24 * 3600 * 1000
	maxRoutes  = 100000 // and origins
)

func textOf(what string, check func(string) string) *shape {
	return &shape{kind: text, what: what, check: check}
}

func (s *shape) like(pattern string, examples ...any) *shape {
	s.pattern, s.examples = pattern, examples
	return s
}

func (s *shape) folded() *shape {
	s.fold = true
	return s
}

func listOf(what string, elem *shape) *shape {
	return &shape{kind: list, what: what, elem: elem, once: true}
}

// entry is a field of an object; doc stands for the shape's own when there is one.
func entry(name string, s *shape, doc string) member { return member{name: name, shape: s, doc: doc} }

// own is a field that a route never inherits.
func own(name string, s *shape, doc string) member {
	return member{name: name, shape: s, doc: doc, own: true}
}

// What to do instead of giving an empty list or object.
const (
	fill       = "give at least one entry"
	fillOrDrop = "give at least one entry or leave it out"
)

func (s *shape) notEmpty(instead string) *shape {
	s.some = instead
	return s
}

func flag(initial any) *shape {
	return &shape{kind: boolean, what: "true or false", initial: initial}
}

func numberOf(what string, low, high float64, initial any) *shape {
	return &shape{kind: number, what: what, low: low, high: high, whole: true, initial: initial}
}

// counting makes a number one of units, not necessarily whole.
func (s *shape) counting(unit time.Duration) *shape {
	s.unit, s.whole = unit, false
	return s
}

// oneOf is a text that is one of several words; the first is the default.
func oneOf(words ...string) *shape {
	s := textOf(quoteAll(words, " or "), func(s string) string {
		if !slices.Contains(words, s) {
			return fmt.Sprintf("must be %s, not %s", quoteAll(words, " or "), shorten(s))
		}
		return ""
	})
	s.initial = words[0]
	return s.like("^(" + strings.Join(words, "|") + ")$")
}

func seconds() *shape {
	return &shape{kind: number, what: "a number of seconds from 0 to 2147483647", high: maxSeconds, unit: time.Second}
}

func wholeSeconds() *shape {
	s := seconds()
	s.what, s.whole = "a whole number of seconds from 0 to 2147483647", true
	return s
}

func positiveSeconds(what string, high float64, initial any) *shape {
	return &shape{kind: number, what: what, above: true, high: high, unit: time.Second, initial: initial}
}

func millis(initial int) *shape {
	s := numberOf("a whole number of milliseconds from 1 to 604800000", 1, maxMillis, initial)
	s.unit = time.Millisecond
	return s
}

const (
	tokenPattern  = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
	headerPattern = "^[!#$%&'*+.^`|~0-9A-Za-z-]+$" // without "_"
	namePattern   = "^[A-Za-z0-9._-]{1,64}$"

	authority        = `([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?`
	authorityPattern = "^" + authority + "$"
	hostPatterns     = `^(\*\.)?` + authority + "$"
	urlPattern       = "^https?://" + authority + "/?$"

	// Segments of a path: a parameter, or bytes of which the first is no colon.
	segments    = `(/(:[A-Za-z_][A-Za-z0-9_]{0,63}|` + segmentByte + `(:|` + segmentByte + `)*)?)`
	segmentByte = `([!$&'()+,.0-9;=@-Z\[\]^_a-z|~-]|%[0-9A-Fa-f]{2})`
	pathPattern = "^" + segments + "+$|^" + segments + `*/\*$`
)

// The texts of the file.
var (
	aName       = textOf("a name", checkName).like(namePattern)
	anOrigin    = textOf("the name of an origin", checkName).like(namePattern)
	aDeployment = textOf("the name of a deployment", checkName).like(namePattern, "v42", "8c5d1f0")
	aRegion     = textOf("the name of a region", checkName).like(namePattern, "fra", "lhr")
	aRouteName  = textOf("a name", checkRouteName).like(namePattern, "product")
	aURL        = textOf("a URL", checkUpstream).like(urlPattern, "http://127.0.0.1:3000", "https://origin.example.com")
	aHost       = textOf("a host", checkAuthority).like(authorityPattern, "shop.internal")
	aPath       = textOf("a path", checkPath).like(pathPattern, "/products/:id", "/static/*")
	aTag        = textOf("a tag", checkTag).like(`^[^\u0000-\u001f\u007f]{1,256}$`, "products", "product:{id}")
	aCookie     = textOf("a cookie name", checkCookieName).like(tokenPattern, "currency")
	aParameter  = textOf("a parameter name", checkQueryName).like(`^[^\u0000-\u001f\u007f]+$`, "page")
)

func headerName(check func(string) string, pattern string, examples ...any) *shape {
	return textOf("a header name", check).like(pattern, examples...).folded()
}

func headerNames(check func(string) string, pattern string, examples ...any) *shape {
	return listOf("a list of header names", headerName(check, pattern, examples...))
}

// fileShape describes a whole policy file.
var fileShape = &shape{
	kind: object, what: "an object with origins, defaults and routes",
	doc: "Policy of weir: which origins there are, and per route how to cache.",
	fields: []member{
		entry("$schema", textOf("a string", nil), "Where editors find the schema of this file. It has no effect."),
		entry("origins", &shape{
			kind: object, what: "an object that gives each origin a name", some: fill, most: maxRoutes,
			keys: aName, elem: originShape,
			doc: "The servers whose responses are cached, by a name of your choice.",
		}, ""),
		entry("deployment", aDeployment, "The name of what is deployed, such as a version or a commit. It stands in logs and stats, and with isolate it keeps caches apart."),
		entry("isolate", flag(false), "Give each deployment a cache of its own. A deployment that comes back finds its own again."),
		entry("deploymentSettleSeconds", seconds(), "For how long after a change of deployment isolated responses are not stored, because not every origin server may have it yet."),
		entry("defaults", defaultsShape, "What lies under every route, field by field, and what applies to requests that no route matches."),
		entry("routes", &shape{
			kind: list, what: "a list of routes", elem: routeShape, most: maxRoutes,
			doc: "Routes, in order. The first that matches a request is the only one that applies to it.",
		}, ""),
		entry("purge", purgeShape, ""),
		entry("shield", shieldShape, ""),
	},
	required: [][]string{{"origins"}},
}

var purgeShape = &shape{
	kind: object, what: "an object with maxBlindSeconds and onPartition",
	doc: "How far an edge may be behind the purges of its shield.",
	fields: []member{
		entry("maxBlindSeconds", numberOf("a number of seconds from 0 to 3600", 0, 3600, 5).counting(time.Second),
			"An edge that has not heard of its shield for longer asks it before it answers from memory. A shield is heard of every second; 0 asks for every answer."),
		entry("onPartition", oneOf("revalidate", "serve"),
			"What an edge does with what it holds when it cannot ask: revalidate uses nothing older than maxBlindSeconds, serve uses all of it and says so in Cache-Status."),
	},
}

var shieldShape = &shape{
	kind: object, what: "an object with fallback",
	doc: "What edges do without their shield.",
	fields: []member{
		entry("fallback", oneOf("origin", "none"),
			"origin: an edge that cannot reach its shield asks the origin itself. none: it answers with what it holds, and otherwise with an error."),
	},
}

var originShape = &shape{
	kind: object, def: "origin", what: "an object with a url or upstreams",
	doc: "A group of servers that answer alike.",
	fields: []member{
		entry("url", aURL, "The origin's only server: scheme, host and port."),
		entry("upstreams", &shape{
			kind: list, what: "a list of upstreams", some: fill,
			elem: &shape{
				kind: object, what: "an object with url and weight",
				fields: []member{
					entry("url", aURL, "The server: scheme, host and port."),
					entry("weight", numberOf("a whole number from 1 to 1000000", 1, 1e6, 1), "Its share of the requests."),
				},
				required: [][]string{{"url"}},
			},
		}, "The origin's servers, when there are several."),
		entry("host", aHost, "The host to send instead of the client's."),
		entry("connectTimeoutMs", millis(5000), "How long connecting may take."),
		entry("headerTimeoutMs", millis(30000), "How long the head of the response may take."),
		entry("idleTimeoutMs", millis(30000), "How long a body may pause."),
		entry("totalTimeoutMs", millis(3600000), "How long a response may take as a whole."),
		entry("maxConns", numberOf("a whole number from 0 to 65535", 0, 65535, 0), "Connections to each upstream; 0 is no limit."),
		entry("retries", numberOf("a whole number from 0 to 10", 0, 10, 1), "How often a failed idempotent request is tried on another upstream."),
		entry("health", healthShape, ""),
	},
	required: [][]string{{"url", "upstreams"}},
}

var healthShape = &shape{
	kind: object, what: "an object with a path",
	doc: "Ask each upstream regularly whether it is well.",
	fields: []member{
		entry("path", textOf("a path", checkHealthPath).like("^/[!-~]*$", "/healthz"), "What to GET; 2xx and 3xx are well."),
		entry("intervalSeconds", positiveSeconds("a number of seconds, more than 0, to 86400", 86400, 10), "Time between two checks."),
		entry("timeoutSeconds", positiveSeconds("a number of seconds, more than 0, to 3600", 3600, 2), "How long an answer may take; not more than the interval."),
		entry("fall", numberOf("a whole number from 1 to 100", 1, 100, 3), "Failures in a row that take an upstream out."),
		entry("rise", numberOf("a whole number from 1 to 100", 1, 100, 2), "Successes in a row that bring it back."),
	},
	required: [][]string{{"path"}},
}

// settingsShape describes what defaults and routes have in common.
func settingsShape(what string) *shape {
	return &shape{
		kind: object, what: "an object with " + what, nulls: true,
		elsewhere: map[string]string{
			"deployment":              "deployment belongs to the whole file; put it beside origins",
			"isolate":                 "isolate belongs to the whole file; put it beside origins",
			"deploymentSettleSeconds": "deploymentSettleSeconds belongs to the whole file; put it beside origins",
			"purge":                   "purge belongs to the whole file; put it beside origins",
			"shield":                  "shield belongs to the whole file; put it beside origins",
		},
		fields: []member{
			entry("origin", anOrigin, "The name of the origin to ask."),
			entry("split", splitShape, ""),
			entry("edge", edgeShape, ""),
			entry("browser", browserShape, ""),
			entry("key", keyShape, ""),
			entry("tags", listOf("a list of tags", aTag),
				"Tags to purge by. {name} stands for what :name in the path matched, as it was sent. Tags in the origin's cache-tag, surrogate-key and cache-groups come on top."),
			entry("regions", listOf("a list of regions", aRegion).notEmpty(fillOrDrop),
				"The only regions that store responses of the route; edges in others pass requests on. null or nothing: all."),
			entry("permanent", flag(false), "Share responses between all deployments although they are isolated: for what never changes under its URL."),
			entry("compress", flag(true), "Give each client a content coding that it accepts, from one stored response: code and decode with br, gzip and zstd. If false, each kind of client has responses of its own, as the origin sends them."),
			entry("removeRequestHeaders", headerNames(checkRemovedRequestHeader, headerPattern),
				"Headers that the origin does not get."),
			entry("removeResponseHeaders", headerNames(checkRemovedResponseHeader, tokenPattern, "set-cookie"),
				"Headers of the origin that are dropped before anything is decided or stored. Dropping set-cookie makes a response storable."),
			entry("setResponseHeaders", &shape{
				kind: object, what: "an object of header names and values", nulls: true, most: 100,
				keys: headerName(checkSetHeader, tokenPattern),
				elem: textOf("a header value", checkHeaderValue).like(`^[!-~]([\t -~]*[!-~])?$`),
			}, "Headers that every response to a client gets."),
		},
	}
}

var defaultsShape = func() *shape {
	s := settingsShape("settings")
	s.elsewhere["match"] = "defaults apply to every request; match belongs into a route"
	s.elsewhere["graphql"] = "defaults apply to every request; graphql belongs into a route"
	s.elsewhere["name"] = "defaults have no name; name belongs into a route"
	return s
}()

var routeShape = func() *shape {
	s := settingsShape("name and match")
	s.def = "route"
	s.doc = "What applies to the requests that it matches. A field that is left out is taken from defaults; null leaves it unset instead."
	s.fields = append([]member{
		own("name", aRouteName, "A name of its own, for headers, logs and metrics."),
		own("match", matchShape, ""),
		own("graphql", flag(false), "A GraphQL endpoint: queries are cached, mutations and subscriptions never, and neither is what cannot be told apart. match.methods names POST, GET or both."),
	}, s.fields...)
	s.required = [][]string{{"name"}}
	return s
}()

var splitShape = &shape{
	kind: object, def: "split", what: "an object with cookie and destinations", nulls: true,
	doc: "Send each client to one of several origins, and keep it there with a cookie.",
	fields: []member{
		entry("cookie", aCookie, "The cookie that remembers the destination."),
		entry("destinations", &shape{
			kind: list, what: "a list of destinations", some: fill,
			elem: &shape{
				kind: object, what: "an object with name, origin and weight",
				fields: []member{
					entry("name", aName, "Part of the key, and the cookie's value."),
					entry("origin", anOrigin, "The origin to ask."),
					entry("weight", numberOf("a whole number from 1 to 1000000", 1, 1e6, 1), "Its share of the clients."),
				},
				required: [][]string{{"name"}, {"origin"}},
			},
		}, "Where clients are sent."),
	},
}

var edgeShape = &shape{
	what: "false or an object", def: "edge",
	doc: "How responses are cached; false: not at all. What is left out is decided by the origin's headers.",
	either: []*shape{
		{kind: boolean, what: "false or an object", falseOnly: true},
		{kind: object, what: "an object", nulls: true, elsewhere: map[string]string{
			"graphql":   "graphql belongs to the route; put it beside edge",
			"permanent": "permanent belongs to the route; put it beside edge",
			"regions":   "regions belongs to the route; put it beside edge",
		}, fields: []member{
			entry("maxAgeSeconds", seconds(), "How long a response is fresh, whatever the origin says."),
			entry("staleWhileRevalidateSeconds", seconds(), "How long after that it is still served while one request refreshes it."),
			entry("staleIfErrorSeconds", seconds(), "How long after that it is still served when the origin fails."),
			entry("statusMaxAgeSeconds", &shape{
				kind: object, what: "an object of statuses and seconds", nulls: true,
				keys: textOf("a status", checkStatus).like("^[45][0-9]{2}$"), elem: seconds(),
				examples: []any{map[string]any{"404": 10, "503": 1}},
			}, "How long error responses are fresh, per status. Others are cached only with originErrorLifetimes."),
			entry("originErrorLifetimes", flag(false), "Cache errors, too, for as long as the origin's headers say."),
			entry("forcePrivateCaching", flag(false), "Cache although the origin says private. Only for responses that are the same for everybody."),
			entry("cacheSetCookie", flag(false), "Cache responses that set a cookie, too. Everybody gets the cookie."),
			entry("surrogateControl", flag(false), "Obey the origin's Surrogate-Control before Cache-Control, and tell the origin so in Surrogate-Capability."),
			entry("heuristicFreshness", flag(false), "Estimate a lifetime from Last-Modified when there is no other."),
			entry("ignoreRequestDirectives", flag(false), "Ignore a client's Cache-Control and Pragma."),
			entry("sliceBytes", numberOf("a whole number of bytes from 65536 to 1073741824", 64<<10, 1<<30, nil),
				"Fetch and store long bodies in slices of so many bytes, each when a client first needs it. For origins that serve ranges and have strong validators; other responses are fetched whole, and so are bodies of more than 262144 slices."),
			entry("storePartial", flag(false), "Fetch a single range that a client asks for alone, not the whole response, and keep the parts of up to 16 MiB in all. Parts with a strong validator are put together, and completed when a client wants the whole."),
		}},
	},
}

var browserShape = &shape{
	kind: object, def: "browser", what: "an object", nulls: true,
	doc: "What browsers are told.",
	fields: []member{
		entry("maxAgeSeconds", wholeSeconds(), "cache-control: max-age=N towards the client."),
		entry("serviceWorkerSeconds", wholeSeconds(), "x-sw-cache-control: N towards the client."),
	},
}

var keyShape = &shape{
	kind: object, def: "key", what: "an object", nulls: true,
	doc: "What tells responses apart, beside scheme, host, path and query.",
	fields: []member{
		entry("excludeAllQueryParametersExcept", listOf("a list of parameter names", aParameter).notEmpty("set excludeAllQueryParameters to true to keep none"),
			"The only query parameters that are used and forwarded."),
		entry("excludeAllQueryParameters", flag(false), "Use and forward no query at all."),
		entry("excludeQueryParameters", listOf("a list of parameter names", aParameter),
			"Query parameters that are neither used nor forwarded."),
		entry("sortQueryParameters", flag(false), "Sort query parameters by name, so that their order makes no difference."),
		entry("noVarySearch", flag(false), "Obey the origin's No-Vary-Search: parameters of which it says that they make no difference are neither used nor forwarded."),
		entry("cookies", listOf("a list of cookies", &shape{
			what: "a cookie name or an object with name and partitions",
			either: []*shape{
				aCookie,
				{kind: object, what: "an object with name and partitions", fields: []member{
					entry("name", aCookie, "The cookie."),
					entry("partitions", &shape{kind: list, what: "a list of partitions", some: fillOrDrop, elem: partitionShape},
						"Sets of values that share one response. Values in none of them share one, too."),
				}, required: [][]string{{"name"}}},
			},
		}), "Cookies that tell responses apart."),
		entry("headers", headerNames(checkKeyHeader, headerPattern, "accept-language"),
			"Request headers that tell responses apart."),
		entry("device", flag(false), "Tell smartphone, tablet, mobile and desktop apart; the origin gets x-device."),
		entry("browser", flag(false), "Tell browser families apart."),
	},
}

var partitionShape = &shape{
	kind: object, what: "an object with name and values",
	fields: []member{
		entry("name", aName, "Stands in the key for any of the values."),
		entry("values", listOf("a list of values", anyText).notEmpty(fill), "Values of the cookie."),
	},
	required: [][]string{{"name"}, {"values"}},
}

var matchShape = &shape{
	kind: object, def: "match", what: "an object",
	doc: "All that is given must hold. An empty match, or none, matches every request.",
	fields: []member{
		entry("path", &shape{
			what: "a path or a list of paths",
			either: []*shape{
				aPath,
				listOf("a list of paths", aPath).notEmpty(fillOrDrop),
			},
		}, "The path as it is sent, byte for byte, nothing decoded. :name stands for one segment that is not empty, * at the end for any rest: /admin/* matches /admin/ but not /admin."),
		entry("hosts", listOf("a list of hosts", textOf("a host", checkHostPattern).like(hostPatterns, "example.com", "*.example.com").folded()).notEmpty(fillOrDrop),
			"Hosts, in upper or lower case. *.example.com is any name under example.com. A host without a port matches on every port."),
		entry("methods", listOf("a list of methods", textOf("a method", checkMethod).like("^[!#$%&'*+.^_`|~0-9A-Z-]+$", "GET", "POST")).notEmpty(fillOrDrop),
			"Methods; GET includes HEAD. Methods besides these two are cached only where they are named, by method and body."),
		entry("headers", conditions("header names", headerName(checkHeaderCondition, headerPattern), anyText),
			"Conditions on request headers, line by line; one line that satisfies is enough."),
		entry("cookies", conditions("cookie names", aCookie, anyText), "Conditions on cookies."),
		entry("query", conditions("parameter names", aParameter, textOf("a string", checkQueryText).like(`^[^\u0000-\u001f\u007f]*$`)),
			"Conditions on query parameters, decoded; where a name is given several times, one value that satisfies is enough."),
	},
}

var anyText = textOf("a string", nil)

func conditions(of string, name, value *shape) *shape {
	return &shape{
		kind: object, what: "an object of " + of + " and conditions", some: fillOrDrop, keys: name,
		elem: &shape{
			what: `a string, {"present": true}, {"oneOf": [...]} or {"matches": "..."}`,
			either: []*shape{
				value,
				{kind: object, what: `an object with one of "present", "oneOf" and "matches"`, exactly1: true, fields: []member{
					entry("present", flag(nil), "Whether it must be there, or must not."),
					entry("oneOf", listOf("a list of strings", value).notEmpty(fill), "The values it may have."),
					entry("matches", textOf("a regular expression", checkRegexp).like("", "^de-"), "An RE2 expression that finds something in the value; ^ and $ bind it to the whole."),
				}},
			},
		},
	}
}
