package main

import (
	"maps"
	"sync"

	"weir/shield"
)

// ordered counts what was purged here, by kind.
type ordered struct {
	mu    sync.Mutex // guards kinds
	kinds map[string]uint64
}

func (o *ordered) add(order shield.PurgeOrder) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kinds == nil {
		o.kinds = make(map[string]uint64)
	}
	for kind, n := range map[string]int{
		"tag": len(order.Tags), "url": len(order.URLs), "prefix": len(order.Prefixes), "host": len(order.Hosts), "key": len(order.Keys),
	} {
		if n > 0 {
			o.kinds[kind] += uint64(n)
		}
	}
	if order.All {
		o.kinds["all"]++
	}
	if order.Soft {
		o.kinds["soft"]++
	}
}

func (o *ordered) counts() map[string]uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.kinds)
}
