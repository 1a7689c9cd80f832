package shield_test

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

func wrote(t testing.TB, p *shield.Purges, keys ...string) uint64 {
	t.Helper()
	epoch, err := p.Wrote(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// What names values: the log, a follower of it, and the log after a restart agree.
func TestRulesAboutValues(t *testing.T) {
	group := shield.GroupRule("http", "a", "x")
	for _, c := range []struct {
		name            string
		put             func(*shield.Purges)
		key             string
		tags            []string
		outdated, stale bool
	}{
		{"a write", func(p *shield.Purges) { wrote(t, p, "k") }, "k", nil, true, false},
		{"a write of another key", func(p *shield.Purges) { wrote(t, p, "K") }, "k", nil, false, false},
		{"a write of several", func(p *shield.Purges) { wrote(t, p, "j", "k", "l") }, "k", []string{"x"}, true, false},
		{"a write of all", func(p *shield.Purges) { wrote(t, p) }, "k", nil, true, false},
		{"a write of all, of what is kept", func(p *shield.Purges) { wrote(t, p) }, "", []string{"x"}, false, false},
		{"a write, of what is kept", func(p *shield.Purges) { wrote(t, p, "k") }, "", []string{"k"}, false, false},
		{"a tag", func(p *shield.Purges) { add(t, p, shield.TagRule("x")) }, "k", []string{"w", "x"}, true, false},
		{"a tag, of what is kept", func(p *shield.Purges) { add(t, p, shield.TagRule("x")) }, "", []string{"x"}, true, false},
		{"another tag", func(p *shield.Purges) { add(t, p, shield.TagRule("y")) }, "k", []string{"x"}, false, false},
		{"a tag like the key", func(p *shield.Purges) { add(t, p, shield.TagRule("k")) }, "k", []string{"x"}, false, false},
		{"a soft tag", func(p *shield.Purges) { add(t, p, shield.TagRule("x").Soft()) }, "k", []string{"x"}, false, true},
		{"a group", func(p *shield.Purges) { add(t, p, group) }, "k", []string{"x"}, false, false},
		{"all responses", func(p *shield.Purges) { add(t, p, shield.AllRule()) }, "k", []string{"x"}, false, false},
		{"all responses, softly", func(p *shield.Purges) { add(t, p, shield.AllRule().Soft()) }, "k", []string{"x"}, false, false},
		{"a host", func(p *shield.Purges) { add(t, p, shield.HostRule("k")) }, "k", []string{"k"}, false, false},
		{"a tag before all responses", func(p *shield.Purges) {
			add(t, p, shield.TagRule("x"))
			add(t, p, shield.AllRule())
		}, "", []string{"x"}, true, false},
		{"a soft tag before all responses", func(p *shield.Purges) {
			add(t, p, shield.TagRule("x").Soft())
			add(t, p, shield.AllRule())
		}, "k", []string{"x"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(memoryLog)
			p, f := leaderOf(t, log), shield.NewFollower()
			follow(t, f, p)
			before := p.Current()
			c.put(p)
			follow(t, f, p)
			late := shield.NewFollower()
			follow(t, late, p)
			if err := p.Rewrite(); err != nil {
				t.Fatal(err)
			}
			for name, q := range map[string]*shield.Purges{"log": p, "follower": f, "late follower": late, "restarted": leaderOf(t, log)} {
				if got := q.Outdated(c.key, c.tags, before); got != c.outdated {
					t.Errorf("%s: outdated %v", name, got)
				}
				if got := q.StaleTags(c.tags, before); got != c.stale {
					t.Errorf("%s: stale %v", name, got)
				}
				if q.Outdated(c.key, c.tags, q.Current()) || q.StaleTags(c.tags, q.Current()) {
					t.Errorf("%s: what came after all rules is named", name)
				}
			}
		})
	}
}

// writes is every rule about values that ever was.
type writes []struct {
	epoch    uint64
	key, tag string // both empty: everything that is remembered
	soft     bool
}

func (w writes) says(key string, tags []string, epoch, upTo uint64) (outdated, stale bool) {
	for _, r := range w {
		switch {
		case r.epoch <= epoch || r.epoch > upTo:
		case r.tag != "":
			if slices.Contains(tags, r.tag) {
				outdated, stale = outdated || !r.soft, stale || r.soft
			}
		case key != "" && (r.key == "" || r.key == key):
			outdated = true
		}
	}
	return outdated, stale
}

// What is known of values is what the list of all rules says, whatever was compacted, replayed
// and followed, and whatever was purged of responses in between; with little room more is
// outdated, and never less.
func TestValuesAgainstTheListOfAllRules(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(40) {
		t.Run(fmt.Sprint(seed, ",", round), func(t *testing.T) {
			valuesAgainstTheList(t, rand.New(rand.NewPCG(seed, round)), round%2 == 1)
		})
	}
}

func valuesAgainstTheList(t *testing.T, random *rand.Rand, coarse bool) {
	digests := 1 << 17
	if coarse {
		digests = 3
	}
	log := new(memoryLog)
	open := func() *shield.Purges {
		p, err := shield.NewPurgesWithin(log, digests, 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	leader, follower := open(), shield.NewFollowerWithin(digests, 10, 10)
	follow(t, follower, leader)
	from, all := leader.Current(), writes{}
	name := func() string { return fmt.Sprint(random.IntN(6)) }
	for range 400 {
		w := writes{{}}[0]
		switch random.IntN(9) {
		case 0, 1, 2:
			w.key = name()
			w.epoch = wrote(t, leader, w.key)
		case 3:
			if random.IntN(5) == 0 {
				w.epoch = wrote(t, leader)
			}
		case 4:
			w.tag, w.soft = name(), random.IntN(2) == 0
			rule := shield.TagRule(w.tag)
			if w.soft {
				rule = rule.Soft()
			}
			w.epoch = add(t, leader, rule)
		case 5:
			add(t, leader, []shield.Rule{shield.AllRule(), shield.HostRule("a"), shield.URLRule(keying.Digest{1})}[random.IntN(3)])
		case 6:
			follow(t, follower, leader)
		case 7:
			if err := leader.Rewrite(); err != nil {
				t.Fatal(err)
			}
		case 8:
			leader = open()
		}
		if w.epoch > 0 {
			all = append(all, w)
		}
		for _, p := range []*shield.Purges{leader, follower} {
			key, tags, now := name(), []string{name(), name()}[:random.IntN(3)], p.Current()
			epoch := max(from, now-min(now, random.Uint64N(12)))
			outdated, stale := p.Outdated(key, tags, epoch), p.StaleTags(tags, epoch)
			wantOutdated, wantStale := all.says(key, tags, epoch, now)
			if coarse && epoch < now {
				wantOutdated, wantStale = wantOutdated || outdated, wantStale || stale
			}
			if outdated != wantOutdated || stale != wantStale {
				t.Fatalf("%q with %q at %d of %d: outdated %v, stale %v, want %v, %v", key, tags, epoch, now, outdated, stale, wantOutdated, wantStale)
			}
		}
	}
}

// However many values are written, what is kept of it is bounded, no URL and no tag becomes
// coarse by it, and whoever looks up responses does not notice.
func TestWritesAreBounded(t *testing.T) {
	const keys = 300_000
	log := new(memoryLog)
	p, f := leaderOf(t, log), shield.NewFollower()
	add(t, p, shield.TagRule("x"), shield.URLRule(keying.Digest{1}))
	follow(t, f, p)
	began := p.Current()
	versions := []uint64{p.Version(), f.Version()}
	names := make([]string, 1000)
	for i := 0; i < keys; i += len(names) {
		for j := range names {
			names[j] = fmt.Sprint("key", i+j)
		}
		wrote(t, p, names...)
	}
	follow(t, f, p)
	const bound = 1<<17 + 1<<16 + 10
	for name, q := range map[string]*shield.Purges{"log": p, "follower": f, "restarted": leaderOf(t, log)} {
		if n := q.Len(); n > bound {
			t.Errorf("%s: %d rules are kept, more than %d", name, n, bound)
		}
		for i := 0; i < keys; i += 997 {
			if !q.Outdated(fmt.Sprint("key", i), nil, began+uint64(i)) {
				t.Fatalf("%s: the write of key %d is forgotten", name, i)
			}
		}
		for i := range 2000 {
			if q.Outdated("", []string{fmt.Sprint("tag", i)}, began) || purged(q, keyOn(t, "http", fmt.Sprint("h", i)), began) {
				t.Fatalf("%s: tags or responses became coarse", name)
			}
		}
	}
	if p.Version() != versions[0] || f.Version() != versions[1] {
		t.Error("those who look up responses are told of values")
	}
	if n := len(log.rules); n > 2*bound+1<<15 {
		t.Errorf("the log holds %d rules", n)
	}
}

// Values are written all the time, so an edge always lacks the last that the log has of
// them. It must know of the epoch of what it is sent all the same.
func TestAResponseIsNoYoungerThanItsLastPurge(t *testing.T) {
	s := start(t, options{log: new(memoryLog)})
	s.origin.answer(always(200, "x", "Cache-Control", cacheable))
	f := shield.NewFollower()
	add(t, s.purges, shield.TagRule("x"))
	follow(t, f, s.purges)
	for range 3 {
		wrote(t, s.purges, "k")
	}
	epochOf := func(target string) uint64 {
		ans, err := s.shield.Fetch(t.Context(), s.request(target))
		if err != nil {
			t.Fatal(err)
		}
		read(ans)
		return ans.Head.Epoch
	}
	if epoch := epochOf("/"); f.Purged(keying.Key{}, &rfc9111.Response{Epoch: epoch}) {
		t.Errorf("epoch %d, and a follower is at %d", epoch, f.Current())
	}
	add(t, s.purges, shield.TagRule("y"))
	if epoch := epochOf("/other"); epoch != s.purges.Current() {
		t.Errorf("epoch %d after a purge at %d", epoch, s.purges.Current())
	}
}

// A log that is lost takes what was known of tags with it: values with tags go, others stay,
// and nobody uses what was remembered.
func TestValuesWithoutTheirLog(t *testing.T) {
	old := leaderOf(t, new(memoryLog))
	wrote(t, old)
	at, f := old.Current(), shield.NewFollower()
	follow(t, f, old)
	next := leaderOf(t, new(memoryLog))
	ahead := next.Current() - 5 // of a value that came before the stream told of the new log
	if f.Outdated("k", nil, ahead) {
		t.Error("a value that is ahead of the stream is outdated")
	}
	follow(t, f, next)
	switch {
	case !next.Outdated("", []string{"x"}, at) || !f.Outdated("", []string{"x"}, at):
		t.Error("a value keeps its tags without the log")
	case next.Outdated("", nil, at):
		t.Error("a value without tags is gone")
	case !f.Outdated("k", nil, at) || !f.Outdated("k", nil, ahead):
		t.Error("what was remembered is used")
	case !next.Outdated("k", nil, next.Current()+1):
		t.Error("an epoch that was never given out is trusted")
	}
	if _, err := f.Wrote("k"); !errors.Is(err, shield.ErrLog) {
		t.Errorf("a follower says what was written: %v", err)
	}
}

// A log knows whether any value was ever written, through restarts and however it is written anew.
func TestUnwritten(t *testing.T) {
	log := new(memoryLog)
	p := leaderOf(t, log)
	again := func(want bool, after string) {
		t.Helper()
		if now, later := p.Unwritten(), leaderOf(t, log).Unwritten(); now != want || later != want {
			t.Errorf("after %s: %t, and %t when it is read again", after, now, later)
		}
	}
	again(true, "the beginning")
	add(t, p, shield.TagRule("a"), shield.AllRule(), shield.TagRule("a").Soft())
	again(true, "purges")
	wrote(t, p, "k")
	again(false, "a write")
	for range 40_000 {
		add(t, p, shield.TagRule("a"))
	}
	again(false, "compactions")
	log = new(memoryLog)
	p = leaderOf(t, log)
	wrote(t, p)
	again(false, "a word about all values")
}

func TestOutdatedAllocatesNothing(t *testing.T) {
	p, tags := leaderOf(t, nil), []string{"a", "b"}
	wrote(t, p, "other")
	add(t, p, shield.TagRule("x"), shield.TagRule("x").Soft())
	if n := testing.AllocsPerRun(100, func() {
		if p.Outdated("key", tags, 0) || p.StaleTags(tags, 0) {
			t.Error("outdated")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkOutdated asks for a value as an edge does at each hit: mostly something was written
// since it was read, and not it.
func BenchmarkOutdated(b *testing.B) {
	p := leaderOf(b, nil)
	for i := range 10_000 {
		wrote(b, p, fmt.Sprint("key", i))
	}
	for name, epoch := range map[string]uint64{"older": 0, "newer": p.Current()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if p.Outdated("session:abcdef", nil, epoch) {
					b.Fatal("outdated")
				}
			}
		})
	}
}

// Of many who write while the log has become too long one writes it anew. The others go on.
func TestOneCompactsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowRewrites{}
		p := leaderOf(t, log)
		keys := make([]string, 1<<14)
		for i := range keys {
			keys[i] = "k"
		}
		log.wait = time.Second
		var writing sync.WaitGroup
		for range 12 {
			writing.Go(func() { wrote(t, p, keys...) })
		}
		writing.Wait()
		if log.rewrites == 0 || log.rewrites > 2 {
			t.Errorf("the log was written anew %d times", log.rewrites)
		}
		if restarted := leaderOf(t, log); restarted.Current() != p.Current() || !restarted.Outdated("k", nil, p.Current()-1) {
			t.Error("a write is forgotten")
		}
	})
}

// slowRewrites is a log of which Rewrite takes its time.
type slowRewrites struct {
	memoryLog
	wait     time.Duration
	rewrites int // guarded by mu
}

func (l *slowRewrites) Rewrite(rules iter.Seq2[uint64, []byte]) error {
	time.Sleep(l.wait)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rewrites++
	l.epochs, l.rules = nil, nil
	for epoch, rule := range rules {
		l.epochs, l.rules = append(l.epochs, epoch), append(l.rules, rule)
	}
	return nil
}
