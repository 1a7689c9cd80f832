package shield

import (
	"slices"

	"weir/keying"
	"weir/rfc9111"
)

// NewFollower returns the purges of a node that follows the log of another: [Purges.Apply]
// brings it what [Purges.Since] gave there. It knows of no purge until then.
//
// Add puts rules into force at this node alone, where something is known to be out of
// date that the log does not know of yet. What they name may not be reused when it has
// the epoch that is current by then or an earlier one, and neither may what is fetched
// before the log has moved on: it cannot be told from what was fetched before. They are
// owed to the log, which the node hands over with [Purges.Owed] and [Purges.Settled].
// Until that is done they go on to hold at each epoch that the log comes to: others may
// still store what they name.
func NewFollower() *Purges { return newFollower(usualLimits) }

func newFollower(l limits) *Purges {
	return &Purges{
		follows: true, limits: l, sets: newSets(l),
		own: own{hard: newRuleSet(l), soft: newRuleSet(l), since: newRuleSet(l)},
	}
}

// own is what a follower knows by itself. Its sets are bounded as others are, and nothing
// is taken out of them but by what names everything, or when nothing is owed any more.
type own struct {
	hard, soft *ruleSet // with the epochs that what they name must have
	since      *ruleSet // both, with the versions at which they came into force, for flights
	tagged     uint64   // with such an epoch: every value with a tag
	owed       []Rule   // oldest first
	lent       int      // of them, what Owed returned last
}

// addOwnLocked is Add at a follower.
func (p *Purges) addOwnLocked(rules []Rule) uint64 {
	version, current := p.version.Load()+1, p.current.Load()
	for _, r := range rules {
		for _, r := range p.own.owe(r, p.limits.owed) {
			p.own.put(current+1, r)
			p.own.since.put(version, r)
		}
	}
	p.inForceLocked()
	p.version.Store(version)
	return current
}

func (o *own) put(epoch uint64, r Rule) {
	switch {
	case r.kind == ruleTagged:
		o.tagged = max(o.tagged, epoch)
	case r.soft:
		o.soft.put(epoch, r)
	default:
		o.hard.put(epoch, r)
	}
}

// owe remembers r for the log, and returns what it came to. Rules that are too many become
// one about all responses, and if tags are among them one about all values with a tag.
func (o *own) owe(r Rule, limit int) []Rule {
	switch {
	case slices.Contains(o.owed[o.lent:], r):
	case len(o.owed) < limit:
		o.owed = append(o.owed, r)
	default:
		all := []Rule{AllRule()}
		if slices.ContainsFunc(append(o.owed, r), Rule.namesTags) {
			all = append(all, Rule{kind: ruleTagged})
		}
		o.owed, o.lent = all, 0
		return all
	}
	return []Rule{r}
}

// latestOfTags is when the latest rule came that values may have a tag for.
func (o *own) latestOfTags() uint64 { return max(o.tagged, o.hard.names.last) }

// disowns says whether a rule that the log does not have yet forbids resp under key: who
// has the log may still use it.
func (p *Purges) disowns(key keying.Key, resp *rfc9111.Response) bool {
	if !p.follows {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.own.hard.concerns(key, resp, resp.Epoch)
}

// Owes says whether Owed would return any rules. Those who only ask take nothing out, so
// that what a hand-over in progress has stays what it has.
func (p *Purges) Owes() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.own.owed) > 0
}

// Owed returns the rules that this follower put into force by itself and that the log
// does not have yet, oldest first.
func (p *Purges) Owed() []Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own.lent = len(p.own.owed)
	return slices.Clone(p.own.owed)
}

// Settled says that the log has the first n of the rules that Owed returned last. It is
// to be called when this follower has come to the epoch that they have there: what was
// stored elsewhere before it is told by that epoch from then on.
func (p *Purges) Settled(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = min(n, p.own.lent)
	p.own.owed = slices.Clone(p.own.owed[n:])
	p.own.lent -= n
	if len(p.own.owed) == 0 { // the log's rules say the same, and not of what was fetched after them
		p.own.hard, p.own.soft, p.own.tagged = newRuleSet(p.limits), newRuleSet(p.limits), 0
		p.inForceLocked()
	}
}

// longBatch is how many rules are put into force one by one while readers wait.
const longBatch = 1 << 12

// Apply makes a follower know what b has: for readers all of it in one step. A batch
// that does not begin where the follower is, or before, changes nothing, and neither does
// a Reset that was made for another place; Current and ID tell where it is.
//
// After a Reset nothing is reused that has an epoch of the log that was followed before,
// whatever the new one's are: where that is behind the old one, because a clock was put
// back, nothing is reused at all until it has come past it.
func (p *Purges) Apply(b Batch) {
	if !p.follows {
		return
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	id, current := p.ID(), p.Current() // nobody else changes them
	next := p.sets                     // nor the sets, but their content only under mu
	switch {
	case b.Reset && (b.Of != id || b.After != current):
		return // the answer to a question from before another answer came
	case b.Reset:
		next = newSets(p.limits)
	case b.Log != id || b.After > current:
		return
	case len(b.Rules) > longBatch:
		next = next.clone()
	}
	aside := next != p.sets
	if aside {
		next.putAll(b.Rules)
		if b.Reset && id != (LogID{}) {
			next.putEverything(max(current, p.seen.Load()) + 1)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !aside {
		next.putAll(b.Rules)
	}
	p.sets, p.id = next, b.Log
	p.recent.follow(current, b, p.limits.recent)
	if version := p.version.Load() + 1; b.Reset {
		current = b.Epoch
		p.own.since.put(version, AllRule())
	} else {
		current = max(current, b.Epoch)
	}
	for _, r := range p.own.owed {
		p.own.put(current+1, r)
	}
	p.inForceLocked()
	p.newest.Store(current)
	p.current.Store(current)
	if b.Reset || len(p.own.owed) > 0 || slices.ContainsFunc(b.Rules, DatedRule.ofResponses) {
		p.version.Add(1)
	}
	p.moved.fire()
}
