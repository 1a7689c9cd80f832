package l2

// ghost remembers, approximately, which objects left the young lane without having been used: one that comes
// back goes to the kept lane at once. It is a table of fingerprints in which newcomers overwrite what was there, four
// bytes for each; a false match only places an object in the other lane.
type ghost struct {
	slots []uint32
}

// ghostMin is the least number of slots.
const ghostMin = 1 << 12

// fit makes the table large enough for n objects. It forgets when it grows.
func (g *ghost) fit(n int) {
	size := max(len(g.slots), ghostMin)
	for size < n {
		size *= 2
	}
	if size > len(g.slots) {
		g.slots = make([]uint32, size)
	}
}

func (g *ghost) add(hash uint64) {
	g.slots[hash%uint64(len(g.slots))] = fingerprint(hash)
}

func (g *ghost) has(hash uint64) bool {
	return g.slots[hash%uint64(len(g.slots))] == fingerprint(hash)
}

// fingerprint is never 0, which is an empty slot.
func fingerprint(hash uint64) uint32 { return uint32(hash>>32) | 1 }
