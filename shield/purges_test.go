package shield_test

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// memoryLog keeps rules as a durable log would.
type memoryLog struct {
	mu     sync.Mutex
	epochs []uint64
	rules  [][]byte
}

func (l *memoryLog) Append(epoch uint64, rule []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs, l.rules = append(l.epochs, epoch), append(l.rules, rule)
	return nil
}

func (l *memoryLog) Replay(f func(uint64, []byte) error) error {
	for i := range l.rules {
		if err := f(l.epochs[i], l.rules[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *memoryLog) Rewrite(rules iter.Seq2[uint64, []byte]) error {
	l.epochs, l.rules = nil, nil
	for epoch, rule := range rules {
		_ = l.Append(epoch, rule)
	}
	return nil
}

func TestAllRuleNamesEverythingBeforeIt(t *testing.T) {
	log := new(memoryLog)
	purges, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	before := &rfc9111.Response{Epoch: purges.Current()}
	epoch, err := purges.Add(shield.URLRule(keying.Digest{1}), shield.AllRule())
	if err != nil {
		t.Fatal(err)
	}
	after := &rfc9111.Response{Epoch: epoch}
	check := func(p *shield.Purges) {
		t.Helper()
		if !p.Purged(keying.Key{}, before) {
			t.Error("an object from before is still reused")
		}
		if p.Purged(keying.Key{}, after) {
			t.Error("an object from after is not reused")
		}
	}
	check(purges)
	replayed, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	check(replayed)
	if _, err := replayed.Add(shield.URLRule(keying.Digest{2})); err != nil {
		t.Fatal(err)
	}
	check(replayed)
}

// Anybody can send unsafe requests to any number of URLs. What is kept of them is
// bounded, in memory and in the log, and no purge is ever forgotten.
func TestPurgesAreBounded(t *testing.T) {
	const rules = 400_000
	log := new(memoryLog)
	purges, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	keyOf := func(i int) keying.Key {
		k, err := new(keying.Spec).Build(&keying.Request{Method: "GET", Scheme: "http", Host: "a", Target: fmt.Sprint("/", i)})
		if err != nil {
			t.Fatal(err)
		}
		return k.Key
	}
	var last uint64
	for i := range rules {
		if last, err = purges.Add(shield.URLRule(keyOf(i).Base())); err != nil {
			t.Fatal(err)
		}
	}
	const bound = 1<<17 + 1<<16
	if n := purges.Len(); n > bound {
		t.Errorf("%d rules are kept, more than %d", n, bound)
	}
	if n := len(log.rules); n > 2*bound+1<<15 {
		t.Errorf("the log holds %d rules", n)
	}
	replayed, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	if replayed.Current() != last {
		t.Errorf("after a restart the epoch is %d, not %d", replayed.Current(), last)
	}
	for name, p := range map[string]*shield.Purges{"running": purges, "replayed": replayed} {
		for i := 0; i < rules; i += 997 {
			if !p.Purged(keyOf(i), &rfc9111.Response{Epoch: uint64(i)}) {
				t.Fatalf("%s: the purge of URL %d is forgotten", name, i)
			}
			if p.Purged(keyOf(i), &rfc9111.Response{Epoch: last}) {
				t.Fatalf("%s: what came after all purges counts as purged", name)
			}
		}
	}
}

// grouped is a response in groups and with tags, as it is stored.
func grouped(epoch uint64, groups, tags []string) *rfc9111.Response {
	h := http.Header{}
	if groups != nil {
		h.Set("Cache-Groups", `"`+strings.Join(groups, `", "`)+`"`)
	}
	return &rfc9111.Response{Header: h, Tags: slices.Sorted(slices.Values(append(slices.Clone(groups), tags...))), Epoch: epoch}
}

func keyOn(t *testing.T, scheme, host string) keying.Key {
	t.Helper()
	k, err := new(keying.Spec).Build(&keying.Request{Method: "GET", Scheme: scheme, Host: host, Target: "/"})
	if err != nil {
		t.Fatal(err)
	}
	return k.Key
}

// RFC 9875 2.1: groups are of one origin, and no tags. A purge by tag reaches both, on
// every host.
func TestNameRules(t *testing.T) {
	for _, c := range []struct {
		name         string
		rule         shield.Rule
		scheme, host string
		resp         *rfc9111.Response
		want         bool
	}{
		{"a group", shield.GroupRule("http", "a", "x"), "http", "a", grouped(0, []string{"x"}, nil), true},
		{"one of several groups", shield.GroupRule("http", "a", "x"), "http", "a", grouped(0, []string{"w", "x", "y"}, nil), true},
		{"another group", shield.GroupRule("http", "a", "x"), "http", "a", grouped(0, []string{"y"}, nil), false},
		{"groups have a case", shield.GroupRule("http", "a", "x"), "http", "a", grouped(0, []string{"X"}, nil), false},
		{"another host", shield.GroupRule("http", "a", "x"), "http", "b", grouped(0, []string{"x"}, nil), false},
		{"another port", shield.GroupRule("http", "a", "x"), "http", "a:81", grouped(0, []string{"x"}, nil), false},
		{"another scheme", shield.GroupRule("http", "a", "x"), "https", "a", grouped(0, []string{"x"}, nil), false},
		{"no group but a tag", shield.GroupRule("http", "a", "x"), "http", "a", grouped(0, nil, []string{"x"}), false},
		{"any group", shield.GroupRule("http", "a", ""), "http", "a", grouped(0, []string{"y"}, nil), true},
		{"any group, and none", shield.GroupRule("http", "a", ""), "http", "a", grouped(0, nil, []string{"y"}), false},
		{"any group of another host", shield.GroupRule("http", "a", ""), "http", "b", grouped(0, []string{"y"}, nil), false},
		{"a long group", shield.GroupRule("http", "a", strings.Repeat("x", 3000)), "http", "a", grouped(0, []string{strings.Repeat("x", 3000)}, nil), true},
		{"host and group are told apart", shield.GroupRule("http", "a", "bx"), "http", "ab", grouped(0, []string{"x"}, nil), false},
		{"a tag", shield.TagRule("x"), "http", "a", grouped(0, nil, []string{"w", "x"}), true},
		{"a tag that is a group", shield.TagRule("x"), "http", "a", grouped(0, []string{"x"}, nil), true},
		{"another tag", shield.TagRule("x"), "http", "a", grouped(0, nil, []string{"y"}), false},
		{"a tag and nothing", shield.TagRule("x"), "http", "a", grouped(0, nil, nil), false},
		{"a tag, of more than are known", shield.TagRule("x"), "http", "a", grouped(0, nil, []string{rfc9111.AnyTag, "y"}), true},
		{"a group, of more than are known", shield.GroupRule("http", "a", "x"), "http", "a", grouped(0, nil, []string{rfc9111.AnyTag, "y"}), true},
		{"a group of another host, of more than are known", shield.GroupRule("http", "a", "x"), "http", "b", grouped(0, nil, []string{rfc9111.AnyTag, "y"}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(memoryLog)
			purges, err := shield.NewPurges(log)
			if err != nil {
				t.Fatal(err)
			}
			key := keyOn(t, c.scheme, c.host)
			before := *c.resp
			before.Epoch = purges.Current()
			last, err := purges.Add(c.rule)
			if err != nil {
				t.Fatal(err)
			}
			after := *c.resp
			after.Epoch = last
			if got := purges.Purged(key, &before); got != c.want {
				t.Errorf("purged: %v", got)
			}
			if purges.Purged(key, &after) {
				t.Error("what came after the purge counts as purged")
			}
			// A restart knows no origins any more, and may purge more, but only of what it cannot tell.
			replayed, err := shield.NewPurges(log)
			if err != nil {
				t.Fatal(err)
			}
			if got := replayed.Purged(key, &before); got != c.want && before.Tags[0] != rfc9111.AnyTag {
				t.Errorf("after a restart, purged: %v", got)
			}
			if replayed.Purged(key, &after) {
				t.Error("after a restart, what came after the purge counts as purged")
			}
		})
	}
}

// Origins can name any number of groups. No purge of one is forgotten.
func TestNameRulesAreBounded(t *testing.T) {
	const rules = 300_000
	log := new(memoryLog)
	purges, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	key := keyOn(t, "http", "a")
	group := func(i int) []string { return []string{fmt.Sprint("g", i)} }
	epochs := make([]uint64, rules)
	for i := range rules {
		if epochs[i], err = purges.Add(shield.GroupRule("http", "a", group(i)[0])); err != nil {
			t.Fatal(err)
		}
	}
	const bound = 1<<17 + 1<<16
	if n := purges.Len(); n > bound {
		t.Errorf("%d rules are kept, more than %d", n, bound)
	}
	if n := len(log.rules); n > 2*bound+1<<15 {
		t.Errorf("the log holds %d rules", n)
	}
	replayed, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*shield.Purges{"running": purges, "replayed": replayed} {
		for i := 0; i < rules; i += 997 {
			if !p.Purged(key, grouped(epochs[i]-1, group(i), nil)) {
				t.Fatalf("%s: the purge of group %d is forgotten", name, i)
			}
			if p.Purged(key, grouped(epochs[rules-1], group(i), nil)) {
				t.Fatalf("%s: what came after all purges counts as purged", name)
			}
		}
	}
}
