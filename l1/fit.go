package l1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"weir/policy"
	"weir/rfc9111"
)

// held is an object and the entry that it was found in.
type held struct {
	*entry
	*object
}

// fits says whether o can be sent to req's client in some coding.
func (t *Tier) fits(o *object, req *policy.Request) bool {
	switch {
	case o.coding == identity:
		return true
	case o.coding == foreign:
		return req.Fit(t.open(&o.head)) != policy.Unfit
	default:
		return o.stays(req) || o.recodable && !rfc9111.NoTransform(req.Header)
	}
}

// stays says whether req's client gets o's body as it was stored.
func (o *object) stays(req *policy.Request) bool {
	return !req.Plan.Compress || o.coding == foreign || req.Keyed.Accepts.Has(codingNames[o.coding])
}

// answer answers req, whose client o fits, in a coding that it accepts: the stored one if
// possible, where that saves bytes.
func (t *Tier) answer(ctx context.Context, req *policy.Request, h held, d rfc9111.Decision) (*rfc9111.Answer, error) {
	o := h.object
	plain := o.coding == identity
	ans := &rfc9111.Answer{Head: t.open(&o.head), Bytes: o.body, Decision: d, Varied: o.recodable && req.Plan.Compress}
	ans.Mixed = ans.Varied && req.Keyed.Accepts.String() != ""
	if !ans.Varied || !plain && o.stays(req) {
		return ans, nil
	}
	as := wantedCoding(req)
	if as != identity && o.worthIt {
		if f := o.form(as); f.ready() {
			ans.Head, ans.Bytes = t.open(&f.head), f.body
			return ans, nil
		}
	}
	if !plain {
		if err := t.decodeHeld(ctx, req, h, ans); err != nil {
			return nil, err
		}
	}
	if as != identity && o.worthIt && len(ans.Bytes) >= minCodable {
		t.coder.offer(h.entry, o, ans.Bytes, as)
	}
	return ans, nil
}

// wantedCoding returns the coding to make of a plain body for req's client. Ranges are cut
// from what is stored or decoded, and a strong If-Match can only be about what is stored,
// since coded answers have weak entity tags.
func wantedCoding(req *policy.Request) coding {
	h := req.Header
	if h["Range"] != nil || h["If-Match"] != nil || rfc9111.NoTransform(h) {
		return identity
	}
	return codingOf(req.Keyed.Accepts.Best())
}

// decodeHeld makes ans plain: in one piece, kept beside the object, where that is not too
// long, and as a stream otherwise.
func (t *Tier) decodeHeld(ctx context.Context, req *policy.Request, h held, ans *rfc9111.Answer) error {
	ans.Mixed = true
	slot := h.slot(identity)
	switch f := slot.Load(); {
	case f.ready():
		ans.Head, ans.Bytes = t.open(&f.head), f.body
		return nil
	case f == damaged:
		return ErrCoding
	case f == tooLong:
		return t.decodeStream(ctx, req, h.coding, ans)
	}
	f, err := t.decodeOnce(ctx, h)
	switch {
	case errors.Is(err, errTooLong):
		slot.CompareAndSwap(nil, tooLong)
		return t.decodeStream(ctx, req, h.coding, ans)
	case errors.Is(err, ErrCoding):
		slot.CompareAndSwap(nil, damaged)
		return err
	case err != nil:
		return err
	}
	ans.Head, ans.Bytes = t.open(&f.head), f.body
	return nil
}

// decodeOnce decodes an object's body and keeps it beside the object. Those who want the
// same wait for the first.
func (t *Tier) decodeOnce(ctx context.Context, h held) (*form, error) {
	size := roomFor(h.coding, h.body)
	if err := t.moments.take(ctx, size); err != nil {
		return nil, err
	}
	defer t.moments.give(size)
	mu := &t.decoding[h.hash%uint64(len(t.decoding))]
	mu.Lock()
	defer mu.Unlock()
	if f := h.form(identity); f.ready() {
		return f, nil
	}
	plain, err := decodeWhole(h.coding, h.body, t.opts.MaxObject)
	if err != nil {
		return nil, err
	}
	f := newForm(identity, plain, t.open(&h.head))
	t.attach(h.entry, h.object, identity, f)
	return f, nil
}

