package l1

import (
	"slices"
	"sync/atomic"
	"unsafe"

	"weir/keying"
	"weir/rfc9111"
)

// entry is all that is held under one key. It is immutable, except for what the
// comments say.
type entry struct {
	hash       uint64
	generation uint64
	key        keying.Key
	variants   []*object // newest first
	cost       int64     // bytes, all variants and bookkeeping included

	uses       atomic.Uint32 // recent ones, up to maxUses
	proven     bool          // to be kept whatever its uses are; this and what follows is guarded by store.mu
	kept       bool          // in ristretto and the list of what is kept, rather than young
	prev, next *entry
}

// object is one stored response: a variant. It is immutable, except for the atomics.
type object struct {
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
	// The slots in ristretto's maps, or in a shard's.
	entryOverhead = int64(unsafe.Sizeof(entry{})) + 208
	// The pointer to it.
	objectOverhead = int64(unsafe.Sizeof(object{})) + 8
	formOverhead   = int64(unsafe.Sizeof(form{})+unsafe.Sizeof(formSlots{})) + 16
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

func newObject(resp *rfc9111.Response, body []byte) *object {
	if body == nil {
		body = []byte{} // an Answer's nil Bytes would mean that they are elsewhere
	}
	o := &object{body: body, coding: contentCoding(resp)}
	o.head.pack(resp)
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
	cost := objectOverhead + allocated(int64(cap(o.body))) + o.head.cost()
	for c := range codings {
		if f := o.form(c); f != nil {
			cost += f.cost
		}
	}
	return cost
}

// costWith is what e costs with o alone.
func (e *entry) costWith(o *object) int64 {
	return entryOverhead + allocated(int64(len(e.key.Bytes()))) + o.costNow()
}

// holding makes e hold first, if it is not nil, and those of others that have
// another selection.
func (e *entry) holding(first *object, others []*object, selection rfc9111.Selection) *entry {
	e.variants = make([]*object, 0, len(others)+1)
	if first != nil {
		e.variants = append(e.variants, first)
	}
	for _, o := range others {
		if o.head.bare.Selection != selection {
			e.variants = append(e.variants, o)
		}
	}
	e.cost = entryOverhead + allocated(int64(len(e.key.Bytes())))
	for _, o := range e.variants {
		e.cost += o.costNow()
	}
	return e
}

// dropLeastUsed drops one variant, though never the first.
func (e *entry) dropLeastUsed() {
	least := 1
	for i, o := range e.variants[1:] {
		if o.used.Load() < e.variants[least].used.Load() {
			least = i + 1
		}
	}
	e.cost -= e.variants[least].costNow()
	e.variants = slices.Delete(e.variants, least, least+1)
}

// use counts a use.
func (e *entry) use() {
	if n := e.uses.Load(); n < maxUses {
		e.uses.Store(n + 1)
	}
}

func (e *entry) has(o *object) bool { return slices.Contains(e.variants, o) }

func selected(variants []*object, s rfc9111.Selection) *object {
	for _, o := range variants {
		if o.head.bare.Selection == s {
			return o
		}
	}
	return nil
}
