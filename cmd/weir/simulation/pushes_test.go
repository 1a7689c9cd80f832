package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/kv"
	"weir/shield"
)

// A chapter is what one key holds from a write, a deletion or a purge of its tag on.
type chapter struct {
	number  int           // that it holds; -1: nothing
	ttl     time.Duration // 0: for ever
	began   time.Time
	known   time.Time // that it has happened; zero: it may have, or may still
	epoch   uint64    // of the log by then
	through int       // the edge that was told; -1: none
}

// may says whether a read that begins at a time can find number in c. An edge may end a value
// early, by the time that its question takes to the shield, and a link can hold that for long.
func (c *chapter) may(number int, from time.Time) bool {
	if number < 0 {
		return c.number < 0 || c.ttl > 0
	}
	return number == c.number && (c.ttl == 0 || c.known.IsZero() || from.Before(c.known.Add(c.ttl)))
}

// A chronicle is all that one key ever held. One goroutine writes it, and waits after each
// write that was not acknowledged until it has happened or never will.
type chronicle struct {
	key string

	mu       sync.Mutex // guards what follows
	chapters []chapter
	shown    map[*edge]int // the latest acknowledged chapter that somebody has read at a node
}

// floor is the oldest chapter that a read at an edge may show that begins now.
func (c *chronicle) floor(i int, e *edge) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	floor, current := c.shown[e], e.purges.Current()
	for n, ch := range c.chapters {
		if !ch.known.IsZero() && (ch.through == i || ch.epoch <= current) {
			floor = max(floor, n)
		}
	}
	return floor
}

// judge says what is wrong with a read at e.
func (c *chronicle) judge(e *edge, number, floor int, from time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := slices.IndexFunc(c.chapters[floor:], func(ch chapter) bool { return ch.may(number, from) })
	if n < 0 {
		return fmt.Sprintf("%s shows %d of %s; since what it knows there were %+v", e.name, number, c.key, c.chapters[floor:])
	}
	for n += floor; n > c.shown[e]; n-- {
		if !c.chapters[n].known.IsZero() {
			c.shown[e] = n
			break
		}
	}
	return ""
}

// scribe writes chronicles in a world, and reads what edges make of them.
type scribe struct {
	*world
	keys []*chronicle

	mu    sync.Mutex // guards what follows
	reads int
	quick int // of something else than the time before, without a question
}

// write adds a chapter.
func (s *scribe) write(c *chronicle, random *rand.Rand) {
	i := random.IntN(len(s.plan.regions))
	e := s.edge(i)
	c.mu.Lock()
	n := len(c.chapters)
	ch := chapter{number: n, began: time.Now(), through: i}
	what := random.IntN(10)
	switch {
	case what < 3:
		ch.number = -1
	case what < 6:
		ch.ttl = time.Duration(1+random.IntN(3)) * time.Second
	}
	if what == 0 {
		ch.through = -1
	}
	c.chapters = append(c.chapters, ch)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	var err error
	switch {
	case what == 0:
		err = s.purgeTag("of " + c.key)
	case ch.number < 0:
		if err = e.values.Delete(ctx, c.key, kv.Condition{}); errors.Is(err, kv.ErrMissing) {
			err = nil
		}
	default:
		d := draft(n)
		d.Tags, d.TTL = []string{"of " + c.key}, ch.ttl
		_, err = e.values.Set(ctx, c.key, d, kv.Condition{})
	}
	h := s.hub()
	if err != nil || h == nil {
		time.Sleep(8 * time.Second) // a link is silent for 6 s at most
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chapters[n].known, c.chapters[n].epoch = time.Now(), h.purges.Current()
}

// purgeTag purges at the shield.
func (w *world) purgeTag(tag string) error {
	h := w.hub()
	if h == nil {
		return errCrashed
	}
	_, err := h.purges.Add(shield.TagRule(tag))
	return err
}

// read reads a key at an edge, and is told what that showed the time before.
func (s *scribe) read(i int, c *chronicle, before int) int {
	e := s.edge(i)
	floor, began := c.floor(i, e), time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	v, err := e.values.Get(ctx, c.key)
	if err != nil && !errors.Is(err, kv.ErrMissing) {
		return before
	}
	got := number(v)
	if wrong := c.judge(e, got, floor, began); wrong != "" {
		s.violated("", "%s", wrong)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if got != before && got >= 0 && time.Now().Equal(began) {
		s.quick++
	}
	return got
}

// trouble makes links and nodes fail until done is closed.
func (s *scribe) trouble(random *rand.Rand, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(random.IntN(3000)) * time.Millisecond):
		}
		i := random.IntN(len(s.plan.regions))
		region := s.plan.regions[i].Name
		switch random.IntN(8) {
		case 0:
			s.restartEdge(i)
		case 1:
			s.killShield()
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
			s.startShield()
		case 2, 3:
			s.net.Silence(region, center)
			time.Sleep(time.Duration(random.IntN(6000)) * time.Millisecond)
			s.net.Heal(region, center, func() bool { return random.IntN(2) == 0 })
		default:
			s.net.Cut(region, center, func() bool { return random.IntN(2) == 0 })
		}
	}
}

