package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"weir/api/peer"
	"weir/keying"
	"weir/kv"
	"weir/policy"
	"weir/shield"
)

// PeerOptions are the parts and limits of a PeerDoor. Tier, Table and Purges are needed.
type PeerOptions struct {
	Tier   Tier                 // the shield
	Table  func() *policy.Table // the policy in force
	Purges *shield.Purges       // the log that edges follow
	Purge  func(ctx context.Context, order shield.PurgeOrder) (shield.PurgeReport, error)

	Now      func() time.Time // nil: time.Now
	Log      *zap.Logger      // nil: none
	Journal  *Journal         // of the node, for those who follow its requests; nil: none
	Settling func(t *policy.Table, now time.Time) bool
	Disabled func() bool // nothing is cached; default never

	Explains *shield.Shield // which tells edges what it would do; nil: it does not

	Values kv.Store // that edges read and write; nil: none

	Room int64 // that long batches of the log may take on their way to edges, in bytes; 0: 128 MiB

	PushRate int64 // how many bytes of values that were written all edges are sent in a second; 0: 64 MiB

	// HasParent says that this node asks a shield itself. Then it is none for others.
	HasParent bool

	PurgeWait time.Duration          // for the regions' word, 0: 1 s
	Seen      []string               // regions that were connected before this process began
	OnSeen    func(regions []string) // told of all regions when there is a new one; nil: nobody
}

// PeerDoor is the shield's handler of what edges ask. What it serves is for nodes that
// know the secret, see [peer.Listener]: it trusts what they say of their clients.
type PeerDoor struct {
	opts    PeerOptions
	door    *Door // admission, counters and log
	mux     *http.ServeMux
	regions regions

	streams streams
	batches batches
	room    *peer.Room // for values

	readings readings
	pushes   pushCounts
	pushing  pushRate
}

// NewPeerDoor returns the door that edges come through. Close ends it.
func NewPeerDoor(opts PeerOptions) *PeerDoor {
	if opts.PurgeWait <= 0 {
		opts.PurgeWait = time.Second
	}
	d := &PeerDoor{opts: opts, mux: http.NewServeMux(), batches: newBatches(opts.Room), room: peer.NewRoom(peerValuesRoom)}
	d.door = NewDoor(opts.Tier, opts.Table, DoorOptions{
		Now: opts.Now, Log: opts.Log, Journal: opts.Journal, Settling: opts.Settling, Disabled: opts.Disabled,
		DebugAllowed: func(*http.Request) bool { return false }, // the edge decides, and says so
	})
	d.opts.Log = d.door.opts.Log
	d.pushing.rate = cmp.Or(opts.PushRate, usualPushRate)
	d.regions.begin(opts.Seen, opts.OnSeen)
	d.streams.begin()
	d.mux.HandleFunc("POST "+peer.PathFetch, d.fetch)
	d.mux.HandleFunc("GET "+peer.PathLog, d.follow)
	d.mux.HandleFunc("POST "+peer.PathCatchUp, d.catchUp)
	d.mux.HandleFunc("POST "+peer.PathPurge, d.purge)
	d.mux.HandleFunc("POST "+peer.PathOwed, d.owed)
	if opts.Explains != nil {
		d.mux.HandleFunc("POST "+peer.PathExplain, d.explain)
	}
	if opts.Values != nil {
		d.mux.HandleFunc("POST "+peer.PathKV, d.values)
	}
	return d
}

// Close ends the log streams and waits for them. Other requests are the server's to drain.
func (d *PeerDoor) Close() {
	d.streams.close()
	d.door.Close()
}

// Stats returns what the door has counted of fetches.
func (d *PeerDoor) Stats() DoorStats { return d.door.Stats() }

// ServeHTTP answers one request of an edge.
func (d *PeerDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.opts.HasParent {
		d.refuse(w, &fault{
			status: http.StatusMisdirectedRequest, code: peer.CodeNotShield, close: true,
			message: "This node asks a shield itself.", hint: "Let --shield name the shield of all regions.",
		})
		return
	}
	if r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil {
		d.refuse(w, refusePage)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// refusePage is for what a page in a browser sends to a listener without a secret.
var refusePage = &fault{
	status: 403, code: "foreign-origin", close: true,
	message: "No page may talk to the listener for edges.", hint: "Use weir purge, or the admin API.",
}

// refuse answers with the fault that err stands for.
func (d *PeerDoor) refuse(w http.ResponseWriter, err error) {
	f := faultOf(err)
	if f.status == clientGone {
		panic(http.ErrAbortHandler)
	}
	body := f.fields(w.Header())
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // an edge that left is not told
}

var refuseMessage = &fault{status: 400, code: "malformed", message: "The message cannot be read.", close: true}

// message reads the body of a small request.
func (d *PeerDoor) message(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(d.door.opts.ReadTimeout)) // unsupported only without a connection
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPeerMessage))
	if err != nil {
		d.refuse(w, refuseMessage)
		return nil, false
	}
	_ = rc.SetReadDeadline(time.Time{})
	return body, true
}

// maxPeerMessage bounds a purge and what an edge hands over: 100,000 tags of some length.
const maxPeerMessage = 32 << 20

func (d *PeerDoor) catchUp(w http.ResponseWriter, r *http.Request) {
	id, after, ok := place(r)
	if !ok {
		d.refuse(w, refuseMessage)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), streamSilence)
	defer cancel()
	b, err := d.batches.make(ctx, d.opts.Purges, peerPlace{id, after})
	if err != nil {
		d.refuse(w, err)
		return
	}
	defer b.leave()
	d.write(w, b.encoded)
}

