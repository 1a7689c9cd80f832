package shield_test

import (
	"fmt"
	"iter"
	"testing"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// memoryLog keeps rules as a durable log would.
type memoryLog struct {
	epochs []uint64
	rules  [][]byte
}

func (l *memoryLog) Append(epoch uint64, rule []byte) error {
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
