package api

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

// Memory is the tier that hits come from: [l1.Tier].
type Memory interface {
	// Hit finds what the door's tier would answer with, fresh, or nothing. It neither waits
	// nor allocates, and is called concurrently.
	Hit(ask *l1.Ask, found *l1.Found) bool
	// Keep keeps a head for what Hit found, to be found with it, if there is room.
	Keep(found *l1.Found, ready *l1.ReadyHead)
	// CountHit is told of each answer that was made of what Hit found. Body and File are gone if a file would have been
	// of no use.
	CountHit(found *l1.Found)
}

// Hits answers plain requests for fresh objects in memory on the connection itself, below
// net/http, for a [Guard]. It answers with what its [Door] would answer, to the byte, and counts
// and logs like it. Whatever it does not know how to answer goes on to the door, as it came:
// straight, if it is plain, and through net/http otherwise.
type Hits struct {
	door   *Door
	memory Memory
	spare  sync.Pool // of *hit

	leave leaving
	waits waits
}

// NewHits returns the hit path beside door, whose own tier is memory, or has it in front.
func NewHits(door *Door, memory Memory) *Hits {
	hits := &Hits{door: door, memory: memory}
	hits.spare.New = func() any { return newHit(hits) }
	return hits
}

// maxGlance is how long a head may be that a hit answers, in bytes. It lies within all limits of
// the door, and so do its fields and its target.
const maxGlance = 8 << 10

// A hit is one request that is answered from memory, with all that this takes. It is used for
// one after another, by different connections, and keeps what requests have in common.
type hit struct {
	hits *Hits
	head head // of the request
	plan *policy.Plan

	asked  keying.Request
	key    []byte
	ask    l1.Ask
	found  l1.Found
	status int

	hosts   hostMemo
	codings codingMemo
	value   [1]string   // of the field in one of those that follow
	unless  http.Header // If-None-Match alone
	since   http.Header // If-Modified-Since alone

	out    []byte // what is sent first
	record Record
	desk   desk
}

func newHit(hits *Hits) *hit {
	x := &hit{hits: hits}
	x.desk.fields = http.Header{}
	x.unless = http.Header{"If-None-Match": x.value[:]}
	x.since = http.Header{"If-Modified-Since": x.value[:]}
	return x
}

// find looks for the answer to the request of h, which came now, and prepares it.
func (hits *Hits) find(h *head, secure bool, now time.Time) *hit {
	if hits.door.opts.Disabled() {
		return nil
	}
	x := hits.spare.Get().(*hit)
	x.head = *h
	if x.matches(secure, now) && x.has() {
		return x
	}
	x.free()
	return nil
}

func (x *hit) free() {
	x.head, x.plan, x.ask, x.found = head{}, nil, l1.Ask{}, l1.Found{}
	x.asked, x.record, x.value[0] = keying.Request{}, Record{}, ""
	x.hits.spare.Put(x)
}

// matches finds the plan of the request and makes its key, if nothing else in the head counts.
func (x *hit) matches(secure bool, now time.Time) bool {
	h, d := &x.head, x.hits.door
	r := &x.asked
	r.Method, r.Scheme, r.Target = http.MethodGet, "http", view(h.target)
	if secure {
		r.Scheme = "https"
	}
	var ok bool
	if r.Host, ok = x.hosts.canonical(h.host, r.Scheme); !ok {
		return false
	}
	path, _, _ := strings.Cut(r.Target, "?")
	table := d.table()
	x.plan, ok = table.Plainly(view(h.method), r.Host, path)
	if !ok || !suits(x.plan, d.opts.Region) {
		return false
	}
	if x.plan.Isolated() && d.opts.Settling(table, now) {
		return false
	}
	x.codings.read(h.glance.encoding)
	x.key, ok = x.plan.Key.AppendPlain(x.key[:0], r, x.codings.accepts)
	x.ask = l1.Ask{Key: view(x.key), Plan: x.plan, Accepts: x.codings.accepts, Header: x.codings.header, Now: now}
	if x.plan.Key.Recoded {
		x.ask.Header = recodedHeader
	}
	return ok
}

var recodedHeader = http.Header{"Accept-Encoding": recoded}

