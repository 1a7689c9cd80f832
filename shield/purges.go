package shield

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

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
	ruleURL ruleKind = 'u' // text is a keying.Digest
	ruleAll ruleKind = 'a' // without text
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
	if string(src) == string(ruleAll) {
		return AllRule(), nil
	}
	return Rule{}, fmt.Errorf("%w: unknown rule of %d bytes", ErrLog, len(src))
}

// maxRules is how many rules are kept. Beyond it the older half is replaced by a
// floor, below which nothing may be reused.
const maxRules = 1 << 20

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

	mu    sync.RWMutex // guards what follows; nothing is called while it is held
	urls  map[keying.Digest]uint64
	floor uint64
}

// NewPurges replays log, which may be nil: then rules last as long as the process.
func NewPurges(log Log) (*Purges, error) {
	p := &Purges{log: log, urls: map[keying.Digest]uint64{}}
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
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("shield: replay purges: %w", err)
	}
	return p, nil
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

// Purged says whether a rule forbids to reuse resp under key. A resp with an epoch
// that was never given out comes from a store whose log was lost, and nothing can
// be said for it.
func (p *Purges) Purged(key keying.Key, resp *rfc9111.Response) bool {
	if resp.Epoch == p.newest.Load() {
		return false
	}
	if resp.Epoch > p.current.Load() {
		return true
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return resp.Epoch < p.floor || resp.Epoch < p.urls[key.Base()]
}

// Add puts rules into force and returns the epoch of the last of them once all are
// durable. With an error they are in force all the same, but may not survive a crash.
func (p *Purges) Add(rules ...Rule) (uint64, error) {
	if len(rules) == 0 {
		return p.Current(), nil
	}
	first := p.enforce(rules)
	last := first + uint64(len(rules)) - 1
	if p.log != nil {
		for i, r := range rules {
			if err := p.log.Append(first+uint64(i), r.encode()); err != nil {
				return last, fmt.Errorf("%w: append: %w", ErrLog, err)
			}
		}
	}
	raise(&p.current, last)
	return last, nil
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
	if epoch <= p.floor {
		return
	}
	if r.kind == ruleAll {
		p.floor = epoch
		p.dropLocked(epoch)
		return
	}
	base := keying.Digest([]byte(r.text))
	p.urls[base] = max(p.urls[base], epoch)
	if len(p.urls) > maxRules {
		epochs := make([]uint64, 0, len(p.urls))
		for _, e := range p.urls {
			epochs = append(epochs, e)
		}
		slices.Sort(epochs)
		p.floor = epochs[len(epochs)/2]
		p.dropLocked(p.floor)
	}
}

func (p *Purges) dropLocked(upTo uint64) {
	for base, e := range p.urls {
		if e <= upTo {
			delete(p.urls, base)
		}
	}
}

// Compact forgets rules that can match nothing any more: oldest is the lowest
// epoch of all objects that any tier still holds.
func (p *Purges) Compact(oldest uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(oldest)
}

// Len is the number of rules in force.
func (p *Purges) Len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.urls)
}
