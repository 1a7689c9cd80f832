package shield_test

import (
	"errors"
	"iter"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// faultyLog fails when it is told to, and can be made to wait.
type faultyLog struct {
	memoryLog
	fail     error
	gate     chan struct{} // Append waits for it, when there is one
	slow     chan struct{} // so does Rewrite for this
	rewrites int
}

func (l *faultyLog) Append(epoch uint64, rule []byte) error {
	if l.gate != nil {
		<-l.gate
	}
	if l.fail != nil {
		return l.fail
	}
	return l.memoryLog.Append(epoch, rule)
}

func (l *faultyLog) Rewrite(rules iter.Seq2[uint64, []byte]) error {
	l.rewrites++
	if l.slow != nil {
		<-l.slow
	}
	if l.fail != nil {
		return l.fail
	}
	return l.memoryLog.Rewrite(rules)
}

// Requests that come while a purge is made durable still share one fetch.
func TestCoalescingWhileAPurgeIsMadeDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		s := start(t, options{log: log})
		log.gate = make(chan struct{})
		release := make(chan struct{})
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			<-release
			return respond(200, "x", "Cache-Control", cacheable), nil
		})
		purged := make(chan error)
		go func() {
			_, err := s.purges.Add(shield.URLRule(s.request("/").Keyed.Key.Base()))
			purged <- err
		}()
		synctest.Wait()
		answers := make(chan []result)
		go func() { answers <- many(50, func(int) result { return s.get("/") }) }()
		synctest.Wait()
		s.wantOrigin(1)
		close(release)
		close(log.gate)
		<-answers
		if err := <-purged; err != nil {
			t.Error(err)
		}
	})
}

// A purge that could not be made durable is made so by the next one that can, and
// nothing is stored as fresh in between.
func TestPurgesCatchUpWithTheirLog(t *testing.T) {
	log := new(faultyLog)
	p, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	lost, next := keying.Digest{1}, keying.Digest{2}
	log.fail = errors.New("no space left")
	if _, err := p.Add(shield.URLRule(lost)); !errors.Is(err, shield.ErrLog) {
		t.Fatalf("error %v", err)
	}
	if p.Current() == p.Newest() {
		t.Error("fills are marked as later than a rule that can be lost")
	}
	log.fail = nil
	if _, err := p.Add(shield.URLRule(next)); err != nil {
		t.Fatal(err)
	}
	if p.Current() != p.Newest() {
		t.Error("what is durable does not count")
	}
	replayed, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	if replayed.Len() != 2 || replayed.Newest() != p.Newest() {
		t.Errorf("%d rules up to %d after a restart, want 2 up to %d", replayed.Len(), replayed.Newest(), p.Newest())
	}
}

// Those who find the log behind at the same time mend it once, and lose none of their rules.
func TestOneMendsTheLogForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &faultyLog{slow: make(chan struct{})}
		p, err := shield.NewPurges(log)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() { // until the log has grown enough to be written anew, which takes its time
			for !isClosed(log.slow) {
				if _, err := p.Add(shield.URLRule(keying.Digest{1})); err != nil {
					t.Error(err)
					return
				}
			}
		})
		synctest.Wait()
		log.fail = errors.New("no space left")
		if _, err := p.Add(shield.URLRule(keying.Digest{2})); !errors.Is(err, shield.ErrLog) {
			t.Errorf("error %v", err)
		}
		log.fail = nil
		const many = 50
		for i := range many {
			all.Go(func() {
				if _, err := p.Add(shield.URLRule(keying.Digest{3, byte(i)})); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all of them know by now that the log is behind
		close(log.slow)
		all.Wait()
		if log.rewrites != 2 {
			t.Errorf("written anew %d times, want once for its length and once for what it lacked", log.rewrites)
		}
		replayed, err := shield.NewPurges(log)
		if err != nil {
			t.Fatal(err)
		}
		if replayed.Len() != 2+many || replayed.Newest() != p.Newest() || p.Current() != p.Newest() {
			t.Errorf("%d rules up to %d after a restart, want %d up to %d", replayed.Len(), replayed.Newest(), 2+many, p.Newest())
		}
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A log that cannot be shortened is no reason to refuse purges, nor to try with each.
func TestFailingRewriteIsNotTriedEachTime(t *testing.T) {
	log := new(rewriteless)
	p, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	for range 40_000 {
		if _, err := p.Add(shield.URLRule(keying.Digest{1})); err != nil {
			t.Fatal(err)
		}
	}
	if log.tried == 0 || log.tried > 3 {
		t.Errorf("tried %d times", log.tried)
	}
}

type rewriteless struct {
	memoryLog
	tried int
}

func (l *rewriteless) Rewrite(iter.Seq2[uint64, []byte]) error {
	l.tried++
	return errors.New("no space left")
}

// Who lost the log cannot know what it forbade: nothing from before is reused,
// however many purges come after.
func TestALostLogForbidsEverything(t *testing.T) {
	p, err := shield.NewPurges(new(memoryLog))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		for _, epoch := range []uint64{0, 1, 5, 1 << 40} {
			if !p.Purged(keying.Key{}, &rfc9111.Response{Epoch: epoch}) {
				t.Errorf("after %d purges an object of epoch %d is reused", i, epoch)
			}
		}
		if _, err := p.Add(shield.URLRule(keying.Digest{byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
}

// The 304 for one version never becomes the head of another, stored meanwhile.
func TestLate304DoesNotMeetANewerBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		v1 := []string{"Cache-Control", "no-cache", "Etag", `"v1"`}
		s.origin.answer(always(200, "body1", v1...))
		s.get("/")
		late := make(chan struct{})
		s.origin.answer(func(*http.Request) (*http.Response, error) {
			<-late
			return respond(304, "", v1...), nil
		})
		first := make(chan result)
		go func() { first <- s.get("/") }()
		synctest.Wait()
		s.origin.answer(always(200, "body2body2", "Cache-Control", "no-cache", "Etag", `"v2"`))
		if r := s.get("/"); r.body != "body2body2" {
			t.Fatalf("%q", r.body)
		}
		close(late)
		if r := <-first; r.body != "body1" {
			t.Errorf("the one who validated the first version got %q", r.body)
		}
		s.origin.answer(func(r *http.Request) (*http.Response, error) {
			if tag := r.Header.Get("If-None-Match"); tag != "" {
				return respond(304, "", "Cache-Control", "no-cache", "Etag", tag), nil
			}
			return respond(200, "body1", v1...), nil
		})
		want := map[string]string{`"v1"`: "body1", `"v2"`: "body2body2"}
		if r := s.get("/"); r.body != want[r.header.Get("Etag")] {
			t.Errorf("%s with %q", r.header.Get("Etag"), r.body)
		}
	})
}

// A 304 with no-store ends the keeping of what it validated.
func TestNoStoreOfA304(t *testing.T) {
	s := start(t, options{policy: `{"origins": {"o": {"url": "http://origin.test"}}, "defaults": {"origin": "o", "edge": {"staleIfErrorSeconds": 600}}}`})
	s.origin.answer(always(200, "body1", "Cache-Control", "max-age=0", "Etag", `"v1"`))
	s.get("/")
	s.origin.answer(always(304, "", "Cache-Control", "no-store", "Etag", `"v1"`))
	s.get("/")
	s.origin.answer(always(503, "down"))
	if r := s.get("/"); r.body == "body1" {
		t.Errorf("%q is served %s although the origin said no-store", r.body, r.decision.Use)
	}
}
