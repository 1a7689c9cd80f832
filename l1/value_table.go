package l1

import "sync/atomic"

// valueTable finds values by key. Readers take no lock and write nothing, so that any number of them can read one
// key at the speed of one. Writers hold Values.mu.
type valueTable struct {
	parts [shardCount]atomic.Pointer[tablePart]
}

// tablePart is the part of the keys whose hashes end alike. It grows alone, so that no writer waits for all of it.
// An entry is in the first slot from its hash on that was free, and stays there. One that is removed leaves goneValue
// there, since others may lie behind it, until the part is made anew.
type tablePart struct {
	slots []atomic.Pointer[valueEntry] // as many as a power of two, a quarter of them empty at least
	live  int
	taken int // slots with an entry or goneValue
}

var goneValue = &valueEntry{}

const (
	slotBytes = 8
	fewSlots  = 4 // of a part that is empty
)

func newPart(slots int) *tablePart {
	return &tablePart{slots: make([]atomic.Pointer[valueEntry], slots)}
}

// init returns the bytes of the empty table.
func (t *valueTable) init() (bytes int64) {
	for i := range t.parts {
		t.parts[i].Store(newPart(fewSlots))
	}
	return shardCount * fewSlots * slotBytes
}

func (t *valueTable) part(hash uint64) *atomic.Pointer[tablePart] { return &t.parts[hash%shardCount] }

// find returns the entry of a key, or nil, and its slot, or the empty one where the search ended.
func (p *tablePart) find(key string, hash uint64) (*valueEntry, *atomic.Pointer[valueEntry]) {
	mask := uint64(len(p.slots) - 1)
	for at := hash / shardCount; ; at++ {
		slot := &p.slots[at&mask]
		e := slot.Load()
		if e == nil || e.hash == hash && e.key == key && e != goneValue {
			return e, slot
		}
	}
}

func (t *valueTable) get(key string, hash uint64) *valueEntry {
	e, _ := t.part(hash).Load().find(key, hash)
	return e
}

// put adds e, or puts it in the place of what has its key. It returns by how many bytes the table grew.
func (t *valueTable) put(e *valueEntry) (bytes int64) {
	part := t.part(e.hash)
	p := part.Load()
	old, slot := p.find(e.key, e.hash)
	if old == nil && 4*(p.taken+1) > 3*len(p.slots) {
		bytes = -slotBytes * int64(len(p.slots))
		p = p.anew()
		bytes += slotBytes * int64(len(p.slots))
		part.Store(p)
		_, slot = p.find(e.key, e.hash)
	}
	if old == nil {
		p.live++
		p.taken++
	}
	slot.Store(e)
	return bytes
}

// anew is p without what is gone, and at most half full.
func (p *tablePart) anew() *tablePart {
	n := fewSlots
	for n < 2*(p.live+1) {
		n *= 2
	}
	fresh := newPart(n)
	for i := range p.slots {
		if e := p.slots[i].Load(); e != nil && e != goneValue {
			_, slot := fresh.find(e.key, e.hash)
			slot.Store(e)
		}
	}
	fresh.live, fresh.taken = p.live, p.live
	return fresh
}

// remove removes the entry of a key, which is in the table.
func (t *valueTable) remove(e *valueEntry) {
	p := t.part(e.hash).Load()
	_, slot := p.find(e.key, e.hash)
	slot.Store(goneValue)
	p.live--
}
