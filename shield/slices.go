package shield

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

const (
	maxSlices = 1 << 18 // of a response; a longer one is fetched whole
	maxDrops  = 1 << 10 // slices of a version that are dropped at once
)

// What a slice's flight comes to when the origin has no slice.
var (
	errWhole  = errors.New("shield: the response cannot be had in slices")
	errUncut  = errors.New("shield: the response must not be stored, so it is not cut either")
	errBeyond = errors.New("shield: the response ends before the slice")
)

func isUncuttable(err error) bool {
	return errors.Is(err, errWhole) || errors.Is(err, errUncut) || errors.Is(err, errBeyond)
}

// sliceable says whether req may be answered through slices: not when it would be
// passed, not while its response is known to be whole or uncacheable, and not while
// nothing of it would be stored.
func (s *Shield) sliceable(req *policy.Request) bool {
	size := req.Plan.SliceBytes
	if size == 0 || req.Whole != nil || req.Method != http.MethodGet || s.store == nil || s.tooLong(size) || req.Settling {
		return false
	}
	d, now := req.Keyed.Key.Digest(), s.opts.Now()
	return !s.passes.holds(d, now) && !s.unsliced.holds(d, now) && s.mayStore(req)
}

// asWhole has req's response fetched whole in the next while.
func (s *Shield) asWhole(req *policy.Request) {
	now, until := s.awhile()
	s.unsliced.remember(req.Keyed.Key.Digest(), now, until)
}

// sliceOf is the shield's own request for a slice. It is one for a key like others, so
// slices are looked up, fetched, shared, stored and validated like other responses.
func sliceOf(req *policy.Request, i int64) *policy.Request {
	size := req.Plan.SliceBytes
	own := *req
	own.Whole, own.Slice = req, rfc9111.Range{Start: i * size, Length: size}
	own.Header = rfc9111.Conditional(req.Header, nil)
	own.Keyed.Key = sliceKey(req, i)
	return &own
}

func sliceKey(req *policy.Request, i int64) keying.Key {
	return req.Keyed.Key.Part("slice " + strconv.FormatInt(req.Plan.SliceBytes, 10) + " " + strconv.FormatInt(i, 10))
}

// rangeOf is the Range field of a slice's request.
func rangeOf(r rfc9111.Range) string {
	return fmt.Sprintf("bytes=%d-%d", r.Start, r.Start+r.Length-1)
}

// firstSlice is the slice with the first byte that req asks for, or the first of all when
// that depends on the size.
func firstSlice(req *policy.Request) int64 {
	if len(req.Header["Range"]) != 1 {
		return 0
	}
	ranges, err := rfc9111.ParseRange(req.Header.Get("Range"), math.MaxInt64)
	if err != nil || len(ranges) != 1 {
		return 0
	}
	// A suffix of the largest size begins beyond all slices.
	if i := ranges[0].Start / req.Plan.SliceBytes; i < maxSlices {
		return i
	}
	return 0
}

// fetchSliced answers req through slices. errWhole means that it has to be asked for as
// a whole.
func (s *Shield) fetchSliced(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if req.Header.Get("Authorization") != "" && !s.maySlice(req) {
		return nil, errWhole
	}
	for range 2 {
		ans, err := s.startSliced(ctx, req)
		switch {
		case errors.Is(err, ErrChanged): // once more, with the new version
		case errors.Is(err, errUncut):
			return s.passAlone(ctx, req, rfc9111.Verdict{Forward: rfc9111.ForwardURIMiss}, "")
		default:
			return ans, err
		}
	}
	s.asWhole(req)
	return nil, errWhole
}

// maySlice says whether the slice that req begins with is stored, and was answered so that
// an answer to req with its Authorization would be, too.
func (s *Shield) maySlice(req *policy.Request) bool {
	obj := s.lookup(sliceOf(req, firstSlice(req)))
	if obj == nil {
		return false
	}
	defer closeObject(obj)
	return !s.forItsClient(req, obj)
}

// startSliced makes the answer as soon as one slice has told what there is to be told
// in the head, and the first byte of the body can be had.
func (s *Shield) startSliced(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	i := firstSlice(req)
	if i > 0 && s.endsBefore(req, i) {
		i = 0
	}
	ans, err := s.slice(ctx, req, i)
	if errors.Is(err, errBeyond) && i > 0 {
		i = 0
		ans, err = s.slice(ctx, req, i) // which knows the size
	}
	if errors.Is(err, errBeyond) { // nothing lies in an empty body
		s.asWhole(req)
		err = errWhole
	}
	if err != nil || ans.Head.Parts == nil {
		return s.fitting(ctx, req, ans, err)
	}
	head := ofWhole(ans.Head)
	fit := req.Fit(head)
	if fit == policy.Unfit {
		closeAnswer(ans)
		return s.passUnfit(ctx, req)
	}
	b := s.newSliceBody(ctx, req, head)
	b.wanted = wanted(req, head)
	if fit == policy.Decoded { // which needs all of it, whatever the range
		b.wanted = []rfc9111.Range{{Length: head.Length}}
	}
	b.hold(i, ans)
	decision := ans.Decision
	if len(b.wanted) > 0 && b.wanted[0].Start/req.Plan.SliceBytes != i {
		first := b.wanted[0].Start / req.Plan.SliceBytes
		if ans, err = b.same(first); err != nil || ans.Head.Parts == nil {
			_ = b.Close()
			return s.fitting(ctx, req, ans, err)
		}
		b.hold(first, ans)
		decision = worse(decision, ans.Decision)
	}
	if !b.permitted() {
		_ = b.Close()
		return nil, ErrOnlyIfCached
	}
	s.counts.sliced.Add(1)
	return &rfc9111.Answer{Head: head, Body: b, At: b, Decision: decision}, nil
}

