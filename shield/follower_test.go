package shield_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

func leaderOf(t testing.TB, log shield.Log) *shield.Purges {
	t.Helper()
	p, err := shield.NewPurges(log)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func add(t testing.TB, p *shield.Purges, rules ...shield.Rule) uint64 {
	t.Helper()
	epoch, err := p.Add(rules...)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// A log keeps its identity; one that was lost does not come back under the old one.
func TestLogIdentity(t *testing.T) {
	log := new(memoryLog)
	p := leaderOf(t, log)
	if p.ID() == (shield.LogID{}) {
		t.Error("a log without identity")
	}
	add(t, p, shield.TagRule("x"))
	if err := p.Rewrite(); err != nil {
		t.Fatal(err)
	}
	if again := leaderOf(t, log); again.ID() != p.ID() {
		t.Error("another identity after a restart")
	}
	if other := leaderOf(t, new(memoryLog)); other.ID() == p.ID() {
		t.Error("two logs of one identity")
	}
	// A log from before logs had one.
	old := &memoryLog{epochs: []uint64{7}, rules: [][]byte{[]byte("a")}}
	first := leaderOf(t, old)
	if second := leaderOf(t, old); second.ID() != first.ID() || second.Current() != 7 {
		t.Error("an old log gets no lasting identity")
	}
	// Of a new log only the identity is left: what it forbade is not known.
	torn := &memoryLog{epochs: []uint64{7}, rules: [][]byte{slices.Concat([]byte("i"), make([]byte, 16))}}
	if !leaderOf(t, torn).Purged(keying.Key{}, &rfc9111.Response{Epoch: 7}) {
		t.Error("a log without a rule forbids nothing")
	}
}

// What one Add says comes in one batch, and nothing of it before it is durable.
func TestSinceHasDurableRulesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &faultyLog{}
		p := leaderOf(t, log)
		start := p.Current()
		log.gate = make(chan struct{})
		added := make(chan error)
		go func() {
			_, err := p.Add(shield.TagRule("x"), shield.TagRule("y"))
			added <- err
		}()
		synctest.Wait()
		if b := p.Since(p.ID(), start); len(b.Rules) != 0 || b.Epoch != start {
			t.Errorf("%+v", b)
		}
		waiting := make(chan error)
		for range 100 {
			go func() { waiting <- p.Await(t.Context(), start) }()
		}
		synctest.Wait()
		close(log.gate)
		if err := <-added; err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if err := <-waiting; err != nil {
				t.Error(err)
			}
		}
		if b := p.Since(p.ID(), start); len(b.Rules) != 2 || b.Epoch != start+2 || b.Reset {
			t.Errorf("%+v", b)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		cancel(gone)
		if err := p.Await(ctx, start+2); !errors.Is(err, gone) {
			t.Errorf("awaited for nothing: %v", err)
		}
	})
}

// A rule that could not be made durable does not hide an earlier one that was.
func TestSinceWithARuleThatIsNotDurable(t *testing.T) {
	log := new(faultyLog)
	p, err := shield.NewPurgesWithin(log, 1<<17, 10, 1) // nothing but what is in force
	if err != nil {
		t.Fatal(err)
	}
	key, before := keyOn(t, "http", "a"), p.Current()
	add(t, p, shield.TagRule("x"))
	add(t, p, shield.TagRule("y"), shield.TagRule("y"), shield.TagRule("y"))
	log.fail = errors.New("no space left")
	if _, err := p.Add(shield.TagRule("x")); err == nil {
		t.Fatal("no error")
	}
	f := shield.NewFollower()
	follow(t, f, p)
	if !purged(f, key, before, "x") || !purged(f, key, before, "y") {
		t.Error("a durable purge is missing")
	}
	if purged(f, key, f.Current(), "x") {
		t.Error("what is current is purged")
	}
}

func TestFollowerBeforeItsFirstBatch(t *testing.T) {
	f, key := shield.NewFollower(), keyOn(t, "http", "a")
	if f.Current() != 0 || f.ID() != (shield.LogID{}) {
		t.Error("a follower has a place in no log")
	}
	if purged(f, key, 0) || !purged(f, key, 1) {
		t.Error("a response that its log knows of is used before the log is known")
	}
	p := leaderOf(t, new(memoryLog))
	follow(t, f, p)
	if !purged(f, key, 0) || purged(f, key, p.Current()) {
		t.Error("what was fetched without a log may be used")
	}
}