// Values are pushed to edges that remember few of them, are cut off, come back, start again, and
// write themselves, while tags are purged and values end: nobody reads what is older than what
// was acknowledged there, or known there, or shown there.
func TestPushedValuesAreNeverOld(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chronicles(t, seed, int(environment(t, "WEIR_CHAPTERS", 60/uint64(min(slower, 4)))))
			})
		})
	}
}

// What is pushed ends by the clock of the edge, early by no more than a message takes, and late never.
func TestPushedValuesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan{seed: 5, regions: faraway(), sync: 3 * time.Millisecond, values: true})
		w.settle(t.Context())
		for i := range w.plan.regions {
			if _, err := w.edge(i).values.Get(t.Context(), "k"); !errors.Is(err, kv.ErrMissing) {
				t.Fatal(err)
			}
		}
		d := draft(1)
		d.TTL = 2 * time.Second
		for n := range 5 {
			time.Sleep(time.Duration(n) * 300 * time.Millisecond) // beats come between
			began := time.Now()
			if _, err := w.edge(0).values.Set(t.Context(), "k", d, kv.Condition{}); err != nil {
				t.Fatal(err)
			}
			written := time.Now()
			time.Sleep(200 * time.Millisecond)
			for i, r := range w.plan.regions {
				asked := time.Now()
				v, err := w.edge(i).values.Get(t.Context(), "k")
				if err != nil || i > 0 && !time.Now().Equal(asked) { // who writes may hear of it too early
					t.Errorf("%s has to ask: %v", r.Name, err)
					continue
				}
				if v.Until.After(written.Add(d.TTL)) || v.Until.Before(began.Add(d.TTL-r.RoundTrip-time.Millisecond)) {
					t.Errorf("%s: it ends %v after it was written, and is to live for %v", r.Name, v.Until.Sub(written), d.TTL)
				}
			}
		}
		w.close()
	})
}

func chronicles(t *testing.T, seed uint64, length int) {
	w := newWorld(t, plan{seed: seed, regions: faraway(), jitter: 5 * time.Millisecond, sync: 3 * time.Millisecond, values: true, memory: 9 << 10})
	w.settle(t.Context())
	s := &scribe{world: w}
	for n := range 24 {
		s.keys = append(s.keys, &chronicle{
			key: fmt.Sprint("key", n) + strings.Repeat("y", n*4), shown: make(map[*edge]int),
			chapters: []chapter{{number: -1, known: time.Now(), through: -1}},
		})
	}
	source := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 100+n)) }
	done := make(chan struct{})
	var writing, reading sync.WaitGroup
	for n, c := range s.keys {
		writing.Go(func() {
			random := source(uint64(n))
			for range length {
				time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
				s.write(c, random)
			}
		})
	}
	for n := range 4 * len(w.plan.regions) {
		reading.Go(func() {
			random, before := source(1000+uint64(n)), make(map[*chronicle]int)
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Duration(random.IntN(20)) * time.Millisecond):
				}
				c := s.keys[min(random.IntN(len(s.keys)), random.IntN(len(s.keys)))] // some more than others
				before[c] = s.read(n%len(w.plan.regions), c, before[c])
			}
		})
	}
	reading.Go(func() { s.trouble(source(2000), done) })
	writing.Wait()
	close(done)
	reading.Wait()
	w.close()
	t.Logf("%d writes, %d reads, %d of them of something new without a question", length*len(s.keys), s.reads, s.quick)
	if s.quick < s.reads/1000 {
		t.Errorf("hardly anything was pushed")
	}
}
