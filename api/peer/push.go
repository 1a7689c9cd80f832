package peer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/keying"
	"weir/kv"
	"weir/shield"
)

// MaxPushes is how long the values may be together that are on their way to an edge: a rule that
// comes behind them must not wait for long. At 10 Mbit/s it is a tenth of a second.
const MaxPushes = 128 << 10

// maxPushFrame is how long a frame of them may be: more than any shield sends.
const maxPushFrame = 2 * MaxPushes

// Pushes are small values that were written, on their way to an edge that may remember the
// keys. They come behind the rules that say so. What they say of times is as of when they
// were put together.
type Pushes struct {
	Log   shield.LogID  // of the epochs
	Stamp uint64        // that came last from the edge
	Held  time.Duration // since it came
	Keys  []Push
}

// Push is one of them.
type Push struct {
	Key   string
	Found KVFound // never Later
	Epoch uint64  // as of kv.Pushed
	Bytes []byte  // of the value
}

// Size is about how many bytes p takes in a frame.
func (p *Push) Size() int {
	v := &p.Found.Value
	n := 64 + len(p.Key) + len(p.Bytes) + len(v.Type) + len(v.Metadata)
	for _, tag := range v.Tags {
		n += 2 + len(tag)
	}
	return n
}

// PushOf is what p says as of now.
func PushOf(p kv.Pushed, now time.Time) Push {
	push := Push{Key: p.Key, Found: foundOf(p.Value, now), Epoch: p.Epoch}
	if p.Value != nil {
		push.Bytes = p.Value.Bytes
	}
	return push
}

// Encode returns the binary form of p.
func (p *Pushes) Encode() []byte {
	e := make(encoder, 0, 256)
	e.digest(keying.Digest(p.Log))
	e.uint(p.Stamp)
	e.int(int64(p.Held))
	e.uint(uint64(len(p.Keys)))
	for i := range p.Keys {
		push := &p.Keys[i]
		e.text(push.Key)
		e.uint(push.Epoch)
		e.found(&push.Found)
		e = append(e, push.Bytes...)
	}
	return e
}

// DecodePushes parses what Encode wrote. The error is [ErrMalformed].
func DecodePushes(src []byte) (*Pushes, error) {
	d, p := decoder{s: string(src)}, &Pushes{}
	p.Log = shield.LogID(d.digest())
	p.Stamp, p.Held = d.uint(), time.Duration(d.int())
	for range d.count() {
		push := Push{Key: d.text(), Epoch: d.uint(), Found: d.found()}
		if push.Found.There {
			push.Bytes = d.bytes(push.Found.Size)
		}
		if kv.CheckKey(push.Key) != nil || push.Epoch == 0 || push.Found.Later || push.Found.There && push.Found.Value.Version == 0 {
			d.fail()
		}
		if d.bad {
			return nil, ErrMalformed
		}
		p.Keys = append(p.Keys, push)
	}
	if p.Stamp == 0 || p.Held < 0 {
		d.fail()
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// bytes copies so many.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.s)) {
		d.fail()
		return nil
	}
	b := []byte(d.s[:n])
	d.s = d.s[n:]
	return b
}

// pushed is what p says to who had sent its stamp at a time. It holds nothing of the frame.
func (p *Push) pushed(read time.Time) kv.Pushed {
	out := kv.Pushed{Key: strings.Clone(p.Key), Epoch: p.Epoch, Read: read}
	if p.Found.There {
		v := p.Found.value(p.Bytes, read)
		v.Epoch, v.Type, v.Tags = p.Epoch, strings.Clone(v.Type), slices.Clone(v.Tags)
		for i, tag := range v.Tags {
			v.Tags[i] = strings.Clone(tag)
		}
		out.Value = v
	}
	return out
}

// push hands on the values of a frame. Their times are counted from the moment at which this
// node sent the stamp and the shield held it so long: what they say was so no earlier. What is
// older by then than a blind node may use is not handed on: readers who ask because it is blind would get it.
func (c *Client) push(payload []byte) error {
	if c.opts.Pushed == nil {
		return fmt.Errorf("%w: values that nobody asked for", ErrMalformed)
	}
	p, err := DecodePushes(payload)
	if err != nil {
		return err
	}
	now := c.opts.Now()
	if p.Stamp > c.sight.stamp(now) {
		return fmt.Errorf("%w: values with a stamp from elsewhere", ErrMalformed)
	}
	if p.Log != c.opts.Purges.ID() {
		return nil // this node has come to another log by now
	}
	read := c.sight.start.Add(time.Duration(p.Stamp)).Add(p.Held)
	if read.After(now) {
		read = now
	}
	if now.Sub(read) > c.opts.MaxBlind() {
		return nil
	}
	for i := range p.Keys {
		c.opts.Pushed(p.Keys[i].pushed(read))
	}
	return nil
}

// Heard is an epoch of the log: whatever the shield has answered about values was so then, or before.
func (c *Client) Heard() uint64 { return c.heard.Load() }

// hear notes the epoch of an answer.
func (c *Client) hear(field string) {
	epoch, ok := parseEpoch(field)
	for known := c.heard.Load(); ok && known < epoch && !c.heard.CompareAndSwap(known, epoch); {
		known = c.heard.Load()
	}
}
