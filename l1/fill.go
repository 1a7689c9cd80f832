package l1

import (
	"bytes"
	"time"

	"weir/keying"
	"weir/rfc9111"
)

// promotedAfter is how old a response is that another tier had held already: that it is
// asked for again is a use.
const promotedAfter = 10 * time.Second

// Filled takes a response with its whole body, which it keeps without a copy:
// neither may change any more. It can be answered from when Filled returns, unless
// it is larger than an object may be or was purged while it was fetched.
// The next tier calls it before it releases the flight.
func (t *Tier) Filled(key keying.Key, resp *rfc9111.Response, body []byte) {
	if t.epochs.Purged(key, resp) {
		t.counts.rejected.Add(1)
		return
	}
	o := newObject(t.hash(key.Bytes()), key, resp, body)
	o.used.Store(t.opts.Now().UnixNano())

	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	generation := t.generation.Load() // under the lock: Clear sweeps what it does not let in
	old := t.store.peekLocked(o.alone.hash)
	if old != nil && (old.key.Bytes() != key.Bytes() || !t.current(old)) {
		t.store.takeOutLocked(old)
		old = nil
	}
	var others []*object
	if old != nil {
		if replaced := old.selected(resp.Selection); replaced != nil {
			if newer(&replaced.head.bare, resp) {
				t.counts.rejected.Add(1)
				return
			}
			o.inherit(replaced, resp)
		}
		others = old.without(resp.Selection)
	}
	if int64(len(body)) > t.opts.MaxObject || !t.store.fits(slotsOverhead+o.costNow()) {
		t.counts.rejected.Add(1)
		if old != nil { // what it replaces is out of date all the same
			t.reduceLocked(old, others)
		}
		return
	}
	e := o.with(others)
	e.generation = generation
	if o.used.Load()-resp.ResponseTime.UnixNano() > int64(promotedAfter) {
		e.uses.Store(1)
	}
	for e.n() > 1 && (e.n() > t.opts.MaxVariants || !t.store.fits(e.cost)) {
		e.dropLeastUsed()
		t.counts.evictions.Add(1)
	}
	t.counts.stores.Add(1)
	t.store.replaceLocked(old, e)
	t.codeWanted(e, o)
}

// Dropped forgets the variant of key with a selection.
func (t *Tier) Dropped(key keying.Key, selection rfc9111.Selection) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	old := t.store.peekLocked(t.hash(key.Bytes()))
	if old == nil || old.key.Bytes() != key.Bytes() || old.selected(selection) == nil {
		return
	}
	t.reduceLocked(old, old.without(selection))
}

// reduceLocked leaves only some of an entry's variants, or nothing of it.
func (t *Tier) reduceLocked(old *entry, variants []*object) {
	if len(variants) == 0 {
		t.store.takeOutLocked(old)
		return
	}
	older := variants[1:]
	e := newEntry(variants[0], &older)
	e.generation = old.generation
	t.store.replaceLocked(old, e)
}

// Clear forgets everything that was stored before it. It holds at once; the room
// is free when it returns. A fill in flight is stored after it: what must not be
// is a purge, which the epoch decides.
func (t *Tier) Clear() {
	t.generation.Add(1)
	t.store.sweep(t.current)
}

// attach puts another form of an object beside it, unless the object is gone or
// somebody was quicker.
func (t *Tier) attach(e *entry, o *object, as coding, f *form) {
	if t.rehearsal {
		return
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	held := t.store.peekLocked(e.hash)
	if held == nil || !held.has(o) || o.form(as).ready() {
		return
	}
	with := newEntry(held.newest, held.older)
	with.generation = held.generation
	with.cost += f.cost
	if !t.store.fits(with.cost) {
		o.slot(as).Store(noRoom)
		return
	}
	o.slot(as).Store(f.held())
	t.counts.codings.Add(1)
	t.store.replaceLocked(held, with)
}

// inherit takes over the forms of the object that o, with the head resp, replaces, when a validation or a
// refresh brought the same bytes again.
func (o *object) inherit(from *object, resp *rfc9111.Response) {
	if !o.recodable || o.coding != from.coding || !bytes.Equal(from.body, o.body) {
		return
	}
	for c := range codings {
		f := from.form(c)
		switch {
		case f == nil || f == underWay || c != identity && !o.worthIt:
			continue
		case f.ready():
			f = newForm(c, f.body, resp).held()
		}
		o.slot(c).Store(f)
	}
}

// newer says whether a is the later answer: one fill can begin before a purge, or
// before a refresh, and end after another that began later.
func newer(a, b *rfc9111.Response) bool {
	return a.Epoch > b.Epoch || a.Epoch == b.Epoch && a.ResponseTime.After(b.ResponseTime)
}
