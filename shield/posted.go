package shield

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// What a POST is answered with can be what a GET of its target would be answered with:
// the origin says so with Content-Location and an explicit lifetime, RFC 9110 9.3.3.
// Such an answer is stored while its client reads it, under the key of that GET. The
// GET is the one that a client with the same header would send.
//
// Two POSTs can race, or a POST and a purge. Let A and B be POSTs to one URL:
//
//  1. A is sent, and B is.
//  2. B is answered. What B's answer outdates is purged, at epoch 1.
//  3. A is answered, with content from before or after B's, nobody knows.
//  4. A's answer purges, at epoch 2.
//
// So an answer is kept only if nothing that names it came into force since its request
// was sent, up to its own rules, and it carries the epoch of these: 3 is not kept
// because of 2, and what was kept at 2 is outdated by 4.

// A posted is the answer to a POST as a GET would have it.
type posted struct {
	key    keying.Key
	header http.Header // of the request
	head   *rfc9111.Response
}

// posted returns what rep is to be kept as, or nil when it may not be.
func (s *Shield) posted(req *policy.Request, rep *reply) *posted {
	switch {
	case req.Bypass != rfc9111.StatusMethod, req.Method != http.MethodPost, req.Settling, req.Plan.Table == nil:
		return nil
	case !rep.framed || s.tooLong(rep.head.Length):
		return nil
	}
	plan, params, key, ok := asGet(req)
	if !ok {
		return nil
	}
	// First as it came: a field that the route of the GET removes counts for the POST.
	shared := rfc9111.Shared(rep.head, &plan.Rules)
	if !rfc9111.StorableForGet(verdictRequest(req), targetOf(req), shared, &plan.Rules).Store {
		return nil
	}
	head := *shared
	head.Header = shared.Header.Clone()
	for _, name := range plan.RemoveResponseHeaders {
		head.Header.Del(name)
	}
	v := rfc9111.StorableForGet(verdictRequest(req), targetOf(req), &head, &plan.Rules)
	if !v.Store || !decodable(head.Header, key.AcceptEncoding) {
		return nil
	}
	head.Header.Del("Age")
	head.Terms, head.Selection = v.Terms, v.Selection
	head.Tags = plan.ResponseTags(params, &head)
	return &posted{key: key.Key, header: req.Header, head: &head}
}

func targetOf(req *policy.Request) string { return req.Scheme + "://" + req.Host + req.Target }

// asGet finds the route and the key of a GET with req's target and header. ok is false
// when such a GET is not cached, or when its origin would not see what req's origin saw:
// what is not in the key must not have steered the answer.
func asGet(req *policy.Request) (plan *policy.Plan, params policy.Params, keyed keying.Keyed, ok bool) {
	path, query, _ := strings.Cut(req.Target, "?")
	match := &policy.MatchRequest{Method: http.MethodGet, Host: req.Host, Path: path, RawQuery: query, Header: req.Header}
	table := req.Plan.Table
	plan, params = table.Match(match)
	switch {
	case !plan.Edge || plan.Key == nil || plan.Split != nil || plan.SliceBytes > 0 || plan.Origin != req.Origin,
		plan.Isolated() != req.Plan.Isolated(), table.Ambiguous(match, plan):
		return nil, nil, keyed, false
	}
	for name := range req.Header {
		inKey := slices.Contains(plan.Key.Headers, name)
		if overrides(name) && !inKey || slices.Contains(plan.RemoveRequestHeaders, name) {
			return nil, nil, keyed, false
		}
	}
	keyed, err := plan.Key.Build(&keying.Request{
		Method: http.MethodGet, Scheme: req.Scheme, Host: req.Host, Target: req.Target, Header: req.Header,
	})
	if err != nil || keyed.QueryChanged || keyed.Device != "" {
		return nil, nil, keyed, false
	}
	return plan, params, keyed, true
}

// decodable says whether those who share a key accept the codings of a response. The
// POST went to the origin with its client's own Accept-Encoding.
func decodable(h http.Header, accepted string) bool {
	for _, line := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if !listed(strings.TrimSpace(coding), accepted) {
				return false
			}
		}
	}
	return true
}

// keepPosted purges by rules what ans has made outdated, and has its body stored on
// its way if that may be. since is before the request was sent.
func (s *Shield) keepPosted(ans *rfc9111.Answer, p *posted, since moment, rules []Rule) {
	if own := URLRule(p.key.Base()); !slices.Contains(rules, own) {
		rules = append(rules, own)
	}
	s.counts.invalidations.Add(int64(len(rules)))
	epoch, alone, err := s.purges.supersede(since, p.key, p.head, rules)
	if err != nil {
		s.report(err)
		return
	}
	if !alone {
		return
	}
	p.head.Epoch = epoch
	if body := s.newPostedBody(ans.Body, p); body != nil {
		ans.Body, ans.Decision.Stored = body, true
	}
}

// newPostedBody makes src a body that is stored while it is read, or nil when there is
// no room for it.
func (s *Shield) newPostedBody(src io.ReadCloser, p *posted) *postedBody {
	b := &postedBody{ReadCloser: src, s: s, posted: p}
	small := s.opts.Listener != nil && p.head.Length <= s.opts.MemoryObject
	if s.store == nil && !small {
		return nil
	}
	b.reserved = fullChunk
	if b.small = small; small {
		b.reserved += s.opts.MemoryObject
	}
	if s.flights.memory.Add(b.reserved) > s.opts.StreamMemory {
		s.flights.memory.Add(-b.reserved)
		return nil
	}
	if s.store != nil {
		var err error
		if b.w, err = s.store.Create(p.key, p.head); err != nil {
			s.flights.memory.Add(-b.reserved)
			s.counts.notStored.Add(1)
			s.report(fmt.Errorf("%w: create: %w", ErrStore, err))
			return nil
		}
	}
	return b
}
