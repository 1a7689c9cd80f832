package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"weir/api"
	"weir/internal/tiers"
	"weir/l1"
	"weir/policy"
	"weir/shield"
	"weir/shield/shieldtest"
)

// stage is a node without sockets: the real door and tiers, a store in memory, and an
// origin that is a function.
type stage struct {
	t      testing.TB
	clock  *clock
	live   *policy.Live
	purges *shield.Purges
	store  *shieldtest.Memory
	shield *shield.Shield
	memory *l1.Tier
	door   *api.Door

	explainer *api.Explainer
	script    func(r *http.Request) *http.Response // nil: the connection is refused
	asked     atomic.Int64
}

func newStage(t testing.TB, table *policy.Table) *stage {
	t.Helper()
	s := &stage{t: t, clock: newClock(), live: policy.NewLive(table), store: &shieldtest.Memory{Limit: 1 << 20}}
	var err error
	if s.purges, err = shield.NewPurges(nil); err != nil {
		t.Fatal(err)
	}
	filled := new(tiers.Listener)
	s.shield = shield.New(s.store, s.purges, shield.Options{
		Now: s.clock.Now, Random: func() float64 { return 0.5 }, Listener: filled,
		Transport: func(*policy.Origin, policy.Upstream) http.RoundTripper { return s },
	})
	if s.memory, err = l1.New(s.shield, tiers.InForce{Purges: s.purges}, l1.Options{MaxBytes: 8 << 20, MaxObject: 4 << 10, Now: s.clock.Now}); err != nil {
		t.Fatal(err)
	}
	filled.Use(s.memory)
	s.door = api.NewDoor(s.memory, s.live.Load, api.DoorOptions{
		Region: "fra", Now: s.clock.Now, Pick: func(int) int { return 0 }, Log: zap.NewNop(), Settling: s.live.Settling,
	})
	s.explainer = api.NewExplainer(s.door, s.memory, s.shield, nil)
	s.shield.SetTable(table)
	return s
}

func (s *stage) close() {
	s.door.Close()
	if err := s.shield.Close(context.Background()); err != nil {
		s.t.Error(err)
	}
	s.memory.Close()
}

// RoundTrip is the origin's.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.asked.Add(1)
	resp := s.script(r)
	if resp == nil {
		return nil, fmt.Errorf("connection refused")
	}
	return resp, nil
}

// send has the real door answer, and waits for what it began.
func (s *stage) send(q api.Question) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), q.Method, q.URL, strings.NewReader(q.Body))
	r.RequestURI = strings.TrimPrefix(q.URL, "http://"+r.Host)
	r.RemoteAddr = "127.0.0.1:1"
	if q.Body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for _, line := range q.Header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	func() {
		defer func() { _ = recover() }() // a body that broke off
		s.door.ServeHTTP(w, r)
	}()
	for deadline := time.Now().Add(20 * time.Second); s.shield.Stats().Flights > 0; {
		if time.Now().After(deadline) {
			s.t.Fatal("a flight does not end")
		}
	}
	return w
}

// step explains a request without and with asking the origin, then sends it, and compares.
// It says what differs, "" for nothing.
func (s *stage) step(q api.Question, counts map[string]int) string {
	before := s.state()
	without, err := s.explainer.Explain(context.Background(), q)
	if err != nil {
		return err.Error()
	}
	q.Fetch = true
	with, err := s.explainer.Explain(context.Background(), q)
	if err != nil {
		with = without // it would be unsafe
	}
	q.Fetch = false
	if after := s.state(); after != before {
		return "explaining has an effect: " + before + " became " + after
	}
	s.asked.Store(0)
	w := s.send(q)
	got := w.Result()
	counts[strings.TrimSpace(fmt.Sprintf("known %-5v %-6s %-12s %s", without.Now.Known, got.Header.Get("X-Cache"), got.Header.Get("X-Caching-Status"), without.Now.Forward))]++
	// An answer that is of no use for its client leads to a second question, for another reason.
	second := s.asked.Load() > 1
	if wrong := differs(without, got.StatusCode, got.Header); wrong != "" && !(second && strings.HasPrefix(wrong, "fwd")) {
		return "without asking: " + wrong
	}
	if wrong := differs(with, got.StatusCode, got.Header); wrong != "" {
		return "by asking: " + wrong
	}
	// Of what is decoded the length is known if it has come by then; and boundaries are random.
	recoded := strings.Contains(got.Header.Get("Vary"), "ccept-") || strings.HasPrefix(got.Header.Get("Content-Type"), "multipart/")
	if with.Now.Known && !recoded {
		for _, name := range slices.Sorted(maps.Keys(with.Now.Header)) {
			if !slices.Equal(got.Header[name], with.Now.Header[name]) {
				return fmt.Sprintf("by asking: %s is %q, not %q", name, got.Header[name], with.Now.Header[name])
			}
		}
	}
	return ""
}

// state is what explaining must leave alone.
func (s *stage) state() string {
	held, door := s.memory.Stats(), s.door.Stats()
	held.Bytes = 0 // heads are open in them that were looked at
	all := s.shield.Stats()
	return fmt.Sprintln(s.store.Len(), s.store.Open(), s.purges.Newest(), held, len(door.Requests), all.Hits, all.Passed, all.HitForPass, all.Refreshes)
}

