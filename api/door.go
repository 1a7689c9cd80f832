package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"weir/api/peer"
	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// Tier is what the door asks: the outermost cache.
type Tier interface {
	// Fetch answers req. The answer's Body, if there is one, may be closed while
	// a Read is in progress, from another goroutine, which ends the Read. An
	// error means that there is no answer; the error map knows its sentinel.
	Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error)
}

// DoorOptions are the seams and limits of a Door. The zero value is the default.
type DoorOptions struct {
	Region string           // of this edge, for Cache-Status and routes with regions; default "local"
	Epoch  func() uint64    // of the purges that hold here, for clients that debug; default 0
	Now    func() time.Time // default time.Now
	Pick   func(n int) int  // uniform in [0,n), for split tests; default math/rand
	Log    *zap.Logger      // for the access log and failures; default none

	Journal *Journal // of the node, for those who follow its requests; default none

	// Settling says whether origins may answer requests of a table with another
	// deployment than its own; default never.
	Settling     func(t *policy.Table, now time.Time) bool
	Disabled     func() bool                // development mode: nothing is cached; default never
	DebugAllowed func(r *http.Request) bool // who may send x-cache-debug; default loopback clients

	ReadTimeout  time.Duration // between two reads of a request body, default 30 s
	WriteTimeout time.Duration // for a client to take 64 KiB, default 30 s
	UpgradeIdle  time.Duration // without a byte either way, default 5 min
}

