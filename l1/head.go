package l1

import (
	"container/list"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"weir/policy"
	"weir/rfc9111"
)

// head is the head of what is held, in few bytes: most objects are not asked for often. The
// others have it open as well.
type head struct {
	bare   rfc9111.Response // all but its Header
	fields string           // its Header, packed
	place  atomic.Pointer[headPlace]
}

// headPlace is where a head lies while it is open. It is not in the head, because what remembers
// what is open must not keep objects alive.
type headPlace struct{ atomic.Pointer[openHead] }

// nowhere is the place of heads that are not held any more.
var nowhere = new(headPlace)

// openHead is a head as others need it, and as it is sent. It is frozen but for the atomics.
type openHead struct {
	resp  rfc9111.Response
	ready [readyPlans]atomic.Pointer[ReadyHead] // nil until somebody made them
	used  atomic.Bool                           // since it came to its place in the queue
	sent  atomic.Uint32                         // answers with a large body, while that has no file
	file  atomic.Pointer[BodyFile]              // nil mostly; changed under heads.mu

	cost  int64 // those that are ready included; this and what follows is guarded by heads.mu
	place *headPlace
	queue *list.Element
}

// readyPlans is by how many plans an open head can be ready: GET and HEAD may have one each.
const readyPlans = 2

// by returns the head that is ready by plan.
func (o *openHead) by(plan *policy.Plan) *ReadyHead {
	for i := range o.ready {
		if r := o.ready[i].Load(); r != nil && r.Plan == plan.Number && r.Table == plan.Table.Version {
			return r
		}
	}
	return nil
}

// slotLocked is where ready belongs: in place of one by the same plan, or by another table, which hardly
// comes back, or else of any.
func (o *openHead) slotLocked(ready *ReadyHead) *atomic.Pointer[ReadyHead] {
	for i := range o.ready {
		if r := o.ready[i].Load(); r == nil || r.Table != ready.Table || r.Plan == ready.Plan {
			return &o.ready[i]
		}
	}
	return &o.ready[ready.Plan%readyPlans]
}

// pack makes h a copy of resp, which shares no strings with what resp was parsed from. It returns the one
// string that begins with key and goes on with the fields.
func (h *head) pack(key string, resp *rfc9111.Response) string {
	h.bare = *resp
	h.bare.Header = nil
	h.bare.Selection = rfc9111.Selection(strings.Clone(string(resp.Selection)))
	h.bare.Tags = nil
	if len(resp.Tags) > 0 {
		h.bare.Tags = make([]string, len(resp.Tags))
		for i, tag := range resp.Tags {
			h.bare.Tags[i] = strings.Clone(tag)
		}
	}
	var room [1 << 10]byte // enough for most
	all := string(rfc9111.PackHeader(append(room[:0], key...), resp.Header))
	h.fields = all[len(key):]
	return all
}

// What heads cost, in bytes, beyond the structs.
const (
	placeOverhead  = 8
	stringOverhead = 24 // of a tag: itself, and the slack behind its bytes
	mapOverhead    = 48 // of a Header
	slotOverhead   = 41 // of a Header's slot: the name, the slice of values, a control byte
	valueOverhead  = 16
	queueOverhead  = int64(unsafe.Sizeof(list.Element{}))
)

// cost is what h holds beyond its own size while it is not open, with a key of so many bytes before its fields.
func (h *head) cost(key int) int64 {
	cost := placeOverhead + int64(len(h.bare.Selection)) + allocated(int64(key+len(h.fields)))
	for _, tag := range h.bare.Tags {
		cost += stringOverhead + int64(len(tag))
	}
	return cost
}

// opened returns h as others need it.
func (h *head) opened() *openHead {
	o := &openHead{resp: h.bare}
	o.resp.Header = rfc9111.UnpackHeader(h.fields)
	// Maps have 8 slots or a larger power of two, of which they use 7 in 8.
	slots := 8
	for n := len(o.resp.Header); n > slots || slots > 8 && n > slots/8*7; {
		slots *= 2
	}
	o.cost = int64(unsafe.Sizeof(*o)) + queueOverhead + mapOverhead + int64(slots)*slotOverhead + int64(len(h.fields))
	for _, values := range o.resp.Header {
		o.cost += valueOverhead * int64(len(values))
	}
	return o
}

