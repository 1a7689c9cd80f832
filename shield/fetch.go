package shield

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// maxRounds is how often a request looks and joins again, because the flight it
// was in came to something that it cannot use, before it goes alone.
const maxRounds = 6

// Fetch answers req from the store or from its origin. ctx is the client's: when
// it ends, the client's part ends.
func (s *Shield) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if s.isClosed() {
		return nil, ErrClosed
	}
	ans, err := s.dispatch(ctx, req)
	if err != nil {
		s.counts.error(err)
		return nil, err
	}
	return ans, nil
}

func (s *Shield) dispatch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if s.opts.Parent != nil && !switches(req) {
		if ans, err := s.fetchUp(ctx, req); !s.fallsBack(req, err) {
			return ans, err
		}
	}
	switch {
	case req.Bypass != "":
		return s.bypass(ctx, req)
	case req.MinEpoch > s.purges.Newest(): // of a purge that is not known here
		return s.passAlone(ctx, req, rfc9111.Verdict{Forward: rfc9111.ForwardRequest}, "min-epoch")
	case req.Method == http.MethodHead:
		return s.fetchHead(ctx, req)
	}
	k := ticket{req: req, part: partOf(req)}
	var learned []rfc9111.Selection
	for round := range maxRounds {
		obj, verdict := s.find(req)
		if unfit(req, obj) {
			closeObject(obj)
			return s.passUnfit(ctx, req)
		}
		if obj == nil && round == 0 && s.sliceable(req) {
			if ans, err := s.fetchSliced(ctx, req); !errors.Is(err, errWhole) {
				return ans, err
			}
		}
		if obj == nil {
			if ans, err := s.fromParts(ctx, req); ans != nil || err != nil {
				return ans, err
			}
		}
		personal := s.forItsClient(req, obj)
		if personal && obj != nil && req.MustBeFresh { // an edge's refresh: nobody waits for it, and all are to have it
			req, personal = anonymous(req), false
			k.req = req
		}
		if ans, err := s.fromStore(ctx, req, obj, verdict); ans != nil || err != nil {
			return ans, err
		}
		if round == 0 && !s.mayStore(req) {
			return s.passAlone(ctx, req, verdict, "")
		}
		switch {
		case s.passes.holds(req.Keyed.Key.Digest(), s.opts.Now()):
			s.counts.hitForPass.Add(1)
			k.alone, k.ownCodings, k.detail = true, true, "hit-for-pass"
		case personal:
			k.alone, k.detail = true, "authorization"
		case round == maxRounds-1:
			k.alone = true
		}
		if k.alone && hasOwnTerms(req.Header) {
			return s.passAlone(ctx, req, verdict, k.detail)
		}
		if k.alone || obj != nil {
			k.part = ""
		}
		k.known = append(s.varies(req), learned...)
		ans, again, err := s.ride(ctx, k)
		if req.Whole == nil && errors.Is(err, errWhole) {
			continue // the flight was a slice's, and something whole is stored by now
		}
		switch {
		case again == nil:
			return ans, err
		case again.unfit:
			return s.passUnfit(ctx, req)
		}
		learned = append(learned, again.learned...)
		k.alone, k.ownCodings = k.alone || again.alone, k.ownCodings || again.alone
		if again.whole {
			k.part = ""
		}
	}
	return nil, fmt.Errorf("%w: no flight had an answer for the request", ErrOverloaded)
}

// forItsClient says whether what the origin answers to req is probably for its client
// alone: not when the stored response, which may be nil, permits more, RFC 9111 3.5.
func (s *Shield) forItsClient(req *policy.Request, stored Object) bool {
	return req.Header.Get("Authorization") != "" &&
		(stored == nil || !rfc9111.Storable(verdictRequest(req), stored.Response(), &req.Plan.Rules).Store)
}

// anonymous is req of somebody without Authorization.
func anonymous(req *policy.Request) *policy.Request {
	own := *req
	own.Header = req.Header.Clone()
	own.Header.Del("Authorization")
	return &own
}

