package api

import (
	"context"
	"encoding/hex"
	"math"
	"net/http"
	"strings"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// An Explanation is what there is to say about a request: GET /v1/explain.
type Explanation struct {
	Request AskedRequest `json:"request"`
	Now     Expected     `json:"now"`

	Refused   *ErrorText        `json:"refused,omitempty"` // by the door, or by a tier that has no answer
	Policy    *PolicyName       `json:"policy,omitempty"`  // this and what follows: where a route was found
	Route     *MatchedRoute     `json:"route,omitempty"`
	Admission []rfc9111.Finding `json:"admission,omitempty"` // what could keep the request from the caches
	Key       *BuiltKey         `json:"key,omitempty"`       // where there is one
	Memory    *HeldTier         `json:"memory,omitempty"`
	Shield    *HeldTier         `json:"shield,omitempty"`
	ShieldNow *ShieldAnswer     `json:"shieldNow,omitempty"` // at an edge whose shield has said so
	Fetched   *FetchedResponse  `json:"fetched,omitempty"`
	Storing   []StoringVerdict  `json:"storing,omitempty"`
	Advice    []string          `json:"advice"`
}

// AskedRequest is the request that is explained, without the values of its fields.
type AskedRequest struct {
	Method  string   `json:"method"`
	URL     string   `json:"url"`
	Headers []string `json:"headers"` // names
}

// Expected is what would be answered now.
type Expected struct {
	Known bool `json:"known"` // otherwise somebody would be asked, and the rest is what is certain before
	Asks  bool `json:"asks"`  // an origin is asked, or was with fetch

	Status        int                   `json:"status,omitempty"`
	XCache        rfc9111.Use           `json:"xCache"`
	XCacheTier    string                `json:"xCacheTier,omitempty"`
	CachingStatus rfc9111.CachingStatus `json:"xCachingStatus,omitempty"`
	CacheStatus   string                `json:"cacheStatus,omitempty"`
	Forward       rfc9111.Forward       `json:"forward,omitempty"`      // why the origin is asked first
	OuterForward  rfc9111.Forward       `json:"outerForward,omitempty"` // why memory did not answer
	Detail        string                `json:"detail,omitempty"`
	IfOriginFails string                `json:"ifOriginFails,omitempty"` // "stale" or "error"
	Header        http.Header           `json:"header,omitempty"`        // of the response, as its client would get it
}

// ErrorText is an error as a client gets it.
type ErrorText struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// PolicyName tells which policy decided.
type PolicyName struct {
	Version    string `json:"version"`
	Deployment string `json:"deployment,omitempty"`
	Settling   bool   `json:"settling,omitempty"` // of the route's deployment: nothing is stored yet
}

// MatchedRoute is the route of a request.
type MatchedRoute struct {
	Name        string           `json:"name"`
	Skipped     []policy.Skipped `json:"skipped"` // those before it
	Origin      string           `json:"origin"`
	Destination string           `json:"destination,omitempty"` // of a split test
}

// BuiltKey is the key of a request, part by part.
type BuiltKey struct {
	Digest         string    `json:"digest"`
	Parts          []KeyPart `json:"parts"`
	Target         string    `json:"target"`                  // as it is forwarded
	OriginalQuery  *string   `json:"originalQuery,omitempty"` // where that is another query
	AcceptEncoding string    `json:"acceptEncoding"`          // as it is forwarded
}

// KeyPart is one part of a key.
type KeyPart struct {
	Kind  string `json:"kind"`
	Name  string `json:"name,omitempty"`
	Form  string `json:"form"`
	Value string `json:"value"`
}

// HeldTier is what a tier has under the key of a request.
type HeldTier struct {
	Note          string       `json:"note,omitempty"` // why nothing more can be said
	Stored        []HeldObject `json:"stored"`
	HitForPass    bool         `json:"hitForPass,omitempty"`
	OriginFailing bool         `json:"originFailing,omitempty"` // a moment ago
	Fetching      bool         `json:"fetching,omitempty"`      // under way; a request would join it
}

// HeldObject is a stored response. Times are in seconds.
type HeldObject struct {
	Selected      bool              `json:"selected"` // by the request, among the variants
	Vary          map[string]string `json:"vary,omitempty"`
	Status        int               `json:"status"`
	Length        int64             `json:"length"`
	Coding        string            `json:"coding,omitempty"`
	Partial       bool              `json:"partial,omitempty"` // in parts, or a slice
	Age           float64           `json:"age"`
	TTL           float64           `json:"ttl"`
	Lifetime      float64           `json:"lifetime"`
	Revalidate    float64           `json:"staleWhileRevalidate"`
	IfError       float64           `json:"staleIfError"`
	MustValidate  bool              `json:"mustRevalidate,omitempty"`
	NoCache       bool              `json:"noCache,omitempty"`
	Tags          []string          `json:"tags,omitempty"`
	Epoch         uint64            `json:"epoch"`
	Purged        bool              `json:"purged,omitempty"`
	Softened      bool              `json:"softPurged,omitempty"`
	Unsure        bool              `json:"unsure,omitempty"` // purges may have been missed
	Reuse         string            `json:"reuse"`            // fresh, stale, validate, gateway
	Reason        string            `json:"reason"`
	Findings      []rfc9111.Finding `json:"findings"`
	IfOriginFails bool              `json:"usableIfOriginFails"`
}

// FetchedResponse is what the origin answered.
type FetchedResponse struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
}

