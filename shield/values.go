package shield

import (
	"fmt"
	"iter"

	"weir/keying"
)

// A valueSet says what rules name values of programs, with the epoch of the latest of
// each. Values are written far more often than responses are purged, so their keys have a
// book of their own: however many are written, no URL and no tag becomes coarse by it.
// Who has it guards it.
type valueSet struct {
	keys   book
	all    uint64 // latest rule about every value that is remembered anywhere
	tagged uint64 // of these the latest that names values with a tag wherever they are kept
	last   uint64 // latest of all
}

func newValueSet(l limits) *valueSet { return &valueSet{keys: newBook(l.digests)} }

// Values. What a rule says about the key of a value is that it was written, and what
// anybody remembers of it is old; that names of responses were purged says nothing about
// values. Tags name both: a tag that was purged is known for values even when a later
// purge of everything has made it needless for responses.

func valueName(key string) keying.Digest { return digest("value ", key) }

func valueRule(key string) Rule {
	d := valueName(key)
	return Rule{kind: ruleValue, text: string(d[:])}
}

// ofValues says whether r names values alone.
func (r Rule) ofValues() bool {
	switch r.kind {
	case ruleValue, ruleValueSlot, ruleValues, ruleTagged:
		return true
	}
	return false
}

// namesTags says whether values may have the tag that r names.
func (r Rule) namesTags() bool { return r.kind == ruleName && r.origin == "" || r.kind == ruleTagged }

func (d DatedRule) ofResponses() bool { return !d.Rule.ofValues() }

func (s *valueSet) put(epoch uint64, r Rule) {
	switch r.kind {
	case ruleValue:
		s.keys.put(r.digest(), epoch)
	case ruleValueSlot:
		s.keys.putSlot(slot([]byte(r.text)), epoch)
	case ruleTagged:
		s.tagged = max(s.tagged, epoch)
		fallthrough
	case ruleValues:
		s.all = max(s.all, epoch)
		s.keys.forget(epoch)
	}
	s.last = max(s.last, epoch)
}

func (s *valueSet) written(key string, epoch uint64) bool {
	return epoch < s.last && (epoch < s.all || epoch < s.keys.last && epoch < s.keys.latest(valueName(key)))
}

func (s *valueSet) len() int { return s.keys.len() }

func (s *valueSet) clone() *valueSet {
	c := *s
	c.keys = s.keys.clone()
	return &c
}

func (s *valueSet) rules() iter.Seq2[uint64, Rule] {
	return func(yield func(uint64, Rule) bool) {
		if s.all > 0 && !yield(s.all, Rule{kind: ruleValues}) {
			return
		}
		if s.tagged > 0 && !yield(s.tagged, Rule{kind: ruleTagged}) {
			return
		}
		s.keys.rules(ruleValue, ruleValueSlot)(yield)
	}
}

var errFollows = fmt.Errorf("%w: what follows a log cannot say what was written", ErrLog)

// Wrote puts into force that the values under keys have changed, all values when none is
// given, and returns the epoch of that once it is durable. Errors are as of Add. A
// follower has nothing to say about values.
func (p *Purges) Wrote(keys ...string) (epoch uint64, err error) {
	if p.follows {
		return 0, errFollows
	}
	if len(keys) == 0 {
		return p.Add(Rule{kind: ruleValues})
	}
	rules := make([]Rule, len(keys))
	for i, key := range keys {
		rules[i] = valueRule(key)
	}
	return p.Add(rules...)
}

// Unwritten says whether no value was ever written, as far as this log goes back: before that
// nobody remembers any.
func (p *Purges) Unwritten() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.values.last == p.values.tagged
}

// Outdated says whether a rule later than epoch names the value under key, or one of the
// tags that it has. Without a key, which is "", only tags count. Where nothing was written
// or purged since, it costs two loads.
func (p *Purges) Outdated(key string, tags []string, epoch uint64) bool {
	if key == "" && len(tags) == 0 {
		return false
	}
	if !p.follows && epoch > p.current.Load() {
		return true // of a log that was lost
	}
	if epoch >= p.latestOfValues.Load() {
		if p.follows {
			raise(&p.seen, epoch)
		}
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return key != "" && p.values.written(key, epoch) || len(tags) > 0 && epoch < max(p.values.tagged, p.own.tagged) ||
		p.hard.tagged(tags, epoch) || p.follows && p.own.hard.tagged(tags, epoch)
}

// StaleTags says whether a soft rule later than epoch names one of the tags.
func (p *Purges) StaleTags(tags []string, epoch uint64) bool {
	if len(tags) == 0 || epoch >= p.softest.Load() {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.soft.tagged(tags, epoch) || p.follows && p.own.soft.tagged(tags, epoch)
}

// tagged says whether a rule that is newer than an epoch names one of the tags.
func (s *ruleSet) tagged(tags []string, epoch uint64) bool {
	if epoch >= s.names.last {
		return false
	}
	for _, tag := range tags {
		if epoch < s.names.latest(tagName(tag)) {
			return true
		}
	}
	return false
}
