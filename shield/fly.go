package shield

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// run is the function of a flight, in a goroutine of the crew.
func (s *Shield) run(f *flight) {
	defer s.running.Done()
	if f.leaderless {
		defer s.counts.refreshing.Add(-1)
	}
	defer s.flights.end(f)
	defer s.contain(f)
	o, err := s.origins.use(f.req)
	if err != nil {
		s.flights.settle(f, outcome{kind: failed, err: err})
		return
	}
	defer s.origins.done(o)

	// The second is for a fetch that does not ignore its cancellation, to come to a stale answer.
	wait := o.headerTimeout() + time.Second
	if s.opts.Parent != nil {
		wait = 2*wait + parentGrace // the parent waits as long for the origin, and may be gone
	}
	s.flights.allow(f, wait, o.totalTimeout())
	switch {
	case s.opts.Parent != nil:
		s.flyUp(f)
	case f.part != "":
		s.flyPart(f)
	default:
		s.fly(f)
	}
}

// contain turns a panic into an error for everyone in the flight.
func (s *Shield) contain(f *flight) {
	if v := recover(); v != nil {
		s.flights.overrun(f, s.panicked(v))
	}
}

// panicked reports a panic where it was recovered from, and returns it as an error.
func (s *Shield) panicked(v any) error {
	err := fmt.Errorf("%w: %v", ErrPanic, v)
	s.opts.Report(fmt.Errorf("%w\n%s", err, debug.Stack()))
	return err
}

// fly looks into the store once more, see flights.join, and then asks the origin.
func (s *Shield) fly(f *flight) {
	var verdict rfc9111.Verdict
	f.stored, verdict = s.find(f.req)
	if f.leaderless && f.stored != nil && s.forItsClient(f.req, f.stored) {
		f.req = anonymous(f.req) // to one user's answer nobody else would be refreshed
	}
	if f.stored != nil && verdict.Reuse == rfc9111.ReuseFresh {
		d := rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK}
		if s.settleObject(f, f.stored.Response(), outcome{decision: d}) {
			return
		}
	}
	var old *rfc9111.Response
	if f.stored != nil {
		old = f.stored.Response()
	}
	d := rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass, Forward: s.forwarded(f, verdict), Detail: f.detail}
	completing := s.prepareCompletion(f)
	if completing {
		d.Forward = rfc9111.ForwardPartial
	}
	head, done, err := s.inquire(f, d)
	if done {
		return
	}
	f.dropStored()
	if completing && err == nil {
		head, err = s.completed(f, head, &d)
	}
	if err != nil {
		s.flights.settle(f, outcome{kind: failed, err: err})
		return
	}
	s.receive(f, head, d, old)
}

// inquire asks the origin, and answers with what is stored where the origin lets it, or
// fails; then done is true.
func (s *Shield) inquire(f *flight, d rfc9111.Decision) (head *rfc9111.Response, done bool, err error) {
	if s.rehearsal.stops(d) {
		return nil, false, errUnasked
	}
	head, err = s.ask(f)
	switch {
	case s.failed(f, head, err):
		return head, s.settleStale(f, head, err, d), err
	case err == nil && (head.Status == http.StatusNotModified || f.stored != nil && head.Status == http.StatusPreconditionFailed):
		if head.Status == http.StatusNotModified && s.settleValidated(f, head, d) {
			return head, true, nil
		}
		// The 304 was not for what is stored, or that cannot be read, or the origin takes
		// QUERY for a method that is refused with 412: ask for all of it.
		f.dropStored()
		head, err = s.ask(f)
		s.failed(f, head, err)
	}
	return head, false, err
}

// ask asks the origin, conditionally when f has something stored.
func (s *Shield) ask(f *flight) (*rfc9111.Response, error) {
	var stored *rfc9111.Response
	if f.stored != nil {
		stored = f.stored.Response()
	}
	if f.reply != nil {
		_ = f.reply.body.Close()
	}
	f.apart = f.ownCodings && stored == nil && f.ranged == nil && f.req.Whole == nil && f.req.Keyed.Accepts.String() != f.req.Keyed.AcceptEncoding
	out := forFlight(f.req, stored, f.accepted())
	out.setRange(f.ranged)
	out.hear(f.req, f.early.add)
	out.leash = &f.leash
	rep, err := s.origins.send(f.ctx, f.req, out)
	if err != nil {
		return nil, err
	}
	f.reply = rep
	if lateEpoch {
		f.epoch = s.purges.fillEpoch()
	}
	rep.head.Epoch = f.epoch
	s.rehearsal.hears(rep.head)
	return s.trimmed(f.req, rep.head), nil
}

