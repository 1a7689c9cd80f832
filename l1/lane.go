package l1

// lane is a ring of entries in order of arrival.
type lane struct {
	all    *ledger
	oldest *entry
	bytes  int64
	n      int
}

// push puts e at the young end.
func (l *lane) push(e *entry) {
	l.bytes += e.cost
	l.n++
	if l.oldest == nil {
		e.prev, e.next = e.number, e.number
		l.oldest = e
		return
	}
	youngest := l.all.at(l.oldest.prev)
	e.prev, e.next = youngest.number, l.oldest.number
	youngest.next, l.oldest.prev = e.number, e.number
}

func (l *lane) remove(e *entry) {
	l.bytes -= e.cost
	l.n--
	if e.next == e.number {
		l.oldest = nil
		return
	}
	prev, next := l.all.at(e.prev), l.all.at(e.next)
	prev.next, next.prev = e.next, e.prev
	if l.oldest == e {
		l.oldest = next
	}
}

// each calls f for each entry, from the oldest on.
func (l *lane) each(f func(*entry)) {
	e := l.oldest
	for range l.n {
		f(e)
		e = l.all.at(e.next)
	}
}

// ghost remembers, approximately, what has given way: newcomers overwrite what was in
// their slot, and a false match only makes an entry look more used than it was.
type ghost struct {
	slots []past
	clock uint32 // how many have been added
}

type past struct {
	print uint32 // of the hash, 0 in an empty slot
	at    uint32 // by the clock
}

func (g *ghost) add(hash uint64) {
	g.clock++
	g.slots[hash%uint64(len(g.slots))] = past{fingerprint(hash), g.clock}
}

// has says whether hash is among about the last n that were added.
func (g *ghost) has(hash uint64, n int) bool {
	p := g.slots[hash%uint64(len(g.slots))]
	return p.print == fingerprint(hash) && int64(g.clock-p.at) < int64(n)
}

func fingerprint(hash uint64) uint32 { return uint32(hash>>32) | 1 }
