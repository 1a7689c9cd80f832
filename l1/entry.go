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
	resp      *rfc9111.Response
	body      []byte
	coding    coding // of body
	recodable bool   // as far as resp is concerned
	worthIt   bool   // to be coded for clients
	cost      int64  // without the forms

	epoch atomic.Uint64 // one more than that at which it was last vouched for; 0 for never
	used  atomic.Int64  // time of last use in ns; kept only when there are several variants
	forms [codings]atomic.Pointer[form]

	head atomic.Pointer[ReadyHead] // of resp; nil until somebody made one

	soft atomic.Pointer[rfc9111.Response] // resp since a soft purge was seen, for its terms alone; nil before
}

// What bookkeeping costs, in bytes. The program bench/memory measures what is real.
const (
	// The slots in ristretto's maps, or in a shard's.
	entryOverhead = int64(unsafe.Sizeof(entry{})) + 208
	// The pointer to it, and the head.
	objectOverhead = int64(unsafe.Sizeof(object{})+unsafe.Sizeof(rfc9111.Response{})) + 8
	stringOverhead = 16 // of a field's value, or a tag
	mapOverhead    = 48 // of a Header
	slotOverhead   = 41 // of a Header's slot: the name, the slice of values, a control byte
)

func newObject(resp *rfc9111.Response, body []byte) *object {
	if body == nil {
		body = []byte{} // an Answer's nil Bytes would mean that they are elsewhere
	}
	o := &object{resp: resp, body: body, coding: contentCoding(resp)}
	switch o.coding {
	case identity:
		o.worthIt = codable(resp, int64(len(body)))
		o.recodable = o.worthIt
	case foreign:
	default:
		o.recodable = rfc9111.Recodable(resp)
		o.worthIt = o.recodable && compressible(resp.Header.Get("Content-Type"))
	}
	o.cost = objectOverhead + int64(cap(body)) + headCost(resp)
	return o
}

// headCost is what a head holds beyond its own size.
func headCost(resp *rfc9111.Response) int64 {
	// Maps have 8 slots or a larger power of two, of which they use 7 in 8.
	slots := 8
	for len(resp.Header) > slots || slots > 8 && len(resp.Header) > slots/8*7 {
		slots *= 2
	}
	cost := int64(len(resp.Selection)) + mapOverhead + int64(slots)*slotOverhead
	for name, values := range resp.Header {
		cost += int64(len(name))
		for _, value := range values {
			cost += stringOverhead + int64(len(value))
		}
	}
	for _, tag := range resp.Tags {
		cost += stringOverhead + int64(len(tag))
	}
	return cost
}

func (o *object) costNow() int64 {
	cost := o.cost + o.head.Load().cost()
	for i := range o.forms {
		if f := o.forms[i].Load(); f != nil {
			cost += f.cost + f.wire.Load().cost()
		}
	}
	return cost
}

// costWith is what e costs with o alone.
func (e *entry) costWith(o *object) int64 {
	return entryOverhead + int64(len(e.key.Bytes())) + o.costNow()
}

// holding makes e hold first, if it is not nil, and those of others that have
// another selection.
func (e *entry) holding(first *object, others []*object, selection rfc9111.Selection) *entry {
	e.variants = make([]*object, 0, len(others)+1)
	if first != nil {
		e.variants = append(e.variants, first)
	}
	for _, o := range others {
		if o.resp.Selection != selection {
			e.variants = append(e.variants, o)
		}
	}
	e.cost = entryOverhead + int64(len(e.key.Bytes()))
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

func (e *entry) has(o *object) bool { return slices.Contains(e.variants, o) }

func selected(variants []*object, s rfc9111.Selection) *object {
	for _, o := range variants {
		if o.resp.Selection == s {
			return o
		}
	}
	return nil
}