// openShare is the share of the budget that open heads have at most, in percent. Objects leave it
// to them, or those of a full store would never be open.
const openShare = 4

// heads keeps open what is asked for: in a queue in which each head that was used since it came to its
// place has another round.
type heads struct {
	counts *counts
	budget int64 // of all that is held

	maxFiles int

	bytes atomic.Int64 // changed under mu; without the files'

	mu     sync.Mutex
	closed bool
	queue  list.List // of *openHead, in the order in which they are looked at for room

	files     list.List // of *BodyFile, likewise
	fileBytes int64
}

// open returns what h is as others need it.
func (hs *heads) open(h *head) *openHead {
	if place := h.place.Load(); place != nil {
		if o := place.Load(); o != nil {
			if !o.used.Load() { // or all who read it would wait for each other
				o.used.Store(true)
			}
			return o
		}
	}
	o := h.opened()
	hs.mu.Lock()
	defer hs.mu.Unlock()
	place := h.place.Load()
	switch place {
	case nowhere:
		return o
	case nil:
		place = new(headPlace)
		h.place.Store(place)
	}
	if other := place.Load(); other != nil {
		return other
	}
	o.place = place
	hs.placeLocked(o)
	return o
}

// placeLocked leaves o open if there is room.
func (hs *heads) placeLocked(o *openHead) {
	if hs.makeRoomLocked(o.cost) {
		o.used.Store(false)
		o.queue = hs.queue.PushBack(o)
		o.place.Store(o)
	}
}

// keep keeps ready with o, if that is still open.
func (hs *heads) keep(o *openHead, ready *ReadyHead) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	slot := o.slotLocked(ready)
	cost := o.cost + ready.cost() - slot.Load().cost()
	if o.place == nil || o.place.Load() != o || cost > hs.limit() {
		return
	}
	hs.shutLocked(o)
	o.cost = cost
	slot.Store(ready)
	hs.placeLocked(o)
}

func (hs *heads) limit() int64 { return hs.budget * openShare / 100 }

// unused is what heads leave of their share.
func (hs *heads) unused() int64 { return hs.limit() - hs.bytes.Load() }

func (t *Tier) open(h *head) *rfc9111.Response { return &t.store.heads.open(h).resp }

// maxRounds is how many heads get another round while room is made for one.
const maxRounds = 256

// makeRoomLocked takes cost out of the share, from heads that were not used lately.
func (hs *heads) makeRoomLocked(cost int64) bool {
	limit := hs.limit()
	if hs.closed || cost > limit {
		return false
	}
	for rounds := 0; hs.bytes.Load()+cost > limit || !hs.counts.take(cost, hs.budget); {
		next := hs.queue.Front()
		if next == nil {
			return false
		}
		if o := next.Value.(*openHead); rounds == maxRounds || !o.used.Load() {
			hs.shutLocked(o)
			continue
		}
		next.Value.(*openHead).used.Store(false)
		hs.queue.MoveToBack(next)
		rounds++
	}
	hs.bytes.Add(cost)
	return true
}

func (hs *heads) shutLocked(o *openHead) {
	hs.closeFileLocked(o)
	hs.queue.Remove(o.queue)
	o.place.Store(nil)
	hs.bytes.Add(-o.cost)
	hs.counts.bytes.Add(-o.cost)
}

// leave shuts the heads of an object that is not held any more, for good.
func (hs *heads) leave(o *object) {
	hs.shut(&o.head)
	for c := range codings {
		if f := o.form(c); f.ready() {
			hs.shut(&f.head)
		}
	}
}

func (hs *heads) shut(h *head) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if place := h.place.Swap(nowhere); place != nil {
		if o := place.Load(); o != nil {
			hs.shutLocked(o)
		}
	}
}

// close shuts all of them, for good.
func (hs *heads) close() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.closed = true
	for e := hs.queue.Front(); e != nil; e = hs.queue.Front() {
		hs.shutLocked(e.Value.(*openHead))
	}
}
