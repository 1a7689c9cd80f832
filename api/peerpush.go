package api

import (
	"errors"
	"sync"
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
// latest first, as far as that is small, remembered and has room. It is read anew: of several
// writes of a key the edge gets what the last has left. What was read when the log had come to
// where it is now is as good as read now.
func (f *follower) appendValues(out []byte, b shield.Batch) []byte {
	if !f.takesValues || b.Reset {
		return out
	}
	room := f.pushRoom()
	stamp := f.stamp.Load()
	pushes := peer.Pushes{Log: b.Log, Stamp: stamp.stamp, Held: time.Since(stamp.came)}
	now := f.door.door.opts.Now() // behind that, so that nothing counts as younger than it is
	log := f.door.opts.Purges
	current := log.Current() // behind the stamp: what is sent is no older than that
	for _, key := range log.Announced(b.After, b.Epoch) {
		if len(pushes.Keys) == maxPushed || room <= 0 {
			break
		}
		p, small := f.door.written(key, current)
		push := peer.PushOf(p, now)
		if size := push.Size(); small && size <= room {
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

// readings are what was read to be pushed: edges wake together, and want the same.
type readings struct {
	mu     sync.Mutex // guards latest
	latest map[string]*reading
}

// maxReadings of kv.MaxPushed take 3 MiB. When there are more all are forgotten.
const maxReadings = 256

// reading is what was under a key at an epoch or later.
type reading struct {
	once  sync.Once
	value kv.Pushed
	small bool // otherwise value is nothing
}

// at returns the reading of key that began when the log had come to an epoch, or a new one.
func (s *readings) at(key string, epoch uint64, log *shield.Purges) *reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.latest[key]
	if r == nil || r.value.Epoch < epoch {
		if s.latest == nil || len(s.latest) == maxReadings {
			s.latest = make(map[string]*reading)
		}
		r = &reading{value: kv.Pushed{Key: key, Epoch: log.Current()}} // before the disk is read
		s.latest[key] = r
	}
	return r
}

// written is what is under key, at an epoch that the log has come to or later. small says that it is
// known and can be pushed.
func (d *PeerDoor) written(key string, epoch uint64) (p kv.Pushed, small bool) {
	r := d.readings.at(key, epoch, d.opts.Purges)
	r.once.Do(func() {
		v, err := d.opts.Values.Get(d.streams.base, key)
		if err != nil {
			r.small = errors.Is(err, kv.ErrMissing)
			return
		}
		push := peer.PushOf(kv.Pushed{Key: key, Value: v}, v.Written)
		if r.small = push.Size() <= kv.MaxPushed; r.small {
			r.value.Value = v
		}
	})
	return r.value, r.small
}
