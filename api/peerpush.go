package api

import (
	"context"
	"errors"
	"time"

	"weir/api/peer"
	"weir/kv"
	"weir/shield"
)

// maxPushed is how many values go with one batch: rules do not wait for the disk for long.
const maxPushed = 256

// pushedPart are the bytes of values that went with a batch.
type pushedPart struct {
	epoch uint64 // to which the batch brings the edge
	bytes int
}

// pushRoom is how many bytes of values may go to the edge now. What goes with a batch that it
// has not acknowledged is on its way, and what comes next waits behind it: an edge that
// is slow to take values gets none, and asks for what it wants.
func (f *follower) pushRoom() int {
	room, taken := peer.MaxPushes, f.taken.Load()
	for len(f.pushing) > 0 && f.pushing[0].epoch <= taken {
		f.pushing = f.pushing[1:]
	}
	for _, part := range f.pushing {
		room -= part.bytes
	}
	return room
}

// appendValues appends a frame with what is under the keys that b says were written, the
// latest first, as far as that is small, remembered and has room. It is read now: of several
// writes of a key the edge gets what the last has left.
func (f *follower) appendValues(ctx context.Context, out []byte, b shield.Batch) []byte {
	if !f.takesValues || b.Reset {
		return out
	}
	room := f.pushRoom()
	stamp, now := f.stamp.Load(), f.door.door.opts.Now()
	pushes := peer.Pushes{Log: b.Log, Stamp: stamp.stamp, Held: time.Since(stamp.came)}
	for _, key := range f.door.opts.Purges.Announced(b.After, b.Epoch) {
		if len(pushes.Keys) == maxPushed || room <= 0 {
			break
		}
		p, ok := f.door.written(ctx, key)
		push := peer.PushOf(p, now)
		if size := push.Size(); ok && size <= min(room, kv.MaxPushed) {
			pushes.Keys, room = append(pushes.Keys, push), room-size
		}
	}
	if len(pushes.Keys) == 0 || stamp.stamp == 0 {
		return out
	}
	payload := pushes.Encode()
	f.pushing = append(f.pushing, pushedPart{b.Epoch, len(payload)})
	return peer.AppendFrame(append(out, peer.FramePush), payload)
}

// written reads what is under key. ok is false when that is not known.
func (d *PeerDoor) written(ctx context.Context, key string) (p kv.Pushed, ok bool) {
	p = kv.Pushed{Key: key, Epoch: d.opts.Purges.Current()} // before the disk is read
	v, err := d.opts.Values.Get(ctx, key)
	switch {
	case errors.Is(err, kv.ErrMissing):
		return p, true
	case err != nil:
		return p, false
	}
	p.Value = v
	if v.Epoch > 0 {
		p.Epoch = v.Epoch
	}
	return p, true
}
