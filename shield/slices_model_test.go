package shield_test

import (
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

// library is an archive with a random life: what is known of it outside is which versions
// a client may get.
type library struct {
	*archive
	s      *setup
	rnd    *rand.Rand // guarded by archive.mu
	oldest int        // version that those who ask now may get, since a purge; guarded by archive.mu
	faults bool
}

func (l *library) chance(percent int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rnd.IntN(100) < percent
}

func (l *library) upTo(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rnd.IntN(n)
}

// misbehave makes the origin slow, and with faults also broken.
func (l *library) misbehave(r *http.Request) (*http.Response, error) {
	time.Sleep(time.Duration(l.upTo(300)) * time.Millisecond)
	switch {
	case l.faults && l.chance(3):
		return refused(r)
	case l.faults && l.chance(3):
		return respond(503, "down"), nil
	case l.faults && l.chance(2): // it does no ranges today
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	resp, err := l.answer(r)
	if l.faults && l.chance(5) && resp.ContentLength > 0 {
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, resp.ContentLength/2), failingReader{io.ErrUnexpectedEOF}))
	}
	return resp, err
}

// client asks for a random range, and checks that what it gets is of one version that it
// may get: all of it, or the beginning of it and an error.
func (l *library) client(field string, fields []string, pause time.Duration) {
	l.mu.Lock()
	oldest := l.oldest
	l.mu.Unlock()
	if field != "" {
		fields = append(fields, "Range", field)
	}
	ans, err := l.s.shield.Fetch(context.Background(), l.s.request("/", fields...))
	if err != nil {
		if !l.faults {
			l.s.t.Errorf("%s: %v", field, err)
		}
		return
	}
	time.Sleep(pause)
	r, parts := cut(ans, field)
	if r.status != 200 {
		if !l.faults {
			l.s.t.Errorf("%s: status %d", field, r.status)
		}
		return
	}
	var version int
	_, _ = fmt.Sscanf(r.header.Get("Etag"), `"v%d"`, &version)
	want := string(l.content(version))
	if parts != nil {
		want = joined([]byte(want), parts)
	}
	switch {
	case version < oldest:
		l.s.t.Errorf("%s: version %d after %d was purged: %+v", field, version, oldest, r.decision)
	case r.err == nil && r.body != want:
		l.s.t.Errorf("%s of version %d: %d bytes, want %d", field, version, len(r.body), len(want))
	case r.err != nil && ans.At != nil && !strings.HasPrefix(want, r.body):
		l.s.t.Errorf("%s of version %d: %d wrong bytes and %v", field, version, len(r.body), r.err)
	case r.err != nil && !l.faults && !errors.Is(r.err, shield.ErrChanged):
		l.s.t.Errorf("%s: %v", field, r.err)
	}
}

// purge changes the version and purges the old one.
func (l *library) purge() {
	l.mu.Lock()
	l.version++
	version := l.version
	l.mu.Unlock()
	l.s.purge("/")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.oldest = max(l.oldest, version)
}

func (l *library) evict(i int) {
	if err := l.s.store.Drop(l.s.request("/").Keyed.Key.Part("slice 65536 "+number(i)), ""); err != nil && !l.faults {
		l.s.t.Error(err)
	}
}

// A model of what slices must never do: mix versions, lose or add bytes without an error,
// bring back what was purged.
func TestSlicesAgainstAModel(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulateSlices(t, seed) })
		})
	}
}

func simulateSlices(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	l := &library{rnd: rand.New(rand.NewPCG(seed, 6)), faults: seed%4 == 3}
	store := &shieldtest.Memory{}
	if l.faults {
		store.Fault = func(op string, _ keying.Key, _ int64) error {
			if op != "lookup" && op != "drop" && l.chance(2) {
				return errors.New("disk trouble")
			}
			return nil
		}
	}
	l.s, l.archive = startArchive(t, 12*sliceSize-500, options{store: store, shield: small()})
	l.step = 20_000
	l.fields = []string{"Cache-Control", "max-age=4, stale-while-revalidate=3, stale-if-error=30"}
	l.s.origin.answer(l.misbehave)
	var wg sync.WaitGroup
	for range 300 {
		time.Sleep(time.Duration(rnd.IntN(150)) * time.Millisecond)
		switch rnd.IntN(40) {
		case 0:
			l.mu.Lock()
			l.version++
			l.mu.Unlock()
		case 1:
			wg.Go(l.purge)
		case 2, 3, 4:
			l.evict(rnd.IntN(14))
		}
		var fields []string
		if rnd.IntN(20) == 0 {
			fields = []string{"Cache-Control", "no-cache"}
		}
		field, pause := randomRange(rnd, 12*sliceSize), time.Duration(rnd.IntN(400))*time.Millisecond
		wg.Go(func() { l.client(field, fields, pause) })
	}
	wg.Wait()
	st := l.s.shield.Stats()
	if st.Sliced < 10 || st.Collapsed == 0 || st.Hits == 0 || st.Validated == 0 || seed == 0 && st.Changed == 0 {
		t.Errorf("nothing happened: %+v", st)
	}
	if !l.faults && l.most > 2 { // one before a purge and one after
		t.Errorf("one slice was asked for %d times at once", l.most)
	}
	l.s.close()
}

func randomRange(rnd *rand.Rand, size int) string {
	first := rnd.IntN(size)
	switch rnd.IntN(6) {
	case 0:
		return ""
	case 1:
		return "bytes=" + number(first) + "-"
	case 2:
		return "bytes=-" + number(1+first)
	case 3:
		return fmt.Sprintf("bytes=%d-%d,%d-", first/2, first/2+rnd.IntN(sliceSize), size-rnd.IntN(sliceSize)-1)
	default:
		return fmt.Sprintf("bytes=%d-%d", first, first+rnd.IntN(3*sliceSize))
	}
}