func (s *Shield) forwarded(f *flight, v rfc9111.Verdict) rfc9111.Forward {
	switch {
	case f.stored != nil:
		return v.Forward
	case len(s.varies(f.req)) > 0:
		return rfc9111.ForwardVary
	default:
		return rfc9111.ForwardURIMiss
	}
}

// failed says whether the origin failed, and remembers it for a moment, so that
// neither refreshes nor requests that can do with a stale answer keep asking.
func (s *Shield) failed(f *flight, head *rfc9111.Response, err error) bool {
	if errors.Is(err, errAbandoned) {
		return false
	}
	if err != nil || rfc9111.FailedStatus(head.Status) {
		s.rememberFailure(f.req.Keyed.Key)
		return true
	}
	s.failing.forget(f.req.Keyed.Key.Digest())
	return false
}

func (s *Shield) rememberFailure(key keying.Key) {
	now := s.opts.Now()
	pause := time.Second + time.Duration(2*s.opts.Random()*float64(time.Second))
	s.failing.remember(key.Digest(), now, now.Add(pause))
}

// settleStale answers with what is stored because the origin failed, RFC 5861 4,
// if there is something, its terms allow it, and it can be read.
func (s *Shield) settleStale(f *flight, head *rfc9111.Response, err error, d rfc9111.Decision) bool {
	if f.stored == nil || !s.usableOnError(f.req, f.storedAt(), f.stored.Response()) {
		return false
	}
	d.Use, d.Shield, d.Status = rfc9111.Stale, rfc9111.TierHit, rfc9111.StatusOK
	if err == nil {
		d.ForwardStatus = head.Status
		err = fmt.Errorf("%w: status %d", ErrOriginFailed, head.Status)
	}
	if !s.settleObject(f, f.stored.Response(), outcome{decision: d, asked: true, onError: true, err: err}) {
		return false
	}
	s.opts.Report(err)
	return true
}

// settleValidated freshens what is stored by a 304, RFC 9111 4.3.4, and answers
// with it. It is false when the 304 does not name it or it cannot be read.
func (s *Shield) settleValidated(f *flight, notModified *rfc9111.Response, d rfc9111.Decision) bool {
	if f.stored == nil {
		return false
	}
	fresh, ok := rfc9111.Freshen(verdictRequest(f.req), f.stored.Response(), notModified, &f.req.Plan.Rules)
	if !ok {
		if !refusesAsker(f, notModified) {
			s.forget(f.storedAt(), f.stored.Response().Selection) // the origin disowns it: no-store, private, another version
		}
		return false
	}
	fresh.Epoch = f.epoch
	fresh.Tags = f.req.Plan.ResponseTags(f.req.Params, fresh)
	s.counts.validated.Add(1)
	d.Shield, d.Status, d.ForwardStatus = rfc9111.TierHit, rfc9111.StatusOK, http.StatusNotModified
	s.weigh(f.req, fresh)
	replaced := f.req.Settling // the header of another deployment must not stay
	if s.mayKeep(f, fresh) {
		var err error
		d.Stored, err = s.freshen(f.storedAt(), f.stored.Response(), fresh)
		replaced = errors.Is(err, ErrReplaced)
	}
	own := rfc9111.WithPersonal(fresh, notModified, &f.req.Plan.Rules)
	return s.settleObject(f, fresh, outcome{own: own, was: f.stored.Response(), decision: d, asked: true, replaced: replaced})
}

// refusesAsker says whether a 304 is about what is stored, and only f's client is one
// whose answers are its own, RFC 9111 3.5: nobody loses a stored response by that.
func refusesAsker(f *flight, notModified *rfc9111.Response) bool {
	if f.req.Header.Get("Authorization") == "" {
		return false
	}
	anyone := verdictRequest(f.req)
	anyone.Header = anyone.Header.Clone()
	anyone.Header.Del("Authorization")
	_, ok := rfc9111.Freshen(anyone, f.stored.Response(), notModified, &f.req.Plan.Rules)
	return ok
}

// settleObject settles f with the stored body under head, or drops what is stored
// when it cannot be read.
func (s *Shield) settleObject(f *flight, head *rfc9111.Response, out outcome) bool {
	out.kind, out.head, out.held = object, head, f.stored
	var err error
	if head.Parts == nil && head.Length <= s.opts.MemoryObject {
		out.held = nil
		out.whole, err = readWhole(f.stored)
	} else {
		err = (&objectBody{obj: f.stored, size: head.Length}).open()
	}
	if err != nil {
		f.dropStored()
		s.damaged(f.storedAt(), head, err)
		return false
	}
	if out.held == nil {
		f.dropStored()
		if !out.replaced && !s.purges.Purged(f.key, head) {
			s.filled(f.key, head, out.whole)
		}
	}
	s.flights.settle(f, out)
	return true
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
