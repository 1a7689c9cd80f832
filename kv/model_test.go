package kv_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"weir/kv"
)

// A state is what a key holds from an epoch of the log on, until its next state.
type state struct {
	epoch   uint64
	at      time.Time
	text    string
	held    bool
	tags    []string
	version uint64
	fresh   time.Time
	until   time.Time
	soft    bool // a tag was purged softly since
}

// seen is what a read at a time gives.
func (s state) seen(now time.Time) string {
	switch {
	case !s.held || !s.until.IsZero() && !now.Before(s.until):
		return "nothing"
	case s.soft || !s.fresh.IsZero() && !now.Before(s.fresh):
		return "stale " + s.text
	}
	return s.text
}

func seen(v *kv.Value, now time.Time) string {
	switch {
	case v == nil:
		return "nothing"
	case v.Stale(now):
		return "stale " + string(v.Bytes)
	}
	return string(v.Bytes)
}

// history is all that a key ever held. What an edge may show of it depends on what it has
// heard and done.
type history []state

func (h history) last() state { return h[len(h)-1] }

// universe is a keeper, edges that hear of its log at different times, and the model of both.
type universe struct {
	*place
	t      *testing.T
	random *rand.Rand
	edges  []*station
	held   map[string]history
	floor  []map[string]int // by edge: the state of a key that it has written or shown
	story  []string
}

func newUniverse(t *testing.T, seed, round uint64) *universe {
	u := &universe{place: newPlace(t), t: t, random: rand.New(rand.NewPCG(seed, round)), held: make(map[string]history)}
	for range 3 {
		s := newStation(u.place)
		s.memory.forgets = u.random.IntN(8) == 0
		u.edges, u.floor = append(u.edges, s), append(u.floor, make(map[string]int))
	}
	for _, key := range u.keys() {
		u.held[key] = history{{}}
	}
	return u
}

func (u *universe) keys() []string { return []string{"a", "b", "c", "n/1", "n/2"} }
func (u *universe) key() string    { return u.keys()[u.random.IntN(5)] }
func (u *universe) tag() string    { return []string{"x", "y", "z"}[u.random.IntN(3)] }

func (u *universe) note(format string, args ...any) {
	u.story = append(u.story, fmt.Sprintf(format, args...))
}

func (u *universe) fail(format string, args ...any) {
	u.t.Helper()
	for _, line := range u.story[max(0, len(u.story)-40):] {
		u.t.Log(line)
	}
	u.t.Fatalf(format, args...)
}

// become is the next state of a key.
func (u *universe) become(key string, s state) {
	s.epoch, s.at = u.log.Current(), u.clock.time()
	u.held[key] = append(u.held[key], s)
}

// Random operations at a keeper and three edges, of which each hears of the log late, and
// cannot always reach the keeper: the keeper shows what the model has, and an edge what was
// so at the last change that it has heard of or done, or later.
func TestAgainstTheModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(150) {
		t.Run(fmt.Sprint(seed, ",", round), func(t *testing.T) {
			u := newUniverse(t, seed, round)
			for range 300 {
				u.step()
			}
		})
	}
}

func (u *universe) step() {
	i := u.random.IntN(len(u.edges))
	e := u.edges[i]
	switch u.random.IntN(20) {
	case 0, 1:
		u.set(i, u.key())
	case 2:
		u.delete(i, u.key())
	case 3, 4:
		u.incr(i, u.key())
	case 5:
		u.purge()
	case 6:
		u.clock.pass(time.Duration(u.random.IntN(3)) * time.Second)
		u.note("time passes")
	case 7:
		e.link.cut, e.link.mute = u.random.IntN(3) == 0, u.random.IntN(4) == 0
		u.note("edge %d: cut %v, mute %v", i, e.link.cut, e.link.mute)
	case 8:
		if e.since = (time.Time{}); u.random.IntN(2) == 0 {
			e.since = u.clock.time().Add(-time.Duration(u.random.IntN(3)) * time.Second)
		}
		u.note("edge %d sees from %v", i, e.since)
	case 9:
		if u.random.IntN(4) == 0 {
			u.crash()
		}
	case 10, 11:
		n := u.random.IntN(4) - 1
		e.purges.catchUp(n)
		u.note("edge %d hears %d, and is at %d", i, n, e.purges.Current())
	case 16, 17:
		u.push(i, u.key())
	case 18:
		u.deliver(i)
	default:
		u.read(i)
	}
	key := u.key()
	v, err := u.Get(u.t.Context(), key)
	if err != nil && !errors.Is(err, kv.ErrMissing) {
		u.fail("%v", err)
	}
	if got, want := seen(v, u.clock.time()), u.held[key].last().seen(u.clock.time()); got != want {
		u.fail("the keeper shows %q of %s, want %q", got, key, want)
	}
}

