package l2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"weir/keying"
	"weir/rfc9111"
)

// A frame is the unit of what is checked: sum (8 bytes), kind (1), payload length (4), payload. The sum is
// xxhash64 of all that follows it. What a payload says about itself (serial and index of a chunk, full key of a
// head) is compared with what the reader asked for, so a good frame in a wrong place is found too.
const (
	frameHeader = 13
	kindChunk   = 1
	kindHead    = 2
)

const (
	chunkHeader = 17 // serial 8, index 4, coding 1, raw length 4
	chunkFrame  = frameHeader + chunkHeader
	headVersion = 1
)

var (
	errChecksum  = errors.New("checksum does not match")
	errFormat    = errors.New("malformed record")
	errIdentity  = errors.New("record belongs to another object")
	errTruncated = errors.New("record is cut off")
)

// place is where a frame lies: a segment, and a position in that segment's log.
type place struct {
	seg, at, n uint32
}

// head is what a head frame holds: one stored response and where its body's chunks are.
type head struct {
	digest    keying.Digest
	serial    uint64 // of the body; its chunks repeat it
	chunkSize uint32 // of every chunk but the last, before compression
	length    int64  // of the body
	key       string
	resp      []byte // encoded response
	refs      []place
}

func beginFrame(dst []byte) []byte {
	return append(dst, make([]byte, frameHeader)...)
}

// endFrame completes the frame that begins at start.
func endFrame(dst []byte, start int, kind byte) []byte {
	f := dst[start:]
	f[8] = kind
	binary.LittleEndian.PutUint32(f[9:], uint32(len(f)-frameHeader))
	binary.LittleEndian.PutUint64(f, xxhash.Sum64(f[8:]))
	return dst
}

// openFrame checks f, which must be exactly one frame, and returns its payload.
func openFrame(f []byte, kind byte) ([]byte, error) {
	if len(f) < frameHeader {
		return nil, errTruncated
	}
	if binary.LittleEndian.Uint64(f) != xxhash.Sum64(f[8:]) {
		return nil, errChecksum
	}
	if f[8] != kind || int64(binary.LittleEndian.Uint32(f[9:])) != int64(len(f)-frameHeader) {
		return nil, errFormat
	}
	return f[frameHeader:], nil
}

// newChunkFrame makes the frame of one chunk, compressed where that is to be tried and pays.
func newChunkFrame(serial uint64, index int, raw []byte, try bool) (frame []byte, coding byte) {
	coding, f := appendChunk(make([]byte, chunkFrame, chunkFrame+len(raw)), raw, try)
	if 2*len(f) < cap(f) {
		f = bytes.Clone(f) // it is kept until it is on disk, and counted by its length
	}
	p := f[frameHeader:]
	binary.LittleEndian.PutUint64(p, serial)
	binary.LittleEndian.PutUint32(p[8:], uint32(index))
	p[12] = coding
	binary.LittleEndian.PutUint32(p[13:], uint32(len(raw)))
	return endFrame(f, 0, kindChunk), coding
}

// openChunk checks a chunk frame and returns the chunk's bytes as they were written. They may alias f.
func openChunk(f []byte, serial uint64, index int) ([]byte, error) {
	p, err := openFrame(f, kindChunk)
	if err != nil {
		return nil, err
	}
	if len(p) < chunkHeader {
		return nil, errFormat
	}
	if binary.LittleEndian.Uint64(p) != serial || binary.LittleEndian.Uint32(p[8:]) != uint32(index) {
		return nil, errIdentity
	}
	return decodeChunk(p[12], int(binary.LittleEndian.Uint32(p[13:])), p[chunkHeader:])
}

// append adds h's frame to dst.
func (h *head) append(dst []byte) []byte {
	start := len(dst)
	dst = beginFrame(dst)
	dst = append(dst, headVersion)
	dst = append(dst, h.digest[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.serial)
	dst = binary.LittleEndian.AppendUint32(dst, h.chunkSize)
	dst = binary.AppendUvarint(dst, uint64(h.length))
	dst = appendBytes(dst, h.key)
	dst = appendBytes(dst, h.resp)
	for _, r := range h.refs {
		dst = binary.AppendUvarint(dst, uint64(r.seg))
		dst = binary.AppendUvarint(dst, uint64(r.at))
		dst = binary.AppendUvarint(dst, uint64(r.n))
	}
	return endFrame(dst, start, kindHead)
}

// bound is at least the length of h's frame.
func (h *head) bound() int {
	return frameHeader + 29 + 3*binary.MaxVarintLen64 + len(h.key) + len(h.resp) + 15*len(h.refs)
}

// decodeHead parses a head frame. Key and response alias f. It allocates in proportion to f, whatever f says.
func decodeHead(f []byte) (*head, error) {
	p, err := openFrame(f, kindHead)
	if err != nil {
		return nil, err
	}
	r := reader{b: p}
	if v := r.take(1); len(v) == 1 && v[0] != headVersion {
		return nil, fmt.Errorf("head record of version %d: %w", v[0], errFormat)
	}
	h := &head{}
	copy(h.digest[:], r.take(len(h.digest)))
	h.serial = r.u64()
	h.chunkSize = r.u32()
	h.length = int64(r.uvarint())
	h.key = string(r.take(int(r.bounded())))
	h.resp = r.take(int(r.bounded()))
	if r.failed || h.length < 0 {
		return nil, errFormat
	}
	n, ok := chunkCount(h.length, int64(h.chunkSize))
	if !ok || n > int64(len(r.b)/3) { // a reference takes three bytes or more
		return nil, errFormat
	}
	h.refs = make([]place, n)
	for i := range h.refs {
		h.refs[i] = place{r.uvarint32(), r.uvarint32(), r.uvarint32()}
	}
	if r.failed || len(r.b) != 0 {
		return nil, errFormat
	}
	return h, nil
}

// chunkCount is how many chunks of size make up a body of length bytes.
func chunkCount(length, size int64) (int64, bool) {
	switch {
	case length == 0:
		return 0, true
	case size <= 0:
		return 0, false
	}
	return (length-1)/size + 1, true
}

// decode returns the response after comparing the key: a digest only finds a record, the key decides.
func (h *head) decode(key keying.Key) (*rfc9111.Response, error) {
	if h.digest != key.Digest() || h.key != key.Bytes() {
		return nil, errIdentity
	}
	resp, err := rfc9111.DecodeResponse(h.resp)
	if err != nil {
		return nil, err
	}
	if resp.Length != h.length {
		return nil, errFormat
	}
	return resp, nil
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// reader takes values off a slice. After a failure everything it returns is zero.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.b) {
		r.failed = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.failed || n <= 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.failed = true
		return 0
	}
	return uint32(v)
}

// bounded is a length or a count of things that take a byte or more each: never more than what is left.
func (r *reader) bounded() uint64 {
	v := r.uvarint()
	if v > uint64(len(r.b)) {
		r.failed = true
		return 0
	}
	return v
}
