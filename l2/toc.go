package l2

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"weir/keying"
	"weir/rfc9111"
)

// What a line of a table of contents says.
const (
	lineObject    = 1 // a head record
	lineGone      = 2 // what is older of this key and selection is gone
	lineGoneWhole = 3 // what is older of this key is gone, whatever the selection
)

const tocVersion = 1

// line is one entry of a table of contents. seq orders lines of all segments.
type line struct {
	kind   byte
	digest keying.Digest
	seq    uint64
	sel    rfc9111.Selection
	rec    record // for lineObject
}

// record is where a stored object is and what eviction needs to know of it.
type record struct {
	at, pre, n uint32 // the head frame is n bytes at at+pre; a body of one chunk may be the pre bytes before it
	low        uint32 // the oldest segment that holds a part of it
	expiry     uint32 // Unix seconds after which it can answer nothing more; 0 is never
	size       int64  // bytes of all its frames
}

// block is one committed value of a segment: n bytes of its log from position at on, at offset off of the file.
type block struct {
	at, n uint32
	off   int64
}

// contents is a table of contents: of one group (without blocks, their offsets are not known
// before the commit), or of a whole sealed segment.
type contents struct {
	blocks []block
	lines  []line
}

// appendContents encodes a table of contents for segment seg, with n lines that are encoded already: sum, then what
// it covers.
func appendContents(dst []byte, seg uint32, blocks []block, lines []byte, n int) []byte {
	start := len(dst)
	dst = slices.Grow(dst, contentsBound(len(blocks), len(lines)))
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, tocVersion)
	dst = binary.AppendUvarint(dst, uint64(seg))
	dst = binary.AppendUvarint(dst, uint64(len(blocks)))
	for _, b := range blocks {
		dst = binary.AppendUvarint(dst, uint64(b.at))
		dst = binary.AppendUvarint(dst, uint64(b.n))
		dst = binary.AppendUvarint(dst, uint64(b.off))
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = append(dst, lines...)
	resum(dst[start:])
	return dst
}

// contentsBound is at least the length of what appendContents appends.
func contentsBound(blocks, lines int) int { return 24 + 20*blocks + lines }

func appendLines(dst []byte, seg uint32, lines []line) []byte {
	for i := range lines {
		dst = lines[i].append(dst, seg)
	}
	return dst
}

// resum writes the sum of a table of contents into its place.
func resum(b []byte) []byte {
	binary.LittleEndian.PutUint64(b, xxhash.Sum64(b[8:]))
	return b
}

func (l *line) append(dst []byte, seg uint32) []byte {
	dst = append(dst, l.kind)
	dst = append(dst, l.digest[:]...)
	dst = binary.AppendUvarint(dst, l.seq)
	dst = appendBytes(dst, string(l.sel))
	if l.kind != lineObject {
		return dst
	}
	for _, v := range [...]uint64{
		uint64(l.rec.at), uint64(l.rec.pre), uint64(l.rec.n), uint64(seg - l.rec.low),
		uint64(l.rec.expiry), uint64(l.rec.size),
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

// lineBound is at least the length of an encoded line with a selection of n bytes.
func lineBound(n int) int { return 1 + 16 + 8*binary.MaxVarintLen64 + n }

// decodeContents parses what appendContents wrote for segment seg. It allocates in proportion to src.
func decodeContents(src []byte, seg uint32) (contents, error) {
	var c contents
	if len(src) < 9 {
		return c, errTruncated
	}
	if binary.LittleEndian.Uint64(src) != xxhash.Sum64(src[8:]) {
		return c, errChecksum
	}
	if src[8] != tocVersion {
		return c, fmt.Errorf("table of contents of version %d: %w", src[8], errFormat)
	}
	r := reader{b: src[9:]}
	if r.uvarint32() != seg || r.failed {
		return c, errIdentity
	}
	n := r.uvarint()
	if r.failed || n > uint64(len(r.b)/3) {
		return c, errFormat
	}
	c.blocks = make([]block, n)
	for i := range c.blocks {
		c.blocks[i] = block{at: r.uvarint32(), n: r.uvarint32(), off: int64(r.uvarint())}
	}
	n = r.uvarint()
	if r.failed || n > uint64(len(r.b)/19) { // kind, digest, sequence, selection: 19 bytes or more
		return c, errFormat
	}
	c.lines = make([]line, n)
	for i := range c.lines {
		c.lines[i].read(&r, seg)
	}
	if r.failed || len(r.b) != 0 {
		return c, errFormat
	}
	return c, nil
}

func (l *line) read(r *reader, seg uint32) {
	if k := r.take(1); k != nil {
		l.kind = k[0]
	}
	copy(l.digest[:], r.take(len(l.digest)))
	l.seq = r.uvarint()
	l.sel = rfc9111.Selection(r.take(int(r.bounded())))
	switch l.kind {
	case lineObject:
		rec := &l.rec
		rec.at, rec.pre, rec.n = r.uvarint32(), r.uvarint32(), r.uvarint32()
		back := r.uvarint32()
		rec.low = seg - back
		rec.expiry, rec.size = r.uvarint32(), int64(r.uvarint())
		if back > seg || rec.size < 0 {
			r.failed = true
		}
	case lineGone, lineGoneWhole:
	default:
		r.failed = true
	}
}
