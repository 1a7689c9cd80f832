package kv

import "time"

// MaxPushed is how long a record and its key may be, in bytes, to be sent to those who may
// remember them. What a connection takes at once after it was idle is ten segments (RFC 6928),
// 14,600 bytes, and the rule and all framing must go with it. What is longer would need
// another round trip to arrive, and can as well be asked for by those who want it.
const MaxPushed = 12 << 10

// Pushed is what is under a key after a write, for those who remember what was there before.
type Pushed struct {
	Key   string
	Value *Value    // nil: nothing is there
	Epoch uint64    // of the purge log, from before that was read from the shield's disk
	Read  time.Time // no later than when it was, by the clock of whoever is told
}

// Take puts what was written elsewhere in the place of what is remembered of the key, and
// answers those who wait for it. What nobody has asked for is not remembered, and nothing is
// taken that may be older than what was here before: than a rule, a write through this edge,
// an answer of the parent, or another push.
func (e *Edge) Take(p Pushed) {
	if e.opts.Heard == nil || p.Epoch == 0 {
		return
	}
	a := &answer{value: p.Value, epoch: p.Epoch, asked: p.Read, seen: p.Epoch}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.takeLocked(p.Key, a) {
		e.counts.Taken++
	} else {
		e.counts.Ignored++
	}
}

// takeLocked says whether it has taken a.
func (e *Edge) takeLocked(key string, a *answer) bool {
	f := e.flights[key]
	v, remembered := e.memory.Peek(key)
	if !remembered && f == nil || a.epoch <= e.past || e.outdated(key, a) {
		return false
	}
	if old, ok := v.(*answer); ok && a.epoch <= old.seen || !ok && a.epoch <= f.heard {
		return false
	}
	e.pushed = max(e.pushed, a.epoch)
	if remembered {
		e.memory.Replace(key, a, a.size(key))
	} else {
		e.memory.Put(key, a, a.size(key))
	}
	if f != nil { // whoever leads it goes on to wait, and takes this too
		delete(e.flights, key)
		f.settle(a, nil)
	}
	return true
}
