package policy

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weir/keying"
	"weir/rfc9111"
)

func (c *compiler) origins(n *node) {
	for _, f := range n.all() {
		c.origin[f.name] = f.value
		c.table.Origins[f.name] = c.buildOrigin(f.name, f.value)
	}
}

func (c *compiler) buildOrigin(name string, n *node) *Origin {
	ms := func(field string, otherwise time.Duration) time.Duration {
		return n.get(field).duration(time.Millisecond, otherwise)
	}
	o := &Origin{
		Name:           name,
		Host:           strings.ToLower(n.get("host").value()),
		ConnectTimeout: ms("connectTimeoutMs", 5*time.Second),
		HeaderTimeout:  ms("headerTimeoutMs", 30*time.Second),
		IdleTimeout:    ms("idleTimeoutMs", 30*time.Second),
		TotalTimeout:   ms("totalTimeoutMs", time.Hour),
		MaxConns:       n.get("maxConns").number(0),
		Retries:        n.get("retries").number(1),
	}
	if url := n.get("url"); url != nil {
		o.Upstreams = []Upstream{{serverURL(url.value()), 1}}
	}
	seen := map[string]bool{}
	for _, item := range n.get("upstreams").list() {
		url := serverURL(item.get("url").value())
		if url != "" && seen[url] {
			c.wrong(item.get("url"), "%s stands in this list twice; give it more weight instead", url)
		}
		seen[url] = true
		o.Upstreams = append(o.Upstreams, Upstream{url, item.get("weight").number(1)})
	}
	if health := n.get("health"); health != nil && health.kind == object {
		o.Health = c.buildHealth(health)
	}
	return o
}

func (c *compiler) buildHealth(n *node) *Health {
	h := &Health{
		Path:     n.get("path").value(),
		Interval: n.get("intervalSeconds").duration(time.Second, 10*time.Second),
		Timeout:  n.get("timeoutSeconds").duration(time.Second, 2*time.Second),
		Fall:     n.get("fall").number(3),
		Rise:     n.get("rise").number(2),
	}
	if at := n.get("timeoutSeconds"); h.Timeout > h.Interval && at != nil {
		c.wrong(at, "is longer than the interval of %s between two checks", h.Interval)
	}
	h.Timeout = min(h.Timeout, h.Interval)
	return h
}

// serverURL is the form without the slash and the upper case that people add.
func serverURL(s string) string { return strings.ToLower(strings.TrimSuffix(s, "/")) }

// plan compiles the settings of a route, defaults already under them.
func (c *compiler) plan(name string, n *node) *Plan {
	edge := n.get("edge")
	c.plans++
	p := &Plan{
		Route:                 name,
		Number:                c.plans,
		Table:                 c.table,
		Edge:                  !edge.isFalse(),
		Key:                   memoized(c.keys, n.get("key"), c.key),
		Tags:                  memoized(c.tags, n.get("tags"), buildTags),
		Regions:               n.get("regions").values(),
		Compress:              !n.get("compress").isFalse(),
		BrowserMaxAge:         n.get("browser").get("maxAgeSeconds").optional(),
		ServiceWorkerMaxAge:   n.get("browser").get("serviceWorkerSeconds").optional(),
		RemoveRequestHeaders:  canonicalAll(n.get("removeRequestHeaders")),
		RemoveResponseHeaders: canonicalAll(n.get("removeResponseHeaders")),
	}
	if c.table.Isolate {
		p.Key = c.isolated(isolation{p.Key, n.get("permanent").isTrue()})
	} else if permanent := n.get("permanent"); permanent.isTrue() {
		c.warn(permanent, `has no effect without "isolate": true`)
	}
	search := n.get("key").get("noVarySearch")
	p.NoVarySearch = p.Edge && search.isTrue()
	if search.isTrue() && p.Key.Query == keying.QueryNone {
		c.warn(search, "has no effect, because no parameter is used at all")
	}
	if p.Edge {
		p.Rules = buildRules(edge)
		p.SliceBytes = int64(edge.get("sliceBytes").number(0))
		p.StorePartial = edge.get("storePartial").isTrue()
	}
	if p.Compress {
		p.Key = memoized(c.recoded, p.Key, recoded)
	}
	set := n.get("setResponseHeaders")
	p.SetResponseHeaders = memoized(c.headers, set, buildHeaders)
	if maxAge := n.get("browser").get("maxAgeSeconds"); maxAge != nil && p.SetResponseHeaders["Cache-Control"] != "" {
		c.contradiction(maxAge, set.getFold("Cache-Control"), "keep one of the two")
	}
	c.destination(p, n)
	return p
}

