package shield

import (
	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// An Account is what a shield has and knows that bears on a request. Nothing changes by it.
type Account struct {
	Listed     bool               // the store can tell what there is
	Stored     []rfc9111.Standing // under its key, the newest first; parts and the first slice included
	HitForPass bool               // its key was not cacheable a short while ago: nobody waits for anybody
	Failing    bool               // its origin failed a moment ago
	Fetching   bool               // a fetch for its key is under way, which it would join if it came now
	Best       Ruling             // on the best answer there could be: what the request alone rules out
}

// Account tells what there is about req, of which a key was made.
func (s *Shield) Account(req *policy.Request) Account {
	now := s.opts.Now()
	a := Account{
		HitForPass: s.passes.holds(req.Keyed.Key.Digest(), now), Failing: s.isFailing(req, now),
		Fetching: s.flights.anyFor(req.Keyed.Key), Best: s.bestRuling(req),
	}
	if census, ok := s.store.(Census); ok {
		a.Listed = true
		keys := []keying.Key{req.Keyed.Key, partsKey(req.Keyed.Key)}
		if req.Plan.SliceBytes > 0 {
			keys = append(keys, sliceKey(req, 0))
		}
		for _, key := range keys {
			for _, head := range census.Variants(key) {
				a.Stored = append(a.Stored, s.standing(req, key, head))
			}
		}
	}
	return a
}

// standing says how a stored head stands towards req, by what the look-up goes by.
func (s *Shield) standing(req *policy.Request, key keying.Key, head *rfc9111.Response) rfc9111.Standing {
	st := rfc9111.Stand(verdictRequest(req), head, &req.Plan.Rules, s.judgedAt(key, head))
	st.Age = head.Age(s.opts.Now())
	st.Purged, st.Softened = s.purges.Purged(key, head), s.purges.Softened(key, head)
	return st
}

// bestRuling explains what mayStore decides, for an answer with status 200.
func (s *Shield) bestRuling(req *policy.Request) Ruling {
	best := s.best()
	v, findings := rfc9111.ExplainStorable(verdictRequest(req), best, &req.Plan.Rules)
	return Ruling{best, v, findings}
}

// anyFor says whether a flight for key is listed.
func (t *flights) anyFor(key keying.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.slots[key.Bytes()]) > 0
}
