package shield

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// ErrParent means that the shield of all regions did not answer, and that nothing came
// of the request: it may be sent elsewhere.
var ErrParent = errors.New("shield: the parent cannot be reached")

// parentGrace is how long a parent may be looked for.
const parentGrace = 10 * time.Second

// Parent is the tier that a node without a store of its own asks: the shield of all
// regions. Its methods are called concurrently.
type Parent interface {
	// Fetch answers req as [Shield.Fetch] does. The answer's head has the times of this
	// node's clock and the epoch of its fill, or after an unsafe request the epoch that the
	// purges had come to then, which this node knows by now if that can be. An error that wraps [ErrParent] says that
	// the request may be sent elsewhere, and that its Stream was not read.
	Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error)
}

// fetchUp answers req from the parent, together with others who want the same. With an
// error that wraps ErrParent nothing has come of it.
func (s *Shield) fetchUp(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if s.goesUpAlone(req) {
		return s.askUp(ctx, req)
	}
	k := ticket{req: req}
	switch {
	case s.passes.holds(req.Keyed.Key.Digest(), s.opts.Now()):
		s.counts.hitForPass.Add(1)
		return s.askUp(ctx, req)
	case req.Header.Get("Authorization") != "":
		k.alone, k.detail = true, "authorization"
	case req.Header.Get("Range") != "":
		k.alone = true // what comes back is the whole of a small object, or this range for this client
	}
	var learned []rfc9111.Selection
	for range maxRounds {
		k.known = learned
		ans, again, err := s.ride(ctx, k)
		switch {
		case again == nil:
			return ans, err
		case again.alone, again.unfit, again.whole:
			return s.askUp(ctx, req)
		}
		learned = append(learned, again.learned...)
	}
	return s.askUp(ctx, req)
}

// goesUpAlone says whether req's answer is for its client alone, or depends on more than
// what a flight asks for.
func (s *Shield) goesUpAlone(req *policy.Request) bool {
	if req.Bypass != "" || req.Method == http.MethodHead || req.MinEpoch > s.purges.Newest() {
		return true
	}
	v := rfc9111.Judge(verdictRequest(req), nil, &req.Plan.Rules, s.opts.Now())
	return v.Reuse == rfc9111.ReuseGateway || !s.mayStore(req)
}

// askUp has the parent answer for one client. What it answers is not kept here.
func (s *Shield) askUp(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	ans, err := s.fromParent(ctx, req)
	if err != nil {
		return nil, err
	}
	ans.Alone = true
	if ans.Head.Epoch > s.purges.Current() { // what it made out of date is known there, and was not heard of here
		s.invalidate(s.outdates(req, ans.Head))
	}
	return ans, nil
}

// fromParent asks the parent once. What this node has made out of date while it could not
// reach the parent, which therefore may still have it, is no answer.
func (s *Shield) fromParent(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if s.rehearsal.stops(upwards(req)) {
		return nil, errUnasked
	}
	s.counts.asked.Add(1)
	ans, err := s.opts.Parent.Fetch(ctx, req)
	if err == nil && ans.Decision.Shared() && s.purges.disowns(req.Keyed.Key, ans.Head) {
		closeAnswer(ans)
		return nil, fmt.Errorf("%w: it has not heard of what is out of date", ErrParent)
	}
	return ans, err
}

// upwards is what is known of the decision about a request for the parent.
func upwards(req *policy.Request) rfc9111.Decision {
	if req.Bypass != "" {
		return bypassed(req)
	}
	return rfc9111.Decision{Use: rfc9111.Miss, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass}
}

// fallsBack says whether err leaves req to the origin.
func (s *Shield) fallsBack(req *policy.Request, err error) bool {
	if !errors.Is(err, ErrParent) || req.Plan.Table != nil && !req.Plan.Table.Fallback {
		return false
	}
	s.counts.fallbacks.Add(1)
	return true
}