// A batch that does not follow on what a follower has changes nothing.
func TestBatchesThatDoNotFit(t *testing.T) {
	p, f := leaderOf(t, new(memoryLog)), shield.NewFollower()
	follow(t, f, p)
	at := f.Current()
	add(t, p, shield.TagRule("x"))
	add(t, p, shield.TagRule("y"))
	gap := p.Since(p.ID(), at+1)
	f.Apply(gap)
	other := p.Since(p.ID(), at)
	other.Log[0]++
	f.Apply(other)
	if f.Current() != at {
		t.Error("a batch was applied that begins elsewhere")
	}
	late := p.Since(p.ID(), at)
	follow(t, f, p)
	add(t, p, shield.TagRule("z"))
	follow(t, f, p)
	f.Apply(late)
	if f.Current() != p.Current() {
		t.Error("a late batch took a follower back")
	}
	p.Apply(shield.Batch{Reset: true, Of: p.ID(), After: p.Current()})
	if p.Current() == 0 {
		t.Error("a log follows another")
	}
}

// Nothing that was fetched under one log is used under another, wherever that begins.
func TestFollowerOfAnotherLog(t *testing.T) {
	key := keyOn(t, "http", "a")
	for name, begins := range map[string]uint64{"later": 5000, "earlier": 10} {
		t.Run(name, func(t *testing.T) {
			old := leaderOf(t, &memoryLog{epochs: []uint64{1000}, rules: [][]byte{[]byte("a")}})
			f := shield.NewFollower()
			follow(t, f, old)
			ahead := uint64(1003) // of a response that came before the stream told of its epoch
			if !purged(f, key, ahead) {
				t.Error("used before the stream is there")
			}
			f.Seen(key, ahead)
			next := leaderOf(t, &memoryLog{epochs: []uint64{begins}, rules: [][]byte{[]byte("a")}})
			version := f.Version()
			follow(t, f, next)
			if f.Version() == version {
				t.Error("another log and the same version")
			}
			for range 1500 {
				add(t, next, shield.TagRule("other"))
			}
			follow(t, f, next)
			for _, epoch := range []uint64{1000, ahead} {
				if !purged(f, key, epoch) {
					t.Errorf("what the old log called %d is used", epoch)
				}
			}
			if purged(f, key, next.Current()) {
				t.Error("nothing is used any more")
			}
		})
	}
}

// What a follower puts into force by itself holds for what it has, and for what others
// may still have, until the log says so too.
func TestOwnRulesOfAFollower(t *testing.T) {
	p, f, key := leaderOf(t, new(memoryLog)), shield.NewFollower(), keyOn(t, "http", "a")
	follow(t, f, p)
	at, version := f.Current(), f.Version()
	add(t, f, shield.TagRule("x"), shield.TagRule("s").Soft())
	switch {
	case f.Version() == version:
		t.Error("nobody notices a rule")
	case f.Current() != at || f.Newest() != at:
		t.Error("a follower moved the log")
	case !purged(f, key, at, "x") || purged(f, key, at, "y"):
		t.Error("the rule does not hold as it should")
	case !f.Softened(key, &rfc9111.Response{Epoch: at, Tags: []string{"s"}}):
		t.Error("the soft rule does not hold")
	}
	add(t, p, shield.TagRule("other"))
	follow(t, f, p)
	if !purged(f, key, f.Current(), "x") {
		t.Error("what the log has not heard of is used because of another purge")
	}
	owed := f.Owed()
	if !slices.Equal(owed, []shield.Rule{shield.TagRule("x"), shield.TagRule("s").Soft()}) {
		t.Fatalf("%d owed", len(owed))
	}
	add(t, f, shield.TagRule("x")) // once more, while they are handed over
	add(t, p, owed...)
	follow(t, f, p)
	f.Settled(len(owed))
	if owed = f.Owed(); len(owed) != 1 {
		t.Fatalf("%d owed", len(owed))
	}
	add(t, p, owed...)
	follow(t, f, p)
	f.Settled(1)
	add(t, p, shield.TagRule("other"))
	follow(t, f, p)
	if purged(f, key, f.Current(), "x") || !purged(f, key, at, "x") {
		t.Error("a settled rule does not hold as the log has it")
	}
	if len(f.Owed()) != 0 {
		t.Error("something is owed")
	}
}