// What is explained is what is decided, whatever the policy, the request, the origin and
// what is stored are. WEIR_COMBINATIONS asks for more, WEIR_SEED for the same again.
func TestExplanationsAreDecisions(t *testing.T) {
	want, seed := 10_000, uint64(time.Now().UnixNano())
	if raceEnabled {
		want = 1_000
	}
	if n, err := strconv.Atoi(os.Getenv("WEIR_COMBINATIONS")); err == nil {
		want = n
	}
	if n, err := strconv.ParseUint(os.Getenv("WEIR_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("WEIR_SEED=%d", seed)
	counts := map[string]int{}
	for round, done := uint64(0), 0; done < want && !t.Failed(); round++ {
		done += playRound(t, rand.New(rand.NewPCG(seed, round)), counts)
	}
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%7d %s", counts[what], what)
	}
}

const perPolicy = 200

// playRound draws a policy and plays requests against it.
func playRound(t testing.TB, rng *rand.Rand, counts map[string]int) (played int) {
	src := drawPolicy(rng)
	table, err := policy.Compile("drawn", src)
	if err != nil {
		t.Fatalf("%s\n%v", src, err)
	}
	s := newStage(t, table)
	defer s.close()
	pages := make([]*page, 3)
	for i := range pages {
		pages[i] = drawPage(rng, s.clock.Now())
	}
	var log []string
	for played < perPolicy {
		log = append(log, s.meanwhile(rng, pages))
		i := rng.IntN(len(pages))
		q := drawQuestion(rng, i)
		s.script = func(r *http.Request) *http.Response { return pages[i].answer(r, s.clock.Now()) }
		log = append(log, fmt.Sprintf("%s of %+v", describeQuestion(q), *pages[i]))
		if wrong := s.step(q, counts); wrong != "" {
			t.Errorf("%s\n%s\nafter\n%s", wrong, src, strings.Join(log[max(0, len(log)-24):], "\n"))
			return played
		}
		played++
	}
	return played
}

func describeQuestion(q api.Question) string {
	return fmt.Sprintf("%s %s %q body %q", q.Method, q.URL, q.Header, q.Body)
}

// meanwhile does what happens between requests.
func (s *stage) meanwhile(rng *rand.Rand, pages []*page) string {
	switch rng.IntN(40) {
	case 0, 1, 2:
		d := time.Duration(rng.IntN(90)) * time.Second
		s.clock.advance(d)
		return "wait " + d.String()
	case 3:
		s.memory.Clear()
		return "memory forgets"
	case 4:
		i := rng.IntN(len(pages))
		*pages[i] = *drawPage(rng, s.clock.Now())
		return fmt.Sprintf("page %d changes", i)
	case 6:
		order := pick(rng, shield.PurgeOrder{All: true}, shield.PurgeOrder{Tags: []string{"t"}}, shield.PurgeOrder{URLs: []string{"http://shop.test/p0"}})
		order.Soft = often(rng, 5)
		if _, err := s.shield.Purge(s.live.Load(), order); err != nil {
			s.t.Error(err)
		}
		return fmt.Sprintf("purge %+v", order)
	}
	return "at once"
}

// FuzzExplanationsAreDecisions asks for one page twice, with some time between.
func FuzzExplanationsAreDecisions(f *testing.F) {
	f.Add("GET", "no-cache", "max-age=60", uint16(200), "X-A", uint16(10), uint16(30))
	f.Add("HEAD", "max-stale=5", "max-age=1, stale-while-revalidate=60", uint16(404), "", uint16(0), uint16(2))
	f.Add("POST", "only-if-cached", "private, s-maxage=\"1\"", uint16(503), "*", uint16(65535), uint16(0))
	f.Fuzz(func(t *testing.T, method, asks, says string, status uint16, vary string, age, wait uint16) {
		q := api.Question{Method: method, URL: "http://shop.test/p0", Header: []string{"Cache-Control: " + asks, "X-A: 1"}}
		if q.Check() != nil || status < 200 || status > 599 || method == "CONNECT" || strings.ContainsAny(says+vary, "\r\n\x00") {
			return
		}
		table, err := policy.Compile("fuzz", []byte(`{"origins": {"o": {"url": "http://origin.test", "retries": 0}}, "routes": [
			{"name": "p", "match": {"path": "/p0"}, "edge": {"staleIfErrorSeconds": 60, "statusMaxAgeSeconds": {"404": 5}}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		s := newStage(t, table)
		defer s.close()
		p := &page{status: int(status), size: 5, header: http.Header{"Cache-Control": {says}, "Age": {strconv.Itoa(int(age))}, "Etag": {`"a"`}}}
		if vary != "" {
			p.header.Set("Vary", vary)
		}
		s.script = func(r *http.Request) *http.Response { return p.answer(r, s.clock.Now()) }
		for range 2 {
			if wrong := s.step(q, map[string]int{}); wrong != "" && !strings.Contains(wrong, "no route names the method") {
				t.Fatalf("%+v of %+v: %s", q, p, wrong)
			}
			s.clock.advance(time.Duration(wait) * time.Second)
		}
	})
}
