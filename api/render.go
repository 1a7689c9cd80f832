package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// via names this software in Via, RFC 9110 7.6.3. The name stands for any node.
const via = "1.1 weir"

// isHopByHop names the fields that a response head of ours never copies: they are about
// one connection, RFC 9110 7.6.1, or net/http writes them.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// answer renders ans. Whatever happens, its body is closed.
func (x *exchange) answer(req *policy.Request, ans *rfc9111.Answer) {
	ans.Decision.Detail = cmp.Or(ans.Decision.Detail, x.detail)
	x.record.Decision, x.brief = ans.Decision, ans.Body == nil
	if ans.Body != nil {
		closing := sync.OnceFunc(func() { _ = ans.Body.Close() }) // nothing is lost by an error of Close
		defer closing()
		if ans.Head.Status != http.StatusSwitchingProtocols {
			// A client that leaves must not keep a read of a silent body waiting.
			defer context.AfterFunc(x.r.Context(), closing)()
		}
	}
	if ans.Head.Status == http.StatusSwitchingProtocols {
		x.switchProtocols(req, ans)
		return
	}
	if ans.Head.Status < 200 || ans.Head.Status > 599 {
		x.fail(fmt.Errorf("%w: status %d", shield.ErrOriginProtocol, ans.Head.Status))
		return
	}
	out, err := shape(req, ans)
	if err != nil {
		x.fail(err)
		return
	}
	x.head(req, ans, out)
	x.writeHead(out.status)
	if !out.hasBody {
		return
	}
	if err := x.send(ans, out); err != nil {
		x.abort(err)
	}
	if out.trails(req, ans) {
		x.trail(ans.Trailer)
	}
}

// outcome is what of an answer goes to the client.
type outcome struct {
	status  int
	ranges  []rfc9111.Range // none: all of it
	multi   *multipart      // set for more than one range
	length  int64           // of the body that is sent, or would be for HEAD; -1 when not known
	ranged  bool            // Range would be served
	hasBody bool
	room    []string // empty, for the value of Content-Length; nil: none is kept ready
}

// shape applies the request's preconditions and ranges to the answer, RFC 9110
// 13.2.2. What was passed on has been through that at the origin.
func shape(req *policy.Request, ans *rfc9111.Answer) (outcome, error) {
	out := outcome{status: ans.Head.Status, length: bodyLength(ans)}
	if req.Bypass == "" && rfc9111.MayBeConditional(req.Method) && ans.Head.Status == http.StatusOK {
		out.ranged = out.length >= 0 && (req.Method == http.MethodGet || req.Method == http.MethodHead)
		verdict := rfc9111.Evaluate(rfc9111.Request{Method: req.Method, Header: req.Header}, ans.Head)
		switch verdict {
		case rfc9111.NotModified:
			return outcome{status: http.StatusNotModified, length: -1}, nil
		case rfc9111.Failed:
			return out, &fault{
				status: http.StatusPreconditionFailed, code: "precondition-failed",
				message: "The condition of the request does not hold for the current representation.",
			}
		}
		if out.ranged && verdict != rfc9111.IgnoreRange && req.Method == http.MethodGet && !(ans.Mixed && dated(req)) {
			if err := out.cut(req.Header, ans); err != nil {
				return out, err
			}
		}
	}
	out.hasBody = req.Method != http.MethodHead && out.status != http.StatusNoContent && out.status != http.StatusNotModified
	if out.status == http.StatusResetContent { // RFC 9110 15.3.6: never with content
		out.length, out.hasBody = 0, false
	}
	if out.hasBody && !out.within(ans.Head.Parts) {
		return out, errNotHeld
	}
	return out, nil
}

// dated says whether a client asks for the rest of what it has by a date, which all codings
// of a response share.
func dated(req *policy.Request) bool {
	field := req.Header.Get("If-Range")
	return field != "" && !strings.Contains(field, `"`)
}

// bodyLength is that of the whole representation.
func bodyLength(ans *rfc9111.Answer) int64 {
	if parts := ans.Head.Parts; parts != nil {
		return parts.Size
	}
	if ans.Body == nil {
		return int64(len(ans.Bytes))
	}
	return ans.Head.Length
}

// head writes the response head except for its status.
func (x *exchange) head(req *policy.Request, ans *rfc9111.Answer, out outcome) {
	h := x.w.Header()
	out.room = x.length[:0]
	out.head(h, req, ans, x.door.opts.Now())
	x.tell(h, &ans.Decision)
	if x.sticky != nil {
		h.Add("Set-Cookie", x.sticky.String())
	}
}

// head writes into h what is the same for all who ask a node at one time.
func (out *outcome) head(h http.Header, req *policy.Request, ans *rfc9111.Answer, now time.Time) {
	for name, values := range ans.Head.Header {
		if !isHopByHop(name) {
			h[name] = slices.Clip(values) // an Add to h must not reach into the answer
		}
	}
	setAge(h, ans, now)
	if len(h["Date"]) == 0 || h["Date"][0] == "" { // RFC 9110 6.6.1
		h["Date"] = []string{dateOf(ans.Head, now).UTC().Format(http.TimeFormat)}
	}
	if len(h["Via"]) == 0 {
		h["Via"] = onlyVia
	} else {
		h.Add("Via", via)
	}
	browser(h, req.Plan, ans)
	setFields(h, req.Plan)
	out.fields(h, req, bodyLength(ans))
	if out.trails(req, ans) {
		announce(h, ans.Trailer)
	}
	if ans.Varied {
		varyByCoding(h)
	}
	if req.Plan.Split != nil { // or a cache in front of this node would give all clients one side
		h.Add("Vary", "Cookie")
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess one
	}
}