// wrote compares what a write has said with what it should, and puts it into the model. It
// says whether the write has happened.
func (u *universe) wrote(i int, key, what string, err, want error, s state) {
	u.t.Helper()
	e := u.edges[i]
	u.note("edge %d: %s of %s: %v (epoch %d)", i, what, key, err, u.log.Current())
	happened := !e.link.cut && want == nil
	if e.link.cut || e.link.mute {
		want = kv.ErrUnavailable
	}
	if !errors.Is(err, want) {
		u.fail("%s of %s: %v, want %v", what, key, err, want)
	}
	if happened {
		u.become(key, s)
	}
	if err == nil {
		u.floor[i][key] = len(u.held[key]) - 1
	}
}

func (u *universe) set(i int, key string) {
	now, was := u.clock.time(), u.held[key].last()
	there := was.seen(now) != "nothing"
	d := text(strconv.Itoa(u.random.IntN(100)))
	if u.random.IntN(4) == 0 {
		d = text("text")
	}
	if u.random.IntN(2) == 0 {
		d.TTL, d.Stale = time.Duration(1+u.random.IntN(3))*time.Second, time.Duration(u.random.IntN(3))*time.Second
	}
	for range u.random.IntN(3) {
		d.Tags = append(d.Tags, u.tag())
	}
	var c kv.Condition
	want := error(nil)
	switch u.random.IntN(8) {
	case 0:
		if c.Absent = true; there {
			want = kv.ErrCondition
		}
	case 1:
		if c.Present = true; !there {
			want = kv.ErrCondition
		}
	case 2:
		if c.Version = was.version + uint64(u.random.IntN(2)); !there || c.Version != was.version {
			want = kv.ErrCondition
		}
		if c.Version == 0 {
			want = nil
		}
	case 3:
		c.Since = max(1, u.log.Current()-min(u.log.Current(), u.random.Uint64N(4)))
		if u.log.Outdated(key, d.Tags, c.Since) || u.log.StaleTags(d.Tags, c.Since) {
			want = kv.ErrCondition
		}
	}
	version, err := u.edges[i].Set(u.t.Context(), key, d, c)
	s := state{text: string(d.Bytes), held: true, tags: d.Tags, version: u.disk.number}
	if err == nil && version != s.version {
		u.fail("version %d of write %d", version, s.version)
	}
	if d.TTL > 0 {
		s.fresh = now.Add(d.TTL)
		s.until = s.fresh.Add(d.Stale)
	}
	u.wrote(i, key, fmt.Sprintf("set %+v if %+v", d, c), err, want, s)
}

func (u *universe) delete(i int, key string) {
	want := error(nil)
	if u.held[key].last().seen(u.clock.time()) == "nothing" {
		want = kv.ErrMissing
	}
	err := u.edges[i].Delete(u.t.Context(), key, kv.Condition{})
	u.wrote(i, key, "delete", err, want, state{})
}

func (u *universe) incr(i int, key string) {
	now, s := u.clock.time(), u.held[key].last()
	by := kv.Increment{By: int64(u.random.IntN(5)), TTL: time.Duration(u.random.IntN(3)) * time.Second}
	if s.seen(now) == "nothing" {
		if s = (state{text: "0", held: true}); by.TTL > 0 {
			s.fresh = now.Add(by.TTL)
			s.until = s.fresh
		}
	}
	n, want := 0, error(nil)
	if held, err := strconv.Atoi(s.text); err != nil {
		want = kv.ErrNotNumber
	} else {
		n = held + int(by.By)
		s.text = strconv.Itoa(n)
		if s.soft && (s.fresh.IsZero() || s.fresh.After(now)) {
			s.fresh = now // counting makes nothing fresh
		}
		s.soft = false
	}
	count, err := u.edges[i].Incr(u.t.Context(), key, by)
	s.version = u.disk.number
	if err == nil && (count.Number != int64(n) || count.Version != s.version || !count.Fresh.Equal(s.fresh)) {
		u.fail("%+v, want %d with %+v", count, n, s)
	}
	u.wrote(i, key, fmt.Sprintf("incr %+v", by), err, want, s)
}

// purge is of a tag, at the log.
func (u *universe) purge() {
	tag, soft := u.tag(), u.random.IntN(3) == 0
	u.log.add(ruleOf{tag: tag, soft: soft})
	u.note("purge of %s, soft %v: epoch %d", tag, soft, u.log.Current())
	for key, h := range u.held {
		if s := h.last(); slices.Contains(s.tags, tag) {
			if s.soft = s.soft || soft; !soft {
				s = state{}
			}
			u.become(key, s)
		}
	}
}

