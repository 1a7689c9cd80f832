package shield_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

// handler scripts an origin.
type handler func(*http.Request) (*http.Response, error)

// scripted is the way to a scripted origin. Like a real one it honours the
// request's context while the handler runs.
type scripted struct {
	mu       sync.Mutex
	handle   handler
	requests []*http.Request
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	handle := s.handle
	s.mu.Unlock()
	type result struct {
		resp *http.Response
		err  error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- result{err: errPanicked{v}}
			}
		}()
		resp, err := handle(r)
		done <- result{resp, err}
	}()
	select {
	case res := <-done:
		var p errPanicked
		if errors.As(res.err, &p) {
			panic(p.v)
		}
		return res.resp, res.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

type errPanicked struct{ v any }

func (e errPanicked) Error() string { return fmt.Sprint(e.v) }

func (s *scripted) answer(h handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = h
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func (s *scripted) last() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

// respond makes a response with a declared length.
func respond(status int, body string, fields ...string) *http.Response {
	return respondWith(status, strings.NewReader(body), int64(len(body)), fields...)
}

func respondWith(status int, body io.Reader, length int64, fields ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	resp := &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: length, Body: io.NopCloser(body),
	}
	if c, ok := body.(io.ReadCloser); ok {
		resp.Body = c
	}
	if length < 0 {
		resp.TransferEncoding = []string{"chunked"}
	}
	return resp
}

// always answers every request alike.
func always(status int, body string, fields ...string) handler {
	return func(*http.Request) (*http.Response, error) { return respond(status, body, fields...), nil }
}

const cacheable = "max-age=60"

// fed is a body that a test feeds by hand.
type fed struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func feed() fed {
	r, w := io.Pipe()
	return fed{r, w}
}

// memory is a listener that remembers.
type memory struct {
	mu      sync.Mutex
	filled  map[string][]byte
	heads   map[string]*rfc9111.Response
	fills   int
	dropped int
	onFill  func()
}

func (m *memory) Filled(key keying.Key, resp *rfc9111.Response, body []byte) {
	if m.onFill != nil {
		m.onFill()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fills++
	if m.filled == nil {
		m.filled, m.heads = map[string][]byte{}, map[string]*rfc9111.Response{}
	}
	m.filled[key.Bytes()], m.heads[key.Bytes()] = body, resp
}

func (m *memory) Dropped(keying.Key, rfc9111.Selection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropped++
}

func (m *memory) fillCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fills
}

// setup is a shield between a scripted origin and a store in memory.
type setup struct {
	t      testing.TB
	origin *scripted
	store  *shieldtest.Memory
	memory *memory
	purges *shield.Purges
	table  *policy.Table
	shield *shield.Shield

	mu      sync.Mutex
	reports []error
}

type options struct {
	policy  string
	store   *shieldtest.Memory
	noStore bool
	real    bool // no scripted origin
	log     shield.Log
	purges  *shield.Purges // nil: those of log
	shield  shield.Options
}

const plainPolicy = `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o"}}`

func start(t testing.TB, o options) *setup {
	t.Helper()
	s := &setup{t: t, origin: &scripted{handle: always(200, "body", "Cache-Control", cacheable)}, store: o.store, memory: &memory{}}
	if s.store == nil {
		s.store = &shieldtest.Memory{}
	}
	if o.policy == "" {
		o.policy = plainPolicy
	}
	s.table = compile(t, o.policy)
	var err error
	if s.purges = o.purges; s.purges == nil {
		if s.purges, err = shield.NewPurges(o.log); err != nil {
			t.Fatal(err)
		}
	}
	if o.shield.Transport == nil && !o.real {
		o.shield.Transport = func(*policy.Origin, policy.Upstream) http.RoundTripper { return s.origin }
	}
	if o.shield.Listener == nil {
		o.shield.Listener = s.memory
	}
	if o.shield.Random == nil {
		o.shield.Random = func() float64 { return 0 }
	}
	o.shield.Report = func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reports = append(s.reports, err)
	}
	var store shield.Store = s.store
	if o.noStore {
		store = nil
	}
	s.shield = shield.New(store, s.purges, o.shield)
	s.shield.SetTable(s.table)
	t.Cleanup(s.close)
	return s
}

