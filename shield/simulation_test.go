package shield_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/shield"
	"weir/shield/shieldtest"
)

// world is an origin whose pages have versions, and what is known of them outside.
type world struct {
	mu      sync.Mutex
	rnd     *rand.Rand
	version map[string]int // at the origin
	purged  map[string]int // no request that starts now may get an older version
	busy    map[string]int // requests being answered, by path and variant
	most    map[string]int
	faults  bool
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// kinds of pages, by the first letter of their path.
func (w *world) answer(r *http.Request) (*http.Response, error) {
	path := r.URL.RequestURI()
	w.mu.Lock()
	if r.Method == http.MethodPost {
		w.version[path]++
		version := w.version[path]
		w.mu.Unlock()
		return respond(204, "", "X-Version", number(version)), nil
	}
	version := w.version[path]
	delay := time.Duration(w.rnd.IntN(400)) * time.Millisecond
	refuse, fail, cut := w.faults && w.chance(5), w.faults && w.chance(5), w.faults && w.chance(5)
	variant := path
	if path[1] == 'v' {
		variant += r.Header.Get("Accept-Language")
	}
	w.busy[variant]++
	w.most[variant] = max(w.most[variant], w.busy[variant])
	w.mu.Unlock()
	time.Sleep(delay)
	w.mu.Lock()
	w.busy[variant]--
	w.mu.Unlock()

	tag := fmt.Sprintf(`"%d"`, version)
	body := fmt.Sprintf("%s %d %s %s\n", path, version, r.Header.Get("Cookie"), r.Header.Get("Accept-Language"))
	fields := []string{"Etag", tag, "Cache-Control", "max-age=2, stale-while-revalidate=3, stale-if-error=20"}
	switch path[1] {
	case 'p':
		fields[3] = "private"
	case 'v':
		fields = append(fields, "Vary", "Accept-Language")
	case 'n':
		fields[3] = "no-cache, max-age=10"
	case 'l':
		body += strings.Repeat("x", 300_000)
	}
	switch {
	case refuse:
		return refused(r)
	case fail:
		return respond(503, "down"), nil
	case r.Header.Get("If-None-Match") == tag:
		return respondWith(304, http.NoBody, 0, fields...), nil
	case cut:
		return respondWith(200, io.MultiReader(strings.NewReader(body[:len(body)/2]), failingReader{io.ErrUnexpectedEOF}), -1, fields...), nil
	}
	return respondWith(200, strings.NewReader(body), -1, fields...), nil
}

// client asks once and checks what it gets.
func (w *world) client(s *setup, path, cookie, language string, pause time.Duration) {
	w.mu.Lock()
	oldest := w.purged[path]
	w.mu.Unlock()
	ans, err := s.shield.Fetch(context.Background(), s.request(path, "Cookie", cookie, "Accept-Language", language))
	if err != nil {
		if !w.faults {
			s.t.Errorf("%s: %v", path, err)
		}
		return
	}
	var got bytes.Buffer
	got.Write(ans.Bytes)
	if ans.Body != nil {
		time.Sleep(pause)
		_, err = io.Copy(&got, ans.Body)
		if e := ans.Body.Close(); e != nil {
			s.t.Error(e)
		}
	}
	if err != nil || ans.Head.Status != http.StatusOK {
		if !w.faults {
			s.t.Errorf("%s: %d, %v", path, ans.Head.Status, err)
		}
		return
	}
	line, rest, _ := strings.Cut(got.String(), "\n")
	parts := strings.Split(line, " ")
	var version int
	if len(parts) != 4 || parts[0] != path {
		s.t.Errorf("%s was answered with %.60q", path, line)
		return
	}
	_, _ = fmt.Sscan(parts[1], &version)
	switch {
	case version < oldest:
		s.t.Errorf("%s: version %d after %d was purged: %+v", path, version, oldest, ans.Decision)
	case path[1] == 'p' && parts[2] != cookie:
		s.t.Errorf("%s: %s got what is %s's", path, cookie, parts[2])
	case path[1] == 'v' && parts[3] != language:
		s.t.Errorf("%s: %s got %s", path, language, parts[3])
	case path[1] == 'l' && len(rest) != 300_000:
		s.t.Errorf("%s: %d bytes", path, len(rest))
	}
}

// write changes a page. When its client has the answer, no version from before may
// be seen any more.
func (w *world) write(s *setup, path string) {
	r := s.get("POST " + path)
	if r.err != nil {
		s.t.Errorf("POST %s: %v", path, r.err)
		return
	}
	var version int
	_, _ = fmt.Sscan(r.header.Get("X-Version"), &version)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.purged[path] = max(w.purged[path], version)
}

// A model of the laws, run against the shield at random: nobody gets another's
// page or variant, nothing older than a purge that was acknowledged, nothing cut;
// and one key costs the origin one request at a time.
func TestSimulation(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

func simulate(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 77))
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 78)), version: map[string]int{}, purged: map[string]int{},
		busy: map[string]int{}, most: map[string]int{}, faults: seed%3 == 2,
	}
	writes := seed%3 != 0
	store := &shieldtest.Memory{}
	if w.faults {
		store.Fault = func(op string, _ keying.Key, _ int64) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if op != "lookup" && w.chance(2) {
				return errors.New("disk trouble")
			}
			return nil
		}
	}
	s := start(t, options{store: store, shield: shield.Options{FlightWindow: 64 << 10, MemoryObject: 8 << 10, StallTimeout: 2 * time.Second}})
	s.origin.answer(w.answer)
	paths := []string{"/c1", "/c2", "/p1", "/v1", "/n1", "/l1"}
	var wg sync.WaitGroup
	for range 600 {
		time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
		path := paths[rnd.IntN(len(paths))]
		if writes && rnd.IntN(15) == 0 {
			wg.Go(func() { w.write(s, path) })
			continue
		}
		cookie, language, pause := number(rnd.IntN(5)), number(rnd.IntN(3)), time.Duration(rnd.IntN(500))*time.Millisecond
		wg.Go(func() { w.client(s, path, cookie, language, pause) })
	}
	wg.Wait()
	if !writes {
		for variant, n := range w.most {
			if n > 1 && variant[1] != 'p' && variant[1] != 'n' {
				t.Errorf("%s was asked for %d times at once", variant, n)
			}
		}
	}
	if st := s.shield.Stats(); st.Collapsed == 0 || st.Hits == 0 || st.OriginRequests == 0 {
		t.Errorf("nothing happened: %+v", st)
	}
	s.close()
}
