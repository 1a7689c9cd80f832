package api

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"weir/api/peer"
	"weir/kv"
)

// Fields of values.
const (
	fieldMetadata = "Weir-Metadata" // JSON
	fieldTTL      = "Weir-Ttl"      // seconds that a value is still fresh, absent: for ever
	fieldStale    = "Weir-Stale"    // seconds after these that it may be used stale, absent: none
	fieldEpoch    = "Weir-Epoch"    // of the purge log, at which this was so
	fieldIfEpoch  = "Weir-If-Epoch" // of a write: nothing of it was purged or written since
)

const (
	pathKV     = "/v1/kv"
	pathValues = pathKV + "/"
)

// ValuesOptions are what a [Values] needs.
type ValuesOptions struct {
	Store func() kv.Store  // nil as long as there is none, or none any more
	Epoch func() uint64    // that the purge log has come to here
	Now   func() time.Time // nil: time.Now
}

// Values are the routes of values, for the listeners that have them.
//
//	GET HEAD PUT DELETE  /v1/kv/KEY       kv.go, kvwrite.go
//	POST                 /v1/kv/KEY/incr  kvwrite.go
//	POST                 /v1/kv           kvmany.go
//
// A key is the rest of the path, decoded once. Values on their way to and from clients take
// no more than some memory together: whoever comes when it is taken waits for a moment.
type Values struct {
	opts    ValuesOptions
	room    *peer.Room // for what is on its way
	looking *peer.Room // for what many values take before it is known how much that is
}

// valuesRoom is what values of more than [peer.SmallValue] may take on their way, lookingRoom
// what is looked up many at a time. Together they are all that a node's routes of values take.
const (
	valuesRoom  = kv.MaxManyBytes
	lookingRoom = 2 * kv.MaxManyBytes
)

// NewValues returns the routes of values.
func NewValues(opts ValuesOptions) *Values {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Values{opts: opts, room: peer.NewRoom(valuesRoom), looking: peer.NewRoom(lookingRoom)}
}

// routes are those of a listener with values; none of a nil one.
func (v *Values) routes() []route {
	if v == nil {
		return nil
	}
	one := pathValues + "*"
	return []route{
		{method: http.MethodPost, path: pathKV, handle: v.many, body: maxMany},
		{method: http.MethodGet, path: one, handle: v.get},
		{method: http.MethodPut, path: one, handle: v.put, body: math.MaxInt64}, // bounds itself
		{method: http.MethodDelete, path: one, handle: v.remove},
		{method: http.MethodPost, path: one, handle: v.incr, body: maxIncr},
	}
}

func (v *Values) store() (kv.Store, error) {
	if s := v.opts.Store(); s != nil {
		return s, nil
	}
	return nil, noValues
}

// noValues is the fault of a node that starts or stops.
var noValues = &fault{
	status: 503, code: "not-ready", message: "This node has no values: it is being started or stopped, or could not open them.",
	hint: "Ask again, or ask another node. The log of this node says what was wrong with them.", retry: 1,
}

// keyOf is the key in the path of a request, with what stands behind it removed.
func keyOf(r *http.Request, behind string) (string, error) {
	raw := strings.TrimSuffix(strings.TrimPrefix(r.URL.EscapedPath(), pathValues), behind)
	key, err := url.PathUnescape(raw)
	if err != nil { // net/http has parsed it already
		return "", badKey("it is not percent-encoded as a URL is", err)
	}
	return key, nil
}

