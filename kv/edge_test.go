package kv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/kv"
)

// link is a way to a store, which can be slow, cut, or broken.
type link struct {
	kv.Store
	gets  atomic.Int64  // questions, of one key or of many
	far   chan struct{} // a question waits for it on its way there, when there is one
	gate  chan struct{} // the same for its answer
	cut   bool          // nothing arrives there
	mute  bool          // no answer comes back
	heard atomic.Uint64 // epoch of the latest answer
	panic any
}

func (l *link) pass(ctx context.Context) error {
	switch {
	case l.panic != nil:
		panic(l.panic)
	case l.cut:
		return fmt.Errorf("%w: cut", kv.ErrUnavailable)
	}
	return context.Cause(ctx)
}

// back is the way of an answer.
func (l *link) back(ctx context.Context, gate chan struct{}) error {
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if l.mute {
		return fmt.Errorf("%w: mute", kv.ErrUnavailable)
	}
	l.hear()
	return nil
}

// hear notes what the answer to one call after another may know of.
func (l *link) hear() {
	p, ok := l.Store.(*place)
	if !ok {
		return
	}
	for known, epoch := l.heard.Load(), p.log.Current(); known < epoch && !l.heard.CompareAndSwap(known, epoch); {
		known = l.heard.Load()
	}
}

func (l *link) Get(ctx context.Context, key string) (*kv.Value, error) {
	l.gets.Add(1)
	if err := l.pass(ctx); err != nil {
		return nil, err
	}
	if l.far != nil {
		<-l.far
	}
	gate := l.gate
	v, err := l.Store.Get(ctx, key)
	if err := l.back(ctx, gate); err != nil {
		return nil, err
	}
	return v, err
}

func (l *link) GetMany(ctx context.Context, keys []string, limit int) ([]*kv.Value, error) {
	l.gets.Add(1)
	if err := l.pass(ctx); err != nil {
		return nil, err
	}
	gate := l.gate
	v, err := l.Store.GetMany(ctx, keys, limit)
	if err := l.back(ctx, gate); err != nil {
		return nil, err
	}
	return v, err
}

func (l *link) Set(ctx context.Context, key string, d kv.Draft, c kv.Condition) (uint64, error) {
	if err := l.pass(ctx); err != nil {
		return 0, err
	}
	version, err := l.Store.Set(ctx, key, d, c)
	if l.mute {
		return 0, kv.ErrUnavailable
	}
	l.hear()
	return version, err
}

func (l *link) Delete(ctx context.Context, key string, c kv.Condition) error {
	if err := l.pass(ctx); err != nil {
		return err
	}
	err := l.Store.Delete(ctx, key, c)
	if l.mute {
		return kv.ErrUnavailable
	}
	l.hear()
	return err
}

func (l *link) Incr(ctx context.Context, key string, i kv.Increment) (kv.Count, error) {
	if err := l.pass(ctx); err != nil {
		return kv.Count{}, err
	}
	n, err := l.Store.Incr(ctx, key, i)
	if l.mute {
		return kv.Count{}, kv.ErrUnavailable
	}
	l.hear()
	return n, err
}

// station is an edge with what it needs.
type station struct {
	*kv.Edge
	link   *link
	purges *ruleLog
	memory *memory
	since  time.Time // what Sight says
	pushes []kv.Pushed
}

func newStation(p *place) *station {
	s := &station{link: &link{Store: p}, purges: p.log.follower(), memory: new(memory)}
	s.purges.catchUp(-1)
	s.Edge = kv.NewEdge(s.link, s.purges, s.memory, kv.EdgeOptions{
		Now: p.clock.time, Sight: func(context.Context, time.Time) time.Time { return s.since },
		Heard: s.link.heard.Load,
	})
	return s
}

func (s *station) wantAsked(t *testing.T, n int64) {
	t.Helper()
	if got := s.link.gets.Swap(0); got != n {
		t.Errorf("the parent was asked %d times, want %d", got, n)
	}
}

// What was read is remembered until it is written, absence too.
func TestAnEdgeRemembers(t *testing.T) {
	p := newPlace(t)
	a, b := newStation(p), newStation(p)
	for range 3 {
		wantText(t, a, "k", "")
	}
	a.wantAsked(t, 1)
	set(t, b, "k", text("1"))
	for range 3 {
		wantText(t, a, "k", "") // it has not heard of it
	}
	a.wantAsked(t, 0)
	a.purges.catchUp(-1)
	for range 3 {
		wantText(t, a, "k", "1")
	}
	a.wantAsked(t, 1)
	for range 3 {
		wantText(t, b, "k", "1") // it wrote itself, and need not hear of it
	}
	b.wantAsked(t, 1)
	set(t, p, "other", text("x"))
	a.purges.catchUp(-1)
	wantText(t, a, "k", "1")
	a.wantAsked(t, 0)
	if err := b.Delete(t.Context(), "k", kv.Condition{}); err != nil {
		t.Fatal(err)
	}
	wantText(t, b, "k", "")
	a.purges.catchUp(-1)
	wantText(t, a, "k", "")
}

