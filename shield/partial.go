package shield

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

const (
	maxPart  = 4 << 20  // bytes of one part that are kept; a longer one is served and forgotten
	maxParts = 16 << 20 // bytes that are kept of one response in parts
	maxHeld  = 64       // ranges that these may be in

	// Keeping a part copies what is held already. Many small ones would fill the store with copies.
	freeCopy  = 1 << 20 // bytes that may be copied for any part
	maxCopied = 16      // times its own length, beyond that
)

// partsKey is what is stored of key in parts. There is one object of them, for each variant.
func partsKey(key keying.Key) keying.Key { return key.Part("partial") }

// partOf returns the range that req may be asked for alone, or "".
//
// Conditions are for the whole: where several ask for the same range, each has its own.
// If-Range by a date stays with the whole, too: it does not tell codings apart.
func partOf(req *policy.Request) string {
	h := req.Header
	if !req.Plan.StorePartial || req.Method != http.MethodGet {
		return ""
	}
	for _, name := range conditionalFields {
		if name != "If-Range" && h[name] != nil {
			return ""
		}
	}
	if h["If-Range"] != nil && !strings.Contains(h.Get("If-Range"), `"`) {
		return ""
	}
	field, _ := rfc9111.SingleRange(h)
	return field
}

// asParts is req for what is stored in parts.
func asParts(req *policy.Request) *policy.Request {
	own := *req
	own.Keyed.Key = partsKey(req.Keyed.Key)
	return &own
}

// fromParts answers req from fresh parts, or returns nil.
func (s *Shield) fromParts(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if !req.Plan.StorePartial || req.Method != http.MethodHead && partOf(req) == "" {
		return nil, nil
	}
	own := asParts(req)
	obj, v := s.find(own)
	if unfit(req, obj) && req.Method != http.MethodHead { // a part cannot be decoded
		closeObject(obj)
		return s.passUnfit(ctx, req)
	}
	if obj == nil || unfit(req, obj) || v.Reuse != rfc9111.ReuseFresh || !rfc9111.Suffices(verdictRequest(req), obj.Response()) {
		closeObject(obj)
		return nil, nil
	}
	s.counts.hits.Add(1)
	d := rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK}
	return s.serve(ctx, own, obj, d)
}

// flyPart is fly for a flight that is for one range. It ends as one for the whole when
// there is something whole after all.
func (s *Shield) flyPart(f *flight) {
	if obj, _ := s.find(f.req); obj != nil {
		closeObject(obj)
		s.flights.widen(f)
		s.fly(f)
		return
	}
	obj, verdict := s.find(asParts(f.req))
	if obj != nil && rfc9111.Suffices(verdictRequest(f.req), obj.Response()) {
		f.stored = obj
	} else {
		f.parts = obj
	}
	if f.stored != nil && verdict.Reuse == rfc9111.ReuseFresh {
		d := rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK}
		if s.settleObject(f, obj.Response(), outcome{decision: d}) {
			return
		}
	}
	d := rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass, Forward: s.forwarded(f, verdict), Detail: f.detail}
	switch {
	case f.parts != nil:
		d.Forward = rfc9111.ForwardPartial
	case f.stored != nil && d.Forward == "": // inside a window in which a whole would be served stale
		d.Forward = rfc9111.ForwardStale
	}
	f.ranged = http.Header{"Range": {f.part}}
	head, done, err := s.inquire(f, d)
	switch {
	case done:
	case err != nil:
		s.flights.settle(f, outcome{kind: failed, err: err})
	default:
		if f.parts == nil { // what was to be validated may have the same version
			f.parts, f.stored = f.stored, nil
		}
		s.receivePart(f, head, d)
	}
}

