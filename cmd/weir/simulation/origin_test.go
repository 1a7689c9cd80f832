package simulation_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// origin is the server that all nodes fetch from. Its pages have versions, and every
// byte of a body depends on what the body is of. The first letter of a path says what
// kind of page it is.
type origin struct {
	w *world

	mu      sync.Mutex // guards what follows
	random  *rand.Rand
	bumps   map[string][]time.Time // when each URL got its versions 1, 2, ...
	running map[string][]*inquiry  // requests being answered, by URL
	broken  map[string][]broken    // bodies that broke off, by URL
	asked   map[string]int         // by URL
}

// inquiry is a request at the origin.
type inquiry struct {
	node  string    // with the number of its life
	began time.Time // when the node sent it; the first, if this one is for the rest of a body that broke off
	alone bool      // its client waits with nobody
}

// broken is a body that broke off: whoever waits for it asks for the rest, also when a
// purge has come since and others ask for the whole.
type broken struct {
	of   *inquiry
	next int // byte that it did not come to
}

// kind says how the pages with a letter are.
type kind struct {
	control   string // Cache-Control
	personal, // the answer depends on the Cookie
	authorized bool // it depends on Authorization, when there is one
	size int
	slow bool // the body takes its time
}

var kinds = map[byte]kind{
	'f': {control: "max-age=30", size: 400},                                 // firm: no stale windows
	's': {control: "max-age=2, stale-while-revalidate=20", size: 400},       // stale while it is refreshed
	'p': {control: "private, max-age=30", personal: true, size: 400},        // never shared
	'c': {control: "max-age=30", personal: true, size: 400},                 // comes with Set-Cookie
	'a': {control: "max-age=30", authorized: true, size: 400},               // not storable with Authorization
	'l': {control: "max-age=30", size: 200_000, slow: true},                 // large
	'o': {control: "max-age=10, stale-if-error=60", size: 2000, slow: true}, // slow
}

// content is the body of one version of a page for one user, "" for everybody.
func content(url string, version int, user string, size int) []byte {
	head := fmt.Sprintf("%s %d %s\n", url, version, user)
	line := fmt.Sprintf("%s %d %s ", url, version, user)
	b := make([]byte, 0, len(head)+size+len(line)+8)
	b = append(b, head...)
	for i := 0; len(b) < len(head)+size; i++ {
		b = append(strconv.AppendInt(append(b, line...), int64(i), 10), '\n')
	}
	return b
}

func urlOf(r *http.Request) string { return "http://" + r.Host + r.URL.RequestURI() }

func (o *origin) bump(url string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bumps[url] = append(o.bumps[url], time.Now())
	return len(o.bumps[url])
}

// version is the one that url has now.
func (o *origin) version(url string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.bumps[url])
}

// versionAt is the one that url had.
func (o *origin) versionAt(url string, at time.Time) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for n < len(o.bumps[url]) && !o.bumps[url][n].After(at) {
		n++
	}
	return n
}

func (o *origin) count(url string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[url]
}

func (o *origin) chance(percent int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.random.IntN(100) < percent
}

func (o *origin) upTo(d time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Duration(o.random.Int64N(int64(d)))
}

// enter counts a request in, and has the checker look at who else asks.
func (o *origin) enter(url string, i *inquiry) (leave func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked[url]++
	for _, other := range o.running[url] {
		if other.node == i.node && !other.alone && !i.alone && !kinds[pathOf(url)[1]].personal {
			o.w.together(url, other, i)
		}
	}
	o.running[url] = append(o.running[url], i)
	return sync.OnceFunc(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for n, other := range o.running[url] {
			if other == i {
				o.running[url] = append(o.running[url][:n:n], o.running[url][n+1:]...)
				return
			}
		}
	})
}

// begun is when a node that asks for what begins at a byte asked for what came before it.
func (o *origin) begun(url, node, rest string) (first time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n, b := range o.broken[url] {
		if b.of.node == node && rest == fmt.Sprintf("bytes=%d-", b.next) {
			o.broken[url] = slices.Delete(o.broken[url], n, n+1)
			return b.of.began, true
		}
	}
	return first, false
}

// breaks notes that an answer will.
func (o *origin) breaks(url string, b broken) {
	o.mu.Lock()
	defer o.mu.Unlock()
	gone := func(b broken) bool { return time.Since(b.of.began) > 4*slack } // nobody waits for so long
	o.broken[url] = append(slices.DeleteFunc(o.broken[url], gone), b)
}

func pathOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest[strings.IndexByte(rest, '/'):]
}

// route is a node's way to the origin.
type route struct {
	*origin
	node  string
	delay time.Duration // one way
}

