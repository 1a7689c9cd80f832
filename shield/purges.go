package shield

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/keying"
	"weir/rfc9111"
)

// Rule says what a purge names.
type Rule struct {
	kind ruleKind
	text string
}

type ruleKind byte

const (
	ruleURL  ruleKind = 'u' // text is a keying.Digest
	ruleAll  ruleKind = 'a' // without text
	ruleSlot ruleKind = 's' // text is a slot: all URLs that share it
)

// URLRule names every key of one URL, by the digest that [keying.Key.Base] returns.
func URLRule(base keying.Digest) Rule { return Rule{ruleURL, string(base[:])} }

// AllRule names everything.
func AllRule() Rule { return Rule{kind: ruleAll} }

func (r Rule) encode() []byte { return append([]byte{byte(r.kind)}, r.text...) }

// parseRule refuses what it does not know: a rule that is skipped would bring
// back what was purged.
func parseRule(src []byte) (Rule, error) {
	if len(src) == 1+len(keying.Digest{}) && ruleKind(src[0]) == ruleURL {
		return Rule{ruleURL, string(src[1:])}, nil
	}
	if len(src) == 1+slotSize && ruleKind(src[0]) == ruleSlot {
		return Rule{ruleSlot, string(src[1:])}, nil
	}
	if string(src) == string(ruleAll) {
		return AllRule(), nil
	}
	return Rule{}, fmt.Errorf("%w: unknown rule of %d bytes", ErrLog, len(src))
}

// A slot stands for the URLs whose digests begin alike.
type slot [slotSize]byte

const slotSize = 2

func slotOf(base keying.Digest) slot { return slot(base[:slotSize]) }

// maxRules is how many URLs are remembered exactly. Beyond it the older half is
// remembered by slots, which takes bounded memory and purges too much rather than
// too little: anybody can send unsafe requests, to as many URLs as they like.
const maxRules = 1 << 17

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

	mu    sync.RWMutex // guards what follows; nothing is called while it is held
	urls  map[keying.Digest]uint64
	slots map[slot]uint64
	floor uint64
}

// NewPurges replays log, which may be nil: then rules last as long as the process.
func NewPurges(log Log) (*Purges, error) {
	p := &Purges{log: log, urls: map[keying.Digest]uint64{}, slots: map[slot]uint64{}}
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
	return p.overtaken(key, resp.Epoch)
}

// overtaken says whether a rule for key is newer than an epoch.
func (p *Purges) overtaken(key keying.Key, epoch uint64) bool {
	if epoch == p.newest.Load() {
		return false
	}
	base := key.Base()
	p.mu.RLock()
	defer p.mu.RUnlock()
	return epoch < p.floor || epoch < p.urls[base] || epoch < p.slots[slotOf(base)]
}

// Add puts rules into force and returns the epoch of the last of them once all are
// durable. With an error they are in force all the same, but may not survive a crash;
// the next Add makes up for it.
func (p *Purges) Add(rules ...Rule) (uint64, error) {
	if len(rules) == 0 {
		return p.Current(), nil
	}
	first := p.enforce(rules)
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
	for i, r := range rules {
		if err := p.log.Append(first+uint64(i), r.encode()); err != nil {
			return err
		}
	}
	if p.logged.Add(int64(len(rules))) >= int64(2*p.Len()+logSlack) && p.rewrite() != nil {
		p.logged.Add(-logSlack) // it is only longer than it need be: later is soon enough
	}
	return nil
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
	urls, slots, floor := maps.Clone(p.urls), maps.Clone(p.slots), p.floor
	p.mu.RUnlock()
	return func(yield func(uint64, Rule) bool) {
		if floor > 0 && !yield(floor, AllRule()) {
			return
		}
		for s, epoch := range slots {
			if !yield(epoch, Rule{ruleSlot, string(s[:])}) {
				return
			}
		}
		for base, epoch := range urls {
			if !yield(epoch, URLRule(base)) {
				return
			}
		}
	}
}

func (p *Purges) enforce(rules []Rule) (first uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = p.newest.Load() + 1
	for i, r := range rules {
		p.putLocked(first+uint64(i), r)
	}
	p.newest.Store(first + uint64(len(rules)) - 1)
	return first
}

func (p *Purges) putLocked(epoch uint64, r Rule) {
	switch {
	case epoch <= p.floor:
	case r.kind == ruleAll:
		p.floor = epoch
		outdated := func(e uint64) bool { return e <= epoch }
		maps.DeleteFunc(p.urls, func(_ keying.Digest, e uint64) bool { return outdated(e) })
		maps.DeleteFunc(p.slots, func(_ slot, e uint64) bool { return outdated(e) })
	case r.kind == ruleSlot:
		s := slot([]byte(r.text))
		p.slots[s] = max(p.slots[s], epoch)
	default:
		base := keying.Digest([]byte(r.text))
		p.urls[base] = max(p.urls[base], epoch)
		if len(p.urls) > maxRules {
			p.coarsenLocked()
		}
	}
}

// coarsenLocked moves the older half of the URLs into their slots.
func (p *Purges) coarsenLocked() {
	epochs := slices.Sorted(maps.Values(p.urls))
	median := epochs[len(epochs)/2]
	maps.DeleteFunc(p.urls, func(base keying.Digest, e uint64) bool {
		if e > median {
			return false
		}
		s := slotOf(base)
		p.slots[s] = max(p.slots[s], e)
		return true
	})
}

// Len is the number of rules in force.
func (p *Purges) Len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.urls) + len(p.slots)
}
