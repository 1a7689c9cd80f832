package l1

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The windows that decoders have at most: RFC 9659 3, RFC 7932 9.1.
const (
	zstdWindow   = 8 << 20
	brotliWindow = 16 << 20
)

// What decoders need besides their window, at most: buffers, and the prefix codes of every block type.
const (
	gzipTables   = 64 << 10
	zstdTables   = 1 << 20
	brotliTables = 4 << 20
)

// mostRoom is what a decoder can need, before it has seen anything.
var mostRoom = [codings]int64{
	brotliCoding: brotliWindow + brotliTables,
	gzipCoding:   gzipTables,
	zstdCoding:   zstdWindow + zstdTables,
}

// roomFor is what a decoder of a body that begins with start can need.
func roomFor(c coding, start []byte) int64 {
	switch {
	case len(start) == 0:
	case c == brotliCoding:
		return brotliTables + 1<<windowBits(start[0])
	case c == zstdCoding:
		return zstdTables + zstdLimit(start)
	}
	return mostRoom[c]
}

// windowBits reads the size of the window from the first byte of a br stream, RFC 7932 9.1.
func windowBits(b byte) int {
	switch {
	case b&1 == 0:
		return 16
	case b>>1&7 != 0:
		return 17 + int(b>>1&7)
	case b>>4&7 == 0:
		return 17
	default:
		return 8 + int(b>>4&7)
	}
}

// zstdLimit is how large a window a zstd stream gets that begins with start: that of its
// first frame, which hardly any later one exceeds, but not too little.
func zstdLimit(start []byte) int64 {
	var h zstd.Header
	if h.Decode(start) != nil || h.Skippable || h.WindowSize > zstdWindow {
		return zstdWindow
	}
	return max(int64(h.WindowSize), 1<<20)
}

// busyWait is how long a request waits until memory for a decoder is free.
const busyWait = 2 * time.Second

// room is memory that decoders share.
type room struct {
	max int64

	mu    sync.Mutex
	taken int64
	freed chan struct{} // closed when some is given back; nil when nobody waits
}

// take waits for size bytes. The first ones are there however many they are.
func (r *room) take(ctx context.Context, size int64) error {
	var patience *time.Timer
	for {
		freed := r.tryTake(size)
		if freed == nil {
			return nil
		}
		if patience == nil {
			patience = time.NewTimer(busyWait)
			defer patience.Stop()
		}
		select {
		case <-freed:
		case <-patience.C:
			return ErrBusy
		case <-ctx.Done():
			return fmt.Errorf("l1: client left: %w", context.Cause(ctx))
		}
	}
}

// tryTake takes size bytes, or returns what to wait for.
func (r *room) tryTake(size int64) (freed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken == 0 || r.taken+size <= r.max {
		r.taken += size
		return nil
	}
	if r.freed == nil {
		r.freed = make(chan struct{})
	}
	return r.freed
}

func (r *room) give(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= size
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}
