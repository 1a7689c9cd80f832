package shield_test

import (
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