func TestAThousandReadersOfAColdKey(t *testing.T) {
	for name, held := range map[string]string{"a value": "v", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				if held != "" {
					set(t, p, "k", text(held))
				}
				e := newStation(p)
				e.link.gate, e.memory.forgets = make(chan struct{}), true // as what is too large for it
				var readers sync.WaitGroup
				for i := range 1000 {
					readers.Go(func() {
						if i%2 == 0 {
							wantText(t, e, "k", held)
							return
						}
						values, err := e.GetMany(t.Context(), []string{"k", "k"}, kv.MaxManyBytes)
						if err != nil || len(values) != 2 || (values[0] != nil) != (held != "") || values[0] != values[1] {
							t.Errorf("%v, %v", values, err)
						}
					})
				}
				synctest.Wait()
				e.wantAsked(t, 1)
				close(e.link.gate)
				readers.Wait()
				e.wantAsked(t, 0)
				if n := e.Flights(); n != 0 {
					t.Errorf("%d flights are left", n)
				}
			})
		})
	}
}

// A read that begins after a write was acknowledged does not join a question from before it,
// and what that question brings is not remembered.
func TestAReadAfterAWriteSeesIt(t *testing.T) {
	for name, write := range map[string]func(*station) error{
		"set":  func(e *station) error { _, err := e.Set(t.Context(), "k", text("2"), kv.Condition{}); return err },
		"incr": func(e *station) error { _, err := e.Incr(t.Context(), "k", kv.Increment{By: 1}); return err },
		"a write without an answer": func(e *station) error {
			e.link.mute = true
			defer func() { e.link.mute = false }()
			if _, err := e.Incr(t.Context(), "k", kv.Increment{By: 1}); !errors.Is(err, kv.ErrUnavailable) {
				return fmt.Errorf("it has one: %w", err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				set(t, p, "k", text("1"))
				e := newStation(p)
				gate := make(chan struct{})
				e.link.gate = gate
				var before sync.WaitGroup
				before.Go(func() { wantText(t, e, "k", "1") }) // it came first
				synctest.Wait()
				e.link.gate = nil
				if err := write(e); err != nil {
					t.Fatal(err)
				}
				wantText(t, e, "k", "2")
				close(gate)
				before.Wait()
				wantText(t, e, "k", "2")
				e.wantAsked(t, 2)
			})
		})
	}
}

// Whoever comes when a write elsewhere is known here does not take the answer of a question
// from before that; it shares the next one.
func TestAReadAfterAChangeIsKnownSeesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		set(t, p, "k", text("1"))
		e := newStation(p)
		gate := make(chan struct{})
		e.link.gate = gate
		var readers sync.WaitGroup
		readers.Go(func() { wantText(t, e, "k", "1") })
		synctest.Wait()
		e.link.gate = nil
		set(t, p, "k", text("2"))
		e.purges.catchUp(-1)
		for range 10 {
			readers.Go(func() { wantText(t, e, "k", "2") })
		}
		synctest.Wait()
		close(gate)
		readers.Wait()
		e.wantAsked(t, 2)
	})
}

// A client that leaves, or whose question breaks, takes nobody with it.
func TestWhoAsksLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		set(t, p, "k", text("1"))
		e := newStation(p)
		gate := make(chan struct{})
		e.link.gate = gate
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, get := range []func() error{
			func() error { _, err := e.Get(ctx, "k"); return err },
			func() error { _, err := e.GetMany(ctx, []string{"j", "k"}, kv.MaxManyBytes); return err },
		} {
			all.Go(func() {
				if err := get(); !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
			})
			synctest.Wait()
		}
		for range 50 {
			all.Go(func() { wantText(t, e, "k", "1") })
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		e.wantAsked(t, 3) // with that of one who stayed
		close(gate)
		all.Wait()
		e.wantAsked(t, 0)
	})
}

func TestAQuestionThatPanics(t *testing.T) {
	p := newPlace(t)
	set(t, p, "k", text("1"))
	e := newStation(p)
	e.link.panic = "broken"
	for _, get := range []func(){
		func() { _, _ = e.Get(t.Context(), "k") },
		func() { _, _ = e.GetMany(t.Context(), []string{"k"}, kv.MaxManyBytes) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			get()
		}()
	}
	e.link.panic = nil
	wantText(t, e, "k", "1")
}

