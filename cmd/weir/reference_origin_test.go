package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// reference is an origin that does all that RFC 9110 says about conditions, ranges and codings, in the
// plainest way. It shares no code with what it is the measure of.
type reference struct {
	clock *clock
	mu    sync.Mutex
	all   map[string]*resource
}

func newReference(c *clock) *reference { return &reference{clock: c, all: make(map[string]*resource)} }

func (o *reference) add(r *resource) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[r.path] = r
}

func (o *reference) at(path string) *resource {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all[path]
}

// resource is what a URL of the reference names: versions of a text or of noise.
type resource struct {
	path      string
	seed      uint64
	size      int
	mediaType string
	tagged    string // "", "weak" or "strong"
	dated     string // "", "now" or "past"
	gzip      string // "", "offered" beside identity, or "always"
	chunked   bool   // does not tell its length
	ranges    bool   // serves ranges
	control   string // Cache-Control
	reusable  time.Duration
	codings   []string // Accept-Encoding of its clients

	mu       sync.Mutex
	version  int         // counts from 1
	modified []time.Time // of each version
	contacts []contact
	bodies   map[string][]byte
	hold     chan struct{} // the next body stops in the middle until this is closed
}

func (r *resource) String() string {
	return fmt.Sprintf("%d bytes %s, tags %q, dates %q, gzip %q, chunked %v, ranges %v, %s, version %d", r.size, r.mediaType, r.tagged, r.dated, r.gzip, r.chunked, r.ranges, r.control, r.version)
}

// contact is a time at which the cache learned what the version was.
type contact struct {
	version int
	at      time.Time
}

// change makes a new version.
func (r *resource) change(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	date := now.Truncate(time.Second)
	if r.dated == "past" {
		date = date.Add(-time.Minute)
	}
	r.modified = append(r.modified, date)
}

// usable lists the versions that a cache may answer with now, newest first: the one at the origin, and what
// it learned no longer ago than it is fresh and may be served stale.
func (r *resource) usable(now time.Time) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []int{r.version}
	for _, c := range slices.Backward(r.contacts) {
		if now.Sub(c.at) < r.reusable && !slices.Contains(out, c.version) {
			out = append(out, c.version)
		}
	}
	return out
}

// negotiate chooses a coding.
func (r *resource) negotiate(h http.Header) string {
	if r.gzip == "always" || r.gzip == "offered" && acceptsCoding(h, "gzip") {
		return "gzip"
	}
	return ""
}

// representation is one form of one version.
type representation struct {
	version  int
	coding   string // "" is identity
	tag      string // "" is none
	modified time.Time
	arrived  time.Time // compared with If-Modified-Since where there is no modified
	ranges   bool      // are served
	body     []byte
}

// form returns a version in a coding.
func (r *resource) form(version int, coding string) representation {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := representation{version: version, coding: coding, ranges: r.ranges, body: r.body(version, coding)}
	if r.dated != "" {
		rep.modified = r.modified[version-1]
	}
	if r.tagged != "" {
		rep.tag = fmt.Sprintf(`"%s.v%d%s"`, strings.ReplaceAll(r.path, "/", ""), version, strings.TrimSuffix("."+coding, "."))
	}
	if r.tagged == "weak" {
		rep.tag = "W/" + rep.tag
	}
	return rep
}

// bodyOf returns the bytes that a strong entity tag stands for, nil if it is none of the reference's.
func (r *resource) bodyOf(tag string) []byte {
	if r.tagged != "strong" {
		return nil
	}
	r.mu.Lock()
	newest := r.version
	r.mu.Unlock()
	for version := 1; version <= newest; version++ {
		for _, coding := range []string{"", "gzip"} {
			if rep := r.form(version, coding); rep.tag == tag {
				return append([]byte{}, rep.body...)
			}
		}
	}
	return nil
}

// body makes the bytes of a version, the same ones every time.
func (r *resource) body(version int, coding string) []byte {
	key := coding + strconv.Itoa(version)
	if b, ok := r.bodies[key]; ok {
		return b
	}
	var out []byte
	if coding == "gzip" {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(r.body(version, "")) // into memory
		_ = w.Close()
		out = b.Bytes()
	} else {
		rng := rand.New(rand.NewPCG(r.seed, uint64(version)))
		for len(out) < r.size {
			if strings.HasPrefix(r.mediaType, "text/") {
				out = fmt.Appendf(out, "%d bottles in version %d; ", rng.IntN(100), version)
			} else {
				out = append(out, byte(rng.Uint32()))
			}
		}
		out = out[:r.size]
	}
	r.bodies[key] = out
	return out
}