// push is what the shield reads of a key for an edge, and deliver what arrives of it: in any
// order, late, or never.
func (u *universe) push(i int, key string) {
	p := kv.Pushed{Key: key, Epoch: u.log.Current(), Read: u.clock.time()}
	if v, err := u.Get(u.t.Context(), key); err == nil {
		p.Value = v
	}
	u.edges[i].pushes = append(u.edges[i].pushes, p)
	u.note("edge %d is sent %s: %s at %d", i, key, seen(p.Value, p.Read), p.Epoch)
	if u.random.IntN(2) == 0 {
		u.deliver(i)
	}
}

func (u *universe) deliver(i int) {
	e := u.edges[i]
	if len(e.pushes) == 0 {
		return
	}
	n := u.random.IntN(len(e.pushes))
	p := e.pushes[n]
	e.pushes = slices.Delete(e.pushes, n, n+1)
	if u.random.IntN(8) > 0 {
		u.note("edge %d gets the push of %s at %d", i, p.Key, p.Epoch)
		e.Take(p)
	}
}

// crash is a keeper that ends between disk and log, and starts again.
func (u *universe) crash() {
	key := u.key()
	u.log.lost = errors.New("the process ended")
	_, err := u.Keeper.Set(u.t.Context(), key, text("crashed"), kv.Condition{})
	if !errors.Is(err, u.log.lost) {
		u.fail("%v", err)
	}
	u.log.lost = nil
	u.open(u.t)
	u.note("the keeper crashes after a write of %s: epoch %d", key, u.log.Current())
	u.become(key, state{text: "crashed", held: true, version: u.disk.number})
}

// read asks an edge for a few keys.
func (u *universe) read(i int) {
	e, now := u.edges[i], u.clock.time()
	keys := []string{u.key()}
	var values []*kv.Value
	var err error
	if u.random.IntN(3) == 0 {
		keys = append(keys, u.key(), u.key())
		values, err = e.GetMany(u.t.Context(), keys, kv.MaxManyBytes)
	} else {
		var v *kv.Value
		if v, err = e.Get(u.t.Context(), keys[0]); errors.Is(err, kv.ErrMissing) {
			err = nil
		}
		values = []*kv.Value{v}
	}
	if err != nil {
		u.note("edge %d reads %q: %v", i, keys, err)
		if !(e.link.cut || e.link.mute) || !errors.Is(err, kv.ErrUnavailable) {
			u.fail("read of %q: %v", keys, err)
		}
		return
	}
	for n, key := range keys {
		got := seen(values[n], now)
		u.note("edge %d reads %s: %s", i, key, got)
		oldest, h := u.oldest(i, key), u.held[key]
		at := slices.IndexFunc(h[oldest:], func(s state) bool { return s.seen(now) == got })
		if at < 0 {
			u.fail("edge %d shows %q of %s, and the states since the last that it knows are %+v", i, got, key, h[oldest:])
		}
		u.floor[i][key] = max(u.floor[i][key], oldest+at) // nobody goes back
	}
}

// oldest is the oldest state of a key that an edge may show.
func (u *universe) oldest(i int, key string) int {
	e, oldest := u.edges[i], u.floor[i][key]
	for n, s := range u.held[key] {
		if s.epoch <= e.purges.Current() || s.at.Before(e.since) {
			oldest = max(oldest, n)
		}
	}
	return oldest
}

// What many edges do at once is counted right, and who has written reads at least that.
func TestCountingAtManyEdges(t *testing.T) {
	p := newPlace(t)
	const clients, each = 100, 1000
	var edges []*station
	for range 3 {
		edges = append(edges, newStation(p))
	}
	done := make(chan error, clients)
	for i := range clients {
		go func() {
			e := edges[i%len(edges)]
			own := fmt.Sprint("own", i)
			for n := range each {
				count, err := e.Incr(t.Context(), "all", kv.Increment{By: 1})
				if err == nil && n%20 == 0 {
					_, err = e.Set(t.Context(), own, text(strconv.Itoa(n)), kv.Condition{})
				}
				if err != nil {
					done <- err
					return
				}
				if n%20 > 0 {
					continue
				}
				if i%7 == 0 {
					e.purges.catchUp(n % 5)
				}
				all, err := e.Get(t.Context(), "all")
				if err != nil {
					done <- err
					return
				}
				if got, _ := strconv.ParseInt(string(all.Bytes), 10, 64); got < count.Number {
					done <- fmt.Errorf("counted to %d, and then read %d", count.Number, got)
					return
				}
				if v, err := e.Get(t.Context(), own); err != nil || string(v.Bytes) != strconv.Itoa(n) {
					done <- fmt.Errorf("wrote %d, and then read %v: %w", n, v, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	wantText(t, p, "all", strconv.Itoa(clients*each))
}
