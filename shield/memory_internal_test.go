package shield

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
	"weak"

	"weir/policy"
	"weir/rfc9111"
)

// What a body releases is garbage, and counts as that.
func TestReleasedChunksAreGarbage(t *testing.T) {
	var b body
	var live atomic.Int64
	b.init(&Options{FlightWindow: 3 * fullChunk}, &live)
	b.begin(nil, 100*fullChunk, 0)
	var chunks []weak.Pointer[byte]
	for range 10 {
		p := b.room()
		chunks = append(chunks, weak.Make(&p[0]))
		b.publish(len(p))
		if err := b.admit(t.Context(), func() {}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	held := int64(0)
	for _, p := range chunks {
		if p.Value() != nil {
			held += fullChunk
		}
	}
	if held != live.Load() {
		t.Errorf("%d bytes are held, and counted are %d", held, live.Load())
	}
	runtime.KeepAlive(&b)
}

// A head is read into one string. Nobody who remembers a little of it keeps the rest.
func TestEditionsKeepNoHeads(t *testing.T) {
	e := newEditions(10)
	req := &policy.Request{}
	var heads []weak.Pointer[byte]
	for _, tag := range []string{`"a"`, `"b"`} {
		head := []byte(tag + "gzip" + strings.Repeat(" ", 16<<10))
		heads = append(heads, weak.Make(&head[0]))
		said := unsafe.String(&head[0], len(head))
		now := edition{version: rfc9111.Version{Validator: said[:3], Coding: said[3:7], Size: 1}, seen: time.Unix(1, 0)}
		e.change(req, edition{}, now)
	}
	runtime.GC()
	for i, h := range heads {
		if h.Value() != nil {
			t.Errorf("head %d is still there", i)
		}
	}
	runtime.KeepAlive(e)
}
