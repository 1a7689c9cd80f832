package shield

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"sync"
)

// A DatedRule is a rule and the epoch at which it came into force.
type DatedRule struct {
	Epoch uint64
	Rule  Rule
}

// A Batch is what a follower of a log lacks.
type Batch struct {
	Log          LogID
	After, Epoch uint64      // where the follower must be, and where it is afterwards
	Reset        bool        // its place does not exist in Log: it must drop everything first
	Of           LogID       // of a Reset: the log that its place, After, was said to be in
	Rules        []DatedRule // in any order
}

// recent has the last rules in order, all that came after the epoch from. A follower may
// have only the latest of several about a name.
type recent struct {
	from  uint64
	rules []DatedRule
}

func (q *recent) add(first uint64, rules []Rule, limit int) {
	for i, r := range rules {
		q.rules = append(q.rules, DatedRule{first + uint64(i), r})
	}
	q.trim(limit)
}

// follow takes what a batch brings to one who has come to an epoch before.
func (q *recent) follow(current uint64, b Batch, limit int) {
	switch {
	case b.Reset, b.Epoch > current && len(b.Rules) > limit:
		q.from, q.rules = b.Epoch, nil
		return
	case b.Epoch <= current:
		return
	}
	known := len(q.rules)
	for _, r := range b.Rules {
		if r.Epoch > current {
			q.rules = append(q.rules, r)
		}
	}
	slices.SortStableFunc(q.rules[known:], func(a, b DatedRule) int { return cmp.Compare(a.Epoch, b.Epoch) })
	q.trim(limit)
}

// trim forgets the oldest now and then.
func (q *recent) trim(limit int) {
	if over := len(q.rules) - limit; over >= limit {
		q.from = q.rules[over-1].Epoch
		q.rules = append([]DatedRule(nil), q.rules[over:]...)
	}
}

// between copies the rules after one epoch up to another. ok is false when some are
// not there any more.
func (q *recent) between(after, upTo uint64) (rules []DatedRule, ok bool) {
	if after < q.from {
		return nil, false
	}
	first, end := len(q.rules)-q.after(after), len(q.rules)-q.after(upTo)
	return append(rules, q.rules[first:end]...), true
}

// after is how many rules there are later than an epoch.
func (q *recent) after(epoch uint64) int {
	return len(q.rules) - sort.Search(len(q.rules), func(i int) bool { return q.rules[i].Epoch > epoch })
}

// Since returns what one who has come to an epoch of the log id lacks, up to Current: no
// rule that is not durable, and none of an Add without the others.
//
// What is too long ago is made from the rules in force. They have only the latest of
// several rules about a name, and slots and hosts in place of many names; but each name
// that any rule named is in what is in force, with an epoch that is no earlier. So those
// with a later epoch than the follower's say all that came after it, and forbid no less.
// An epoch that is not durable yet may stand for an earlier rule that is: it is sent as
// the current one.
func (p *Purges) Since(id LogID, after uint64) Batch {
	p.mu.RLock()
	b := Batch{Log: p.id, After: after, Epoch: p.current.Load()}
	if id != p.id || after > b.Epoch {
		b.Reset, b.Of = true, id
	} else if rules, ok := p.recent.between(after, b.Epoch); ok {
		p.mu.RUnlock()
		b.Rules = rules
		return b
	}
	rules := p.snapshotLocked()
	p.mu.RUnlock()
	for epoch, r := range rules {
		if epoch = min(epoch, b.Epoch); b.Reset || epoch > b.After {
			b.Rules = append(b.Rules, DatedRule{epoch, r})
		}
	}
	return b
}

// Lacks is how many rules Since would tell, or somewhat more: so its batch can be known to be
// a short one before it is made.
func (p *Purges) Lacks(id LogID, after uint64) int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if current := p.current.Load(); id == p.id && after <= current && after >= p.recent.from {
		return p.recent.after(after)
	}
	return p.hard.len() + p.soft.len() + p.values.len()
}

// Await returns when Current is beyond an epoch, or with the error of ctx.
func (p *Purges) Await(ctx context.Context, after uint64) error {
	for {
		moved := p.moved.wait()
		if p.Current() > after {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A signal wakes everybody who waits for it, at once. Its zero value is usable.
type signal struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// wait returns what is closed when the signal fires next.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