// decodeBytes makes ans, whose body is in memory, plain and in one piece.
func (t *Tier) decodeBytes(ctx context.Context, c coding, ans *rfc9111.Answer) error {
	size := roomFor(c, ans.Bytes)
	if err := t.moments.take(ctx, size); err != nil {
		return err
	}
	defer t.moments.give(size)
	plain, err := decodeWhole(c, ans.Bytes, t.opts.MaxObject)
	if err != nil {
		return err
	}
	ans.Head, ans.Bytes = rfc9111.Recoded(ans.Head, "", int64(len(plain))), plain
	return nil
}

// decodeStream makes ans a plain stream of a length that is not known.
func (t *Tier) decodeStream(ctx context.Context, req *policy.Request, c coding, ans *rfc9111.Answer) error {
	src := ans.Body
	if src == nil {
		src = io.NopCloser(bytes.NewReader(ans.Bytes))
	}
	head := rfc9111.Recoded(ans.Head, "", -1)
	if req.Method == http.MethodHead {
		ans.Head, ans.Bytes, ans.Body, ans.At = head, nil, http.NoBody, nil
		return src.Close()
	}
	if err := t.streams.take(ctx, mostRoom[c]); err != nil {
		_ = src.Close() // nobody reads it
		return err
	}
	ans.Head, ans.Bytes, ans.At, ans.Trailer = head, nil, nil, ans.Trailer.Recoded()
	ans.Body = newDecodedBody(c, src, &t.streams)
	return nil
}

// fit makes an answer from below one for req's client. An error is passed on.
func (t *Tier) fit(ctx context.Context, req *policy.Request, ans *rfc9111.Answer, err error) (*rfc9111.Answer, error) {
	if err != nil || !req.Plan.Compress {
		return ans, err
	}
	c := contentCoding(ans.Head)
	switch {
	case c == identity:
		ans.Varied = codable(ans.Head, ans.Head.Length) && ans.Head.Length <= t.opts.MaxObject
	case c != foreign:
		ans.Varied = rfc9111.Recodable(ans.Head)
	}
	ans.Mixed = ans.Varied && req.Keyed.Accepts.String() != ""
	if c == foreign || req.Fit(ans.Head) != policy.Decoded {
		return ans, nil
	}
	ans.Mixed = true
	if ans.Bytes != nil {
		if err = t.decodeBytes(ctx, c, ans); err == nil {
			return ans, nil
		}
	}
	if err == nil || errors.Is(err, errTooLong) {
		err = t.decodeStream(ctx, req, c, ans)
	}
	if err != nil {
		return nil, err
	}
	return ans, nil
}

// wanted remembers which codings the clients of recent misses want, so that what is stored
// for them is coded in the background of the first answer. It forgets when two keys share a
// slot; the next hit will tell again.
type wanted [256]atomic.Uint64

const codingBits = 1<<codings - 1

func (t *Tier) want(req *policy.Request) {
	as := wantedCoding(req)
	if as == identity || !req.Plan.Compress {
		return
	}
	hash := t.hash(req.Keyed.Key.Bytes())
	slot := &t.wanted[hash%uint64(len(t.wanted))]
	bits := uint64(1) << as
	if old := slot.Load(); old&^codingBits == hash&^codingBits {
		bits |= old & codingBits
	}
	slot.Store(hash&^codingBits | bits)
}

// codeWanted has what was just stored coded.
func (t *Tier) codeWanted(e *entry, o *object) {
	slot := &t.wanted[e.hash%uint64(len(t.wanted))]
	old := slot.Load()
	if old&^codingBits != e.hash&^codingBits || !slot.CompareAndSwap(old, 0) || !o.worthIt || o.coding != identity {
		return
	}
	for as := identity + 1; as < codings; as++ {
		if old>>as&1 != 0 {
			t.coder.offer(e, o, o.body, as)
		}
	}
}
