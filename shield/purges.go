package shield

import (
	"crypto/rand"
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
// not reused when a rule with a later epoch matches it. So a purge costs the same
// whatever it names: no object is looked at until it is asked for.
//
// A rule counts from the moment it is in the table, but Current moves to its epoch
// only once it is durable. So no fill is ever marked with an epoch that a crash
// could take back, and a fill that begins in between is counted as older.
//
// It is either the log itself, see [NewPurges], or follows one, see [NewFollower].
type Purges struct {
	log     Log
	follows bool
	limits  limits

	current atomic.Uint64 // latest durable epoch
	filling atomic.Uint64 // latest durable epoch of a rule about responses
	newest  atomic.Uint64 // latest epoch given to a rule
	hardest atomic.Uint64 // nothing with this epoch or a later one is purged
	softest atomic.Uint64 // nor softened
	version atomic.Uint64 // counts how often rules about responses came into force

	latestOfValues atomic.Uint64 // no value with this epoch or a later one is outdated

	seen  atomic.Uint64 // by a follower: the latest epoch of a response
	moved signal        // of current

	logged    atomic.Int64  // rules in the log
	behind    atomic.Bool   // the log lacks rules in force
	rewriting chan struct{} // full while somebody writes the log anew
	applying  sync.Mutex    // held by the one who applies a batch; taken before mu

	mu sync.RWMutex // guards what follows; nothing is called while it is held
	id LogID
	sets
	recent    recent
	announced announcements
	own       own
}

// NewPurges replays log, which may be nil: then rules last as long as the process.
func NewPurges(log Log) (*Purges, error) { return newPurges(log, usualLimits) }

func newPurges(log Log, l limits) (*Purges, error) {
	p := &Purges{log: log, rewriting: make(chan struct{}, 1), limits: l, sets: newSets(l)}
	if log == nil {
		p.id = newLogID()
		return p, nil
	}
	rules := 0
	err := log.Replay(func(epoch uint64, src []byte) error {
		p.logged.Add(1)
		if id, ok := parseLogID(src); ok {
			p.id = id
		} else {
			r, err := ParseRule(src)
			if err != nil {
				return err
			}
			if !r.ofValues() {
				rules++
				raise(&p.filling, epoch)
			}
			p.put(epoch, r)
		}
		raise(&p.current, epoch)
		raise(&p.newest, epoch)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("shield: replay purges: %w", err)
	}
	switch {
	case rules == 0:
		p.startAnew()
	case p.id == LogID{}: // a log from before it had one
		p.id = newLogID()
		p.behind.Store(p.log.Append(p.newest.Load(), p.id.encode()) != nil)
		p.logged.Add(1)
	}
	p.recent.from = p.newest.Load()
	p.inForceLocked()
	return p, nil
}

// startAnew is for an empty log: either everything is new, or a log was lost and
// nobody knows what it forbade. So nothing from before may be reused, and epochs
// begin where no earlier log can have come to: one rule a nanosecond. Of values it is
// their tags that may have been purged.
func (p *Purges) startAnew() {
	epoch := max(uint64(time.Now().UnixNano()), p.newest.Load()+1) // clocks can go back
	p.id = newLogID()
	var err error
	// The rules first, and that about responses last: a log without it is one that begins.
	for _, r := range []Rule{{kind: ruleTagged}, AllRule()} {
		p.put(epoch, r)
		if err == nil {
			err = p.log.Append(epoch, r.Encode())
		}
	}
	if err == nil {
		err = p.log.Append(epoch, p.id.encode())
	}
	p.newest.Store(epoch)
	p.current.Store(epoch)
	p.filling.Store(epoch)
	p.behind.Store(err != nil)
	p.logged.Add(3)
}

// A LogID tells one purge log from all others. It is made when a log begins, and kept in it.
type LogID [16]byte

func newLogID() (id LogID) {
	_, _ = rand.Read(id[:]) // which does not fail
	return id
}

func (id LogID) encode() []byte { return append([]byte{byte(ruleIdentity)}, id[:]...) }

func parseLogID(src []byte) (id LogID, ok bool) {
	if len(src) != 1+len(id) || src[0] != byte(ruleIdentity) {
		return id, false
	}
	return LogID(src[1:]), true
}

// ID is the identity of the log, or of the one that is followed; zero before it is known.
func (p *Purges) ID() LogID {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.id
}

func raise(v *atomic.Uint64, to uint64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// Current is the epoch that the log has come to: of the latest rule that is durable.
func (p *Purges) Current() uint64 { return p.current.Load() }

// fillEpoch is the epoch that a fill which begins now is marked with: at the log that of the
// latest rule about responses. It means the same as Current, but others who follow the log
// know of it although they lack the last that was written of values.
func (p *Purges) fillEpoch() uint64 {
	if p.follows {
		return p.current.Load()
	}
	return p.filling.Load()
}

// Newest is the epoch of the latest rule in force, durable or not.
func (p *Purges) Newest() uint64 { return p.newest.Load() }

// Version changes whenever a rule comes into force, a follower's own included. It says
// nothing beyond this process.
func (p *Purges) Version() uint64 { return p.version.Load() }

// A moment is when something began, for those who compare it with what came into force.
type moment struct{ epoch, version uint64 }

// moment is now. A rule that comes into force meanwhile counts as later.
func (p *Purges) moment() moment {
	version := p.version.Load()
	return moment{epoch: p.newest.Load(), version: version}
}

// Purged says whether a rule forbids to reuse resp under key. A resp with an epoch
// that was never given out comes from a store whose log was lost, or from a tier that
// knows of more purges: nothing can be said for it.
func (p *Purges) Purged(key keying.Key, resp *rfc9111.Response) bool {
	return resp.Epoch > p.current.Load() || p.forbids(key, resp)
}

// forbids is Purged for what may come from a tier that knows of more purges.
func (p *Purges) forbids(key keying.Key, resp *rfc9111.Response) bool {
	if resp.Epoch >= p.hardest.Load() {
		if p.follows {
			raise(&p.seen, resp.Epoch)
		}
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.hard.concerns(key, resp, resp.Epoch) || p.follows && p.own.hard.concerns(key, resp, resp.Epoch)
}

// Softened says whether a soft rule is newer than resp and names it under key: then it
// counts as just gone stale. A hard one, which goes before, is for [Purges.Purged] to find.
func (p *Purges) Softened(key keying.Key, resp *rfc9111.Response) bool {
	if resp.Epoch >= p.softest.Load() {
		return false
	}
	p.mu.RLock()
	soft := p.soft.concerns(key, resp, resp.Epoch) || p.follows && p.own.soft.concerns(key, resp, resp.Epoch)
	p.mu.RUnlock()
	return soft && !p.Purged(key, resp)
}

// overtaken says whether a rule, hard or soft, has come into force since a moment and
// names resp under key. Of what is still to come resp is nil, and the rules count that
// name its key.
func (p *Purges) overtaken(key keying.Key, resp *rfc9111.Response, since moment) bool {
	if since.version == p.version.Load() {
		return false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.overtakenLocked(key, resp, since)
}

func (p *Purges) overtakenLocked(key keying.Key, resp *rfc9111.Response, since moment) bool {
	return p.hard.concerns(key, resp, since.epoch) || p.soft.concerns(key, resp, since.epoch) ||
		p.follows && p.own.since.concerns(key, resp, since.version)
}

// Add puts rules into force together and returns the epoch of the last of them once all
// are durable. With an error they are in force all the same, but may not survive a crash;
// the next Add makes up for it. What it means at a follower says [NewFollower].
func (p *Purges) Add(rules ...Rule) (uint64, error) {
	if len(rules) == 0 {
		return p.Current(), nil
	}
	p.mu.Lock()
	if p.follows {
		defer p.mu.Unlock()
		return p.addOwnLocked(rules), nil
	}
	first, rules := p.enforceLocked(rules)
	p.mu.Unlock()
	return p.settle(first, rules)
}

// supersede is Add for rules that resp under key brings with it. alone says that no rule
// which names resp came into force after since and before these, and that what comes
// after them can be told from what was before.
func (p *Purges) supersede(since moment, key keying.Key, resp *rfc9111.Response, rules []Rule) (epoch uint64, alone bool, err error) {
	p.mu.Lock()
	if p.follows {
		defer p.mu.Unlock()
		return p.addOwnLocked(rules), false, nil
	}
	alone = !p.overtakenLocked(key, resp, since)
	first, rules := p.enforceLocked(rules)
	p.mu.Unlock()
	epoch, err = p.settle(first, rules)
	return epoch, alone, err
}

// settle makes rules in force durable, and moves Current on.
func (p *Purges) settle(first uint64, rules []Rule) (uint64, error) {
	last := first + uint64(len(rules)) - 1
	if p.log != nil && !earlyAck {
		if err := p.persist(first, rules); err != nil {
			p.behind.Store(true)
			return last, fmt.Errorf("%w: %w", ErrLog, err)
		}
	}
	raise(&p.current, last)
	for i, r := range slices.Backward(rules) {
		if !r.ofValues() {
			raise(&p.filling, first+uint64(i))
			break
		}
	}
	p.moved.fire()
	return last, nil
}

// persist makes rules durable whose epochs count up from first, and any that an
// earlier call could not.
func (p *Purges) persist(first uint64, rules []Rule) error {
	if p.behind.Load() {
		if done, err := p.makeUp(); done || err != nil {
			return err
		}
	}
	if err := p.append(first, rules); err != nil {
		return err
	}
	if p.logged.Add(int64(len(rules))) < int64(2*p.Len()+logSlack) {
		return nil
	}
	select {
	case p.rewriting <- struct{}{}:
		defer func() { <-p.rewriting }()
		if p.rewrite() != nil {
			p.logged.Add(-logSlack) // it is only longer than it need be: later is soon enough
		}
	default: // one is enough
	}
	return nil
}

// makeUp writes the log anew because it lacks rules in force, unless somebody else has done
// so by now: then rules from before may be in it, or not, and are to be appended.
func (p *Purges) makeUp() (done bool, err error) {
	p.rewriting <- struct{}{}
	defer func() { <-p.rewriting }()
	if !p.behind.Swap(false) {
		return false, nil
	}
	if err := p.rewrite(); err != nil {
		p.behind.Store(true)
		return false, err
	}
	return true, nil
}

// append appends rules, all at the same time: a log can make many durable in one go.
func (p *Purges) append(first uint64, rules []Rule) error {
	if len(rules) == 1 {
		return p.log.Append(first, rules[0].Encode())
	}
	errs := make([]error, len(rules))
	var all sync.WaitGroup
	for i, r := range rules {
		all.Go(func() { errs[i] = p.log.Append(first+uint64(i), r.Encode()) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// rewrite makes the log hold what is in force and nothing else. One at a time does.
func (p *Purges) rewrite() error {
	kept := int64(0)
	err := p.log.Rewrite(func(yield func(uint64, []byte) bool) {
		kept = 1
		newest, rules := p.inForce()
		// With the newest epoch, so that none is given out twice after a restart.
		if id := p.ID(); !yield(newest, id.encode()) {
			return
		}
		for epoch, r := range rules {
			kept++
			if !yield(epoch, r.Encode()) {
				return
			}
		}
	})
	if err == nil {
		p.logged.Store(kept)
	}
	return err
}

// inForce lists the rules that say all that is to be said up to newest.
func (p *Purges) inForce() (newest uint64, rules iter.Seq2[uint64, Rule]) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.newest.Load(), p.snapshotLocked()
}

func (p *Purges) snapshotLocked() iter.Seq2[uint64, Rule] {
	return p.sets.clone().rules()
}

// enforceLocked puts rules into force, and returns them as they are from now on.
func (p *Purges) enforceLocked(rules []Rule) (first uint64, enforced []Rule) {
	first = p.newest.Load() + 1
	enforced = make([]Rule, len(rules))
	responses := false
	for i, r := range rules {
		enforced[i] = p.put(first+uint64(i), r)
		responses = responses || !r.ofValues()
	}
	p.recent.add(first, enforced, p.limits.recent)
	p.inForceLocked()
	p.newest.Store(first + uint64(len(rules)) - 1)
	if responses {
		p.version.Add(1)
	}
	return first, enforced
}

// inForceLocked says from which epochs on nobody need look at the rules. It comes after
// the rules, and before what reveals that they are in force.
func (p *Purges) inForceLocked() {
	hardest, softest, values := p.hard.last, p.soft.last, max(p.values.last, p.hard.names.last)
	if p.follows {
		hardest, softest = max(hardest, p.own.hard.last), max(softest, p.own.soft.last)
		values = max(values, p.own.latestOfTags())
	}
	p.hardest.Store(hardest)
	p.softest.Store(softest)
	p.latestOfValues.Store(values)
}

// Len is the number of rules in force.
func (p *Purges) Len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.hard.len() + p.soft.len() + p.values.len()
}

// ofResponses is the number of rules in force that name responses.
func (p *Purges) ofResponses() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.hard.len() + p.soft.len()
}