// ServeHTTP answers as the reference does, and remembers that the cache has learned the version.
func (o *reference) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r := o.at(req.URL.Path)
	if r == nil {
		http.NotFound(w, req)
		return
	}
	now := o.clock.Now()
	r.mu.Lock()
	version := r.version
	r.contacts = append(r.contacts, contact{version, now})
	hold := r.hold
	if req.Method == http.MethodGet {
		r.hold = nil
	}
	r.mu.Unlock()
	a := r.answer(req.Method, req.Header, r.form(version, r.negotiate(req.Header)), now)
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if r.chunked && req.Method == http.MethodGet {
		delete(w.Header(), "Content-Length")
	}
	w.WriteHeader(a.status)
	half := len(a.body) / 2
	_, _ = w.Write(a.body[:half])
	if r.chunked || hold != nil {
		_ = http.NewResponseController(w).Flush()
	}
	if hold != nil {
		<-hold
	}
	_, _ = w.Write(a.body[half:])
}

// answered is a response that has been read.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// answer is the response to a request that selects rep.
func (r *resource) answer(method string, h http.Header, rep representation, now time.Time) answered {
	a := answered{status: http.StatusOK, header: http.Header{
		"Date": {now.UTC().Format(http.TimeFormat)}, "Cache-Control": {r.control}, "X-Version": {strconv.Itoa(rep.version)},
	}, body: rep.body}
	if rep.tag != "" {
		a.header["Etag"] = []string{rep.tag}
	}
	if !rep.modified.IsZero() {
		a.header["Last-Modified"] = []string{rep.modified.UTC().Format(http.TimeFormat)}
	}
	if r.gzip == "offered" {
		a.header["Vary"] = []string{"Accept-Encoding"}
	}
	switch verdict := rep.evaluate(h); verdict {
	case http.StatusOK:
	case http.StatusPreconditionFailed:
		return answered{status: verdict, header: http.Header{"Date": a.header["Date"]}}
	default:
		a.status, a.body = verdict, nil
		return a
	}
	a.header["Content-Type"] = []string{r.mediaType}
	if rep.coding != "" {
		a.header["Content-Encoding"] = []string{rep.coding}
	}
	if rep.ranges {
		a.header["Accept-Ranges"] = []string{"bytes"}
		if method == http.MethodGet && rep.rangeApplies(h, now) {
			a.cut(h["Range"], r.mediaType)
		}
	}
	a.header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	if method == http.MethodHead {
		a.body = nil
	}
	return a
}

// evaluate goes through RFC 9110 13.2.2, steps 1 to 4: 200, 304 or 412.
func (rep *representation) evaluate(h http.Header) int {
	if lines := h["If-Match"]; lines != nil {
		if !slices.ContainsFunc(tagsIn(lines), func(t string) bool {
			return t == "*" || t == rep.tag && t != "" && !strings.HasPrefix(t, "W/")
		}) {
			return http.StatusPreconditionFailed
		}
	} else if t, ok := dateIn(h, "If-Unmodified-Since"); ok && !rep.modified.IsZero() && rep.modified.After(t) {
		return http.StatusPreconditionFailed
	}
	if lines := h["If-None-Match"]; lines != nil {
		if slices.ContainsFunc(tagsIn(lines), func(t string) bool {
			return t == "*" || rep.tag != "" && strings.TrimPrefix(t, "W/") == strings.TrimPrefix(rep.tag, "W/")
		}) {
			return http.StatusNotModified
		}
	} else if t, ok := dateIn(h, "If-Modified-Since"); ok {
		last := rep.modified
		if last.IsZero() {
			last = rep.arrived
		}
		if !last.IsZero() && !last.After(t) {
			return http.StatusNotModified
		}
	}
	return http.StatusOK
}

// rangeApplies is step 5 of RFC 9110 13.2.2.
func (rep *representation) rangeApplies(h http.Header, now time.Time) bool {
	field := h.Get("If-Range")
	if field == "" {
		return true
	}
	if strings.Contains(field, `"`) {
		return field == rep.tag && !strings.HasPrefix(field, "W/")
	}
	t, ok := dateIn(h, "If-Range")
	return ok && t.Equal(rep.modified) && now.Truncate(time.Second).Sub(rep.modified) >= time.Second
}

// tagsIn reads lists of entity tags; what is none ends its line.
func tagsIn(lines []string) (tags []string) {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") { // no tag of these tests has a comma
			if member = strings.TrimSpace(member); member == "" {
				continue
			}
			opaque := strings.TrimPrefix(member, "W/")
			if member != "*" && (len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"') {
				break
			}
			tags = append(tags, member)
		}
	}
	return tags
}

func dateIn(h http.Header, name string) (time.Time, bool) {
	t, err := http.ParseTime(h.Get(name))
	return t, err == nil
}

