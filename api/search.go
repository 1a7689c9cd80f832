package api

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// maxSearches is how many paths are remembered at least; at most twice as many are.
const maxSearches = 4096

// searches remembers what origins say in No-Vary-Search about the queries of a path.
// A request is keyed by what its path's latest answer said, and that is only a guess:
// the answer that comes has to say so of itself, or it is not used, see exchange.fetch.
// So what is remembered, forgotten or made up by an origin costs a request at worst.
type searches struct {
	mu sync.Mutex // guards both
	// Two generations, of which the older one is dropped when the younger is full.
	// What is used moves to the younger.
	young, old map[searchPath]searchRule

	under *searches // of a rehearsal: what is remembered where nothing is learned here
}

// searchPath is what one rule is for. No path of another host, route or side of a
// split test is touched by it.
type searchPath struct {
	route, destination string
	base               keying.Digest // of scheme, host and path
}

// searchRule is what an answer said. An answer that says nothing is remembered where it
// takes back what another said, so that older answers in a cache do not say it again.
type searchRule struct {
	field  string         // as it stood
	search *keying.Search // nil: every query is a page of its own
	at     time.Time      // when the answer came
}

func (s *searches) find(p searchPath) searchRule {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.young[p]
	if !ok {
		if r, ok = s.old[p]; ok {
			s.putLocked(p, r)
		}
	}
	if !ok && s.under != nil {
		return s.under.find(p)
	}
	return r
}

// learn notes a rule unless a later one is known.
func (s *searches) learn(p searchPath, r searchRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.young[p]
	if !ok {
		known, ok = s.old[p]
	}
	if ok && !r.at.Before(known.at) || !ok && r.search != nil {
		s.putLocked(p, r)
	}
}

func (s *searches) putLocked(p searchPath, r searchRule) {
	if len(s.young) >= maxSearches || s.young == nil {
		s.old, s.young = s.young, make(map[searchPath]searchRule)
	}
	s.young[p] = r
}

// search is one request's part in it.
type search struct {
	path  searchPath
	asked keying.Request // what the key is made of, the rule aside
	rule  searchRule     // that the key was made by
}

// searchOf returns the request's part, nil when its route leaves the origin no say.
func (x *exchange) searchOf(req *policy.Request, asked keying.Request) *search {
	read := req.Method == http.MethodGet || req.Method == http.MethodHead
	if !req.Plan.NoVarySearch || !read || x.peer != nil { // the edge asks twice if need be
		return nil
	}
	path, _, _ := strings.Cut(asked.Target, "?")
	s := &search{path: searchPath{req.Plan.Route, asked.Destination, keying.Base(asked.Scheme, asked.Host, path)}, asked: asked}
	s.rule = x.door.searches.find(s.path)
	return s
}

// fetch asks the tier, and once more with the whole query when the answer does not say
// of itself that it is the answer to this query, too.
func (x *exchange) fetch(req *policy.Request) (*policy.Request, *rfc9111.Answer, error) {
	ans, err := x.door.tier.Fetch(x.r.Context(), req)
	if err != nil || x.search == nil || x.heed(req, ans) {
		return req, ans, err
	}
	if ans.Body != nil {
		_ = ans.Body.Close() // nobody reads it
	}
	whole, err := req.Plan.Key.Build(&x.search.asked)
	if err != nil {
		return req, nil, err
	}
	again := *req // the tier may still look at the first
	again.Keyed, again.Target, again.WholeKey = whole, whole.Target, keying.Digest{}
	x.search.rule = searchRule{}
	x.record.Key = whole.Key.Digest()
	if ans, err = x.door.tier.Fetch(x.r.Context(), &again); err == nil {
		x.heed(&again, ans)
	}
	return &again, ans, err
}

// heed notes what ans says about queries, and says whether it may answer req: whether
// what was asked for and what the tier was asked for are the same by what it says itself.
func (x *exchange) heed(req *policy.Request, ans *rfc9111.Answer) bool {
	if ans.Head.Status == http.StatusNotModified {
		return true // is about what the client has
	}
	s := x.search
	said := searchRule{field: rfc9111.SearchField(ans.Head.Header), at: ans.Head.ResponseTime}
	if said.at.IsZero() { // passed on
		said.at = x.door.opts.Now()
	}
	if said.field == s.rule.field {
		said.field, said.search = s.rule.field, s.rule.search
	} else {
		said.field = strings.Clone(said.field) // or all of the head would be remembered
		if v, ok := rfc9111.NoVarySearch(http.Header{"No-Vary-Search": {said.field}}); ok {
			said.search = &keying.Search{All: v.All, Names: v.Names, AnyOrder: v.AnyOrder}
		}
	}
	x.door.searches.learn(s.path, said)
	if s.rule.search == nil || said.field == s.rule.field {
		return true
	}
	asked, got := s.asked, s.asked
	asked.Search, got.Search, got.Target = said.search, said.search, req.Target
	one, err := req.Plan.Key.Build(&asked)
	other, errOther := req.Plan.Key.Build(&got)
	return err == nil && errOther == nil && one.Key == other.Key
}