func (o DoorOptions) withDefaults() DoorOptions {
	if o.Region == "" {
		o.Region = "local"
	}
	if o.Epoch == nil {
		o.Epoch = func() uint64 { return 0 }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Pick == nil {
		o.Pick = rand.IntN
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Settling == nil {
		o.Settling = func(*policy.Table, time.Time) bool { return false }
	}
	if o.Disabled == nil {
		o.Disabled = func() bool { return false }
	}
	if o.DebugAllowed == nil {
		o.DebugAllowed = fromLoopback
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 30 * time.Second
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 30 * time.Second
	}
	if o.UpgradeIdle <= 0 {
		o.UpgradeIdle = 5 * time.Minute
	}
	return o
}

// Door is the handler of client traffic.
type Door struct {
	tier  Tier
	table func() *policy.Table
	opts  DoorOptions

	counters counters
	log      accessLog
	upgrades upgrades
	searches searches
}

// NewDoor returns the door in front of tier. table returns the policy in force;
// a request uses the one that it got from beginning to end.
func NewDoor(tier Tier, table func() *policy.Table, opts DoorOptions) *Door {
	d := &Door{tier: tier, table: table, opts: opts.withDefaults()}
	d.log = newAccessLog(d.opts.Log, d.opts.Journal)
	d.upgrades.open = make(map[*upgrade]struct{})
	return d
}

// Close ends upgraded connections, which no http.Server knows of, and waits for
// them. Other requests are the server's to drain.
func (d *Door) Close() { d.upgrades.closeAll() }

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.serve(&exchange{door: d, w: w, r: r, rc: *http.NewResponseController(w), record: Record{Began: d.opts.Now()}})
}

func (d *Door) serve(x *exchange) {
	d.counters.active.Add(1)
	defer x.end()
	x.begin()
	x.serve()
}

// Refused counts and logs a request that a [Guard] refused: GuardOptions.Refused.
func (d *Door) Refused(client net.Addr, status int, code string) {
	r := Record{Began: d.opts.Now(), Client: withoutPort(client.String()), Status: status, Decision: refused(&fault{code: code}), Err: errors.New(code)}
	d.counters.count(&r)
	d.log.write(&r)
}

// exchange is one request on its way through the door.
type exchange struct {
	door    *Door
	w       http.ResponseWriter
	r       *http.Request
	rc      http.ResponseController
	plan    *policy.Plan    // nil until a route is known
	body    *requestBody    // nil without a body
	sticky  *http.Cookie    // to set on the response, nil mostly
	upgrade string          // protocols that the client wants to switch to
	search  *search         // nil unless the route obeys No-Vary-Search
	peer    *peer.Ask       // of an edge that asks for a client; nil at the door for clients
	probe   *probe          // in a rehearsal; nil mostly
	plain   bool            // the guard has seen that nothing in the head is for the door, and w is a reply
	usual   bool            // nor for anybody but the tiers: all fields are usual ones
	accepts *keying.Accepts // what a plain head says in Accept-Encoding; nil: not known yet
	debug   bool            // the client may know more, and wants to
	detail  string          // of the decision, where the tiers say nothing

	brief    bool      // the answer came whole
	wrote    bool      // the response head has been handed to net/http
	extended time.Time // when the write deadline was last set
	record   Record
	req      policy.Request // for the tiers, once it is admitted
	length   [1]string      // the value of Content-Length
}

// begin puts the bounds on the connection that hold until something renews them.
func (x *exchange) begin() {
	if x.plain {
		x.record.begin(x.r)
		return
	}
	x.extendWrite()
	x.record.Client = clientAddress(x.r)
	x.debug = x.r.Header.Get("X-Cache-Debug") == "1" && x.door.opts.DebugAllowed(x.r)
	if x.r.ContentLength != 0 {
		x.body = newRequestBody(x.r, &x.rc, x.door.opts.ReadTimeout)
	}
	x.record.begin(x.r)
}

func (x *exchange) serve() {
	req, err := x.admit()
	if err != nil {
		x.fail(err)
		return
	}
	if req == nil { // OPTIONS *
		x.general()
		return
	}
	if x.r.ProtoAtLeast(1, 1) { // RFC 9110 15.2: never to HTTP/1.0
		req.Interim = x.interim
	}
	req, ans, err := x.fetch(req)
	if x.probe.ends(req, err) {
		return
	}
	if err != nil {
		if fault := x.body.fault(); fault != nil {
			err = fault // the tier could not go on because the client did not
		}
		x.record.Decision = unanswered(req, faultOf(err))
		x.fail(err)
		return
	}
	x.answer(req, ans)
}

// end counts and logs the request, whatever became of it. A panic of a tier is a
// failure of this request only; http.ErrAbortHandler is how a broken connection
// is made visible and goes on to the server.
func (x *exchange) end() {
	abort := x.settle(recover())
	x.body.stop()
	x.extendWrite() // for what net/http still holds
	x.record.Duration = x.door.opts.Now().Sub(x.record.Began)
	x.door.counters.active.Add(-1)
	x.door.counters.count(&x.record)
	x.door.log.write(&x.record)
	if abort {
		panic(http.ErrAbortHandler)
	}
}

// settle says whether the connection must be aborted after the panic p.
func (x *exchange) settle(p any) (abort bool) {
	if p == nil {
		return false
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.record.Aborted = true
		return true
	}
	x.record.Err, x.record.stack = fmt.Errorf("panic: %v", p), debug.Stack()
	if x.wrote {
		x.record.Aborted = true
		return true
	}
	defer func() { abort = recover() != nil }() // fail aborts when it cannot write
	x.fail(x.record.Err)
	return false
}

// general answers OPTIONS *, which asks about the server and not about anything
// of the origin's, RFC 9110 9.3.7.
func (x *exchange) general() {
	x.record.Decision = rfc9111.Decision{
		Use: rfc9111.Bypass, Outer: rfc9111.TierPass, Status: rfc9111.StatusMethod, Forward: rfc9111.ForwardMethod,
	}
	h := x.w.Header()
	h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	h.Set("Via", via)
	x.tell(h, &x.record.Decision)
	x.writeHead(http.StatusNoContent)
}

// fail answers with the fault that err stands for. Once the head is out only the
// connection's end can tell the client.
func (x *exchange) fail(err error) {
	f := faultOf(err)
	x.probe.fails(f)
	x.record.Err = err
	if x.wrote {
		x.abort(err)
	}
	if f.status == clientGone && x.r.Context().Err() == nil {
		node := closing // it was not the client
		node.cause, f = err, &node
	}
	x.record.Status = f.status
	if f.status == clientGone {
		x.abort(err)
	}
	h := x.w.Header()
	clear(h)
	if x.record.Decision.Use == "" {
		x.record.Decision = refused(f)
	}
	if x.plan != nil {
		setFields(h, x.plan)
	}
	h.Set("Via", via)
	body := f.fields(h)
	x.tell(h, &x.record.Decision)
	x.writeHead(f.status)
	if x.r.Method == http.MethodHead {
		return
	}
	if err := x.write(body); err != nil {
		x.abort(err)
	}
}

// refused is the decision about a request that never reached a tier.
func refused(f *fault) rfc9111.Decision {
	return rfc9111.Decision{
		Use: rfc9111.Bypass, Outer: rfc9111.TierPass, Status: rfc9111.StatusPass,
		Forward: rfc9111.ForwardBypass, Detail: f.code,
	}
}

// unanswered is the decision about a request that no tier could answer.
func unanswered(req *policy.Request, f *fault) rfc9111.Decision {
	d := rfc9111.Decision{
		Use: rfc9111.Miss, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass,
		Status: rfc9111.StatusCode, Forward: rfc9111.ForwardMiss, Detail: f.code,
	}
	switch {
	case req.Bypass != "":
		d.Use, d.Status, d.Forward = rfc9111.Bypass, req.Bypass, rfc9111.ForwardBypass
	case errors.Is(f, shield.ErrOnlyIfCached):
		d.Status, d.Forward = rfc9111.StatusPass, ""
	}
	return d
}

// abort ends the connection so that the client sees that the response is not
// whole: without the last chunk, or short of its Content-Length.
func (x *exchange) abort(cause error) {
	x.record.Aborted = true
	x.record.Left = x.r.Context().Err() != nil
	if x.record.Err == nil {
		x.record.Err = cause
	}
	if x.wrote && !x.r.ProtoAtLeast(1, 1) && x.w.Header().Get("Content-Length") == "" {
		// Here the end of the connection is the end of the body, RFC 9112 6.3. Only
		// a reset tells one that came too early.
		if conn, _, err := x.rc.Hijack(); err == nil {
			reset(conn)
		}
	}
	panic(http.ErrAbortHandler)
}

// writeHead sends the response head. When the request body is not over by then,
// the connection has no further use: net/http would take up the next request even
// where the rest of the body did not come in time.
func (x *exchange) writeHead(status int) {
	if x.body.unread() {
		x.w.Header().Set("Connection", "close")
	}
	x.extendWrite()
	x.wrote = true
	x.record.Status = status
	x.w.WriteHeader(status)
}

// extendWrite gives the client its time for the next write. Deadlines cost a
// timer, so one is kept while most of it is left. The last one stays in force
// while net/http flushes what it buffered. A reply does it by itself.
func (x *exchange) extendWrite() {
	if x.plain {
		return
	}
	now := time.Now()
	if now.Sub(x.extended) < x.door.opts.WriteTimeout/8 {
		return
	}
	x.extended = now
	// Only a writer without a connection, as in tests, has no deadlines.
	_ = x.rc.SetWriteDeadline(now.Add(x.door.opts.WriteTimeout))
}

func fromLoopback(r *http.Request) bool {
	ip := net.ParseIP(clientAddress(r))
	return ip != nil && ip.IsLoopback()
}

// clientAddress is the peer of the connection. Fields such as X-Forwarded-For
// say what a client wants them to say.
func clientAddress(r *http.Request) string { return withoutPort(r.RemoteAddr) }

func withoutPort(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