// receivePart decides at the headers what becomes of an answer to a request for a range.
func (s *Shield) receivePart(f *flight, head *rfc9111.Response, d rfc9111.Decision) {
	switch head.Status {
	case http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable:
		d.Status = rfc9111.StatusCode // whatever the route says: it is about the range alone
		s.letGo(f, head, d)
		return
	default: // it would be the same without the range
		s.giveUpParts(f, head)
		s.flights.widen(f)
		s.receive(f, head, d, nil)
		return
	}
	shared := rfc9111.Shared(head, &f.req.Plan.Rules)
	v, whole, r := rfc9111.StorablePart(rfc9111.Request{Method: f.req.Method, Header: rfc9111.Unconditional(f.req.Header)}, shared, &f.req.Plan.Rules)
	d.Status = v.Status
	switch {
	case !v.Store:
		alike := *shared
		alike.Status = http.StatusOK
		s.rememberPass(f.req, &alike)
		s.letGo(f, head, d)
	case whole.Length < 0 || !f.reply.framed:
		d.Status = rfc9111.StatusPass
		s.letGo(f, head, d)
	case r.Length == whole.Length:
		all, _, _ := rfc9111.WholeOf(head)
		f.dropParts()
		s.flights.widen(f)
		s.receive(f, all, d, nil)
	default:
		s.sharePart(f, head, whole, r, d)
	}
}

// sharePart gives range r of whole, which head brings, to all who asked for it, and keeps it.
func (s *Shield) sharePart(f *flight, head, whole *rfc9111.Response, r rfc9111.Range, d rfc9111.Decision) {
	whole.Header.Del("Age") // it is in the terms
	whole.Tags = f.req.Plan.ResponseTags(f.req.Params, whole)
	keep := s.withPart(f, head, whole, r)
	if !s.mayKeep(f, whole) {
		keep = nil
	}
	if !s.flights.claim(f, claim{head: whole, wanted: keep != nil, open: shareable(whole)}) {
		d.Status = rfc9111.StatusPass
		s.letGo(f, head, d)
		return
	}
	s.weigh(f.req, whole)
	if keep != nil {
		d.Stored, d.Shield = true, rfc9111.TierCached
	}
	if f.req.Settling {
		d.Status = rfc9111.StatusDeployment
	}
	part := asAnswer(f.part, head, whole, r)
	f.own = rfc9111.WithPersonal(part, head, &f.req.Plan.Rules)
	room := int64(0)
	if keep != nil {
		room = s.maxPart()
	}
	f.body.begin(nil, r.Length, room)
	if !s.flights.settle(f, outcome{kind: sharing, head: part, own: f.own, asked: true, decision: d}) {
		return // it overran
	}
	t, err := s.copyBody(f, newSupply(s, f, part), nil, r.Length)
	if err != nil {
		s.counts.error(err)
		f.body.end(err)
		return
	}
	if keep != nil {
		s.keepPart(f, keep, r, f.body.whole(t.held))
	}
	f.body.publish(t.held)
	f.body.end(nil)
}

// keepPart stores body, which is range r, under head with what f has in parts.
func (s *Shield) keepPart(f *flight, head *rfc9111.Response, r rfc9111.Range, body []byte) {
	if body == nil || !s.mayKeep(f, head) {
		s.counts.notStored.Add(1)
		return
	}
	if err := s.storePart(f, head, r, body); err != nil {
		s.counts.notStored.Add(1)
		s.report(fmt.Errorf("%w: parts: %w", ErrStore, err))
		return
	}
	s.counts.filled.Add(1)
	s.disownPurged(f, head)
}

// disownPurged looks again at what f put together with older parts: the new head may lack the tag by
// which a purge named those while they were copied.
func (s *Shield) disownPurged(f *flight, head *rfc9111.Response) {
	if f.parts == nil || !s.purgedSince(f.key, f.parts.Response(), f.epoch) {
		return
	}
	s.forget(partsKey(f.req.Keyed.Key), head.Selection)
	s.forget(f.req.Keyed.Key, head.Selection)
}

// asAnswer is the head of an answer that has range r of whole. Who asked for more gets the
// 206 as it is: an origin may send less than it was asked for, RFC 9110 14.2.
func asAnswer(asked string, head, whole *rfc9111.Response, r rfc9111.Range) *rfc9111.Response {
	part := *whole
	part.Length, part.Parts = r.Length, &rfc9111.Parts{Size: whole.Length, Held: []rfc9111.Range{r}}
	if ranges, err := rfc9111.ParseRange(asked, whole.Length); err != nil || !part.Parts.Covers(ranges[0]) {
		part.Status, part.Parts = head.Status, nil
		part.Header = whole.Header.Clone()
		part.Header["Content-Range"] = head.Header["Content-Range"]
	}
	return &part
}

