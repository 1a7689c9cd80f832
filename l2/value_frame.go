package l2

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"weir/keying"
)

// Frames of values.db.
const (
	kindValue    = 3
	kindCounts   = 4
	valueVersion = 1
)

// A leaf page of bbolt is only split when it has more than four entries, so four of the longest entries must fit
// into one page. Then every page is a single page, and no write ever looks for free pages in a row.
const (
	valueInline = 970 // longest frame of a value
	valueChunk  = 980 // of a body that is longer than that
)

// valueFrame is what values.db has under a position.
type valueFrame struct {
	at    uint64        // the position: a good frame in a wrong place is found
	until int64         // Unix nanoseconds; 0 is for ever
	body  []byte        // key and record, when they fit
	part  uint64        // else the bucket of chunks that has them,
	size  uint32        // how long they are
	sum   uint64        // their checksum,
	key   keying.Digest // and that of the key
}

// append adds f's frame to dst.
func (f *valueFrame) append(dst []byte) []byte {
	start := len(dst)
	dst = append(beginFrame(dst), valueVersion)
	dst = binary.LittleEndian.AppendUint64(dst, f.at)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.until))
	dst = binary.LittleEndian.AppendUint64(dst, f.part)
	if f.part == 0 {
		dst = append(dst, f.body...)
	} else {
		dst = binary.LittleEndian.AppendUint32(dst, f.size)
		dst = binary.LittleEndian.AppendUint64(dst, f.sum)
		dst = append(dst, f.key[:]...)
	}
	return endFrame(dst, start, kindValue)
}

// valueHeader is the length of a frame without its body.
const valueHeader = frameHeader + 1 + 3*8

// decodeValue parses the frame at a position. The body aliases b.
func decodeValue(b []byte, at uint64) (f valueFrame, err error) {
	p, err := openFrame(b, kindValue)
	if err != nil {
		return f, err
	}
	r := reader{b: p}
	if v := r.take(1); len(v) == 1 && v[0] != valueVersion {
		return f, fmt.Errorf("value of version %d: %w", v[0], errFormat)
	}
	f.at, f.until, f.part = r.u64(), int64(r.u64()), r.u64()
	if f.part == 0 {
		f.body, r.b = r.b, nil
		f.size = uint32(len(f.body))
	} else {
		f.size, f.sum = r.u32(), r.u64()
		copy(f.key[:], r.take(len(f.key)))
	}
	switch {
	case r.failed || len(r.b) != 0 || f.until < 0:
		return f, errFormat
	case f.at != at:
		return f, errIdentity
	}
	return f, nil
}

// check says whether body is what f's chunks should have.
func (f *valueFrame) check(body []byte) error {
	if len(body) != int(f.size) {
		return errTruncated
	}
	if xxhash.Sum64(body) != f.sum {
		return errChecksum
	}
	return nil
}

// valueBody is a key and its record.
func valueBody(key string, record []byte) []byte {
	b := make([]byte, 0, binary.MaxVarintLen32+len(key)+len(record))
	return append(appendBytes(b, key), record...)
}

// splitBody is the key and the record of a body. The record aliases it.
func splitBody(body []byte) (key string, record []byte, err error) {
	r := reader{b: body}
	key = string(r.take(int(r.bounded())))
	if r.failed {
		return "", nil, errFormat
	}
	return key, r.b, nil
}

// valueCounts is what every transaction of values.db writes anew.
type valueCounts struct {
	ceiling uint64 // numbers from here on have not been given to anybody
	values  uint64
	bytes   uint64 // that the values take up in full pages, what finds them included
}

func (c valueCounts) frame() []byte {
	b := beginFrame(nil)
	for _, n := range [...]uint64{c.ceiling, c.values, c.bytes} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return endFrame(b, 0, kindCounts)
}

func decodeCounts(b []byte) (c valueCounts, err error) {
	p, err := openFrame(b, kindCounts)
	if err != nil {
		return c, err
	}
	r := reader{b: p}
	c = valueCounts{r.u64(), r.u64(), r.u64()}
	if r.failed || len(r.b) != 0 {
		return c, errFormat
	}
	return c, nil
}
