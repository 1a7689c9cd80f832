package kv_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/kv"
)

// pushed is what the place holds under key now.
func pushed(t *testing.T, p *place, key string) kv.Pushed {
	t.Helper()
	out := kv.Pushed{Key: key, Epoch: p.log.Current(), Read: p.clock.time()}
	if v, err := p.Get(t.Context(), key); err == nil {
		out.Value = v
	}
	return out
}

// What was written elsewhere is read without a question, if somebody here has asked before.
func TestPushedValues(t *testing.T) {
	p := newPlace(t)
	a, b := newStation(p), newStation(p)
	hear := func(e *station) {
		e.purges.catchUp(-1)
		e.Take(pushed(t, p, "k"))
	}
	wantText(t, a, "k", "")
	a.wantAsked(t, 1)
	set(t, b, "k", kv.Draft{Bytes: []byte("1"), TTL: time.Minute, Tags: []string{"red"}})
	hear(a)
	wantText(t, a, "k", "1")
	count, err := b.Incr(t.Context(), "k", kv.Increment{By: 41})
	if err != nil || count.Number != 42 {
		t.Fatal(count, err)
	}
	hear(a)
	hear(b) // nobody has read it there
	wantText(t, a, "k", "42")
	p.log.add(ruleOf{tag: "red", soft: true})
	a.purges.catchUp(-1)
	if v, err := a.Get(t.Context(), "k"); err != nil || !v.Stale(p.clock.time()) {
		t.Errorf("%+v, %v after a soft purge", v, err)
	}
	p.clock.pass(time.Minute)
	wantText(t, a, "k", "") // it has ended
	a.wantAsked(t, 0)
	wantText(t, b, "k", "")
	b.wantAsked(t, 1)

	set(t, b, "k", kv.Draft{Bytes: []byte("2"), Tags: []string{"red"}})
	late := pushed(t, p, "k")
	p.log.add(ruleOf{tag: "red"})
	a.purges.catchUp(-1)
	a.Take(late)
	wantText(t, a, "k", "") // its tag was purged
	a.wantAsked(t, 1)
	if err := b.Delete(t.Context(), "k", kv.Condition{}); err == nil {
		t.Error("what was purged is there")
	}
	set(t, b, "k", text("3"))
	hear(a)
	if err := b.Delete(t.Context(), "k", kv.Condition{}); err != nil {
		t.Fatal(err)
	}
	hear(a)
	wantText(t, a, "k", "")
	a.wantAsked(t, 0)
}

// Who has read a key, and writes it, gets what the next ones write.
func TestWhoWritesIsPushedTo(t *testing.T) {
	p := newPlace(t)
	a, b := newStation(p), newStation(p)
	wantText(t, a, "k", "")
	set(t, p, "other", text("x"))
	before := pushed(t, p, "k")
	set(t, a, "k", text("1"))
	a.Take(before)
	wantText(t, a, "k", "1") // its own, whatever comes late
	set(t, a, "k", text("2"))
	set(t, b, "k", text("3"))
	a.purges.catchUp(-1)
	a.link.gets.Store(0)
	a.Take(pushed(t, p, "k"))
	a.Take(before)
	wantText(t, a, "k", "3")
	a.wantAsked(t, 0)
	if got, want := a.Stats(), (kv.EdgeStats{Taken: 1, Ignored: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	b.Take(pushed(t, p, "k"))
	wantText(t, b, "k", "3")
	b.wantAsked(t, 1) // it has never read it
}

// tell reads a key, for a goroutine, and tells what is there.
func (s *station) tell(t *testing.T, key string, read chan<- string) {
	v, err := s.Get(t.Context(), key)
	if err != nil {
		t.Error(err)
		return
	}
	read <- string(v.Bytes)
}

// Those who wait for a key are answered by a push, and nothing that was on its way replaces it.
func TestAPushAnswersWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		set(t, p, "k", text("old"))
		e := newStation(p)
		e.link.gate = make(chan struct{})
		read := make(chan string, 3)
		ask := func() { e.tell(t, "k", read) }
		go ask()
		synctest.Wait()
		go ask()
		go ask()
		synctest.Wait()
		set(t, p, "k", text("new"))
		e.purges.catchUp(-1)
		e.Take(pushed(t, p, "k"))
		synctest.Wait()
		if len(read) != 2 || <-read != "new" || <-read != "new" {
			t.Error("who waits goes on to wait")
		}
		close(e.link.gate)
		if got := <-read; got != "new" { // others have seen it
			t.Errorf("%q", got)
		}
		wantText(t, e, "k", "new")
		e.wantAsked(t, 1)
	})
}

// quietly writes what the log does not know of yet.
func quietly(t *testing.T, p *place, key, value string) {
	t.Helper()
	p.log.lost = errors.New("not yet")
	defer func() { p.log.lost = nil }()
	if _, err := p.Set(t.Context(), key, text(value), kv.Condition{}); !errors.Is(err, p.log.lost) {
		t.Fatal(err)
	}
}