// maxPart is how long a part may be so that it is in memory when it is whole.
func (s *Shield) maxPart() int64 { return min(maxPart, s.opts.FlightWindow) }

// withPart returns the head of what is to be stored when range r of whole has come, or nil
// when that is too much: r with the parts of f, if those are of the same version, or r
// alone. Parts of another version are given up.
func (s *Shield) withPart(f *flight, head, whole *rfc9111.Response, r rfc9111.Range) *rfc9111.Response {
	rules := &f.req.Plan.Rules
	sum, parts := *whole, rfc9111.Parts{Size: whole.Length}
	if f.parts != nil {
		old := f.parts.Response()
		if both, ok := rfc9111.Combine(verdictRequest(f.req), old, rfc9111.Shared(head, rules), rules); ok && old.Parts.Size == whole.Length {
			sum, parts = *both, *old.Parts
			sum.Tags = f.req.Plan.ResponseTags(f.req.Params, both)
		} else {
			f.dropParts()
			s.forget(partsKey(f.req.Keyed.Key), old.Selection)
		}
	}
	parts, ok := parts.Add(r, whole.Length)
	sum.Parts, sum.Length = &parts, parts.Bytes()
	copied := sum.Length - r.Length
	costly := len(parts.Held) > maxHeld || copied > freeCopy && copied/maxCopied > r.Length && !parts.Whole()
	if !ok || costly || s.store == nil || r.Length > s.maxPart() || sum.Length > maxParts || s.tooLong(sum.Length) {
		return nil
	}
	return &sum
}

// storePart stores parts, or the whole when nothing is missing any more.
func (s *Shield) storePart(f *flight, head *rfc9111.Response, r rfc9111.Range, body []byte) error {
	key := partsKey(f.req.Keyed.Key)
	whole := head.Parts.Whole()
	if whole {
		key, head.Parts = f.req.Keyed.Key, nil
	}
	w, err := s.store.Create(key, head)
	if err != nil {
		return err
	}
	if err = f.writeParts(w, r, body); err == nil {
		err = w.Commit(head)
	}
	if err != nil {
		w.Abort()
		return err
	}
	if whole {
		s.forgetParts(f.req, head)
	}
	return nil
}

// writeParts writes the parts that f has, with body in the place of range r.
func (f *flight) writeParts(w io.Writer, r rfc9111.Range, body []byte) error {
	begin, end, size := int64(0), int64(0), int64(0)
	if f.parts != nil {
		old := f.parts.Response()
		begin, end, size = old.Parts.Below(r.Start), old.Parts.Below(r.Start+r.Length), old.Length
	}
	if err := f.copyParts(w, 0, begin); err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	return f.copyParts(w, end, size)
}

func (f *flight) copyParts(w io.Writer, from, to int64) error {
	n, err := io.CopyN(w, io.NewSectionReader(f.parts, from, to-from), to-from)
	if err != nil {
		return fmt.Errorf("copy after %d: %w", from+n, err)
	}
	return nil
}

// forgetParts drops the parts of what is stored as a whole now.
func (s *Shield) forgetParts(req *policy.Request, whole *rfc9111.Response) {
	if err := s.store.Drop(partsKey(req.Keyed.Key), whole.Selection); err != nil {
		s.report(fmt.Errorf("%w: drop: %w", ErrStore, err))
	}
}

// giveUpParts drops f's parts because head is no answer to the range alone, and what
// is stored of them when there is nothing that they are parts of any more.
func (s *Shield) giveUpParts(f *flight, head *rfc9111.Response) {
	if f.parts != nil && isGone(head.Status) {
		s.forget(partsKey(f.req.Keyed.Key), f.parts.Response().Selection)
	}
	f.dropParts()
}

func (f *flight) dropParts() {
	closeObject(f.parts)
	f.parts, f.ranged = nil, nil
}

// storedAt is the key of what f validates or answers with.
func (f *flight) storedAt() keying.Key {
	if f.part != "" {
		return partsKey(f.req.Keyed.Key)
	}
	return f.key
}