// switches says whether req asks for another protocol. Its connection goes to the origin
// directly: there is nothing in it for a cache.
func switches(req *policy.Request) bool { return req.Header.Get("Upgrade") != "" }

// flyUp asks the parent, and the origin when there is no parent and the policy allows it.
func (s *Shield) flyUp(f *flight) {
	ans, err := s.fromParent(f.ctx, forParent(f))
	if s.fallsBack(f.req, err) {
		s.fly(f)
		return
	}
	if err != nil {
		if !errors.Is(err, errAbandoned) {
			s.rememberFailure(f.key)
		}
		s.flights.settle(f, outcome{kind: failed, err: err})
		return
	}
	if f.leaderless && ans.Decision.Use == rfc9111.Stale {
		s.rememberFailure(f.key) // or each use here would ask for the refresh that the parent failed to make
	}
	s.receiveUp(f, ans)
}

// forParent is what a flight asks the parent with: in a coding that all who share the key
// can be given, and without what its first client alone compares with.
func forParent(f *flight) *policy.Request {
	own := *f.req
	if !f.alone {
		own.Header = rfc9111.Conditional(f.req.Header, nil)
	}
	own.Keyed.Accepts = keying.Accept(http.Header{"Accept-Encoding": {f.req.Keyed.AcceptEncoding}})
	own.TakesTrailers = true
	own.Interim = func(status int, header http.Header) { f.early.add(interim{status, header}) }
	own.MustBeFresh = f.leaderless
	return &own
}

// receiveUp decides at the head what becomes of the parent's answer. What the parent
// says of it is taken as it is: terms, tags, variant and epoch.
func (s *Shield) receiveUp(f *flight, ans *rfc9111.Answer) {
	f.above, f.reply = true, replyOf(f, ans)
	head, d, rules := ans.Head, ans.Decision, &f.req.Plan.Rules
	shared := rfc9111.Shared(head, rules)
	f.own = rfc9111.WithPersonal(shared, head, rules)
	switch {
	case !d.Shared() && d.Detail == "hit-for-pass":
		s.avoid(f.req)
	case ans.Alone, head.Parts != nil, ranged(head.Status), !d.Shared() && f.alone && hasOwnTerms(f.req.Header):
		// For its leader, who asked for a part or a comparison, and says nothing about the key.
	case !d.Shared():
		s.rememberPass(f.req, shared)
	default:
		small := s.opts.Listener != nil && shared.Length <= s.opts.MemoryObject
		if s.flights.claim(f, claim{head: shared, wanted: small && s.mayKeep(f, shared), open: shareable(shared)}) {
			s.fill(f, shared, d)
			return
		}
	}
	f.reply.body.endless(head.Header.Get("Content-Type"))
	s.flights.settle(f, outcome{kind: passing, head: head, decision: d, trailer: f.reply.trailer})
}

// replyOf is an answer of the parent as a flight receives what it asked for.
func replyOf(f *flight, ans *rfc9111.Answer) *reply {
	body := ans.Body
	if body == nil {
		body = io.NopCloser(bytes.NewReader(ans.Bytes))
	}
	return &reply{
		head: ans.Head, framed: true, trailer: ans.Trailer,
		body: &replyBody{src: body, ctx: f.ctx, cancel: func(error) {}},
	}
}

// declared is a body that must be as long as was said, unless that is negative.
type declared struct {
	src  io.Reader
	left int64
}

func (d *declared) Read(p []byte) (int, error) {
	n, err := d.src.Read(p)
	if d.left < 0 {
		return n, err
	}
	d.left -= int64(n)
	switch {
	case d.left < 0:
		return n, fmt.Errorf("%w: body longer than its length", ErrOriginProtocol)
	case d.left > 0 && errors.Is(err, io.EOF):
		return n, fmt.Errorf("%w: %d bytes are missing", ErrOriginTruncated, d.left)
	}
	return n, err
}