// What many heads share. They are full, so that an Add copies them.
var (
	acceptEncoding = []string{"accept-encoding"}
	acceptRanges   = []string{"bytes"}
	onlyVia        = []string{via}
)

// varyByCoding says in Vary that Accept-Encoding chose the representation, RFC 9110 12.5.5.
func varyByCoding(h http.Header) {
	switch vary := h["Vary"]; {
	case len(vary) == 0:
		h["Vary"] = acceptEncoding
	case !rfc9111.ListsToken(vary, acceptEncoding[0]) && !rfc9111.ListsToken(vary, "*"):
		h["Vary"] = append(vary, acceptEncoding[0])
	}
}

// fields sets what depends on how much of the answer is sent.
func (out *outcome) fields(h http.Header, req *policy.Request, size int64) {
	if out.status == http.StatusNotModified && req.Bypass == "" {
		// RFC 9110 15.4.5: what describes the content that is not sent stays away.
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range"} {
			delete(h, name)
		}
		return
	}
	if out.ranged && h["Accept-Ranges"] == nil {
		h["Accept-Ranges"] = acceptRanges
	}
	switch {
	case out.multi != nil:
		h.Set("Content-Type", out.multi.contentType())
	case len(out.ranges) == 1:
		h.Set("Content-Range", contentRange(out.ranges[0], size))
	}
	switch {
	case out.status == http.StatusNoContent: // RFC 9110 8.6
		delete(h, "Content-Length")
	case req.Method == http.MethodHead && out.length <= 0:
		// The origin, asked with HEAD, may have said how long a GET would be.
	case out.length >= 0:
		h["Content-Length"] = append(out.room, strconv.FormatInt(out.length, 10))
	default:
		delete(h, "Content-Length")
	}
}

// setAge sets Age on what comes from a cache, RFC 9111 5.1, ours or one before
// us. The time that this very response was under way is not shown as its age.
func setAge(h http.Header, ans *rfc9111.Answer, now time.Time) {
	if ans.Head.ResponseTime.IsZero() {
		return // passed on; Age is still the origin's
	}
	age := ans.Head.Age(now)
	switch ans.Decision.Use {
	case rfc9111.Hit, rfc9111.Stale:
	default:
		if age -= ans.Head.ResponseTime.Sub(ans.Head.RequestTime); age < time.Second {
			return
		}
	}
	h["Age"] = []string{strconv.FormatInt(int64(max(age, 0)/time.Second), 10)}
}

func dateOf(head *rfc9111.Response, now time.Time) time.Time {
	if head.ResponseTime.IsZero() {
		return now
	}
	return head.ResponseTime
}

// setFields sets what the route wants on every response. Framing stays ours.
func setFields(h http.Header, plan *policy.Plan) {
	for name, value := range plan.SetResponseHeaders {
		if !isHopByHop(name) {
			h.Set(name, value)
		}
	}
}

// browser replaces what the origin says to browsers with what the route says. It
// does not make anything storable that is one user's, nor an error that no rule
// lets caches keep.
func browser(h http.Header, plan *policy.Plan, ans *rfc9111.Answer) {
	if plan.BrowserMaxAge == nil && plan.ServiceWorkerMaxAge == nil {
		return
	}
	switch ans.Decision.Status {
	case rfc9111.StatusOK: // the route's rules have decided that, for what is stored
		if ans.Decision.Use == rfc9111.Miss && rfc9111.Personal(ans.Head.Header, &plan.Rules) {
			return
		}
	case rfc9111.StatusPrivate, rfc9111.StatusSetCookie:
		return
	default: // nobody has looked at what was passed on
		if ans.Head.Status >= 400 || restricted(ans.Head.Header) {
			return
		}
	}
	if plan.BrowserMaxAge != nil {
		h.Set("Cache-Control", "max-age="+seconds(*plan.BrowserMaxAge))
		h.Del("Expires")
		h.Del("Pragma")
	}
	if plan.ServiceWorkerMaxAge != nil {
		h.Set("X-Sw-Cache-Control", seconds(*plan.ServiceWorkerMaxAge))
	}
}

// restricted says whether the origin keeps a response from shared caches, or from
// all. Caches in front of this node would take a bare max-age for a permission.
func restricted(h http.Header) bool {
	directives := strings.ToLower(strings.Join(h["Cache-Control"], ","))
	return len(h["Set-Cookie"]) > 0 || strings.Contains(directives, "private") || strings.Contains(directives, "no-store")
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// errShort and errLong are a body that is not as long as its head said, errNotHeld an
// answer with less than its request is for.
var (
	errNotHeld = errors.New("answer lacks bytes that were asked for")

	errShort = errors.New("body ended before its length")
	errLong  = errors.New("body is longer than its length")
)