// hasOwnTerms says whether a client asked for a part or for a comparison. Alone,
// such a request is best forwarded as it is.
func hasOwnTerms(h http.Header) bool {
	if h.Get("Range") != "" {
		return true
	}
	for _, f := range conditionalFields {
		if h.Get(f) != "" {
			return true
		}
	}
	return false
}

// bestResponse is as storable as a response can be.
var bestResponse = http.Header{"Cache-Control": {"public, max-age=3600"}}

// best is such a response that comes now.
func (s *Shield) best() *rfc9111.Response {
	now := s.opts.Now()
	return &rfc9111.Response{Status: http.StatusOK, Header: bestResponse, RequestTime: now, ResponseTime: now}
}

// mayStore says whether any response to req could be stored: not when the request
// or its route forbids it. Nobody should wait for such a request.
func (s *Shield) mayStore(req *policy.Request) bool {
	rules := &req.Plan.Rules
	if !rfc9111.StorableRequest(verdictRequest(req), rules) {
		return false
	}
	if rules.Lifetime == nil && rules.StatusLifetimes == nil {
		return true // the origin decides
	}
	best := s.best()
	if rfc9111.Storable(verdictRequest(req), best, rules).Store {
		return true
	}
	for best.Status = range rules.StatusLifetimes {
		if rfc9111.Storable(verdictRequest(req), best, rules).Store {
			return true
		}
	}
	return false
}

func verdictRequest(req *policy.Request) rfc9111.Request {
	return rfc9111.Request{Method: req.Method, Header: req.Header}
}

func (s *Shield) varies(req *policy.Request) []rfc9111.Selection {
	if s.store == nil {
		return nil
	}
	return s.store.Varies(req.Keyed.Key)
}

// find looks req up in the store, past what a purge forbids.
func (s *Shield) find(req *policy.Request) (Object, rfc9111.Verdict) {
	var stored *rfc9111.Response
	obj := s.lookup(req)
	if obj != nil {
		stored = obj.Response()
	}
	return obj, s.judge(req, req.Keyed.Key, stored)
}

// judge decides whether stored, which may be nil, may answer req.
func (s *Shield) judge(req *policy.Request, key keying.Key, stored *rfc9111.Response) rfc9111.Verdict {
	return rfc9111.Judge(verdictRequest(req), stored, &req.Plan.Rules, s.judgedAt(key, stored))
}

// usableOnError says whether stored may answer req because the origin failed.
func (s *Shield) usableOnError(req *policy.Request, key keying.Key, stored *rfc9111.Response) bool {
	return rfc9111.UsableOnError(verdictRequest(req), stored, &req.Plan.Rules, s.judgedAt(key, stored))
}

// judgedAt is the time at which stored is looked at: now, unless a soft purge made it
// stale before its time.
func (s *Shield) judgedAt(key keying.Key, stored *rfc9111.Response) time.Time {
	now := s.opts.Now()
	if stored != nil && s.purges.Softened(key, stored) {
		return stored.StaleSince(now)
	}
	return now
}

func (s *Shield) lookup(req *policy.Request) Object {
	if s.store == nil {
		return nil
	}
	obj, err := s.store.Lookup(req.Keyed.Key, req.Header)
	if err != nil {
		s.report(fmt.Errorf("%w: look-up: %w", ErrStore, err))
		return nil
	}
	if obj == nil {
		return nil
	}
	if s.purges.Purged(req.Keyed.Key, obj.Response()) {
		_ = obj.Close()
		return nil
	}
	return obj
}

func (s *Shield) report(err error) {
	s.counts.error(err)
	s.opts.Report(err)
}

