package api

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"weir/api/peer"
	"weir/kv"
	"weir/shield"
)

// maxPushed is how many values are looked at for one batch: the next rules do not wait for long.
//
// Up to fewPushed go together with the batch. Whoever reads a key between the two asks the shield, and waits for its answer:
// over 28 regions a write was seen within 480 ms of its begin when they came apart, within 270 together (p99). They were
// written a moment ago, so the disk is not waited for; more would keep the rules back.
const (
	maxPushed = 256
	fewPushed = 16
)

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

// announced are the keys that b says were written with something small, the latest first, if the
// edge takes values.
func (f *follower) announced(b shield.Batch) []string {
	if !f.takesValues || b.Reset || f.stamp.Load().stamp == 0 {
		return nil
	}
	return f.door.opts.Purges.Announced(b.After, b.Epoch)
}

// appendValues appends a frame with what is under keys, those that b announces, as far as that is small
// and has room. It is read anew: of several writes of a key the edge gets what the last has left. What
// was read when the log had come to where it is now is as good as read now. What is small no
// more takes as much of the room as if it were, so that little is read in vain.
func (f *follower) appendValues(out []byte, b shield.Batch, keys []string) []byte {
	room := f.pushRoom()
	stamp := f.stamp.Load()
	pushes := peer.Pushes{Log: b.Log, Stamp: stamp.stamp, Held: time.Since(stamp.came)}
	now := f.door.door.opts.Now()           // behind that, so that nothing counts as younger than it is
	current := f.door.opts.Purges.Current() // behind the stamp: what is sent is no older than that
	defer func() { f.door.pushes.count(len(pushes.Keys), len(keys)) }()
	for _, key := range keys[:min(len(keys), maxPushed)] {
		if room <= 0 {
			break
		}
		p, small := f.door.written(key, current)
		if !small {
			room -= kv.MaxPushed
			continue
		}
		push := peer.PushOf(p, now)
		size := push.Size()
		if room -= size; room < 0 || !f.door.pushing.take(size) {
			break
		}
		pushes.Keys = append(pushes.Keys, push)
	}
	if len(pushes.Keys) == 0 {
		return out
	}
	payload := pushes.Encode()
	f.pushing = append(f.pushing, pushedPart{b.Epoch, len(payload)})
	return peer.AppendFrame(append(out, peer.FramePush), payload)
}

// usualPushRate is how many bytes of values all edges together are sent in a second. With hundreds of
// them that are near, a busy writer would else take all of the processor from rules and from misses.
const usualPushRate = 64 << 20

// pushRate lets so many bytes go in a second, and those of a second at once.
type pushRate struct {
	rate int64

	mu   sync.Mutex // guards what follows
	left int64
	at   time.Time // when left was so much
}

// take says whether n bytes may go.
func (r *pushRate) take(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	past := min(now.Sub(r.at), time.Second)
	r.left, r.at = min(r.left+int64(past.Seconds()*float64(r.rate)), r.rate), now
	if r.left < int64(n) {
		return false
	}
	r.left -= int64(n)
	return true
}

// PushStats are counts of values that were written, for each edge that takes them.
type PushStats struct {
	Sent    uint64
	Dropped uint64 // there was no room, or they are not small any more: the edge has the rule alone
}

type pushCounts struct{ sent, dropped atomic.Uint64 }

func (c *pushCounts) count(sent, of int) {
	c.sent.Add(uint64(sent))
	c.dropped.Add(uint64(of - sent))
}

// Pushes returns what the door has counted of values for edges.
func (d *PeerDoor) Pushes() PushStats {
	return PushStats{Sent: d.pushes.sent.Load(), Dropped: d.pushes.dropped.Load()}
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
