package shield

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrBatch means that bytes are no batch of purges.
var ErrBatch = errors.New("shield: not a batch of purges")

const batchVersion = 1

// Encode returns the bytes of b: a version, the log, whether it is a reset and of which log, the epochs
// after and at the end, and the rules, each with its epoch and length. Numbers are varints.
func (b *Batch) Encode() []byte {
	out := make([]byte, 0, 48+24*len(b.Rules))
	out = append(out, batchVersion)
	out = append(out, b.Log[:]...)
	reset := byte(0)
	if b.Reset {
		reset = 1
	}
	out = append(out, reset)
	if b.Reset {
		out = append(out, b.Of[:]...)
	}
	out = binary.AppendUvarint(out, b.After)
	out = binary.AppendUvarint(out, b.Epoch)
	out = binary.AppendUvarint(out, uint64(len(b.Rules)))
	for _, r := range b.Rules {
		rule := r.Rule.Encode()
		out = binary.AppendUvarint(out, r.Epoch)
		out = binary.AppendUvarint(out, uint64(len(rule)))
		out = append(out, rule...)
	}
	return out
}

// DecodeBatch returns the batch of which src are the bytes. A batch with anything that
// is not understood is refused whole, with [ErrBatch].
func DecodeBatch(src []byte) (Batch, error) {
	d := batchDecoder{rest: src}
	var b Batch
	if d.take(1)[0] != batchVersion {
		return Batch{}, fmt.Errorf("%w: another version", ErrBatch)
	}
	b.Log = LogID(d.take(len(b.Log)))
	reset := d.take(1)[0]
	if b.Reset = reset == 1; b.Reset {
		b.Of = LogID(d.take(len(b.Of)))
	}
	b.After, b.Epoch = d.number(), d.number()
	count := d.number()
	if d.short || reset > 1 || b.After > b.Epoch && !b.Reset || count > uint64(len(d.rest)) {
		return Batch{}, fmt.Errorf("%w: malformed head", ErrBatch)
	}
	for range count {
		epoch := d.number()
		rule, err := ParseRule(d.take(int(min(d.number(), maxPrefix+1))))
		switch {
		case d.short || err != nil:
			return Batch{}, fmt.Errorf("%w: malformed rule", ErrBatch)
		case epoch <= b.After && !b.Reset || epoch > b.Epoch:
			return Batch{}, fmt.Errorf("%w: a rule of epoch %d between %d and %d", ErrBatch, epoch, b.After, b.Epoch)
		}
		b.Rules = append(b.Rules, DatedRule{epoch, rule})
	}
	if len(d.rest) > 0 {
		return Batch{}, fmt.Errorf("%w: %d bytes behind it", ErrBatch, len(d.rest))
	}
	return b, nil
}

// batchDecoder takes bytes apart. Once they are too short it gives zeros.
type batchDecoder struct {
	rest  []byte
	short bool
}

func (d *batchDecoder) take(n int) []byte {
	if n > len(d.rest) {
		d.rest, d.short = nil, true
		return make([]byte, n)
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *batchDecoder) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.rest, d.short = nil, true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}