// A write that is refused makes nothing older than it was: its answer has the epoch of a push
// that was read before what was shown here.
func TestAPushAfterARefusedWrite(t *testing.T) {
	p := newPlace(t)
	e := newStation(p)
	wantText(t, e, "k", "")
	set(t, p, "k", text("1"))
	early := pushed(t, p, "k")
	quietly(t, p, "k", "2")
	e.purges.catchUp(-1)
	wantText(t, e, "k", "2")
	if _, err := e.Set(t.Context(), "k", text("no"), kv.Condition{Absent: true}); !errors.Is(err, kv.ErrCondition) {
		t.Fatal(err)
	}
	e.Take(early)
	wantText(t, e, "k", "2")
}

// A question that a write here has overtaken is answered, and shows what no push goes back behind.
func TestAPushAfterAnOvertakenAnswer(t *testing.T) {
	for _, again := range []bool{false, true} { // whether the next question is under way by then
		synctest.Test(t, func(t *testing.T) {
			p := newPlace(t)
			e := newStation(p)
			wantText(t, e, "k", "")
			set(t, p, "k", text("0"))
			e.purges.catchUp(-1)
			far := make(chan struct{})
			e.link.far = far
			read := make(chan string, 2)
			ask := func() { e.tell(t, "k", read) }
			go ask()
			synctest.Wait()
			set(t, e, "k", text("1"))
			e.link.far = make(chan struct{})
			if again {
				e.memory.Delete("k")
				go ask()
				synctest.Wait()
			}
			set(t, p, "other", text("x"))
			early := pushed(t, p, "k")
			set(t, p, "k", text("2"))
			close(far)
			if got := <-read; got != "2" {
				t.Errorf("%q", got)
			}
			synctest.Wait()
			e.Take(early)
			close(e.link.far)
			if again {
				if got := <-read; got != "2" {
					t.Errorf("%q was shown after 2", got)
				}
			}
			e.link.far = nil
			wantText(t, e, "k", "2")
		})
	}
}

// Memory may forget what a push has shown: an older one does not answer the next question.
func TestAPushOlderThanOneForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		e := newStation(p)
		wantText(t, e, "k", "")
		set(t, p, "k", text("1"))
		older := pushed(t, p, "k")
		set(t, p, "k", text("2"))
		e.Take(pushed(t, p, "k"))
		wantText(t, e, "k", "2")
		e.memory.Delete("k")
		e.link.far = make(chan struct{})
		read := make(chan string)
		go func() {
			v, err := e.Get(t.Context(), "k")
			if err != nil {
				t.Error(err)
			}
			read <- string(v.Bytes)
		}()
		synctest.Wait()
		e.Take(older)
		close(e.link.far)
		if got := <-read; got != "2" {
			t.Errorf("%q was shown after 2", got)
		}
	})
}

// Who writes one key goes on to be sent the others, and what its own write has left.
func TestAWriterIsPushedOtherKeys(t *testing.T) {
	p := newPlace(t)
	e := newStation(p)
	wantText(t, e, "k", "")
	wantText(t, e, "own", "")
	set(t, p, "k", text("1"))
	other := pushed(t, p, "k")
	set(t, e, "own", text("1"))
	e.link.gets.Store(0)
	e.Take(other)
	e.Take(pushed(t, p, "own"))
	wantText(t, e, "k", "1")
	wantText(t, e, "own", "1")
	e.wantAsked(t, 0)
}

// What is long is not announced, and what nobody can be sure of neither.
func TestWhatIsAnnounced(t *testing.T) {
	p := newPlace(t)
	for _, test := range []struct {
		name string
		size int
		want bool
	}{
		{"small", 100, true},
		{"at the limit", kv.MaxPushed - 40, true},
		{"beyond", kv.MaxPushed, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			set(t, p, test.name, kv.Draft{Bytes: make([]byte, test.size)})
			if got := p.log.announced[test.name]; got != test.want {
				t.Errorf("announced: %v", got)
			}
			if err := p.Delete(t.Context(), test.name, kv.Condition{}); err != nil || !p.log.announced[test.name] {
				t.Error(err, "a deletion is not announced")
			}
		})
	}
}

// Pushes, reads and writes at once: nobody reads less than was counted before.
func TestPushesAtOnce(t *testing.T) {
	p := newPlace(t)
	e, other := newStation(p), newStation(p)
	done := make(chan error, 3)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for n := range 2000 {
			s := []*station{e, other}[n%2]
			count, err := s.Incr(t.Context(), "k", kv.Increment{By: 1})
			if err != nil {
				done <- err
				return
			}
			if v, err := s.Get(t.Context(), "k"); err != nil || string(v.Bytes) < fmt.Sprint(count.Number) && len(v.Bytes) <= len(fmt.Sprint(count.Number)) {
				done <- fmt.Errorf("counted to %d and read %v: %w", count.Number, v, err)
				return
			}
		}
		done <- nil
	}()
	for _, s := range []*station{e, other} {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
					s.purges.catchUp(-1)
					s.Take(pushed(t, p, "k"))
				}
			}
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
