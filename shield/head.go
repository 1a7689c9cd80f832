package shield

import (
	"context"
	"errors"
	"fmt"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// fetchHead answers HEAD from a stored GET, RFC 9110 9.3.2; the answer is that of
// the GET, and whoever renders it leaves the body out. What the store cannot answer is
// forwarded as it is. The answer is never stored; it only says whether what is
// stored is still current, RFC 9111 4.3.5.
func (s *Shield) fetchHead(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	// Noted before anything is looked at: a purge from here on wins.
	epoch := s.purges.fillEpoch()
	obj, verdict := s.find(req)
	if unfit(req, obj) {
		closeObject(obj)
		return s.passUnfit(ctx, req)
	}
	var stored *rfc9111.Response
	if obj != nil {
		stored = obj.Response()
	} else if ans := s.sliceHead(ctx, req); ans != nil {
		return s.fitting(ctx, req, ans, nil)
	}
	if obj == nil {
		if ans, err := s.fromParts(ctx, req); ans != nil || err != nil {
			return ans, err
		}
	}
	if ans, err := s.fromStore(ctx, req, obj, verdict); ans != nil || err != nil {
		return ans, err
	}
	ans, err := s.forwardAlone(ctx, req, verdict, "")
	if err != nil {
		return nil, err
	}
	if stored != nil && !req.Settling {
		ans.Head.Epoch = epoch
		if current, err := s.headed(ctx, req, stored, ans); current != nil || err != nil {
			return current, err
		}
	}
	ans.Head = passedOn(ans.Head)
	return ans, nil
}

// headed applies an answer to HEAD to what is stored. If that is still current, the
// client gets what a GET would get from here on. Otherwise the answer is nil.
func (s *Shield) headed(ctx context.Context, req *policy.Request, stored *rfc9111.Response, ans *rfc9111.Answer) (*rfc9111.Answer, error) {
	fresh, effect := rfc9111.FreshenByHead(verdictRequest(req), stored, ans.Head, &req.Plan.Rules)
	switch effect {
	case rfc9111.HeadOutdates:
		if done, _ := s.freshen(req.Keyed.Key, stored, stored.Outdated()); done && s.opts.Listener != nil {
			s.opts.Listener.Dropped(req.Keyed.Key, stored.Selection)
		}
		return nil, nil
	case rfc9111.HeadNothing:
		return nil, nil
	}
	fresh.Tags = req.Plan.ResponseTags(req.Params, fresh)
	if s.purges.Purged(req.Keyed.Key, fresh) {
		return nil, nil
	}
	if done, _ := s.freshen(req.Keyed.Key, stored, fresh); !done { // why is reported
		return nil, nil
	}
	s.counts.validated.Add(1)
	obj := s.lookup(req)
	if obj == nil || !obj.Response().ResponseTime.Equal(fresh.ResponseTime) {
		closeObject(obj)
		return nil, nil
	}
	d := ans.Decision
	d.Shield, d.Status, d.Stored = rfc9111.TierHit, rfc9111.StatusOK, true
	current, err := s.serve(ctx, req, obj, d)
	if current != nil {
		current.Head = rfc9111.WithPersonal(current.Head, ans.Head, &req.Plan.Rules)
	}
	return current, err
}

// freshen puts head in the place of stored, and says whether it could. ErrReplaced says
// that what was stored is not to be used any more.
func (s *Shield) freshen(key keying.Key, stored, head *rfc9111.Response) (bool, error) {
	if s.purgedSince(key, stored, head.Epoch) {
		return false, ErrReplaced
	}
	err := s.store.Freshen(key, stored, head)
	if err != nil && !errors.Is(err, ErrReplaced) {
		s.report(fmt.Errorf("%w: freshen: %w", ErrStore, err))
	}
	// The new head may lack the tag by which a purge named the old one meanwhile.
	if err == nil && s.purgedSince(key, stored, head.Epoch) {
		s.forget(key, stored.Selection)
		return false, ErrReplaced
	}
	return err == nil, err
}

// purgedSince says whether a purge after an epoch names what is stored. A soft one counts
// too: a newer head may lack the tag by which it named the older.
func (s *Shield) purgedSince(key keying.Key, stored *rfc9111.Response, epoch uint64) bool {
	was := *stored
	was.Epoch = max(was.Epoch, epoch)
	return s.purges.Purged(key, &was) || s.purges.Softened(key, &was)
}