// StoringVerdict is whether a response may be stored, and by which rules.
type StoringVerdict struct {
	Of       string                `json:"of"` // request: the best answer to it; stored; fetched
	Store    bool                  `json:"store"`
	Status   rfc9111.CachingStatus `json:"status"`
	Reason   string                `json:"reason"`
	Findings []rfc9111.Finding     `json:"findings"`
}

// expected reads the answer to a rehearsal.
func expected(head *headOnly, record *Record, p *probe) Expected {
	d := &record.Decision
	out := Expected{
		Known: p.open == nil, Asks: p.open != nil || d.Forward != "" && p.req != nil,
		Status: head.status, XCache: rfc9111.Use(head.header.Get("X-Cache")),
		Forward: d.Forward, OuterForward: d.OuterForward, Detail: d.Detail,
	}
	if !out.Known && out.XCache != rfc9111.Bypass {
		return out
	}
	out.XCacheTier, out.CacheStatus = head.header.Get("X-Cache-Tier"), head.header.Get("Cache-Status")
	out.CachingStatus = rfc9111.CachingStatus(head.header.Get("X-Caching-Status"))
	if out.Known {
		out.Header = head.header
	}
	return out
}

// refusalOf is the error that a client would get, nil for none.
func refusalOf(p *probe) *ErrorText {
	if p.fault == nil {
		return nil
	}
	return errorText(p.fault)
}

func errorText(f *fault) *ErrorText { return &ErrorText{f.status, f.code, f.message, f.hint} }

// tellRoute tells what the door decided.
func (e *Explainer) tellRoute(x *Explanation, p *probe) {
	if p.req == nil {
		return
	}
	req := p.req
	_, skipped := p.table.Explain(&p.match)
	if skipped == nil {
		skipped = []policy.Skipped{}
	}
	x.Policy = &PolicyName{Version: p.table.Version, Deployment: p.table.Deployment, Settling: req.Settling}
	x.Route = &MatchedRoute{Name: req.Plan.Route, Skipped: skipped, Origin: req.Origin, Destination: p.destination}
	x.Admission = p.admission
	if req.Bypass == "" {
		x.Key = builtKey(&req.Keyed)
	}
}

func builtKey(k *keying.Keyed) *BuiltKey {
	digest := k.Key.Digest()
	key := &BuiltKey{Digest: hex.EncodeToString(digest[:]), Target: k.Target, AcceptEncoding: k.AcceptEncoding}
	for _, p := range k.Key.Parts() {
		key.Parts = append(key.Parts, KeyPart{Kind: p.Kind, Name: p.Name, Form: p.Form.String(), Value: p.Value})
	}
	if k.QueryChanged {
		key.OriginalQuery = &k.OriginalQuery
	}
	return key
}