// recoded returns the spec of routes that send each client the coding it accepts.
func recoded(s *keying.Spec) *keying.Spec {
	own := *s
	own.Recoded = true
	return &own
}

// memoized builds what n says once. Routes share the nodes that they inherit whole,
// and so share what is made of them.
func memoized[N, T any](memo map[*N]T, n *N, build func(*N) T) T {
	if built, ok := memo[n]; ok {
		return built
	}
	memo[n] = build(n)
	return memo[n]
}

func buildTags(n *node) []TagTemplate {
	var tags []TagTemplate
	for _, tag := range n.list() {
		if t, wrong := parseTag(tag.value()); wrong == "" {
			tags = append(tags, t)
		}
	}
	return tags
}

func buildHeaders(n *node) map[string]string {
	fields := n.all()
	if len(fields) == 0 {
		return nil
	}
	headers := make(map[string]string, len(fields))
	for _, f := range fields {
		headers[canonical(f.name)] = f.value.value()
	}
	return headers
}

// destination sets origin or split.
func (c *compiler) destination(p *Plan, n *node) {
	origin, split := n.get("origin"), n.get("split")
	switch {
	case origin != nil && split != nil:
		c.contradiction(origin, split, "a split names the origins of its destinations, so keep one of the two")
	case origin != nil:
		p.Origin = c.named(origin)
	case split != nil && split.kind == object:
		p.Split = c.split(split)
		if len(p.Split.Destinations) > 0 {
			p.Origin = p.Split.Destinations[0].Origin
		}
	case split == nil && len(c.origin) == 1:
		for p.Origin = range c.origin {
			c.used[p.Origin] = true
		}
	case split == nil && len(c.origin) > 1 && !c.lost:
		c.lost = p.Route == "defaults"
		c.wrong(n, `"origin" is missing; name one of %s`, c.originNames())
	}
}

// named returns the name of an origin that exists.
func (c *compiler) named(n *node) string {
	name := n.value()
	c.used[name] = true
	if name == "" || c.origin[name] != nil || len(c.origin) == 0 || c.full() {
		return name
	}
	if best := nearest(name, c.firstOrigins()); best != "" {
		c.wrong(n, "no origin is called %q; did you mean %q?", name, best)
	} else {
		c.wrong(n, "no origin is called %q; there is %s", name, c.originNames())
	}
	return name
}

// firstOrigins returns as many names as are worth looking through for each mistake.
func (c *compiler) firstOrigins() []string {
	const most = 100
	fields := c.root.get("origins").all()
	names := make([]string, min(most, len(fields)))
	for i := range names {
		names[i] = fields[i].name
	}
	return names
}

func (c *compiler) originNames() string {
	names := c.firstOrigins()
	if len(names) > 10 {
		names = append(names[:10], "...")
	}
	return quoteAll(names, ", ")
}

func (c *compiler) split(n *node) *Split {
	s := &Split{Cookie: n.get("cookie").value()}
	if n.get("cookie") == nil {
		c.wrong(n, `"cookie" is missing; it remembers the destination of a client`)
	}
	if n.get("destinations") == nil {
		c.wrong(n, `"destinations" is missing; it says where clients are sent`)
	}
	names := map[string]bool{}
	for _, item := range n.get("destinations").list() {
		d := Destination{item.get("name").value(), c.named(item.get("origin")), item.get("weight").number(1)}
		if d.Name != "" && names[d.Name] {
			c.wrong(item.get("name"), "%q names another destination already", d.Name)
		}
		names[d.Name] = true
		s.Destinations = append(s.Destinations, d)
	}
	return s
}

func buildRules(edge *node) rfc9111.Rules {
	r := rfc9111.Rules{
		Lifetime:             edge.get("maxAgeSeconds").optional(),
		StaleWhileRevalidate: edge.get("staleWhileRevalidateSeconds").optional(),
		StaleIfError:         edge.get("staleIfErrorSeconds").optional(),
		ForcePrivate:         edge.get("forcePrivateCaching").isTrue(),
		ErrorsByHeader:       edge.get("originErrorLifetimes").isTrue(),
		StoreSetCookie:       edge.get("cacheSetCookie").isTrue(),
		SurrogateControl:     edge.get("surrogateControl").isTrue(),
		Heuristic:            edge.get("heuristicFreshness").isTrue(),
		IgnoreRequest:        edge.get("ignoreRequestDirectives").isTrue(),
	}
	for _, f := range edge.get("statusMaxAgeSeconds").all() {
		if status, err := strconv.Atoi(f.name); err == nil && f.value.kind == number {
			if r.StatusLifetimes == nil {
				r.StatusLifetimes = map[int]time.Duration{}
			}
			r.StatusLifetimes[status] = f.value.duration(time.Second, 0)
		}
	}
	return r
}

