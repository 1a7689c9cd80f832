package shield_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/shield"
	"weir/shield/shieldtest"
)

// manner is how an origin answers once its body was cut.
type manner int

const (
	honestly manner = iota
	cutAgain
	otherRange
	otherLength
	otherVersion // in a 206
	newWhole     // of another version
	sameWhole
	silently // no answer
	silentAgain
	unsatisfied
	down
	manners
)

// A cut page breaks off in its first answers.
type cutPage struct {
	mu       sync.Mutex
	rnd      *rand.Rand
	versions [2][]byte
	current  int
	tag      [2]string // "" without
	manner   manner
	chunked  bool
	cuts     int // answers still to be cut
	busy     int // answers under way
	most     int
	asked    int
}

func newCutPage(rnd *rand.Rand, blob []byte) *cutPage {
	size := 1 + rnd.IntN(20_000)
	if rnd.IntN(16) == 0 {
		size = 1 + rnd.IntN(400_000)
	}
	p := &cutPage{rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), manner: manner(rnd.IntN(int(manners))), chunked: rnd.IntN(2) == 0, cuts: 1}
	for i := range p.versions {
		at := rnd.IntN(len(blob) - size)
		p.versions[i] = blob[at : at+size]
		p.tag[i] = fmt.Sprintf("%q", strconv.Itoa(i))
	}
	switch rnd.IntN(8) {
	case 0:
		p.tag = [2]string{}
	case 1:
		p.tag = [2]string{`W/"0"`, `W/"1"`}
	}
	if p.manner == cutAgain || p.manner == silentAgain {
		p.cuts = 1 + rnd.IntN(6)
	}
	return p
}

func (p *cutPage) strong() bool { return strings.HasPrefix(p.tag[0], `"`) }

// answer answers a GET for the whole, or for the rest of it.
func (p *cutPage) answer(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked++
	p.busy++
	p.most = max(p.most, p.busy)
	at, manner := 0, honestly
	if field := r.Header.Get("Range"); field != "" {
		at, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(field, "bytes="), "-"))
		manner = p.manner
		if !p.strong() || r.Header.Get("If-Range") != p.tag[0] {
			p.mu.Unlock()
			return nil, fmt.Errorf("asked for %s if %s of %s", field, r.Header.Get("If-Range"), p.tag[0])
		}
	}
	p.mu.Unlock()
	switch manner {
	case silently:
		<-r.Context().Done()
		p.over()
		return nil, r.Context().Err()
	case down:
		p.over()
		return refused(r)
	}
	return p.respond(r, at, manner), nil
}

func (p *cutPage) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
}

func (p *cutPage) respond(r *http.Request, at int, m manner) *http.Response {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m == newWhole || m == otherVersion {
		p.current = 1
	}
	body, tag, status := p.versions[p.current], p.tag[p.current], http.StatusOK
	size, start := len(body), at
	fields := []string{"Cache-Control", cacheable}
	if tag != "" {
		fields = append(fields, "Etag", tag)
	}
	switch {
	case r.Header.Get("Range") == "", m == newWhole, m == sameWhole:
		start = 0
	case m == unsatisfied:
		status, body = http.StatusRequestedRangeNotSatisfiable, nil
	default:
		status = http.StatusPartialContent
		if m == otherRange { // as long as what is missing
			start = p.rnd.IntN(at + 1)
			body = body[:size-at+start]
		}
		if m == otherLength {
			size += 1 + p.rnd.IntN(10)
		}
		fields = append(fields, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, size-at+start-1, size))
	}
	if body != nil {
		body = body[start:]
	}
	src := &cutBody{page: p, ctx: r.Context(), rest: body, most: 1000 + p.rnd.IntN(20_000), pause: time.Duration(p.rnd.IntN(20)) * time.Millisecond}
	if p.cuts > 0 && status != http.StatusRequestedRangeNotSatisfiable {
		p.cuts--
		src.rest = body[:p.rnd.IntN(len(body))]
		src.end = []error{io.ErrUnexpectedEOF, syscall.ECONNRESET, nil}[p.rnd.IntN(3)]
		if src.end == nil && p.chunked && status == http.StatusOK {
			src.end = io.ErrUnexpectedEOF // that would be all of it
		}
		src.hangs = m == silentAgain || p.rnd.IntN(8) == 0
	}
	length := int64(len(body))
	if p.chunked {
		length = -1
	}
	return respondWith(status, src, length, fields...)
}

