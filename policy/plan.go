package policy

import (
	"time"

	"weir/keying"
	"weir/rfc9111"
)

// Plan is what the table says about one route, ready to use. It is immutable and
// shared by all requests of the route.
type Plan struct {
	Route string // name, or "defaults" when no route matched
	Table *Table // the table it belongs to

	Number int // within the table, from 1 on

	Origin string // name in Table.Origins; with a split test, that of its first destination
	Split  *Split // nil without a split test
	Edge   bool   // false for "edge": false
	Rules  rfc9111.Rules
	Key    *keying.Spec
	Tags   []TagTemplate

	// NoVarySearch lets the origin say which query parameters make no difference:
	// key.noVarySearch.
	NoVarySearch bool

	// Regions are the names of those that store responses; others pass requests. None
	// means all.
	Regions []string

	GraphQL      bool  // of what the route's methods send, only GraphQL queries are cached
	Compress     bool  // each client gets a coding that it accepts, whatever the origin sent: Key.Recoded
	SliceBytes   int64 // edge.sliceBytes: how long the slices are that a body is fetched in; 0 fetches it whole
	StorePartial bool  // edge.storePartial: ask for a range alone, and keep what came

	BrowserMaxAge         *time.Duration    // browser.maxAgeSeconds: cache-control towards the client, whole seconds
	ServiceWorkerMaxAge   *time.Duration    // browser.serviceWorkerSeconds: x-sw-cache-control, whole seconds
	RemoveRequestHeaders  []string          // canonical names
	RemoveResponseHeaders []string          // canonical names, removed before anything is decided or stored
	SetResponseHeaders    map[string]string // canonical names, set on what goes to the client, never stored
}

// Isolated says whether each deployment has responses of its own under p.
func (p *Plan) Isolated() bool { return p.Key.Deployment != "" }

// Params are the values that a path pattern captured, in pattern order.
type Params []Param

// Param is one captured path segment.
type Param struct{ Name, Value string }

// Split sends each client to one of several origins, by weight, and keeps it
// there with a cookie.
type Split struct {
	Cookie       string
	Destinations []Destination
}

// Destination is one side of a split test. Its name is part of the key.
type Destination struct {
	Name   string
	Origin string
	Weight int
}

// Origin is a named group of upstream servers that answer alike.
type Origin struct {
	Name      string
	Upstreams []Upstream
	Host      string // sent instead of the client's Host; "" keeps the client's

	ConnectTimeout time.Duration // default 5 s
	HeaderTimeout  time.Duration // until the response head, default 30 s
	IdleTimeout    time.Duration // between two reads of a body, default 30 s
	TotalTimeout   time.Duration // for a fill as a whole, default 1 h
	MaxConns       int           // per upstream, 0 is no limit
	Retries        int           // of idempotent requests on another upstream, default 1

	Health *Health // nil: passive checks only
}

// Upstream is one server of an origin.
type Upstream struct {
	URL    string // scheme and authority only
	Weight int    // share of the requests, at least 1
}

// Health is an active check: GET Path every Interval; Fall failures in a row take
// the upstream out, Rise successes bring it back.
type Health struct {
	Path     string
	Interval time.Duration
	Timeout  time.Duration
	Fall     int
	Rise     int
}