func (c *compiler) key(n *node) *keying.Spec {
	s := &keying.Spec{
		Sort:    n.get("sortQueryParameters").isTrue(),
		Headers: canonicalAll(n.get("headers")),
		Device:  n.get("device").isTrue(),
		Browser: n.get("browser").isTrue(),

		// What a query is stored under depends on what the origin said last.
		BaseIsPath: n.get("noVarySearch").isTrue(),
	}
	only, none, except := n.get("excludeAllQueryParametersExcept"), n.get("excludeAllQueryParameters"), n.get("excludeQueryParameters")
	if !none.isTrue() {
		none = nil
	}
	if except != nil && len(except.items) == 0 {
		except = nil
	}
	switch {
	case only != nil && except != nil:
		c.contradiction(only, except, "list either the parameters to keep or those to exclude")
	case only != nil && none != nil:
		c.contradiction(only, none, "keep some parameters or none")
	case except != nil && none != nil:
		c.contradiction(except, none, "exclude some parameters or all")
	case only != nil:
		s.Query, s.Names = keying.QueryOnly, only.values()
	case except != nil:
		s.Query, s.Names = keying.QueryExcept, except.values()
	case none != nil:
		s.Query = keying.QueryNone
	}
	s.Cookies = c.cookies(n.get("cookies"))
	for _, header := range n.get("headers").list() {
		if canonical(header.value()) == "User-Agent" {
			c.warn(header, "nearly every client has a user-agent of its own; key.device and key.browser are coarser")
		}
	}
	return s
}

func (c *compiler) cookies(n *node) []keying.Cookie {
	var cookies []keying.Cookie
	first := map[string]*node{}
	for _, item := range n.list() {
		cookie := keying.Cookie{Name: item.value()}
		at := item
		if item.kind == object {
			at = item.get("name")
			cookie = keying.Cookie{Name: at.value(), Partitions: c.partitions(item.get("partitions"))}
		}
		if cookie.Name == "" {
			continue
		}
		// Two plain names were compared with the list's shape.
		if other := first[cookie.Name]; other != nil && (other.kind == object || item.kind == object) {
			c.wrong(at, "%q stands in this list twice", cookie.Name)
		}
		first[cookie.Name] = item
		cookies = append(cookies, cookie)
	}
	return cookies
}

func (c *compiler) partitions(n *node) []keying.Partition {
	var partitions []keying.Partition
	names, values := map[string]bool{}, map[string]*node{}
	for _, item := range n.list() {
		p := keying.Partition{Name: item.get("name").value(), Values: item.get("values").values()}
		if p.Name != "" && names[p.Name] {
			c.wrong(item.get("name"), "%q names another partition already", p.Name)
		}
		names[p.Name] = true
		for _, v := range item.get("values").list() {
			if first := values[v.value()]; first != nil && first.parent != v.parent {
				c.wrong(v, "%s is in %s already", shorten(v.value()), c.where(first))
			} else {
				values[v.value()] = v
			}
		}
		partitions = append(partitions, p)
	}
	return partitions
}

// canonicalAll returns header names as http.Header has them.
func canonicalAll(n *node) []string {
	var names []string
	for _, name := range n.values() {
		names = append(names, canonical(name))
	}
	return names
}

func (c *compiler) match(n *node) *route {
	r := &route{methods: n.get("methods").values()}
	for _, host := range n.get("hosts").values() {
		r.hosts = append(r.hosts, newHostPattern(host))
	}
	paths := n.get("path").list()
	if path := n.get("path"); path != nil && path.kind == text {
		paths = []*node{path}
	}
	for _, path := range paths {
		if p, wrong := parsePattern(path.value()); wrong == "" {
			r.paths = append(r.paths, p)
		}
	}
	for _, of := range []struct {
		name string
		in   source
	}{{"headers", inHeader}, {"cookies", inCookie}, {"query", inQuery}} {
		for _, f := range n.get(of.name).all() {
			r.conditions = append(r.conditions, buildCondition(of.in, f))
		}
	}
	return r
}

func buildCondition(in source, f field) condition {
	c := condition{in: in, name: f.name}
	if in == inHeader {
		c.name = http.CanonicalHeaderKey(f.name)
	}
	n := f.value
	if n.kind == text {
		c.values = []string{n.text}
	} else if oneOf := n.get("oneOf"); oneOf != nil {
		c.values = oneOf.values()
	}
	c.absent = n.get("present").isFalse()
	if expression := n.get("matches").value(); expression != "" {
		c.re, _ = regexp.Compile(expression) // checked with the shape
	}
	c.text = c.describe()
	return c
}
