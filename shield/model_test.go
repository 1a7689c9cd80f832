package shield_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// A named is a rule as a person would write it, and what it names by that alone.
type named struct {
	epoch uint64
	rule  shield.Rule
	soft  bool
	names func(thing) bool
}

// A thing is what can be stored.
type thing struct {
	scheme, host, target string
	tags, groups         []string
	key                  keying.Key
}

func (x thing) url() string { return x.scheme + "://" + x.host + x.target }

// draws draws rules and things from few names, so that they meet.
type draws struct{ *rand.Rand }

func (w draws) of(names ...string) string { return names[w.IntN(len(names))] }
func (w draws) scheme() string            { return w.of("http", "https") }
func (w draws) host() string              { return w.of("a", "b", "a:81", "ab") }
func (w draws) target() string {
	return w.of("/", "/x", "/x/y", "/x/z", "/xy", "/x?q=1", "/x/y?q=1&r=2", "/z")
}
func (w draws) name() string { return w.of("red", "green", "blue", "black") }

func (w draws) thing(t *testing.T) thing {
	x := thing{scheme: w.scheme(), host: w.host(), target: w.target()}
	for range w.IntN(3) {
		x.tags = append(x.tags, w.name())
	}
	for range w.IntN(2) {
		x.groups = append(x.groups, w.name())
	}
	spec := &keying.Spec{BaseIsPath: w.IntN(4) == 0}
	keyed, err := spec.Build(&keying.Request{Method: "GET", Scheme: x.scheme, Host: x.host, Target: x.target})
	if err != nil {
		t.Fatal(err)
	}
	x.key = keyed.Key
	return x
}

func (w draws) rule(t *testing.T) named {
	x := w.thing(t)
	n := named{soft: w.IntN(3) == 0}
	switch kind := w.IntN(40); {
	case kind == 0:
		n.rule, n.names = shield.AllRule(), func(thing) bool { return true }
	case kind < 3:
		n.rule, n.names = shield.HostRule(x.host), func(y thing) bool { return y.host == x.host }
	case kind < 10:
		n.rule, n.names = shield.KeyRule(x.key.Digest()), func(y thing) bool { return y.key.Bytes() == x.key.Bytes() }
	case kind < 18:
		prefix := x.scheme + "://" + x.host + x.target[:1+w.IntN(len(x.target))]
		n.rule, n.names = shield.PrefixRule(prefix), func(y thing) bool { return strings.HasPrefix(y.url(), prefix) }
	case kind < 25:
		tag := w.name()
		n.rule, n.names = shield.TagRule(tag), func(y thing) bool { return contains(y.tags, tag) || contains(y.groups, tag) }
	case kind < 30:
		group := w.name()
		n.rule = shield.GroupRule(x.scheme, x.host, group)
		n.names = func(y thing) bool { return y.scheme == x.scheme && y.host == x.host && contains(y.groups, group) }
	default:
		n.rule, n.names = shield.URLRule(x.key.Base()), func(y thing) bool { return y.key.Base() == x.key.Base() }
	}
	if n.soft {
		n.rule = n.rule.Soft()
	}
	return n
}

func contains(all []string, one string) bool {
	return strings.Contains(" "+strings.Join(all, " ")+" ", " "+one+" ")
}

// history is every rule that ever was.
type history []named

func (h history) says(x thing, epoch, upTo uint64) (purged, softened bool) {
	for _, n := range h {
		if n.epoch > epoch && n.epoch <= upTo && n.names(x) {
			purged, softened = purged || !n.soft, softened || n.soft
		}
	}
	return purged, softened && !purged
}

// check compares p, which has come as far as its epoch, with what the history says. Where
// p may be coarse it may purge more, but never what came after every rule.
func (h history) check(t *testing.T, w draws, p *shield.Purges, from uint64, coarse bool) {
	t.Helper()
	x, now := w.thing(t), p.Current()
	if now < from {
		return // a follower that has not heard of anything
	}
	epoch := from + w.Uint64N(now-from+1)
	if w.IntN(2) == 0 { // mostly the last few rules are of interest
		epoch = max(from, now-min(now, w.Uint64N(6)))
	}
	resp := grouped(epoch, x.groups, x.tags)
	if x.groups == nil {
		resp = grouped(epoch, nil, x.tags)
	}
	purged, softened := p.Purged(x.key, resp), p.Softened(x.key, resp)
	wantPurged, wantSoftened := h.says(x, epoch, now)
	switch {
	case coarse && epoch < now:
		if wantPurged && !purged || wantSoftened && !softened && !purged {
			t.Fatalf("%s at %d of %d: purged %v, softened %v, but a rule says %v, %v", x.url(), epoch, now, purged, softened, wantPurged, wantSoftened)
		}
	case purged != wantPurged || softened != wantSoftened:
		t.Fatalf("%s at %d of %d: purged %v, softened %v, want %v, %v", x.url(), epoch, now, purged, softened, wantPurged, wantSoftened)
	}
}

// Purges say what the list of all rules says, whatever was compacted, replayed, sent and
// followed in between; with little room they purge more, and never less.
func TestPurgesAgainstTheListOfAllRules(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for round := range uint64(60) {
		coarse := round%3 == 2
		t.Run(fmt.Sprintf("%d,%d coarse %v", seed, round, coarse), func(t *testing.T) {
			againstTheList(t, draws{rand.New(rand.NewPCG(seed, round))}, coarse)
		})
	}
}

func againstTheList(t *testing.T, w draws, coarse bool) {
	open := func(log shield.Log) *shield.Purges {
		digests, prefixes := 1<<17, 1<<12
		if coarse {
			digests, prefixes = 3, 2
		}
		p, err := shield.NewPurgesWithin(log, digests, prefixes, 8)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	log := new(memoryLog)
	leader := open(log)
	from, id := leader.Current(), leader.ID()
	followers := []*shield.Purges{shield.NewFollower(), shield.NewFollower()}
	if coarse {
		followers[1] = shield.NewFollowerWithin(3, 2, 1)
	}
	var all history
	for range 300 {
		switch w.IntN(12) {
		case 0, 1, 2, 3:
			var rules []shield.Rule
			var group history
			for range 1 + w.IntN(3) {
				n := w.rule(t)
				group, rules = append(group, n), append(rules, n.rule)
			}
			last, err := leader.Add(rules...)
			if err != nil {
				t.Fatal(err)
			}
			for i := range group {
				group[i].epoch = last - uint64(len(group)-1-i)
			}
			all = append(all, group...)
		case 4:
			if leader = open(log); leader.ID() != id {
				t.Fatal("another log after a restart")
			}
		case 5:
			if err := leader.Rewrite(); err != nil {
				t.Fatal(err)
			}
		case 6, 7:
			follow(t, followers[w.IntN(len(followers))], leader)
		}
		all.check(t, w, leader, from, coarse)
		for _, f := range followers {
			all.check(t, w, f, from, coarse)
		}
	}
}

// follow brings a follower what it lacks, as bytes.
func follow(t *testing.T, follower, leader *shield.Purges) {
	t.Helper()
	b := leader.Since(follower.ID(), follower.Current())
	got, err := shield.DecodeBatch(b.Encode())
	if err != nil {
		t.Fatal(err)
	}
	follower.Apply(got)
	if follower.Current() != leader.Current() || follower.ID() != leader.ID() {
		t.Fatalf("a follower is at %d, its log at %d", follower.Current(), leader.Current())
	}
}

func purged(p *shield.Purges, key keying.Key, epoch uint64, tags ...string) bool {
	return p.Purged(key, &rfc9111.Response{Epoch: epoch, Tags: tags})
}