// suits says whether requests of a plan can be answered without having been looked at whole.
func suits(plan *policy.Plan, region string) bool {
	switch {
	case !plan.Edge, plan.Split != nil, plan.GraphQL, plan.NoVarySearch, !plan.Key.Plain(), pinnedElsewhere(plan, region):
		return false
	}
	return len(plan.RemoveRequestHeaders) == 0 || !slices.ContainsFunc(plan.RemoveRequestHeaders, func(name string) bool {
		return name == "Accept-Encoding" || name == "If-None-Match" || name == "If-Modified-Since"
	})
}

// has finds the object, and decides with what status it answers.
func (x *hit) has() bool {
	if !x.hits.memory.Hit(&x.ask, &x.found) {
		return false
	}
	resp := x.found.Head
	x.status = resp.Status
	switch x.status {
	case http.StatusOK:
		if rfc9111.Evaluate(x.conditional(), resp) == rfc9111.NotModified {
			x.status = http.StatusNotModified
		}
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent, http.StatusNotModified:
		return false
	}
	if len(x.found.Body) == 0 && x.isHead() {
		return false // the origin may have said how long a GET would be
	}
	return x.render()
}

// conditional is the request with its condition, if it has one. A date means nothing beside a tag, RFC 9110 13.1.3.
func (x *hit) conditional() rfc9111.Request {
	asked := rfc9111.Request{Method: http.MethodGet}
	switch g := &x.head.glance; {
	case g.ifNone != nil:
		x.value[0], asked.Header = view(g.ifNone), x.unless
	case g.ifSince != nil:
		x.value[0], asked.Header = view(g.ifSince), x.since
	}
	return asked
}

func (x *hit) isHead() bool { return len(x.head.method) == len(http.MethodHead) }

// done counts and logs the request.
func (x *hit) done(c *guardConn, sent int64, err error) {
	d, r := x.hits.door, &x.record
	*r = Record{
		Began: x.ask.Now, Duration: d.opts.Now().Sub(x.ask.Now),
		Method: view(x.head.method), Host: x.asked.Host, Target: x.asked.Target,
		Route: x.plan.Route, Deployment: x.plan.Table.Deployment,
		Status: x.status, Bytes: sent, Decision: x.decision(), Key: x.found.Key.Digest(), Keyed: true,
	}
	if err != nil {
		r.Aborted, r.Left, r.Err = true, true, err
	}
	x.hits.memory.CountHit(&x.found)
	d.counters.count(r)
	entry, wanted := d.log.check(r), d.log.journal.wants(r)
	if entry == nil && !wanted {
		return
	}
	r.Client = withoutPort(c.RemoteAddr().String())
	if wanted {
		d.log.journal.add(r)
	}
	if entry != nil {
		r.Method, r.Target = strings.Clone(r.Method), strings.Clone(r.Target) // a log may keep them
		r.writeTo(entry)
	}
}

func (x *hit) decision() rfc9111.Decision {
	return rfc9111.Decision{Use: rfc9111.Hit, Outer: rfc9111.TierHit, Status: rfc9111.StatusOK, TTL: x.found.TTL, HasTTL: true}
}

// hostMemo knows the canonical form of the last Host: clients send the same one.
type hostMemo struct {
	raw    []byte
	scheme string
	host   string
}

func (m *hostMemo) canonical(raw []byte, scheme string) (host string, ok bool) {
	if m.host != "" && m.scheme == scheme && string(m.raw) == string(raw) {
		return m.host, true
	}
	if host, ok = keying.CanonicalHost(string(raw), scheme); ok {
		m.raw, m.scheme, m.host = append(m.raw[:0], raw...), scheme, host
	}
	return host, ok
}

// codingMemo knows what the last Accept-Encoding said.
type codingMemo struct {
	raw     string
	header  http.Header // it alone
	accepts keying.Accepts
}

func (m *codingMemo) read(raw []byte) {
	if m.raw == string(raw) {
		return
	}
	*m = codingMemo{raw: string(raw)}
	if m.raw != "" {
		m.header = http.Header{"Accept-Encoding": {m.raw}}
		m.accepts = keying.Accept(m.header)
	}
}

// seconds, rounded down, of an age or of what is left of a lifetime.
func whole(d time.Duration) int64 { return int64(max(d, 0) / time.Second) }