// get answers GET and HEAD.
func (v *Values) get(w http.ResponseWriter, r *http.Request) error {
	if err := noQuery(r); err != nil {
		return err
	}
	key, err := keyOf(r, "")
	if err != nil {
		return err
	}
	cond, err := readConditions(r.Header)
	if err != nil {
		return err
	}
	epoch := v.opts.Epoch() // first: what is missing now was so then
	value, leave, err := v.fetch(r.Context(), key)
	if err != nil {
		w.Header().Set(fieldEpoch, strconv.FormatUint(epoch, 10))
		return err
	}
	defer leave()
	h := w.Header()
	v.describe(h, value)
	switch {
	case !cond.matches(value.Version):
		return conditionFailed
	case cond.noneMatches(value.Version):
		delete(h, "Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(value.Bytes)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	return pour(w, value.Bytes)
}

// fetch gets a value within a bounded time.
func (v *Values) fetch(ctx context.Context, key string) (value *kv.Value, leave func(), err error) {
	store, err := v.store()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, valueWait)
	defer cancel()
	return getWithin(ctx, v.room, store, key)
}

// getWithin gets a value, and room for it where it is a large one. Nobody holds a value while
// it waits for room.
func getWithin(ctx context.Context, room *peer.Room, store kv.Store, key string) (value *kv.Value, leave func(), err error) {
	size := int64(0)
	for {
		leave, err := room.Take(ctx, size)
		if err != nil {
			return nil, nil, err
		}
		value, err := store.Get(ctx, key)
		switch {
		case err != nil:
			leave()
			return nil, nil, err
		case int64(len(value.Bytes)) <= max(size, peer.SmallValue):
			return value, leave, nil
		}
		leave()
		size = int64(len(value.Bytes))
	}
}

// valueWait bounds how long a client waits for a value, room for it included.
const valueWait = 10 * time.Second

// describe sets what there is to say of a value besides its bytes.
func (v *Values) describe(h http.Header, value *kv.Value) {
	now := v.opts.Now()
	h["Content-Type"] = nil // or net/http would guess one
	if value.Type != "" {
		h.Set("Content-Type", value.Type)
	}
	h.Set("Etag", etag(value.Version))
	h.Set("Age", strconv.FormatInt(int64(age(value, now)/time.Second), 10))
	h.Set("X-Cache", use(value, now))
	h.Set(fieldEpoch, strconv.FormatUint(value.Epoch, 10))
	if !value.Fresh.IsZero() {
		h.Set(fieldTTL, secondsText(value.Fresh.Sub(now)))
	}
	if left, ok := staleLeft(value, now); ok {
		h.Set(fieldStale, secondsText(left))
	}
	if value.Metadata != nil {
		h.Set(fieldMetadata, asciiJSON(value.Metadata))
	}
	if len(value.Tags) > 0 {
		h.Set("Cache-Tag", strings.Join(value.Tags, ","))
	}
	shelter(h)
}

// shelter is for browsers: what somebody has stored is no page of this node, and no script of
// any other site.
func shelter(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

func age(value *kv.Value, now time.Time) time.Duration { return max(0, now.Sub(value.Written)) }

// use says whether a value is fresh, as a response would.
func use(value *kv.Value, now time.Time) string {
	if stale(value, now) {
		return "stale"
	}
	return "hit"
}

func stale(value *kv.Value, now time.Time) bool {
	return !value.Fresh.IsZero() && !now.Before(value.Fresh)
}

// staleLeft is how long a value may be used after it was fresh, from now on.
func staleLeft(value *kv.Value, now time.Time) (left time.Duration, ok bool) {
	if value.Fresh.IsZero() || !value.Until.After(value.Fresh) {
		return 0, false
	}
	from := value.Fresh
	if now.After(from) {
		from = now
	}
	return value.Until.Sub(from), true
}

// secondsText is a time that is left, in whole milliseconds and never more than it is.
func secondsText(left time.Duration) string {
	return strconv.FormatFloat(secondsLeft(left), 'f', -1, 64)
}

func secondsLeft(left time.Duration) float64 { return float64(max(0, left).Milliseconds()) / 1000 }

// asciiJSON is JSON as a field can have it: in one line, and in ASCII.
func asciiJSON(src json.RawMessage) string {
	var b strings.Builder
	for _, c := range string(src) {
		switch {
		case c == '\n' || c == '\r' || c == '\t':
			b.WriteByte(' ') // between tokens; inside strings they are escaped already
		case c < 0x7f:
			b.WriteRune(c)
		case c > 0xffff:
			c -= 0x10000
			writeEscaped(&b, 0xd800+c>>10)
			writeEscaped(&b, 0xdc00+c&0x3ff)
		default:
			writeEscaped(&b, c)
		}
	}
	return b.String()
}

func writeEscaped(b *strings.Builder, unit rune) {
	const digits = "0123456789abcdef"
	b.Write([]byte{'\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15]})
}

// valueStall is how long a client may take for each piece of a value.
const valueStall = 10 * time.Second

// pour writes bytes that a client has to take some of now and then.
func pour(w http.ResponseWriter, body []byte) error {
	rc := http.NewResponseController(w)
	for len(body) > 0 {
		piece := body[:min(len(body), maxWrite)]
		_ = rc.SetWriteDeadline(time.Now().Add(valueStall)) // not every ResponseWriter of tests has one
		if _, err := w.Write(piece); err != nil {
			return err
		}
		body = body[len(piece):]
	}
	_ = rc.SetWriteDeadline(time.Time{})
	return nil
}