// tellStored tells what the tiers hold under the key.
func (e *Explainer) tellStored(ctx context.Context, x *Explanation, p *probe) {
	if x.Key == nil {
		return
	}
	usable := false
	if e.memory != nil {
		x.Memory = held(e.memory.Held(ctx, p.req), &usable)
	}
	x.Shield, x.Storing = account(e.shield, p.req, &usable)
	if e.parent != nil {
		e.tellBeyond(ctx, x, p.req, &usable)
	}
	if !x.Now.Known {
		x.Now.IfOriginFails = "error"
		if usable {
			x.Now.IfOriginFails = "stale"
		}
	}
}

func storing(of string, r shield.Ruling) StoringVerdict {
	return StoringVerdict{Of: of, Store: r.Store, Status: r.Status, Reason: r.Reason, Findings: r.Findings}
}

// storedAgain rules on a stored response as if it came now, by the policy in force.
func storedAgain(req *policy.Request, stored *rfc9111.Response) shield.Ruling {
	asked := rfc9111.Request{Method: http.MethodGet, Header: rfc9111.Conditional(req.Header, nil)}
	v, findings := rfc9111.ExplainStorable(asked, stored, &req.Plan.Rules)
	return shield.Ruling{Response: stored, Storability: v, Findings: findings}
}

// tellFetched tells what the origin answered, and what was decided about that.
func tellFetched(x *Explanation, r *shield.Rehearsal) {
	heard := r.Heard()
	if heard == nil {
		return
	}
	x.Fetched = &FetchedResponse{Status: heard.Status, Header: heard.Header}
	if rulings := r.Rulings(); len(rulings) > 0 {
		x.Storing = append(x.Storing, storing("fetched", rulings[len(rulings)-1]))
	}
}

var reuses = map[rfc9111.Reuse]string{
	rfc9111.ReuseFresh: "fresh", rfc9111.ReuseStale: "stale", rfc9111.ReuseValidate: "validate", rfc9111.ReuseGateway: "gateway",
}

// held describes what is stored. usable becomes true when some of it may be served in the
// place of an origin that fails.
func held(all []rfc9111.Standing, usable *bool) *HeldTier {
	t := &HeldTier{Stored: []HeldObject{}}
	for _, s := range all {
		r, terms := s.Response, s.Response.Terms
		o := HeldObject{
			Selected: s.Selected, Vary: map[string]string{}, Status: r.Status, Length: r.Length,
			Coding: r.Header.Get("Content-Encoding"), Partial: r.Parts != nil,
			Age: inSeconds(s.Age), TTL: inSeconds(s.TTL), Lifetime: inSeconds(terms.Lifetime),
			Revalidate: inSeconds(terms.StaleWhileRevalidate), IfError: inSeconds(terms.StaleIfError),
			MustValidate: terms.MustRevalidate, NoCache: terms.NoCache,
			Tags: r.Tags, Epoch: r.Epoch, Purged: s.Purged, Softened: s.Softened, Unsure: s.Unsure,
			Reuse: reuses[s.Verdict.Reuse], Reason: s.Verdict.Reason, Findings: s.Findings, IfOriginFails: s.OnError,
		}
		for _, field := range r.Selection.Fields() {
			o.Vary[field[0]] = shown(field[0], field[1])
		}
		*usable = *usable || s.Selected && s.OnError && !s.Purged && !s.Unsure
		t.Stored = append(t.Stored, o)
	}
	return t
}

// shown is what somebody who asks about a stored response may see of the request that it
// was fetched for, who may be somebody else: the values of fields that name nobody.
func shown(name, value string) string {
	name = strings.ToLower(name)
	for _, plain := range []string{"accept", "sec-", "x-device", "origin", "user-agent", "save-data", "dnt"} {
		if strings.HasPrefix(name, plain) {
			return value
		}
	}
	if value == "-" {
		return value
	}
	return "..."
}

// inSeconds rounds to milliseconds. What no float holds is the largest lifetime.
func inSeconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
