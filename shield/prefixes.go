package shield

import (
	"iter"
	"maps"
	"slices"

	"weir/keying"
)

// Prefixes are looked up by each length that those of an origin have, so these are few.
const (
	maxPrefixLengths = 64 // of one origin
	maxPrefixes      = 1 << 12
)

// A prefixBook says for prefixes of URLs when the latest rule about them came.
type prefixBook struct {
	limit   int // of prefixes
	origins map[string]*originPrefixes
	count   int
	last    uint64
}

// originPrefixes are those of one origin, without its bytes.
type originPrefixes struct {
	host    keying.Digest // the name of its host
	epochs  map[string]uint64
	lengths []int // that they have, ascending
}

func newPrefixBook(limit int) prefixBook {
	return prefixBook{limit: limit, origins: map[string]*originPrefixes{}}
}

// full says whether there is no room for one more prefix.
func (b *prefixBook) full(origin, prefix string) bool {
	o := b.origins[origin]
	if o == nil {
		return b.count >= b.limit
	}
	if _, held := o.epochs[prefix]; held {
		return false
	}
	_, found := slices.BinarySearch(o.lengths, len(prefix))
	return b.count >= b.limit || !found && len(o.lengths) >= maxPrefixLengths
}

func (b *prefixBook) put(origin, prefix string, epoch uint64) {
	b.last = max(b.last, epoch)
	o := b.origins[origin]
	if o == nil {
		o = &originPrefixes{host: hostName(keying.HostOf(origin)), epochs: map[string]uint64{}}
		b.origins[origin] = o
	}
	was, held := o.epochs[prefix]
	o.epochs[prefix] = max(was, epoch)
	if held {
		return
	}
	b.count++
	if i, found := slices.BinarySearch(o.lengths, len(prefix)); !found {
		o.lengths = slices.Insert(o.lengths, i, len(prefix))
	}
}

func (b *prefixBook) latest(key keying.Key) uint64 {
	o := b.origins[key.Origin()]
	if o == nil {
		return 0
	}
	target, epoch := key.Target(), uint64(0)
	for _, n := range o.lengths {
		if n > len(target) {
			break
		}
		epoch = max(epoch, o.epochs[target[:n]])
	}
	return epoch
}

// forget drops what came no later than an epoch, of one host or, with nil, of all.
func (b *prefixBook) forget(epoch uint64, host *keying.Digest) {
	for origin, o := range b.origins {
		if host != nil && o.host != *host {
			continue
		}
		b.count -= len(o.epochs)
		maps.DeleteFunc(o.epochs, func(_ string, e uint64) bool { return e <= epoch })
		b.count += len(o.epochs)
		o.lengths = o.lengths[:0]
		for prefix := range o.epochs {
			o.lengths = append(o.lengths, len(prefix))
		}
		slices.Sort(o.lengths)
		o.lengths = slices.Compact(o.lengths)
		if len(o.epochs) == 0 {
			delete(b.origins, origin)
		}
	}
}

func (b *prefixBook) clone() prefixBook {
	c := *b
	c.origins = make(map[string]*originPrefixes, len(b.origins))
	for origin, o := range b.origins {
		c.origins[origin] = &originPrefixes{host: o.host, epochs: maps.Clone(o.epochs), lengths: slices.Clone(o.lengths)}
	}
	return c
}

func (b *prefixBook) rules() iter.Seq2[uint64, Rule] {
	return func(yield func(uint64, Rule) bool) {
		for origin, o := range b.origins {
			for prefix, epoch := range o.epochs {
				if !yield(epoch, Rule{kind: rulePrefix, text: origin + prefix}) {
					return
				}
			}
		}
	}
}