// A cutBody gives its bytes in time, and then ends with its error, or hangs.
type cutBody struct {
	page  *cutPage
	ctx   context.Context
	rest  []byte
	most  int
	pause time.Duration
	end   error
	hangs bool
	once  sync.Once
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.pause > 0 {
		time.Sleep(b.pause)
	}
	if len(b.rest) > 0 {
		n := copy(p[:min(len(p), b.most)], b.rest)
		b.rest = b.rest[n:]
		return n, nil
	}
	if b.hangs {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	if b.end != nil {
		return 0, b.end
	}
	return 0, io.EOF
}

func (b *cutBody) Close() error {
	b.once.Do(b.page.over)
	return nil
}

// A cutClient comes after a while and reads at its own pace.
type cutClient struct {
	delay, pause time.Duration
	most         int
}

func newCutClient(rnd *rand.Rand) cutClient {
	c := cutClient{most: 32 << 10}
	if rnd.IntN(2) == 0 {
		c.delay = time.Duration(rnd.IntN(200)) * time.Millisecond
	}
	if rnd.IntN(4) == 0 {
		c.pause, c.most = time.Duration(1+rnd.IntN(50))*time.Millisecond, 1000+rnd.IntN(10_000)
	}
	return c
}

func (c cutClient) get(s *setup, target string) result {
	time.Sleep(c.delay)
	ans, err := s.shield.Fetch(context.Background(), s.request(target))
	if err != nil {
		return result{err: err}
	}
	if ans.Body == nil || c.pause == 0 {
		return read(ans)
	}
	var got []byte
	for p := make([]byte, c.most); err == nil; {
		time.Sleep(c.pause)
		var n int
		n, err = ans.Body.Read(p)
		got = append(got, p[:n]...)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return result{status: ans.Head.Status, body: string(got), decision: ans.Decision, err: errors.Join(err, ans.Body.Close())}
}

// A thousand fills are cut at a random place. Every client gets the whole right body
// or an error, and nothing that was cut is stored.
func TestThousandCuts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	blob := shieldtest.Body(seed, 2<<20)
	const rounds, pages = 40, 25
	var resumed, collapsed int64
	for round := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			st := cutMany(t, rand.New(rand.NewPCG(seed, round)), blob, pages)
			resumed, collapsed = resumed+st.Resumed, collapsed+st.Collapsed
		})
	}
	if resumed < rounds || collapsed < rounds {
		t.Errorf("%d bodies went on, %d answers were shared", resumed, collapsed)
	}
}

func cutMany(t *testing.T, rnd *rand.Rand, blob []byte, n int) shield.Stats {
	s := start(t, options{shield: small(), policy: strings.Replace(plainPolicy, `"url"`, `"headerTimeoutMs": 2000, "idleTimeoutMs": 3000, "url"`, 1)})
	pages := map[string]*cutPage{}
	for i := range n {
		pages["/"+number(i)] = newCutPage(rnd, blob)
	}
	s.origin.answer(func(r *http.Request) (*http.Response, error) { return pages[r.URL.RequestURI()].answer(r) })
	var wg sync.WaitGroup
	for target, p := range pages {
		for range 4 {
			c := newCutClient(rnd)
			wg.Go(func() { p.check(t, target, c.get(s, target)) })
		}
	}
	wg.Wait()
	synctest.Wait()
	for target, p := range pages {
		p.checkStored(t, s, target)
		if p.most > 1 {
			t.Errorf("%s: %d requests at once", target, p.most)
		}
	}
	s.close()
	return s.shield.Stats()
}

// check wants the whole of one version, or an error where one may be.
func (p *cutPage) check(t *testing.T, target string, r result) {
	if r.err != nil {
		if p.strong() && (p.manner == honestly || p.manner == cutAgain && p.asked < 5) {
			t.Errorf("%s: %v after %d requests", target, r.err, p.asked)
		}
		return
	}
	if r.status == http.StatusOK && r.body != string(p.versions[0]) && r.body != string(p.versions[1]) {
		t.Errorf("%s: %d bytes of %d, manner %d: %+v", target, len(r.body), len(p.versions[0]), p.manner, r.decision)
	}
}

// checkStored looks into the store, and asks it.
func (p *cutPage) checkStored(t *testing.T, s *setup, target string) {
	r := s.get(target, "Cache-Control", "only-if-cached")
	if !errors.Is(r.err, shield.ErrOnlyIfCached) {
		p.check(t, target, r)
	} else if p.strong() && p.manner == honestly {
		t.Errorf("%s: nothing stored", target)
	}
	obj, err := s.store.Lookup(s.request(target).Keyed.Key, nil)
	if err != nil || obj == nil {
		return
	}
	stored, err := io.ReadAll(io.NewSectionReader(obj, 0, 1<<20))
	if err = errors.Join(err, obj.Close()); err != nil || !bytes.Equal(stored, p.versions[0]) && !bytes.Equal(stored, p.versions[1]) {
		t.Errorf("%s: %d bytes stored of %d: %v", target, len(stored), len(p.versions[0]), err)
	}
}
