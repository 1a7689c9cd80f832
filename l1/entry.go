package l1

import (
	"iter"
	"slices"
	"sync/atomic"
	"unsafe"

	"weir/keying"
	"weir/rfc9111"
)

// entry is all that is held under one key. It is immutable, except for what the
// comments say.
type entry struct {
	hash   uint64
	key    keying.Key
	newest *object
	older  *[]*object // the other variants, newest first; nil for none
	cost   int64      // bytes, all variants and bookkeeping included

	generation uint32
	uses       atomic.Uint32 // recent ones, up to maxUses

	number     uint32 // in store.all; this and what follows is guarded by store.mu
	prev, next uint32 // by number
	proven     bool   // to be kept whatever its uses are
	kept       bool   // in ristretto and the list of what is kept, rather than young
}

// object is one stored response: a variant. It is immutable, except for the atomics.
//
// It has an entry in it, for as long as it is the only one under its key, since most are: the body and one
// string for its key and its head are all else that the collector has to look at. That entry never has
// other variants, or this one would keep them alive.
type object struct {
	alone     entry
	head      head
	body      []byte
	coding    coding // of body
	recodable bool   // as far as the head is concerned
	worthIt   bool   // to be coded for clients

	epoch atomic.Uint64 // one more than that at which it was last vouched for; 0 for never
	used  atomic.Int64  // time of last use in ns; kept only when there are several variants
	forms atomic.Pointer[formSlots]

	soft atomic.Pointer[rfc9111.Response] // the bare head since a soft purge was seen, for its terms alone; nil before
}

// What bookkeeping costs, in bytes. The program bench/memory measures what is real.
const (
	objectOverhead = int64(unsafe.Sizeof(object{}))
	// The slots in ristretto's maps, or in a shard's, and the one in store.all.
	slotsOverhead = 216
	// An entry that is not in its object.
	entryOverhead = int64(unsafe.Sizeof(entry{}))
	formOverhead  = int64(unsafe.Sizeof(form{})+unsafe.Sizeof(formSlots{})) + 16
)

// formSlots are an object's forms by their coding, nil for those that nobody wanted.
type formSlots [codings]atomic.Pointer[form]

func (o *object) form(c coding) *form {
	if slots := o.forms.Load(); slots != nil {
		return slots[c].Load()
	}
	return nil
}

// slot is where the form of a coding belongs.
func (o *object) slot(c coding) *atomic.Pointer[form] {
	if o.forms.Load() == nil {
		o.forms.CompareAndSwap(nil, new(formSlots))
	}
	return &o.forms.Load()[c]
}

func newObject(hash uint64, key keying.Key, resp *rfc9111.Response, body []byte) *object {
	if body == nil {
		body = []byte{} // an Answer's nil Bytes would mean that they are elsewhere
	}
	o := &object{body: body, coding: contentCoding(resp)}
	o.alone.hash, o.alone.newest = hash, o
	o.alone.key = key.In(o.head.pack(key.Bytes(), resp))
	switch o.coding {
	case identity:
		o.worthIt = codable(resp, int64(len(body)))
		o.recodable = o.worthIt
	case foreign:
	default:
		o.recodable = rfc9111.Recodable(resp)
		o.worthIt = o.recodable && compressible(resp.Header.Get("Content-Type"))
	}
	return o
}

func (o *object) costNow() int64 {
	cost := objectOverhead + allocated(int64(cap(o.body))) + o.head.cost(len(o.alone.key.Bytes()))
	for c := range codings {
		if f := o.form(c); f != nil {
			cost += f.cost
		}
	}
	return cost
}

// with returns an entry that has o and others.
func (o *object) with(others []*object) *entry {
	if len(others) == 0 {
		o.alone.count()
		return &o.alone
	}
	older := others // on the heap only here
	return newEntry(o, &older)
}

// newEntry returns an entry that is in none of its variants.
func newEntry(newest *object, older *[]*object) *entry {
	e := &entry{hash: newest.alone.hash, key: newest.alone.key, newest: newest, older: older}
	e.count()
	return e
}

// count makes e cost what it has.
func (e *entry) count() {
	e.cost = slotsOverhead
	if e != &e.newest.alone {
		e.cost += entryOverhead
	}
	if e.older != nil {
		e.cost += allocated(int64(unsafe.Sizeof(*e.older))) + allocated(int64(unsafe.Sizeof(e))*int64(cap(*e.older)))
	}
	for o := range e.variants() {
		e.cost += o.costNow()
	}
}

// variants are all of them, newest first.
func (e *entry) variants() iter.Seq[*object] {
	return func(yield func(*object) bool) {
		if !yield(e.newest) || e.older == nil {
			return
		}
		for _, o := range *e.older {
			if !yield(o) {
				return
			}
		}
	}
}

// n is how many variants there are.
func (e *entry) n() int {
	if e.older == nil {
		return 1
	}
	return 1 + len(*e.older)
}

// selected returns the variant with a selection, nil for none.
func (e *entry) selected(s rfc9111.Selection) *object {
	for o := range e.variants() {
		if o.head.bare.Selection == s {
			return o
		}
	}
	return nil
}

// without returns the variants that have another selection.
func (e *entry) without(s rfc9111.Selection) (others []*object) {
	for o := range e.variants() {
		if o.head.bare.Selection != s {
			others = append(others, o)
		}
	}
	return others
}

func (e *entry) has(o *object) bool { return e.selected(o.head.bare.Selection) == o }

// dropLeastUsed drops one of several variants, though never the newest.
func (e *entry) dropLeastUsed() {
	older, least := *e.older, 0
	for i, o := range older {
		if o.used.Load() < older[least].used.Load() {
			least = i
		}
	}
	e.cost -= older[least].costNow()
	*e.older = slices.Delete(older, least, least+1)
}

// use counts a use.
func (e *entry) use() {
	if n := e.uses.Load(); n < maxUses {
		e.uses.Store(n + 1)
	}
}