// acceptsCoding is RFC 9110 12.5.3 for a coding that is not identity; a client that does not send the field is
// taken for one that wants none.
func acceptsCoding(h http.Header, coding string) bool {
	star := false
	for member := range strings.SplitSeq(strings.Join(h["Accept-Encoding"], ","), ",") {
		name, weight, _ := strings.Cut(member, ";")
		zero := strings.HasPrefix(strings.TrimSpace(weight), "q=0") && strings.Trim(weight, " q=0.") == ""
		switch strings.TrimPrefix(strings.TrimSpace(name), "x-") { // RFC 9110 8.4.1
		case coding:
			return !zero
		case "*":
			star = !zero
		}
	}
	return star
}

// span is a range of bytes, from included, to excluded.
type span struct{ from, to int }

// maxSpans is how many ranges the reference serves at once, as weir does.
const maxSpans = 8

// spansOf reads a Range field, RFC 9110 14.1.2; ok is false for one that is ignored.
func spansOf(lines []string, size int) (spans []span, ok bool) {
	if len(lines) != 1 {
		return nil, false
	}
	set, isBytes := strings.CutPrefix(strings.TrimSpace(lines[0]), "bytes=")
	if !isBytes {
		return nil, false
	}
	asked := 0
	for member := range strings.SplitSeq(set, ",") {
		if member = strings.TrimSpace(member); member == "" {
			continue
		}
		asked++
		first, last, dash := strings.Cut(member, "-")
		from, errFrom := strconv.ParseUint(first, 10, 62)
		to, errTo := strconv.ParseUint(last, 10, 62)
		switch {
		case !dash, first != "" && errFrom != nil, last != "" && errTo != nil, first == "" && last == "":
			return nil, false
		case first == "":
			if size == 0 && to > 0 {
				return nil, false // a suffix of nothing is the whole of it
			}
			spans = append(spans, span{size - int(min(to, uint64(size))), size})
			continue
		case last == "":
			to = uint64(size)
		case to < from:
			return nil, false
		default:
			to++
		}
		spans = append(spans, span{int(min(from, uint64(size))), int(min(to, uint64(size)))})
	}
	return slices.DeleteFunc(spans, func(s span) bool { return s.from >= s.to }), asked > 0 && asked <= maxSpans
}

// cut makes a response partial.
func (a *answered) cut(lines []string, mediaType string) {
	spans, ok := spansOf(lines, len(a.body))
	switch {
	case !ok:
		return
	case len(spans) == 0:
		whole := len(a.body)
		*a = answered{status: http.StatusRequestedRangeNotSatisfiable, header: http.Header{
			"Date": a.header["Date"], "Content-Range": {fmt.Sprintf("bytes */%d", whole)},
		}}
	case len(spans) == 1:
		a.status = http.StatusPartialContent
		a.header["Content-Range"] = []string{spans[0].field(len(a.body))}
		a.body = a.body[spans[0].from:spans[0].to]
	default:
		var b bytes.Buffer
		for _, s := range spans {
			fmt.Fprintf(&b, "\r\n--cut\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n", mediaType, s.field(len(a.body)))
			b.Write(a.body[s.from:s.to])
		}
		a.status, a.body = http.StatusPartialContent, append(b.Bytes()[2:], "\r\n--cut--\r\n"...)
		a.header["Content-Type"] = []string{"multipart/byteranges; boundary=cut"}
	}
}

func (s span) field(size int) string { return fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, size) }

// The measure is measured: by what package net/http serves from the same bytes.
func TestReferenceAgreesWithServeContent(t *testing.T) {
	c, rng := newClock(), rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		r := drawResource(rng, "/x", c.Now())
		r.ranges, r.gzip = true, ""
		q := drawRequest(rng, r, c.Now())
		if spans, ok := spansOf(q.header["Range"], r.size); q.header["Range"] != nil && (!ok || len(spans) != 1 || q.method == http.MethodHead) {
			continue // ServeContent has opinions of its own on these
		}
		for name, lines := range q.header { // and reads one line only
			q.header[name] = lines[:1]
		}
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", r.mediaType)
		rep := r.form(1, "")
		if rep.tag != "" {
			w.Header().Set("Etag", rep.tag)
		}
		http.ServeContent(w, q.http(t, "http://reference"+r.path), "", rep.modified, bytes.NewReader(rep.body))
		got := r.answer(q.method, q.header, rep, c.Now().Add(time.Hour)) // when each of its dates is a strong validator
		if got.status != w.Code || got.status < 300 && !bytes.Equal(got.body, w.Body.Bytes()) ||
			got.header.Get("Content-Range") != w.Header().Get("Content-Range") {
			t.Fatalf("%s\nof %s: %d %q, net/http says %d %q", q, r,
				got.status, got.header.Get("Content-Range"), w.Code, w.Header().Get("Content-Range"))
		}
	}
}