func (r route) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := time.Now()
	if req.Body != nil {
		_ = req.Body.Close()
	}
	if err := pause(req, r.delay+r.upTo(20*time.Millisecond)); err != nil {
		return nil, err
	}
	url := urlOf(req)
	if req.Method == http.MethodPost {
		version := r.bump(url)
		r.w.note(url, "origin: POST of %s makes version %d", r.node, version)
		if err := pause(req, r.delay); err != nil {
			return nil, err
		}
		return reply(req, http.StatusNoContent, nil, http.Header{"X-Version": {strconv.Itoa(version)}, "X-Asker": {r.node}}), nil
	}
	i := &inquiry{r.node, sent, req.Header.Get(alone) != ""}
	if first, ok := r.begun(url, r.node, req.Header.Get("Range")); ok {
		i.began = first
	}
	leave := r.enter(url, i)
	context.AfterFunc(req.Context(), leave) // whoever gives up closes the connection
	resp, err := r.answer(req, url, i)
	if err == nil {
		err = pause(req, r.delay+r.upTo(100*time.Millisecond))
	}
	if err != nil {
		leave()
		return nil, err
	}
	resp.Body = &leaving{resp.Body, leave}
	return resp, nil
}

func (o route) answer(req *http.Request, url string, i *inquiry) (*http.Response, error) {
	k := kinds[pathOf(url)[1]]
	user := ""
	switch {
	case k.personal:
		user = userOf(req.Header)
	case k.authorized && req.Header.Get("Authorization") != "":
		user = userOf(req.Header)
	}
	version := o.version(url)
	tag := fmt.Sprintf(`"%d-%s"`, version, user)
	h := http.Header{"Etag": {tag}, "Cache-Control": {k.control}, "Cache-Tag": {tagsOf(url)}, "X-Asker": {o.node}}
	if pathOf(url)[1] == 'c' {
		h.Set("Set-Cookie", "user="+user)
	}
	o.w.note(url, "origin: %s gets version %d, if none match %q, range %q", o.node, version, req.Header.Get("If-None-Match"), req.Header.Get("Range"))
	if strings.Contains(req.Header.Get("If-None-Match"), tag) {
		return reply(req, http.StatusNotModified, nil, h), nil
	}
	body, status := content(url, version, user, k.size), http.StatusOK
	var first, last int
	if n, _ := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-%d", &first, &last); n > 0 && holds(req.Header, tag) && first < len(body) {
		if n == 1 || last >= len(body) {
			last = len(body) - 1
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(body)))
		body, status = body[first:last+1], http.StatusPartialContent
	}
	if match := req.Header.Get("If-Match"); match != "" && match != tag {
		return reply(req, http.StatusPreconditionFailed, nil, h), nil
	}
	resp := reply(req, status, body, h)
	if k.slow {
		s := &slowBody{ctx: req, rest: body, pause: func() time.Duration { return o.upTo(700 * time.Millisecond) }}
		if o.w.faults && o.chance(10) {
			s.breaks = len(body) / 3
			o.breaks(url, broken{i, first + len(body) - s.breaks})
		}
		resp.Body = s
	}
	return resp, nil
}

// holds says whether If-Range lets a range be sent, RFC 9110 13.1.5.
func holds(h http.Header, tag string) bool {
	condition := h.Get("If-Range")
	return condition == "" || condition == tag
}

// userOf is who sent a request.
func userOf(h http.Header) string {
	if user, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
		return user
	}
	_, user, _ := strings.Cut(h.Get("Cookie"), "user=")
	return user
}

func reply(req *http.Request, status int, body []byte, h http.Header) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
}

func pause(req *http.Request, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	}
}

// slowBody sends a body in pieces, and breaks off before its end where it is told to.
type slowBody struct {
	ctx    *http.Request
	rest   []byte
	breaks int // bytes that never come, 0 for none
	pause  func() time.Duration
	pieces int
}

func (s *slowBody) Read(p []byte) (int, error) {
	left := len(s.rest) - s.breaks
	switch {
	case left == 0 && s.breaks > 0:
		return 0, io.ErrUnexpectedEOF
	case left == 0:
		return 0, io.EOF
	}
	if s.pieces < 4 {
		s.pieces++
		if err := pause(s.ctx, s.pause()); err != nil {
			return 0, err
		}
	}
	n := left
	if s.pieces < 4 {
		n = max(1, left/4)
	}
	n = copy(p, s.rest[:n])
	s.rest = s.rest[n:]
	return n, nil
}

func (s *slowBody) Close() error { return nil }

// leaving is a body that tells when its reader is done with it.
type leaving struct {
	io.ReadCloser
	leave func()
}

func (l *leaving) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if err != nil {
		l.leave()
	}
	return n, err
}

func (l *leaving) Close() error {
	l.leave()
	return l.ReadCloser.Close()
}

// tagsOf are the tags of a page: its letter's and its number's.
func tagsOf(url string) string {
	path := pathOf(url)
	return "kind" + path[1:2] + ",number" + path[3:]
}
