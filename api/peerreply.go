package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"weir/api/peer"
	"weir/policy"
	"weir/rfc9111"
)

// largePeer is how long a body may be that an edge gets whole when its client wants a
// range of it: what a memory tier keeps by default.
const largePeer = 1 << 20

// servePeer answers an edge.
func (x *exchange) servePeer(d *PeerDoor) {
	req, err := x.admitPeer()
	if err != nil {
		x.failPeer(d, err)
		return
	}
	if x.peer.Interim {
		req.Interim = x.interim
	}
	ans, err := x.door.tier.Fetch(x.r.Context(), req)
	if err != nil {
		if fault := x.body.fault(); fault != nil {
			err = fault
		}
		x.record.Decision = unanswered(req, faultOf(err))
		x.failPeer(d, err)
		return
	}
	x.record.Decision = ans.Decision
	if ans.Body != nil {
		closing := sync.OnceFunc(func() { _ = ans.Body.Close() }) // nothing is lost by an error of Close
		defer closing()
		defer context.AfterFunc(x.r.Context(), closing)()
	}
	offset := int64(0)
	if rest := x.peer.Resume; rest != nil {
		if offset = rest.Offset; !rest.Of(ans.Head) {
			x.failPeer(d, errGone)
			return
		}
	}
	x.reply(d, req, ans, offset)
}

// failPeer answers with a fault that the edge can read.
func (x *exchange) failPeer(d *PeerDoor, err error) {
	f := faultOf(err)
	x.record.Err, x.record.Status = err, f.status
	if f.status == clientGone && x.r.Context().Err() == nil {
		f = &closing
	}
	if x.body.unread() {
		x.w.Header().Set("Connection", "close")
	}
	if f.status == clientGone || x.wrote {
		x.abort(err)
	}
	x.wrote = true
	x.w.Header().Set(peer.EpochField, strconv.FormatUint(d.opts.Purges.Current(), 10))
	d.refuse(x.w, f)
}

// reply sends an answer, or what of it the edge has use for.
func (x *exchange) reply(d *PeerDoor, req *policy.Request, ans *rfc9111.Answer, offset int64) {
	head, out, cut, err := cutForPeer(req, ans)
	if err != nil {
		x.failPeer(d, err)
		return
	}
	r := &peer.Reply{
		Head: head, Decision: ans.Decision, Varied: ans.Varied, Mixed: ans.Mixed,
		Content: ans.Body != nil || ans.Bytes != nil, Body: out.hasBody,
		Alone: cut || req.Bypass == "" && req.Keyed.Key.Digest() != x.peer.Key, // with another policy there
		Came:  x.record.Began, Epoch: d.opts.Purges.Current(),
	}
	trails := req.TakesTrailers && ans.Trailer != nil && out.hasBody && len(out.ranges) == 0
	h := x.w.Header()
	if trails {
		r.Trailer = append([]string{}, ans.Trailer.Names...)
		announce(h, ans.Trailer)
	}
	frame := peer.AppendFrame(nil, r.Encode())
	if len(frame) > peer.MaxHead {
		x.failPeer(d, &fault{status: 502, code: "origin-protocol", message: "The response head is too long to be passed on."})
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	switch {
	case !out.hasBody:
		h.Set("Content-Length", strconv.Itoa(len(frame)))
	case out.length >= 0 && !trails:
		h.Set("Content-Length", strconv.FormatInt(int64(len(frame))+out.length-offset, 10))
	}
	x.writeHead(http.StatusOK)
	if err := x.sendPeer(frame, ans, out, offset); err != nil {
		x.abort(err)
	}
	if trails {
		x.trail(ans.Trailer)
	}
}

// sendPeer writes the frame and then the body from an offset.
func (x *exchange) sendPeer(frame []byte, ans *rfc9111.Answer, out outcome, offset int64) error {
	if err := x.write(frame); err != nil {
		return err
	}
	switch {
	case !out.hasBody:
		return nil
	case len(out.ranges) > 0:
		return x.send(ans, out)
	case offset == 0:
		if ans.Body != nil && ans.At == nil { // the head goes now, the body when it comes
			if err := x.flush(); err != nil {
				return err
			}
		}
		return x.sendWhole(ans, ans.Body != nil && ans.At == nil)
	case ans.Body == nil:
		return x.write(ans.Bytes[offset:])
	case ans.At != nil:
		return x.copy(io.NewSectionReader(ans.At, offset, ans.Head.Length-offset), ans.Head.Length-offset, false)
	}
	if _, err := io.CopyN(io.Discard, ans.Body, offset); err != nil {
		return short(err)
	}
	return x.copy(ans.Body, max(ans.Head.Length-offset, -1), true)
}

// cutForPeer decides what of an answer an edge gets. A small one it gets whole, to keep
// it; of a large one what its client asked for, which is an answer for that client alone:
// then cut is true.
func cutForPeer(req *policy.Request, ans *rfc9111.Answer) (_ *rfc9111.Response, _ outcome, cut bool, err error) {
	whole := outcome{status: ans.Head.Status, length: bodyLength(ans)}
	whole.hasBody = req.Method != http.MethodHead && (ans.Body != nil || ans.Bytes != nil) && whole.status != http.StatusNoContent &&
		whole.status != http.StatusResetContent && whole.status != http.StatusNotModified
	large := ans.Body != nil && (ans.At != nil || ans.Head.Length > largePeer) || ans.Head.Parts != nil
	if !large || req.Method != http.MethodGet || !hasTerms(req.Header) {
		return sized(ans), whole, false, nil
	}
	out, err := shape(req, ans)
	var f *fault
	switch {
	case errors.As(err, &f) && (f.status == http.StatusRequestedRangeNotSatisfiable || f.status == http.StatusPreconditionFailed):
		out = outcome{status: f.status}
	case err != nil:
		return nil, out, false, err
	case out.multi != nil, out.status == http.StatusOK:
		return sized(ans), whole, false, nil // the edge cuts it
	}
	head := *ans.Head
	head.Status, head.Parts, head.Header = out.status, nil, head.Header.Clone()
	out.fields(head.Header, req, bodyLength(ans))
	head.Length = max(out.length, 0)
	if f != nil {
		head.Header = http.Header{}
		if f.contentRange != "" {
			head.Header.Set("Content-Range", f.contentRange)
		}
	}
	return &head, out, true, nil
}

// hasTerms says whether a client asks for a part or for a comparison.
func hasTerms(h http.Header) bool {
	return slices.ContainsFunc([]string{"Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"}, func(name string) bool {
		return h[name] != nil
	})
}

// sized is the head of an answer with the length of what is in memory.
func sized(ans *rfc9111.Answer) *rfc9111.Response {
	if ans.Body != nil || ans.Bytes == nil || ans.Head.Length == int64(len(ans.Bytes)) {
		return ans.Head
	}
	head := *ans.Head
	head.Length = int64(len(ans.Bytes))
	return &head
}
