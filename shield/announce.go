package shield

import "sort"

// maxAnnounced is how many announcements at least are remembered. It is twice that at most.
const maxAnnounced = 512

// announcements are the keys of values that were written last, in the order of their rules.
type announcements []announcement

type announcement struct {
	epoch uint64
	key   string
}

func (a *announcements) add(epoch uint64, key string) {
	*a = append(*a, announcement{epoch, key})
	if len(*a) == 2*maxAnnounced {
		*a = append(announcements(nil), (*a)[maxAnnounced:]...)
	}
}

// Announce is Wrote of one key, which Announced names for a while: what it holds is small
// enough to be sent to those who follow, together with the rule.
func (p *Purges) Announce(key string) (epoch uint64, err error) {
	if p.follows {
		return 0, errFollows
	}
	p.mu.Lock()
	first, rules := p.enforceLocked([]Rule{valueRule(key)})
	p.announced.add(first, key)
	p.mu.Unlock()
	return p.settle(first, rules)
}

// Announced returns the keys that were announced after one epoch up to another, the latest
// first, each once. What is long ago is forgotten.
func (p *Purges) Announced(after, upTo uint64) (keys []string) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	behind := func(epoch uint64) int {
		return sort.Search(len(p.announced), func(i int) bool { return p.announced[i].epoch > epoch })
	}
	from, to := behind(after), behind(upTo)
	if from >= to {
		return nil
	}
	seen := make(map[string]bool, to-from)
	for i := to - 1; i >= from; i-- {
		if key := p.announced[i].key; !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}