// ofWhole is the head of the response that slice is one of.
func ofWhole(slice *rfc9111.Response) *rfc9111.Response {
	head := *slice
	head.Length, head.Parts = slice.Parts.Size, nil
	return &head
}

// endsBefore says whether the first slice is stored and tells that there is no slice i. It
// saves asking for that; whether it is still so is for the first slice to show.
func (s *Shield) endsBefore(req *policy.Request, i int64) bool {
	obj := s.lookup(sliceOf(req, 0))
	if obj == nil {
		return false
	}
	defer closeObject(obj)
	parts := obj.Response().Parts
	return parts != nil && parts.Size <= i*req.Plan.SliceBytes
}

// wanted returns the ranges of the whole that the answer to req will be made of, none
// when it has no body, RFC 9110 13.2.2.
func wanted(req *policy.Request, head *rfc9111.Response) []rfc9111.Range {
	all := []rfc9111.Range{{Length: head.Length}}
	switch rfc9111.Evaluate(verdictRequest(req), head) {
	case rfc9111.NotModified, rfc9111.Failed:
		return nil
	case rfc9111.IgnoreRange:
		return all
	}
	if len(req.Header["Range"]) != 1 {
		return all
	}
	ranges, err := rfc9111.ParseRange(req.Header.Get("Range"), head.Length)
	if err == nil && len(ranges) == 0 {
		return all
	}
	return ranges
}

// worse is the decision on an answer for which two slices were looked at.
func worse(a, b rfc9111.Decision) rfc9111.Decision {
	rank := map[rfc9111.Use]int{rfc9111.Hit: 0, rfc9111.Stale: 1, rfc9111.Miss: 2}
	if rank[b.Use] > rank[a.Use] || b.Use == a.Use && b.TTL < a.TTL {
		return b
	}
	return a
}

// slice answers with slice i of req's response, or with what the origin has instead of
// slices. What is stored of a version that the origin has no more is dropped on the way.
func (s *Shield) slice(ctx context.Context, req *policy.Request, i int64) (*rfc9111.Answer, error) {
	own := sliceOf(req, i)
	for range 2 {
		ans, err := s.dispatch(ctx, own)
		if err != nil || ans.Head.Parts == nil || !s.editions.outdated(req, ans.Head) {
			return ans, err
		}
		closeAnswer(ans)
		s.forget(own.Keyed.Key, ans.Head.Selection)
	}
	return nil, ErrChanged
}

func closeAnswer(ans *rfc9111.Answer) {
	if ans.Body != nil {
		_ = ans.Body.Close() // nobody reads it
	}
}

// sliceHead answers HEAD from a fresh first slice, or returns nil.
func (s *Shield) sliceHead(ctx context.Context, req *policy.Request) *rfc9111.Answer {
	if req.Plan.SliceBytes == 0 {
		return nil
	}
	obj, v := s.find(sliceOf(req, 0))
	if obj == nil {
		return nil
	}
	defer closeObject(obj)
	stored := obj.Response()
	if v.Reuse != rfc9111.ReuseFresh || stored.Parts == nil || s.editions.outdated(req, stored) {
		return nil
	}
	s.counts.hits.Add(1)
	head := ofWhole(stored)
	d := rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK}
	b := s.newSliceBody(ctx, req, head)
	return &rfc9111.Answer{Head: head, Body: b, At: b, Decision: s.withTTL(d, sliceKey(req, 0), head)}
}

// changed notes that an answer was made of old, and the origin has another version.
func (s *Shield) changed(ctx context.Context, req *policy.Request, old, got edition) {
	s.counts.changed.Add(1)
	s.outdate(ctx, req, old, got)
}

// gone notes that the origin has nothing any more where a slice was asked for; old is what
// was stored of that slice, or nil.
func (s *Shield) gone(f *flight, head, old *rfc9111.Response) {
	if old != nil {
		s.forget(f.key, old.Selection)
	} else if obj := s.lookup(sliceOf(f.req.Whole, 0)); obj != nil {
		old = obj.Response()
		closeObject(obj)
	}
	if old == nil {
		return
	}
	if v, ok := old.Version(); ok {
		s.outdate(f.ctx, f.req.Whole, edition{version: v, seen: old.ResponseTime}, edition{seen: head.ResponseTime})
	}
}

// outdate notes that the origin has got instead of old; the zero Version stands for none
// that comes in slices. The slices of old are dropped, so that nobody begins with one of
// them. A client may be waiting, so those of a long body are not all looked for: what is
// left is known to be outdated.
func (s *Shield) outdate(ctx context.Context, req *policy.Request, old, got edition) {
	first, restless := s.editions.change(req, old, got)
	if restless {
		s.asWhole(req)
	}
	if !first {
		return
	}
	for i := range min(maxDrops, (old.version.Size-1)/req.Plan.SliceBytes+1) {
		if ctx.Err() != nil || s.base.Err() != nil {
			return
		}
		if err := s.store.Drop(sliceKey(req, i), old.version.Selection); err != nil {
			s.report(fmt.Errorf("%w: drop: %w", ErrStore, err))
			return
		}
	}
}
