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
	valueInside = 900      // longest body that is in the frame itself
	valueBeside = 16 << 10 // longest one whose chunks follow the frame, in the same pages
	valueChunk  = 980
)

// Where a body is.
const (
	bodyInside byte = iota
	bodyBeside      // in chunks under its position and their number
	bodyApart       // in chunks in a bucket of their own, which is dropped as a whole and need not move when the frame does
)

// valueFrame is what values.db has under a position.
type valueFrame struct {
	at    uint64 // the position: a good frame in a wrong place is found
	until int64  // Unix nanoseconds; 0 is for ever
	where byte   // the body is: key and record
	body  []byte // itself, when it is inside
	size  uint32 // of it

	// Of a body that is not inside.
	part uint64 // its bucket, when it is apart
	sum  uint64
	key  keying.Digest
}

// append adds f's frame to dst.
func (f *valueFrame) append(dst []byte) []byte {
	start := len(dst)
	dst = append(beginFrame(dst), valueVersion, f.where)
	dst = binary.LittleEndian.AppendUint64(dst, f.at)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.until))
	if f.where == bodyInside {
		dst = append(dst, f.body...)
	} else {
		dst = binary.LittleEndian.AppendUint64(dst, f.part)
		dst = binary.LittleEndian.AppendUint32(dst, f.size)
		dst = binary.LittleEndian.AppendUint64(dst, f.sum)
		dst = append(dst, f.key[:]...)
	}
	return endFrame(dst, start, kindValue)
}

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
	if v := r.take(1); len(v) == 1 {
		f.where = v[0]
	}
	f.at, f.until = r.u64(), int64(r.u64())
	if f.where == bodyInside {
		f.body, r.b = r.b, nil
		f.size = uint32(len(f.body))
	} else {
		f.part, f.size, f.sum = r.u64(), r.u32(), r.u64()
		copy(f.key[:], r.take(len(f.key)))
	}
	switch {
	case r.failed || len(r.b) != 0 || f.until < 0 || f.where > bodyApart || (f.where == bodyApart) != (f.part != 0):
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

	evicted, expired, carried uint64 // by this transaction; not written
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
	c.ceiling, c.values, c.bytes = r.u64(), r.u64(), r.u64()
	if r.failed || len(r.b) != 0 {
		return c, errFormat
	}
	return c, nil
}
