package shield

import (
	"context"
	"io"
	"net/http"

	"weir/policy"
	"weir/rfc9111"
)

// bypass forwards a request that the caches must not see, both ways streaming.
func (s *Shield) bypass(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	since := s.purges.moment()
	ans, rep, err := s.pass(ctx, req, bypassed(req))
	if err != nil {
		return nil, err
	}
	if kept := s.posted(req, rep); kept != nil {
		s.keepPosted(ans, kept, since, s.outdates(req, ans.Head))
	} else {
		s.invalidate(s.outdates(req, ans.Head))
	}
	ans.Head = passedOn(ans.Head)
	return ans, nil
}

// bypassed is the decision about a request that the caches must not see.
func bypassed(req *policy.Request) rfc9111.Decision {
	d := rfc9111.Decision{
		Use: rfc9111.Bypass, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass,
		Status: req.Bypass, Forward: rfc9111.ForwardBypass,
	}
	if req.Bypass == rfc9111.StatusMethod {
		d.Forward = rfc9111.ForwardMethod
	}
	return d
}

// passAlone forwards a request whose answer could be cached in principle, but not
// for this request. detail says why, for people who debug.
func (s *Shield) passAlone(ctx context.Context, req *policy.Request, v rfc9111.Verdict, detail string) (*rfc9111.Answer, error) {
	ans, err := s.forwardAlone(ctx, req, v, detail)
	if err != nil {
		return nil, err
	}
	ans.Head = passedOn(ans.Head)
	return ans, nil
}

// forwardAlone is passAlone for one who has use for the times of the answer.
func (s *Shield) forwardAlone(ctx context.Context, req *policy.Request, v rfc9111.Verdict, detail string) (*rfc9111.Answer, error) {
	d := rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass, Status: rfc9111.StatusPass, Forward: v.Forward, Detail: detail}
	if d.Forward == "" {
		d.Forward = rfc9111.ForwardMiss
	}
	ans, _, err := s.pass(ctx, req, d)
	if err != nil {
		return nil, err
	}
	if st := s.storable(verdictRequest(req), rfc9111.Shared(ans.Head, &req.Plan.Rules), &req.Plan.Rules); !st.Store {
		ans.Decision.Status = st.Status
	}
	return ans, nil
}

// pass forwards a request as it is. The reply's body is the answer's.
func (s *Shield) pass(ctx context.Context, req *policy.Request, d rfc9111.Decision) (*rfc9111.Answer, *reply, error) {
	if s.rehearsal.stops(d) {
		return nil, nil, errUnasked
	}
	s.counts.passed.Add(1)
	rep, err := s.sendPass(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	s.rehearsal.hears(rep.head)
	head := s.trimmed(req, rep.head)
	ans := &rfc9111.Answer{Head: head, Decision: d}
	switch {
	case head.Status == http.StatusSwitchingProtocols:
		ans.Body = rep.body
		// They are the message here, not its framing, RFC 9110 7.8.
		head.Header.Set("Connection", "Upgrade")
		head.Header.Set("Upgrade", rep.upgrade)
	case req.Method == http.MethodHead:
		_ = rep.body.Close()
	default:
		rep.body.endless(head.Header.Get("Content-Type"))
		ans.Body, ans.Trailer = oneWay{rep.body}, trailerFor(req, rep.trailer, nil)
	}
	return ans, rep, nil
}

// oneWay hides that a body could be written to.
type oneWay struct{ io.ReadCloser }

// outdates names what a successful unsafe request made outdated, RFC 9111 4.4 and
// RFC 9875 3.
func (s *Shield) outdates(req *policy.Request, head *rfc9111.Response) []Rule {
	var rules []Rule
	for _, target := range rfc9111.Invalidates(req.Method, targetOf(req), head.Status, head.Header) {
		if u, ok := splitURL(target); ok {
			rules = append(rules, urlRules(req.Plan.Table, u)...)
		}
	}
	for _, group := range rfc9111.InvalidatedGroups(req.Method, head.Status, head.Header) {
		rules = append(rules, GroupRule(req.Scheme, req.Host, group))
	}
	return rules
}

// invalidate purges what a request made outdated, before its client hears of the success.
// Also when nothing is known to be stored: a URL has any number of keys, and nobody can
// tell for certain what is stored, being written or on its way under one of them.
func (s *Shield) invalidate(rules []Rule) {
	if len(rules) == 0 {
		return
	}
	s.counts.invalidations.Add(int64(len(rules)))
	if _, err := s.purges.Add(rules...); err != nil {
		s.report(err)
	}
}