// What is owed is bounded: rules that are too many are one about everything, which is not
// taken for those that were handed over meanwhile.
func TestOwedRulesAreBounded(t *testing.T) {
	p, f, key := leaderOf(t, new(memoryLog)), shield.NewFollowerWithin(100, 100, 3), keyOn(t, "http", "a")
	follow(t, f, p)
	add(t, f, shield.TagRule("1"), shield.TagRule("1"), shield.TagRule("2"), shield.TagRule("3"))
	lent := f.Owed()
	if len(lent) != 3 || purged(f, key, f.Current(), "5") {
		t.Fatalf("%d owed", len(lent))
	}
	add(t, f, shield.TagRule("4"))
	if !purged(f, key, f.Current(), "5") {
		t.Error("more is owed than is in force")
	}
	f.Settled(len(lent))
	if owed := f.Owed(); !slices.Equal(owed, []shield.Rule{shield.AllRule(), parsed("y")}) {
		t.Errorf("%d owed", len(owed))
	}
	if !f.Outdated("", []string{"4"}, f.Current()) {
		t.Error("a value keeps a tag that is owed")
	}
}

// That pages were written at a node that was alone, however many, takes no value from anybody.
func TestOwedRulesAboutURLsLeaveValuesAlone(t *testing.T) {
	f := shield.NewFollowerWithin(100, 100, 3)
	for i := range 10 {
		add(t, f, shield.URLRule(keying.Digest{byte(i)}), shield.GroupRule("http", "a", fmt.Sprint(i)))
	}
	if owed := f.Owed(); !slices.Contains(owed, shield.AllRule()) || f.Outdated("key", []string{"0"}, f.Current()) {
		t.Errorf("%d owed", len(owed))
	}
}

// Readers see all of a long batch or nothing of it.
func TestALongBatchIsOneStep(t *testing.T) {
	p, f, key := leaderOf(t, nil), shield.NewFollower(), keyOn(t, "http", "a")
	follow(t, f, p)
	rules := make([]shield.Rule, 20_000)
	for i := range rules {
		rules[i] = shield.URLRule(keying.Digest{byte(i), byte(i >> 8), 1})
	}
	rules[0] = shield.TagRule("x")
	add(t, p, rules...)
	stop, checked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(checked)
		for {
			came := f.Current() > 0
			if came != purged(f, key, 0, "x") && f.Current() > 0 == came {
				t.Error("a part of a batch is in force")
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	follow(t, f, p)
	close(stop)
	<-checked
}

// A stream and a question may both bring a Reset. The second is for a place that the
// follower has left, and takes back nothing.
func TestTwoResets(t *testing.T) {
	p, f := leaderOf(t, nil), shield.NewFollower()
	add(t, p, shield.TagRule("a"))
	early, again := p.Since(f.ID(), f.Current()), p.Since(f.ID(), f.Current())
	follow(t, f, p)
	f.Apply(again)
	if purged(f, keyOn(t, "http", "a"), p.Current()) {
		t.Error("what was fetched after all purges is purged")
	}
	add(t, p, shield.TagRule("b"))
	follow(t, f, p)
	f.Apply(early)
	if f.Current() != p.Current() {
		t.Errorf("went back to %d from %d", f.Current(), p.Current())
	}
}

// A rule of a follower's own ends where that of the log takes over.
func TestSettledRulesEnd(t *testing.T) {
	p, f := leaderOf(t, nil), shield.NewFollower()
	key, before := keyOn(t, "http", "a"), add(t, p, shield.TagRule("a"))
	follow(t, f, p)
	add(t, f, shield.AllRule(), shield.TagRule("x").Soft())
	owed := f.Owed()
	add(t, p, owed...)
	follow(t, f, p)
	if !purged(f, key, p.Current()) {
		t.Error("used before the rule is settled")
	}
	f.Settled(len(owed))
	if purged(f, key, p.Current()) || !purged(f, key, before) {
		t.Error("not as the log has it")
	}
}

// Whoever only asks whether anything is owed does not disturb a hand-over.
func TestAskingWhatIsOwedSettlesNothing(t *testing.T) {
	f := shield.NewFollower()
	add(t, f, shield.TagRule("0"))
	handed := len(f.Owed())
	for i := range 1 << 12 { // the last is one too many: everything is owed instead, by one rule
		add(t, f, shield.TagRule(fmt.Sprint("more", i)))
	}
	if !f.Owes() {
		t.Fatal("nothing is owed")
	}
	f.Settled(handed)
	if !f.Owes() {
		t.Error("what was not handed over is settled")
	}
}