// close ends the shield and checks that it kept nothing.
func (s *setup) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.shield.Close(ctx); err != nil {
		s.t.Errorf("close: %v", err)
	}
	st := s.shield.Stats()
	if n := s.store.Open(); n != 0 {
		s.t.Errorf("%d objects or writers were not given back", n)
	}
	if st.StreamBytes != 0 || st.Waiters != 0 || st.Flights != 0 {
		s.t.Errorf("left over: %d bytes, %d waiters, %d flights", st.StreamBytes, st.Waiters, st.Flights)
	}
}

func compile(t testing.TB, src string) *policy.Table {
	t.Helper()
	table, err := policy.Compile("policy.json", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// request admits a client's request as the door does. fields are alternately
// names and values; a method other than GET stands before the target.
func (s *setup) request(target string, fields ...string) *policy.Request {
	return s.admit(admission{target: target, fields: fields})
}

func (s *setup) bodyRequest(target, body string) *policy.Request {
	return s.admit(admission{target: target, body: []byte(body)})
}

// splitRequest goes to one side of a split test.
func (s *setup) splitRequest(target, destination string) *policy.Request {
	return s.admit(admission{target: target, destination: destination})
}

type admission struct {
	target, destination string
	fields              []string
	body                []byte
}

func (s *setup) admit(a admission) *policy.Request {
	s.t.Helper()
	method, target := http.MethodGet, a.target
	if m, rest, ok := strings.Cut(target, " "); ok {
		method, target = m, rest
	}
	h := http.Header{}
	for i := 0; i < len(a.fields); i += 2 {
		h.Add(a.fields[i], a.fields[i+1])
	}
	path, query, _ := strings.Cut(target, "?")
	plan, params := s.table.Match(&policy.MatchRequest{Method: method, Host: "example.com", Path: path, RawQuery: query, Header: h})
	req := &policy.Request{
		Plan: plan, Params: params, Method: method, Scheme: "http", Host: "example.com", Target: target,
		Header: h, Client: "192.0.2.1", Body: a.body, Origin: plan.Origin, At: time.Now(),
	}
	if a.destination != "" {
		req.Origin = a.destination
	}
	if method != http.MethodGet && method != http.MethodHead && !slices.Contains(plan.Rules.Methods, method) {
		req.Bypass = rfc9111.StatusMethod
		return req
	}
	keyed, err := plan.Key.Build(&keying.Request{
		Method: method, Scheme: "http", Host: "example.com", Target: target, Header: h, Body: a.body, Destination: a.destination,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	req.Keyed, req.Target = keyed, keyed.Target
	return req
}

// result is an answer that was read to its end.
type result struct {
	status   int
	header   http.Header
	body     string
	decision rfc9111.Decision
	err      error // of the request, or of the body
}

func (s *setup) get(target string, fields ...string) result {
	s.t.Helper()
	return s.fetch(context.Background(), s.request(target, fields...))
}

func (s *setup) fetch(ctx context.Context, req *policy.Request) result {
	ans, err := s.shield.Fetch(ctx, req)
	if err != nil {
		return result{err: err}
	}
	return read(ans)
}

func read(ans *rfc9111.Answer) result {
	r := result{status: ans.Head.Status, header: ans.Head.Header, decision: ans.Decision, body: string(ans.Bytes)}
	if ans.Body != nil {
		var b bytes.Buffer
		_, r.err = io.Copy(&b, ans.Body)
		if err := ans.Body.Close(); err != nil && r.err == nil {
			r.err = err
		}
		r.body = b.String()
	}
	return r
}

// want checks an answer's body and what was said of it.
func (r result) want(t testing.TB, body string, use rfc9111.Use, status rfc9111.CachingStatus) {
	t.Helper()
	if r.err != nil {
		t.Fatalf("error %v, want body %.60q", r.err, body)
	}
	if r.body != body {
		t.Errorf("body %.60q (%d bytes), want %.60q (%d bytes)", r.body, len(r.body), body, len(body))
	}
	if r.decision.Use != use || r.decision.Status != status {
		t.Errorf("%s %s, want %s %s", r.decision.Use, r.decision.Status, use, status)
	}
}

func (s *setup) wantOrigin(n int) {
	s.t.Helper()
	if got := s.origin.count(); got != n {
		s.t.Errorf("%d origin requests, want %d", got, n)
	}
}

// many runs n clients at once.
func many(n int, client func(i int) result) []result {
	out := make([]result, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { out[i] = client(i) })
	}
	wg.Wait()
	return out
}

func number(i int) string { return strconv.Itoa(i) }
