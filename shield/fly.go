package shield

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"weir/policy"
	"weir/rfc9111"
)

// run is the function of a flight, in its own goroutine.
func (s *Shield) run(f *flight) {
	defer s.running.Done()
	defer s.flights.end(f)
	defer s.contain(f)
	o, err := s.origins.use(f.req)
	if err != nil {
		s.flights.settle(f, outcome{kind: failed, err: err})
		return
	}
	defer s.origins.done(o)

	// Waiters are let go even when the fetch ignores its cancellation. The second
	// is for one that does not, to come to a stale answer.
	head := time.AfterFunc(o.headerTimeout()+time.Second, func() {
		s.flights.overrunHead(f, fmt.Errorf("%w: no answer in %s", ErrOriginTimeout, o.headerTimeout()))
	})
	defer head.Stop()
	total := time.AfterFunc(o.totalTimeout(), func() {
		s.flights.overrun(f, fmt.Errorf("%w: not done in %s", ErrOriginTimeout, o.totalTimeout()))
	})
	defer total.Stop()
	s.fly(f)
}

// contain turns a panic into an error for everyone in the flight.
func (s *Shield) contain(f *flight) {
	if v := recover(); v != nil {
		err := fmt.Errorf("%w: %v", ErrPanic, v)
		s.opts.Report(fmt.Errorf("%w\n%s", err, debug.Stack()))
		s.flights.overrun(f, err)
	}
}

// fly looks into the store once more, see flights.join, and then asks the origin.
func (s *Shield) fly(f *flight) {
	obj, verdict := s.find(f.req)
	if obj != nil && verdict.Reuse == rfc9111.ReuseFresh {
		d := rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK}
		if s.settleObject(f, obj, obj.Response(), outcome{decision: d}) {
			return
		}
		obj = nil
	}
	d := rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass, Forward: s.forwarded(f.req, obj, verdict)}
	var stored *rfc9111.Response
	if obj != nil {
		stored = obj.Response()
	}
	rep, err := s.origins.send(f.ctx, f.req, forFlight(f.req, stored))
	if s.noteOrigin(f, rep, err) {
		if obj != nil && s.settleStale(f, obj, rep, err, d) {
			return
		}
	} else if err == nil && rep.head.Status == http.StatusNotModified {
		if s.settleValidated(f, obj, rep, d) {
			return
		}
		// The 304 was not for what is stored, or that cannot be read: ask for all of it.
		rep, err = s.origins.send(f.ctx, f.req, forFlight(f.req, nil))
		s.noteOrigin(f, rep, err)
	} else {
		closeObject(obj)
	}
	if err != nil {
		s.flights.settle(f, outcome{kind: failed, err: err})
		return
	}
	s.receive(f, rep, d, stored != nil)
}

func (s *Shield) forwarded(req *policy.Request, obj Object, v rfc9111.Verdict) rfc9111.Forward {
	switch {
	case obj == nil && len(s.varies(req)) > 0:
		return rfc9111.ForwardVary
	case obj == nil:
		return rfc9111.ForwardURIMiss
	default:
		return v.Forward
	}
}

// noteOrigin says whether the origin failed, and remembers it for a moment, so
// that neither refreshes nor requests that can do with a stale answer keep asking.
func (s *Shield) noteOrigin(f *flight, rep *reply, err error) bool {
	if f.ctx.Err() != nil && errors.Is(err, errAbandoned) {
		return false
	}
	now := s.opts.Now()
	if err != nil || rfc9111.FailedStatus(rep.head.Status) {
		pause := time.Second + time.Duration(2*s.opts.Random()*float64(time.Second))
		s.failing.remember(f.key.Digest(), now, now.Add(pause))
		return true
	}
	s.failing.forget(f.key.Digest())
	return false
}

// settleStale answers with obj because the origin failed, RFC 5861 4, where the
// object's terms allow it. If not, or if obj is damaged, it is false. obj is used
// up in every case, rep only when true.
func (s *Shield) settleStale(f *flight, obj Object, rep *reply, err error, d rfc9111.Decision) bool {
	if !rfc9111.UsableOnError(verdictRequest(f.req), obj.Response(), s.opts.Now()) {
		closeObject(obj)
		return false
	}
	d.Use, d.Shield, d.Status = rfc9111.Stale, rfc9111.TierHit, rfc9111.StatusOK
	if err == nil {
		d.ForwardStatus = rep.head.Status
		err = fmt.Errorf("%w: status %d", ErrOriginFailed, rep.head.Status)
	}
	if !s.settleObject(f, obj, obj.Response(), outcome{decision: d, asked: true, onError: true, err: err}) {
		return false
	}
	s.opts.Report(err)
	if rep != nil {
		_ = rep.body.Close()
	}
	return true
}

// settleObject settles f with a stored body under head. It is false when the body
// cannot be read. obj is used up in every case.
func (s *Shield) settleObject(f *flight, obj Object, head *rfc9111.Response, out outcome) bool {
	out.kind, out.head = object, head
	if head.Length <= s.opts.MemoryObject {
		whole, err := readWhole(obj)
		closeObject(obj)
		if err != nil {
			s.damaged(f.key, err)
			return false
		}
		out.whole = whole
		if !s.purges.Purged(f.key, head) {
			s.filled(f.key, head, whole)
		}
	} else {
		first := &objectBody{obj: obj, size: head.Length}
		if err := first.open(); err != nil {
			closeObject(obj)
			s.damaged(f.key, err)
			return false
		}
		out.held = obj
	}
	if !s.flights.settle(f, out) && out.held != nil {
		closeObject(out.held)
	}
	return true
}

// settleValidated freshens obj by a 304, RFC 9111 4.3.4, and answers with it. It is
// false when the 304 does not name what is stored or the body cannot be read. obj
// and rep are used up in every case.
func (s *Shield) settleValidated(f *flight, obj Object, rep *reply, d rfc9111.Decision) bool {
	_ = rep.body.Close()
	if obj == nil {
		return false
	}
	fresh, ok := rfc9111.Freshen(verdictRequest(f.req), obj.Response(), s.trimmed(f.req, rep.head), &f.req.Plan.Rules)
	if !ok {
		closeObject(obj)
		return false
	}
	fresh.Epoch = f.epoch
	fresh.Tags = f.req.Plan.ResponseTags(f.req.Params, fresh)
	s.counts.validated.Add(1)
	d.Shield, d.Status, d.ForwardStatus = rfc9111.TierHit, rfc9111.StatusOK, http.StatusNotModified
	s.weigh(f.req, fresh)
	if !s.purges.Purged(f.key, fresh) {
		d.Stored = true
		if err := s.store.Freshen(f.key, fresh); err != nil {
			d.Stored = false
			s.report(fmt.Errorf("%w: freshen: %w", ErrStore, err))
		}
	}
	return s.settleObject(f, obj, fresh, outcome{decision: d, asked: true})
}

// shareable says whether those who waited may have a stored response too, or only
// the one it was fetched for: not when each use needs a validation of its own,
// RFC 9111 5.2.2.4, or when it is good for this once.
func shareable(head *rfc9111.Response) bool {
	t := &head.Terms
	return !t.NoCache && t.Lifetime+t.StaleWhileRevalidate > t.InitialAge
}

// weigh says at the headers of a storable response whether waiting for it is
// worth anybody's time.
func (s *Shield) weigh(req *policy.Request, head *rfc9111.Response) {
	if shareable(head) {
		s.passes.forget(req.Keyed.Key.Digest())
	} else {
		s.avoid(req)
	}
}