// fromStore answers from obj when the verdict allows it, or returns nil. obj is
// used up in every case.
func (s *Shield) fromStore(ctx context.Context, req *policy.Request, obj Object, v rfc9111.Verdict) (*rfc9111.Answer, error) {
	if v.Reuse == rfc9111.ReuseGateway {
		closeObject(obj)
		return nil, ErrOnlyIfCached
	}
	if obj == nil {
		return nil, nil
	}
	d := rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK}
	switch {
	case v.Reuse == rfc9111.ReuseFresh:
		s.counts.hits.Add(1)
	case v.Reuse == rfc9111.ReuseStale && !req.MustBeFresh:
		s.counts.staleHits.Add(1)
		d.Use = rfc9111.Stale
		s.Refresh(req)
	default:
		if !s.isFailing(req, s.opts.Now()) || !s.usableOnError(req, req.Keyed.Key, obj.Response()) {
			closeObject(obj)
			return nil, nil
		}
		s.counts.staleOnError.Add(1)
		d.Use, d.Detail = rfc9111.Stale, "origin-failing"
	}
	return s.serve(ctx, req, obj, d)
}

// isFailing says whether req's origin failed a moment ago, for this key or for so
// many that it is out. It is not asked for every request that can do without.
func (s *Shield) isFailing(req *policy.Request, now time.Time) bool {
	return s.failing.holds(req.Keyed.Key.Digest(), now) || s.origins.out(req, now)
}

func closeObject(obj Object) {
	if obj != nil {
		// What could not be closed is the store's to report.
		_ = obj.Close()
	}
}

func (s *Shield) withTTL(d rfc9111.Decision, key keying.Key, head *rfc9111.Response) rfc9111.Decision {
	d.TTL, d.HasTTL = head.TTL(s.judgedAt(key, head)), true
	return d
}

// another says how a request has to go on.
type another struct {
	alone   bool
	whole   bool // a part is not enough
	unfit   bool // nothing that is for everybody fits its client
	learned []rfc9111.Selection
}

// ride takes a seat in a flight and waits for its head. A non-nil another means
// that the flight has nothing for this request.
func (s *Shield) ride(ctx context.Context, k ticket) (*rfc9111.Answer, *another, error) {
	if !s.begin() {
		return nil, nil, ErrClosed
	}
	st, started, err := s.flights.join(ctx, k)
	if started {
		s.crew.start(st.f)
	} else {
		s.running.Done()
	}
	if err != nil {
		return nil, nil, err
	}
	if err := st.await(ctx, k.req); err != nil {
		s.flights.leave(st)
		return nil, nil, err
	}
	return s.arrive(ctx, k.req, st)
}

// arrive makes the answer of one seat out of what its flight came to.
func (s *Shield) arrive(ctx context.Context, req *policy.Request, st seat) (*rfc9111.Answer, *another, error) {
	out := &st.f.out
	if out.kind == failed {
		s.flights.leave(st)
		return nil, nil, out.err
	}
	forLeader := out.kind == passing || out.asked && !out.onError && !shareable(out.head)
	if forLeader && !st.leader {
		s.flights.leave(st)
		return nil, &another{alone: true}, nil
	}
	if !st.leader && !out.head.Selection.Matches(req.Header) {
		s.flights.leave(st)
		return nil, &another{learned: []rfc9111.Selection{out.head.Selection}}, nil
	}
	if !st.leader && st.outdated(s.purges) {
		s.flights.leave(st)
		return nil, &another{}, nil
	}
	switch {
	case req.Whole == nil && out.kind != passing && !rfc9111.Suffices(verdictRequest(req), out.head):
		s.flights.leave(st)
		return nil, &another{whole: true}, nil
	case ranged(out.head.Status) && req.Header["If-Range"] != nil:
		s.flights.leave(st) // the origin was not asked so
		return nil, &another{alone: true}, nil
	case (!st.leader || !st.f.apart) && (req.Fit(out.head) == policy.Unfit || ofAnotherSize(req, out.head)):
		s.flights.leave(st)
		return nil, &another{unfit: true}, nil
	}
	d := out.decision
	if !st.leader {
		d.Collapsed = true
		s.counts.collapsed.Add(1)
	}
	switch out.kind {
	case passing:
		stop := context.AfterFunc(ctx, func() { st.f.cancel(context.Cause(ctx)) })
		body := &seatBody{Reader: st.f.reply.body, leave: func() { stop(); st.f.cancel(errAbandoned); s.flights.leave(st) }}
		return &rfc9111.Answer{Head: out.head, Body: body, Trailer: trailerFor(req, out.trailer, nil), Alone: st.f.above, Decision: d}, nil, nil
	case object:
		return s.arriveObject(req, st, d)
	default:
		return s.arriveSharing(req, st, s.withTTL(d, st.f.key, out.head)), nil, nil
	}
}

