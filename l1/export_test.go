package l1

import (
	"io"

	"weir/keying"
)

// CollideHashes gives every key the same hash from now on.
func (t *Tier) CollideHashes() { t.hash = func(keying.Key) uint64 { return 7 } }

// WindowBytes is how much fits into the window.
func (t *Tier) WindowBytes() int64 { return t.store.windowMax }

var workshop encoders

// Encode codes a body as a worker does; not concurrently.
func Encode(name string, body []byte) ([]byte, error) { return workshop.encode(codingOf(name), body) }

// Decode undoes a coding in memory.
func Decode(name string, body []byte, limit int64) ([]byte, error) {
	return decodeWhole(codingOf(name), body, limit)
}

// DecodeStream undoes a coding as it comes.
func DecodeStream(name string, src io.ReadCloser, end func()) io.ReadCloser {
	return newDecodedBody(codingOf(name), src, end)
}

// ErrTooLong is Decode's error for more than limit bytes.
var ErrTooLong = errTooLong

// RoomTaken is the memory that decoders have.
func (t *Tier) RoomTaken() int64 {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	return t.room.taken
}

// DecoderBytes is what a decoder counts with.
func DecoderBytes(name string) int64 { return decoderBytes[codingOf(name)] }