// write answers with bytes, of which an edge has to take some now and then.
func (d *PeerDoor) write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	rc := http.NewResponseController(w)
	for len(body) > 0 {
		piece := body[:min(len(body), maxWrite)]
		_ = rc.SetWriteDeadline(time.Now().Add(d.door.opts.WriteTimeout))
		if _, err := w.Write(piece); err != nil {
			return // the server sees it too
		}
		body = body[len(piece):]
	}
}

// place reads which log an edge follows, and how far it is.
func place(r *http.Request) (id shield.LogID, after uint64, ok bool) {
	q := r.URL.Query()
	raw, err := hex.DecodeString(q.Get("log"))
	after, errAfter := strconv.ParseUint(q.Get("after"), 10, 64)
	if err != nil || errAfter != nil || len(raw) != len(id) {
		return id, 0, false
	}
	return shield.LogID(raw), after, true
}

func (d *PeerDoor) purge(w http.ResponseWriter, r *http.Request) {
	body, ok := d.message(w, r)
	if !ok {
		return
	}
	order, err := decodeOrder(body) // as strict as for people: another version may name more
	if err != nil {
		d.refuse(w, badOrder(err.Error(), err))
		return
	}
	report, err := d.Purge(r.Context(), order)
	if err != nil {
		d.refuse(w, purgeFault(err))
		return
	}
	answer, err := json.Marshal(report)
	if err != nil {
		d.refuse(w, err)
		return
	}
	d.write(w, answer)
}

// Purge purges, and waits a moment for the word of all regions.
func (d *PeerDoor) Purge(ctx context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
	report, err := d.opts.Purge(ctx, order)
	if err != nil || order.DryRun {
		return report, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.opts.PurgeWait)
	defer cancel()
	applied, pending := d.WaitApplied(ctx, report)
	report.Regions = append(report.Regions, applied...)
	report.Pending = append(report.Pending, pending...)
	return report, nil
}

// owed takes the rules that an edge put into force by itself.
func (d *PeerDoor) owed(w http.ResponseWriter, r *http.Request) {
	body, ok := d.message(w, r)
	if !ok {
		return
	}
	rules, err := peer.DecodeRules(body)
	if err != nil {
		d.refuse(w, refuseMessage)
		return
	}
	epoch, err := d.opts.Purges.Add(rules...)
	if err != nil {
		d.refuse(w, err)
		return
	}
	w.Header().Set(peer.EpochField, strconv.FormatUint(epoch, 10))
	w.WriteHeader(http.StatusOK)
}

// fetch answers what an edge asks for a client.
func (d *PeerDoor) fetch(w http.ResponseWriter, r *http.Request) {
	came := d.door.opts.Now()
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(d.door.opts.ReadTimeout))
	body := bufio.NewReader(r.Body)
	ask, frame, err := readAsk(body)
	if err != nil {
		d.refuse(w, err)
		return
	}
	_ = rc.SetReadDeadline(time.Time{})
	x := &exchange{door: d.door, w: w, r: asked(r, ask, body, frame), rc: *rc, peer: ask, record: Record{Began: came}}
	d.door.counters.active.Add(1)
	defer x.end()
	x.begin()
	x.record.Client = ask.Client
	x.servePeer(d)
}

// asked is the client's request that ask stands for, as a server of the client would have
// received it.
func asked(r *http.Request, ask *peer.Ask, body *bufio.Reader, frame int) *http.Request {
	out := r.Clone(r.Context())
	out.Method, out.Host, out.RequestURI, out.Header = ask.Method, ask.Host, ask.Target, ask.Header
	out.Body = io.NopCloser(body)
	out.Trailer = r.Trailer // filled in at the end of the body
	if r.ContentLength >= 0 {
		out.ContentLength = r.ContentLength - int64(frameLength(frame))
	}
	return out
}

// frameLength is how long a frame is with its length before it.
func frameLength(frame int) int {
	n := 1
	for size := frame; size >= 0x80; size >>= 7 {
		n++
	}
	return n + frame
}

// admitPeer is admit for what an edge asks. The edge has refused what is refused at the
// door; here it is only made sure that nothing is keyed that could not be a client's.
func (x *exchange) admitPeer() (*policy.Request, error) {
	ask := x.peer
	t, bad := parseTarget(ask.Target)
	host, ok := keying.CanonicalHost(ask.Host, ask.Scheme)
	switch {
	case bad != nil:
		return nil, bad
	case !ok || host != ask.Host || t.authority != "" || ask.Scheme != "http" && ask.Scheme != "https":
		return nil, refuseHost
	}
	if bad := checkHead(x.r); bad != nil {
		return nil, bad
	}
	x.record.Host = host
	req := &x.req
	*req = policy.Request{
		Method: ask.Method, Scheme: ask.Scheme, Host: host, Target: t.form,
		Client: ask.Client, At: x.record.Began, Received: received(ask.Header),
		Bypass: ask.Bypass, Settling: ask.Settling, MinEpoch: ask.MinEpoch, MustBeFresh: ask.MustBeFresh,
		TakesTrailers: ask.TakesTrailers,
	}
	if ask.QueryChanged {
		t.query = ask.Query // routes match what the client sent
	}
	if err := x.place(req, t); err != nil {
		return nil, err
	}
	if ask.QueryChanged {
		req.Keyed.QueryChanged, req.Keyed.OriginalQuery = true, ask.Query
	}
	return req, nil
}

// errGone is for an edge that wants the rest of what it cannot have.
var errGone = &fault{status: http.StatusConflict, code: "gone", message: "Another version is current by now.", cause: errors.New("cannot be resumed")}