// ranged says whether a status answers a Range.
func ranged(status int) bool {
	return status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable
}

func (s *Shield) arriveObject(req *policy.Request, st seat, d rfc9111.Decision) (*rfc9111.Answer, *another, error) {
	out, key := &st.f.out, st.f.storedAt()
	switch {
	case out.onError && !s.usableOnError(req, key, out.head):
		s.flights.leave(st)
		if errors.Is(out.err, ErrOriginFailed) {
			return nil, &another{alone: true}, nil // for the origin's own words about it
		}
		return nil, nil, out.err
	case !out.asked && s.judge(req, key, out.head).Reuse != rfc9111.ReuseFresh:
		s.flights.leave(st)
		return nil, &another{}, nil
	}
	if out.onError {
		s.counts.staleOnError.Add(1)
	}
	ans := &rfc9111.Answer{Head: out.headFor(st), Decision: s.withTTL(d, key, out.head)}
	if out.held == nil {
		ans.Bytes = out.whole
		s.flights.leave(st)
		return ans, nil, nil
	}
	body := &objectBody{obj: out.held, size: out.head.Length, end: func() { s.flights.leave(st) }}
	ans.Body, ans.At = body, body
	return ans, nil, nil
}

func (s *Shield) arriveSharing(req *policy.Request, st seat, d rfc9111.Decision) *rfc9111.Answer {
	out := &st.f.out
	var reserved []string
	if !st.leader {
		reserved = rfc9111.Reserved(out.head.Header, &req.Plan.Rules)
	}
	trailer := trailerFor(req, out.trailer, reserved)
	if whole, ok := st.f.body.finished(); ok && (trailer == nil || len(trailer.Fields()) == 0) {
		s.flights.leave(st)
		return &rfc9111.Answer{Head: ofLength(out.headFor(st), int64(len(whole))), Bytes: whole, Decision: d}
	}
	body := &sharedBody{reader: st.reader, counts: &s.counts, leave: func() { s.flights.leave(st) }}
	return &rfc9111.Answer{Head: out.headFor(st), Body: body, Trailer: trailer, Decision: d}
}

// Refresh fetches req's key in the background, unless that is under way already,
// or failed a moment ago, or too many refreshes are, or nothing would be stored. It
// returns at once.
func (s *Shield) Refresh(req *policy.Request) {
	if s.rehearsal != nil || req.Settling || s.isFailing(req, s.opts.Now()) || !s.begin() {
		return
	}
	if s.counts.refreshing.Add(1) > int64(s.opts.MaxRefreshes) {
		s.counts.refreshing.Add(-1)
		s.running.Done()
		return
	}
	f := s.flights.startUnless(ticket{req: req, known: s.varies(req)})
	if f == nil {
		s.counts.refreshing.Add(-1)
		s.running.Done()
		return
	}
	s.counts.refreshes.Add(1)
	s.crew.start(f)
}

// forRefresh makes a client's request the shield's own: a GET, and without what the
// client says about caching its answer.
func forRefresh(req *policy.Request) *policy.Request {
	own := *req
	if own.Method == http.MethodHead {
		own.Method = http.MethodGet
	}
	own.Header = req.Header.Clone()
	own.Header.Del("Cache-Control")
	own.Header.Del("Pragma")
	own.Interim = nil // the client may be gone
	return &own
}
