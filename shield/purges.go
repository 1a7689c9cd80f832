package shield

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/keying"
	"weir/rfc9111"
)

// logSlack is how many rules the log may hold beyond twice those in force before
// it is written anew.
const logSlack = 1 << 14

// Purges is the table of purge epochs. Every rule has an epoch, counted up from 1;
// every fill notes [Purges.Current] before its origin is asked; and an object is
// not reused when a rule with a later epoch matches it.
//
// A rule counts from the moment it is in the table, but Current moves to its epoch
// only once it is durable. So no fill is ever marked with an epoch that a crash
// could take back, and a fill that begins in between is counted as older.
type Purges struct {
	log     Log
	current atomic.Uint64 // latest durable epoch
	newest  atomic.Uint64 // latest epoch given to a rule

	logged    atomic.Int64 // rules in the log
	behind    atomic.Bool  // the log lacks rules in force
	rewriting sync.Mutex   // held by the one who writes the log anew

	mu      sync.RWMutex // guards what follows; nothing is called while it is held
	urls    book
	names   book   // of tags and groups
	origins book   // of groups
	anyone  uint64 // latest rule about a name that any origin may have
	floor   uint64
}

// NewPurges replays log, which may be nil: then rules last as long as the process.
func NewPurges(log Log) (*Purges, error) {
	p := &Purges{log: log, urls: newBook(), names: newBook(), origins: newBook()}
	if log == nil {
		return p, nil
	}
	err := log.Replay(func(epoch uint64, src []byte) error {
		r, err := parseRule(src)
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.putLocked(epoch, r)
		raise(&p.current, epoch)
		raise(&p.newest, epoch)
		p.logged.Add(1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("shield: replay purges: %w", err)
	}
	if p.logged.Load() == 0 {
		p.startAnew()
	}
	return p, nil
}

// startAnew is for an empty log: either everything is new, or a log was lost and
// nobody knows what it forbade. So nothing from before may be reused, and epochs
// begin where no earlier log can have come to: one rule a nanosecond.
func (p *Purges) startAnew() {
	epoch := uint64(time.Now().UnixNano())
	p.putLocked(epoch, AllRule())
	p.newest.Store(epoch)
	p.current.Store(epoch)
	p.behind.Store(p.log.Append(epoch, AllRule().encode()) != nil)
	p.logged.Add(1)
}

func raise(v *atomic.Uint64, to uint64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// Current is the epoch that a fill which begins now is marked with.
func (p *Purges) Current() uint64 { return p.current.Load() }

// Newest is the epoch of the latest rule in force, durable or not.
func (p *Purges) Newest() uint64 { return p.newest.Load() }

// Purged says whether a rule forbids to reuse resp under key. A resp with an epoch
// that was never given out comes from a store whose log was lost, and nothing can
// be said for it.
func (p *Purges) Purged(key keying.Key, resp *rfc9111.Response) bool {
	if resp.Epoch > p.current.Load() {
		return true
	}
	return p.overtaken(key, resp, resp.Epoch)
}

// overtaken says whether a rule that is newer than an epoch names resp under key. Of
// what is still to come resp is nil, and the rules count that name its key.
func (p *Purges) overtaken(key keying.Key, resp *rfc9111.Response, epoch uint64) bool {
	if epoch == p.newest.Load() {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.overtakenLocked(key, resp, epoch)
}

func (p *Purges) overtakenLocked(key keying.Key, resp *rfc9111.Response, epoch uint64) bool {
	base := key.Base()
	return epoch < p.floor || epoch < p.urls.latest(base) || epoch < p.names.last && p.namedLocked(key, resp, epoch)
}

// namedLocked says whether a rule that is newer than an epoch names a tag or a group
// of resp, or may do so because not all of them are known.
func (p *Purges) namedLocked(key keying.Key, resp *rfc9111.Response, epoch uint64) bool {
	if resp == nil {
		return false
	}
	if slices.Contains(resp.Tags, rfc9111.AnyTag) {
		return epoch < p.anyone || epoch < p.origins.latest(originName(key.Origin()))
	}
	for _, tag := range resp.Tags {
		if epoch < p.names.latest(tagName(tag)) {
			return true
		}
	}
	if resp.Header["Cache-Groups"] == nil {
		return false
	}
	origin := key.Origin()
	if epoch >= p.origins.latest(originName(origin)) && epoch >= p.anyone {
		return false
	}
	groups := rfc9111.CacheGroups(resp.Header)
	for _, group := range groups {
		if epoch < p.names.latest(groupName(origin, group)) {
			return true
		}
	}
	return len(groups) > 0 && epoch < p.names.latest(groupName(origin, ""))
}

// Add puts rules into force and returns the epoch of the last of them once all are
// durable. With an error they are in force all the same, but may not survive a crash;
// the next Add makes up for it.
func (p *Purges) Add(rules ...Rule) (uint64, error) {
	if len(rules) == 0 {
		return p.Current(), nil
	}
	return p.settle(p.enforce(rules), rules)
}

// supersede is Add for rules that resp under key brings with it. alone says that no rule
// which names resp came into force after the epoch since and before these.
func (p *Purges) supersede(since uint64, key keying.Key, resp *rfc9111.Response, rules []Rule) (epoch uint64, alone bool, err error) {
	p.mu.Lock()
	alone = !p.overtakenLocked(key, resp, since)
	first := p.enforceLocked(rules)
	p.mu.Unlock()
	epoch, err = p.settle(first, rules)
	return epoch, alone, err
}

// settle makes rules in force durable, and moves Current on.
func (p *Purges) settle(first uint64, rules []Rule) (uint64, error) {
	last := first + uint64(len(rules)) - 1
	if p.log != nil {
		if err := p.persist(first, rules); err != nil {
			p.behind.Store(true)
			return last, fmt.Errorf("%w: %w", ErrLog, err)
		}
	}
	raise(&p.current, last)
	return last, nil
}

// persist makes rules durable whose epochs count up from first, and any that an
// earlier call could not.
func (p *Purges) persist(first uint64, rules []Rule) error {
	if p.behind.Load() {
		if err := p.rewrite(); err != nil {
			return err
		}
		p.behind.Store(false)
		return nil
	}
	if err := p.append(first, rules); err != nil {
		return err
	}
	if p.logged.Add(int64(len(rules))) >= int64(2*p.Len()+logSlack) && p.rewrite() != nil {
		p.logged.Add(-logSlack) // it is only longer than it need be: later is soon enough
	}
	return nil
}

// append appends rules, all at the same time: a log can make many durable in one go.
func (p *Purges) append(first uint64, rules []Rule) error {
	if len(rules) == 1 {
		return p.log.Append(first, rules[0].encode())
	}
	errs := make([]error, len(rules))
	var all sync.WaitGroup
	for i, r := range rules {
		all.Go(func() { errs[i] = p.log.Append(first+uint64(i), r.encode()) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// rewrite makes the log hold what is in force and nothing else.
func (p *Purges) rewrite() error {
	p.rewriting.Lock()
	defer p.rewriting.Unlock()
	kept := int64(0)
	err := p.log.Rewrite(func(yield func(uint64, []byte) bool) {
		kept = 0
		for epoch, r := range p.inForce() {
			kept++
			if !yield(epoch, r.encode()) {
				return
			}
		}
	})
	if err == nil {
		p.logged.Store(kept)
	}
	return err
}

// inForce lists the rules that say all that is to be said. The newest epoch is
// among them, so that none is given out twice after a restart.
func (p *Purges) inForce() iter.Seq2[uint64, Rule] {
	p.mu.RLock()
	urls, names, floor := p.urls.clone(), p.names.clone(), p.floor
	p.mu.RUnlock()
	return func(yield func(uint64, Rule) bool) {
		if floor > 0 && !yield(floor, AllRule()) {
			return
		}
		for epoch, r := range urls.rules(ruleURL, ruleURLSlot) {
			if !yield(epoch, r) {
				return
			}
		}
		for epoch, r := range names.rules(ruleName, ruleNameSlot) {
			if !yield(epoch, r) {
				return
			}
		}
	}
}

func (p *Purges) enforce(rules []Rule) (first uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.enforceLocked(rules)
}

func (p *Purges) enforceLocked(rules []Rule) (first uint64) {
	first = p.newest.Load() + 1
	for i, r := range rules {
		p.putLocked(first+uint64(i), r)
	}
	p.newest.Store(first + uint64(len(rules)) - 1)
	return first
}

func (p *Purges) putLocked(epoch uint64, r Rule) {
	if epoch <= p.floor {
		return
	}
	switch r.kind {
	case ruleURL:
		p.urls.put(keying.Digest([]byte(r.text)), epoch)
	case ruleURLSlot:
		p.urls.putSlot(slot([]byte(r.text)), epoch)
	case ruleName:
		p.names.put(keying.Digest([]byte(r.text)), epoch)
		if r.origin != "" {
			p.origins.put(originName(r.origin), epoch)
			return
		}
		p.anyone = max(p.anyone, epoch)
	case ruleNameSlot:
		p.names.putSlot(slot([]byte(r.text)), epoch)
		p.anyone = max(p.anyone, epoch)
	case ruleAll:
		p.floor = epoch
		for _, b := range []*book{&p.urls, &p.names, &p.origins} {
			b.forget(epoch)
		}
	}
}

// Len is the number of rules in force.
func (p *Purges) Len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.urls.len() + p.names.len()
}