// While the parent is gone Sight decides what is still used; a failure is not remembered.
func TestAnEdgeWithoutItsParent(t *testing.T) {
	p := newPlace(t)
	set(t, p, "k", text("1"))
	e := newStation(p)
	wantText(t, e, "k", "1")
	e.link.cut = true
	unavailable := func(key string) {
		t.Helper()
		if v, err := e.Get(t.Context(), key); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("%v, %v", v, err)
		}
		if v, err := e.GetMany(t.Context(), []string{key}, kv.MaxManyBytes); !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("%v, %v", v, err)
		}
	}
	wantText(t, e, "k", "1")
	unavailable("other")
	p.clock.pass(time.Second)
	e.since = p.clock.time().Add(-time.Second)
	wantText(t, e, "k", "1") // it was asked for just then
	e.since = e.since.Add(1)
	unavailable("k")
	if _, err := e.Set(t.Context(), "k", text("2"), kv.Condition{}); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	e.since = time.Time{}
	unavailable("k") // the write may have happened
	e.link.cut = false
	wantText(t, e, "k", "1")
}

// Many keys are asked for at once, in their order, and only those that are not remembered.
func TestGetMany(t *testing.T) {
	p := newPlace(t)
	var keys, want []string
	for i := range 500 {
		keys = append(keys, fmt.Sprint("k", i))
		if i%3 == 0 {
			want = append(want, "-")
			continue
		}
		want = append(want, fmt.Sprint("v", i))
		set(t, p, keys[i], text(want[i]))
	}
	e := newStation(p)
	for i := 0; i < len(keys); i += 7 {
		wantText(t, e, keys[i], strings.TrimPrefix(want[i], "-"))
	}
	e.link.gets.Store(0)
	for round, asked := range []int64{1, 0} {
		values, err := e.GetMany(t.Context(), keys, kv.MaxManyBytes)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range values {
			if v == nil {
				got = append(got, "-")
			} else {
				got = append(got, string(v.Bytes))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("round %d: %q", round, got)
		}
		e.wantAsked(t, asked)
	}
	if values, err := e.GetMany(t.Context(), nil, kv.MaxManyBytes); err != nil || len(values) != 0 {
		t.Errorf("%v, %v", values, err)
	}
}

// What is too much together is refused wherever it comes from, and who wants one of the keys
// gets it.
func TestTooMuchTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		var keys []string
		for i := range 9 {
			keys = append(keys, fmt.Sprint("k", i))
			set(t, p, keys[i], kv.Draft{Bytes: make([]byte, kv.MaxValue)})
		}
		e := newStation(p)
		e.link.gate = make(chan struct{})
		var readers sync.WaitGroup
		readers.Go(func() {
			if _, err := e.GetMany(t.Context(), keys, kv.MaxManyBytes); !errors.Is(err, kv.ErrTooMuch) {
				t.Errorf("%v", err)
			}
		})
		synctest.Wait()
		for _, key := range keys {
			readers.Go(func() {
				if v, err := e.Get(t.Context(), key); err != nil || len(v.Bytes) != kv.MaxValue {
					t.Errorf("%s: %v", key, err)
				}
			})
		}
		synctest.Wait()
		close(e.link.gate)
		readers.Wait()
		if _, err := e.GetMany(t.Context(), keys, kv.MaxManyBytes); !errors.Is(err, kv.ErrTooMuch) {
			t.Errorf("of what is remembered: %v", err)
		}
		if _, err := e.GetMany(t.Context(), keys[1:], kv.MaxManyBytes); err != nil {
			t.Errorf("as much as may be: %v", err)
		}
	})
}

// A parent that answers for another number of keys is not believed.
func TestAParentThatMiscounts(t *testing.T) {
	p := newPlace(t)
	e := kv.NewEdge(short{p}, p.log, new(memory), kv.EdgeOptions{})
	if v, err := e.GetMany(t.Context(), []string{"a", "b"}, kv.MaxManyBytes); !errors.Is(err, kv.ErrUnavailable) {
		t.Errorf("%v, %v", v, err)
	}
}

type short struct{ kv.Store }

func (short) GetMany(context.Context, []string, int) ([]*kv.Value, error) { return nil, nil }

func TestAHitAllocatesNothing(t *testing.T) {
	p := newPlace(t)
	e := kv.NewEdge(p, quiet{}, new(memory), kv.EdgeOptions{Now: p.clock.time})
	set(t, p, "k", kv.Draft{Bytes: []byte("v"), TTL: time.Minute, Tags: []string{"x"}})
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := e.Get(ctx, "k"); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// quiet is a purge log without rules.
type quiet struct{}

func (quiet) Current() uint64                        { return 1 }
func (quiet) Outdated(string, []string, uint64) bool { return false }
func (quiet) StaleTags([]string, uint64) bool        { return false }

func BenchmarkHit(b *testing.B) {
	p := newPlace(b)
	set(b, p, "k", text("v"))
	e := kv.NewEdge(p, quiet{}, new(memory), kv.EdgeOptions{})
	ctx := b.Context()
	for b.Loop() {
		if _, err := e.Get(ctx, "k"); err != nil {
			b.Fatal(err)
		}
	}
}
