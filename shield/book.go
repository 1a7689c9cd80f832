package shield

import (
	"iter"
	"maps"
	"slices"

	"weir/keying"
)

// A slot stands for the digests that begin alike.
type slot [slotSize]byte

const slotSize = 2

func slotOf(d keying.Digest) slot { return slot(d[:slotSize]) }

// A book says for digests when the latest rule about them came. Beyond its limit the
// older half is remembered by slots, which takes bounded memory and purges too much
// rather than too little: anybody can send unsafe requests, to as many URLs as they like.
type book struct {
	limit int // of digests that are remembered exactly
	exact map[keying.Digest]uint64
	slots map[slot]uint64
	last  uint64 // the latest epoch of all
}

func newBook(limit int) book {
	return book{limit: limit, exact: map[keying.Digest]uint64{}, slots: map[slot]uint64{}}
}

func (b *book) latest(d keying.Digest) uint64 { return max(b.exact[d], b.slots[slotOf(d)]) }

func (b *book) put(d keying.Digest, epoch uint64) {
	b.last = max(b.last, epoch)
	b.exact[d] = max(b.exact[d], epoch)
	if len(b.exact) > b.limit {
		b.coarsen()
	}
}

func (b *book) putSlot(s slot, epoch uint64) {
	b.last = max(b.last, epoch)
	b.slots[s] = max(b.slots[s], epoch)
}

// coarsen moves the older half into their slots.
func (b *book) coarsen() {
	epochs := slices.Sorted(maps.Values(b.exact))
	median := epochs[len(epochs)/2]
	maps.DeleteFunc(b.exact, func(d keying.Digest, epoch uint64) bool {
		if epoch > median {
			return false
		}
		b.putSlot(slotOf(d), epoch)
		return true
	})
}

// forget drops what came no later than an epoch.
func (b *book) forget(epoch uint64) {
	maps.DeleteFunc(b.exact, func(_ keying.Digest, e uint64) bool { return e <= epoch })
	maps.DeleteFunc(b.slots, func(_ slot, e uint64) bool { return e <= epoch })
}

func (b *book) len() int { return len(b.exact) + len(b.slots) }

func (b *book) clone() book {
	return book{limit: b.limit, exact: maps.Clone(b.exact), slots: maps.Clone(b.slots), last: b.last}
}

// rules lists the book as rules of two kinds.
func (b *book) rules(exact, slots ruleKind) iter.Seq2[uint64, Rule] {
	return func(yield func(uint64, Rule) bool) {
		for s, epoch := range b.slots {
			if !yield(epoch, Rule{kind: slots, text: string(s[:])}) {
				return
			}
		}
		for d, epoch := range b.exact {
			if !yield(epoch, Rule{kind: exact, text: string(d[:])}) {
				return
			}
		}
	}
}
